//! Where the record is that completed a finding. The component does not know files, so the program adds them.

use serde_json::{Value, json};

/// The place of a record, and its text if findings are to have it.
pub struct Place<'a> {
    pub file: &'a str,
    pub line: u64,
    pub record: Option<&'a str>,
}

impl Place<'_> {
    /// The finding with the place as further members at its end: in OCSF an enrichment and `raw_data`, in ECS `log.file.path` and
    /// `event.original`, in a row of Sentinel columns. A finding in any other form is returned as it is.
    pub fn add_to(&self, body: &str) -> String {
        // In the text of a value, quotes are escaped; so these are names of members.
        if body.contains("\"class_uid\":2004") {
            let data = json!({"file": self.file, "line": self.line});
            let enrichment = json!([{"name": "record", "value": format!("{}:{}", self.file, self.line), "data": data}]);
            append(body, &[("enrichments", enrichment), ("raw_data", self.text())])
        } else if body.contains("\"ecs\":{\"version\"") {
            let body = append(body, &[("log", json!({"file": {"path": self.file}}))]);
            let body = insert(&body, "labels", &[("record_line", self.line.to_string().into())]);
            insert(&body, "event", &[("original", self.text())])
        } else if body.contains("\"FindingId\":") {
            let columns = [("RecordFile", self.file.into()), ("RecordLine", self.line.into()), ("Record", self.text())];
            append(body, &columns)
        } else {
            body.to_owned()
        }
    }

    /// The place as lines of text for people.
    pub fn describe(&self) -> String {
        format!("  record    {}:{}\n", self.file.escape_debug(), self.line)
    }

    fn text(&self) -> Value {
        self.record.map_or(Value::Null, Value::from)
    }
}

/// Members as text, each followed by a comma; absent ones are left out.
fn written(members: &[(&str, Value)]) -> String {
    let present = members.iter().filter(|(_, value)| !value.is_null());
    present.map(|(name, value)| format!("\"{name}\":{value},")).collect()
}

/// The object with members at its end.
fn append(object: &str, members: &[(&str, Value)]) -> String {
    match object.strip_suffix('}') {
        Some(open) => format!("{open},{}", written(members)).trim_end_matches(',').to_owned() + "}",
        None => object.to_owned(),
    }
}

/// The object with members at the beginning of the object in its member `name`, which is not empty.
fn insert(object: &str, name: &str, members: &[(&str, Value)]) -> String {
    let open = format!("\"{name}\":{{");
    object.replacen(&open, &format!("{open}{}", written(members)), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(body: &Value, record: Option<&str>) -> Value {
        let place = Place { file: "a \"b\".json", line: 7, record };
        serde_json::from_str(&place.add_to(&body.to_string())).unwrap()
    }

    #[test]
    fn every_format_has_a_place_for_the_place() {
        let ocsf = json!({"class_uid": 2004, "message": "x"});
        let body = added(&ocsf, Some("{\"r\":1}"));
        assert_eq!(body["enrichments"][0]["data"], json!({"file": "a \"b\".json", "line": 7}));
        assert_eq!(body["raw_data"], "{\"r\":1}");
        assert_eq!(added(&ocsf, None).get("raw_data"), None);
        let ecs = json!({"ecs": {"version": "8.17.0"}, "event": {"kind": "alert"}, "labels": {"a": "b"}});
        let body = added(&ecs, Some("r"));
        assert_eq!(
            (&body["log"]["file"]["path"], &body["labels"]["record_line"]),
            (&json!("a \"b\".json"), &json!("7"))
        );
        assert_eq!((&body["event"]["original"], &body["labels"]["a"]), (&json!("r"), &json!("b")));
        let row = added(&json!({"FindingId": "f"}), None);
        assert_eq!(row, json!({"FindingId": "f", "RecordFile": "a \"b\".json", "RecordLine": 7}));
        assert_eq!(added(&json!({"other": 1}), Some("r")), json!({"other": 1}));
    }
}
