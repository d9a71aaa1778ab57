//! A configuration that cannot be used is refused, with the place and what was expected there.

use catena::Correlator;

fn refusal(config: &str) -> String {
    Correlator::open(config).expect_err("is refused").to_string()
}

#[test]
fn the_defaults_work() {
    for config in ["", "{}", " \n"] {
        assert!(Correlator::open(config).is_ok(), "{config:?}");
    }
}

#[test]
fn a_wrong_setting_is_named() {
    for (config, expected) in [
        ("[", "EOF while parsing a list"),
        (r#"{"mod":"enrich"}"#, "unknown field `mod`"),
        (
            r#"{"mode":"enriched"}"#,
            "at mode: unknown variant `enriched`, expected one of `enrich`, `filter`, `findings`",
        ),
        (r#"{"annotation":""}"#, "at annotation: expected a name"),
        (
            r#"{"allowed_lateness":"15"}"#,
            "at allowed_lateness: invalid value: string \"15\", expected a whole number and a unit",
        ),
        (r#"{"limits":{"pending":-1}}"#, "at limits.pending: invalid value"),
        (r#"{"hash_key":"00"}"#, "at hash_key: expected 32 hexadecimal digits"),
        (r#"{"rules":[{"id":"x"}]}"#, "at rules[0]: missing field `version`"),
    ] {
        let refusal = refusal(config);
        assert!(refusal.contains(expected), "{config}: {refusal}");
    }
}

/// A rule with two steps, a part of it replaced.
fn rule(part: &str, by: &str) -> String {
    let rule = r#"{"id":"my-rule","version":1,"title":"t","severity":"low","within":"1h","steps":[
        {"id":"one","provider":"aws","service":"s3.amazonaws.com","actions":["PutObject"],"bind":{"key":"requestParameters.key"}},
        {"id":"two","provider":"aws","service":"s3.amazonaws.com","actions":["GetObject"],"bind":{"key":"requestParameters.key"}}]}"#;
    assert!(rule.contains(part), "{part}");
    format!(r#"{{"rules":[{}]}}"#, rule.replacen(part, by, 1))
}

#[test]
fn a_rule_of_ones_own_is_taken() {
    assert!(Correlator::open(&rule("my-rule", "my-rule")).is_ok());
}

#[test]
fn a_wrong_rule_is_named() {
    for (part, by, expected) in [
        ("my-rule", "aws-snapshot-staging", "at rules[0].id: there is already a rule"),
        ("my-rule", "My rule", "at rules[0].id: \"My rule\" is no id"),
        ("\"within\":\"1h\",", "", "at rules[0]: a rule of several steps needs `within`"),
        ("\"id\":\"two\"", "\"id\":\"one\"", "at rules[0].steps[1].id: there is already a step"),
        ("[\"GetObject\"]", "[]", "at rules[0].steps[1].actions: expected at least one action"),
        ("GetObject", "Get\\\"Object", "at rules[0].steps[1].actions[0]"),
        (
            "\"key\":\"requestParameters.key\"",
            "\"other\":\"requestParameters.key\"",
            "at rules[0].steps[0]: the step binds no name",
        ),
        ("requestParameters.key", "requestParameters..key", "at rules[0].steps[0].bind.key: invalid value"),
        ("\"provider\":\"aws\"", "\"provider\":\"aws2\"", "at rules[0].steps[0].provider: unknown variant"),
        ("\"steps\"", "\"resources\":{\"vol\":\"V\"},\"steps\"", "at rules[0].resources.vol: no step binds this name"),
        (
            "\"id\":\"one\"",
            "\"id\":\"one\",\"each\":\"key\"",
            "at rules[0].steps[0].each: `each` is for rules of one step",
        ),
    ] {
        let refusal = refusal(&rule(part, by));
        assert!(refusal.contains(expected), "{part} -> {by}: {refusal}");
    }
}
