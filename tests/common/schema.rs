//! Validates a document against the subset of JSON Schema that the published OCSF schema uses.
//!
//! A validator crate would change the features of wasmtime's dependencies, and wasmtime would be built twice. Patterns
//! are not checked. An unsupported keyword fails the test.

use serde_json::Value;

/// Validates `value`. The error begins with the path of the offending value.
pub fn validate(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let wrong = |why: String| Err(format!("{at}: {why}"));
    let schema = schema.as_object().expect("a schema should be an object");
    for (keyword, wanted) in schema {
        match keyword.as_str() {
            "$comment" | "title" | "description" | "deprecated" | "$defs" | "$id" | "$schema" | "pattern" => {}
            "$ref" => {
                let target =
                    root.pointer(wanted.as_str().unwrap().trim_start_matches('#')).expect("`$ref` should resolve");
                validate(root, target, value, at)?;
            }
            "type" => {
                let fits = match wanted.as_str().expect("`type` should be a single name") {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "number" => value.is_number(),
                    other => panic!("unknown type {other}"),
                };
                if !fits {
                    return wrong(format!("{value} is no {wanted}"));
                }
            }
            "required" => {
                for name in wanted.as_array().unwrap().iter().filter_map(Value::as_str) {
                    if value.is_object() && value.get(name).is_none() {
                        return wrong(format!("{name} is missing"));
                    }
                }
            }
            "properties" => {
                for (name, member) in value.as_object().into_iter().flatten() {
                    if let Some(schema) = wanted.get(name) {
                        validate(root, schema, member, &format!("{at}.{name}"))?;
                    }
                }
            }
            "additionalProperties" => {
                assert!(wanted.is_boolean(), "`additionalProperties` with a schema is not supported");
                let known = |name: &String| schema.get("properties").is_some_and(|known| known.get(name).is_some());
                if let Some(name) = value.as_object().into_iter().flatten().map(|(name, _)| name).find(|n| !known(n))
                    && *wanted == Value::Bool(false)
                {
                    return wrong(format!("there is no member {name}"));
                }
            }
            "items" => {
                for (place, item) in value.as_array().into_iter().flatten().enumerate() {
                    validate(root, wanted, item, &format!("{at}[{place}]"))?;
                }
            }
            "enum" if !wanted.as_array().unwrap().contains(value) => return wrong(format!("{value} is not allowed")),
            "const" if wanted != value => return wrong(format!("{value} is not {wanted}")),
            "enum" | "const" => {}
            "anyOf" | "oneOf" => {
                let fitting = wanted.as_array().unwrap().iter();
                let fitting = fitting.filter(|schema| validate(root, schema, value, at).is_ok()).count();
                if fitting == 0 || (keyword == "oneOf" && fitting != 1) {
                    return wrong(format!("fits {fitting} of {keyword}"));
                }
            }
            "maxLength" if value.as_str().is_some_and(|t| t.chars().count() as u64 > wanted.as_u64().unwrap()) => {
                return wrong("is too long".to_owned());
            }
            "minimum" if value.as_f64() < wanted.as_f64() => return wrong(format!("is less than {wanted}")),
            "maximum" if value.as_f64() > wanted.as_f64() => return wrong(format!("is more than {wanted}")),
            "maxLength" | "minimum" | "maximum" => {}
            other => panic!("unsupported keyword {other}"),
        }
    }
    Ok(())
}
