//! What a finding says about the call follows from the call: a refused deletion is a deletion that failed.

use crate::common::forms::{self, Person};
use crate::common::run::Both;
use serde_json::{Value, json};

const RULE: &str = r#"{"id":"detector-deleted","version":1,"title":"Detector deleted","severity":"high","confidence":"low",
    "confidence_reason":"An operator may do it.","attack":[{"technique":"T1562.001","name":"Disable or Modify Tools"}],
    "steps":[{"id":"deletion","provider":"aws","service":"guardduty.amazonaws.com","actions":["DeleteDetector"],"outcome":"any"}]}"#;

/// The finding about a call that was refused or not, in a format.
fn finding(format: &str, refused: bool, settings: &str) -> Value {
    let nora = Person { name: "nora", role: None };
    let mut record = forms::aws(1, 0, "DeleteDetector", nora, json!({"detectorId": "d"}), json!(null));
    record["eventSource"] = json!("guardduty.amazonaws.com");
    if refused {
        record["errorCode"] = json!("AccessDenied");
    }
    let config = format!(r#"{{"built_in_rules":false,"findings":"{format}","rules":[{RULE}]{settings}}}"#);
    let outcome = Both::open(&config).process(format!("{record}\n").as_bytes());
    serde_json::from_str(&outcome.findings[0].body).unwrap()
}

#[test]
fn ecs_says_deletion_and_failure() {
    let body = finding("ecs", true, "");
    for (pointer, expected) in [
        ("/event/kind", json!("alert")),
        ("/event/category", json!(["configuration"])),
        ("/event/type", json!(["deletion"])),
        ("/event/outcome", json!("failure")),
        ("/event/action", json!("DeleteDetector")),
        ("/event/reason", json!("An operator may do it.")),
        ("/user_agent/original", json!("aws-cli/2.15")),
        ("/labels/steps", json!("deletion")),
        ("/threat/tactic/id", json!(["TA0005"])),
        ("/threat/technique/name", json!(["Impair Defenses"])),
    ] {
        assert_eq!(body.pointer(pointer), Some(&expected), "{pointer} {body:#}");
    }
    assert_eq!(finding("ecs", false, "")["event"]["outcome"], "success");
}

#[test]
fn ocsf_says_that_the_call_failed() {
    let body = finding("ocsf", true, "");
    for (pointer, expected) in [
        ("/finding_info/related_events/0/status", json!("Failure")),
        ("/finding_info/related_events/0/title", json!("deletion")),
        ("/evidences/0/api/operation", json!("DeleteDetector")),
        ("/evidences/0/http_request/user_agent", json!("aws-cli/2.15")),
        ("/finding_info/attacks/0/tactic/uid", json!("TA0005")),
        ("/unmapped/confidence_reason", json!("An operator may do it.")),
        ("/is_alert", json!(true)),
    ] {
        assert_eq!(body.pointer(pointer), Some(&expected), "{pointer} {body:#}");
    }
}

#[test]
fn sentinel_says_that_the_call_failed() {
    let body = finding("sentinel", true, "");
    for (name, expected) in [
        ("Action", json!("DeleteDetector")),
        ("EventResult", json!("Failure")),
        ("UserAgent", json!("aws-cli/2.15")),
        ("Steps", json!(["deletion"])),
        ("Tactics", json!(["DefenseEvasion"])),
        ("ConfidenceReason", json!("An operator may do it.")),
        ("Status", json!("New")),
    ] {
        assert_eq!(body[name], expected, "{name} {body:#}");
    }
}

/// A suppressed finding was an alert in every format.
#[test]
fn a_suppressed_finding_does_not_look_live() {
    let settings = r#","exceptions":[{"id":"all","reason":"a drill","provider":"aws","where":[{"field":"eventSource","exists":true}]}]"#;
    assert_eq!(finding("ecs", true, settings)["event"]["kind"], "event");
    let ocsf = finding("ocsf", true, settings);
    assert_eq!((&ocsf["is_alert"], &ocsf["status"]), (&json!(false), &json!("Suppressed")));
    assert_eq!(finding("sentinel", true, settings)["Status"], "Suppressed");
}

/// Regression: a sign-in that is refused has no error code, and passed for one that succeeded.
#[test]
fn a_refused_sign_in_is_a_failure() {
    let rule = r#"{"id":"sign-in-refused","version":1,"title":"t","severity":"low","steps":[
        {"id":"s","provider":"aws","service":"signin.amazonaws.com","actions":["ConsoleLogin"],"outcome":"failure"}]}"#;
    let nora = Person { name: "nora", role: None };
    let record = |answer: &str| {
        let mut record = forms::aws(1, 0, "ConsoleLogin", nora, json!(null), json!({"ConsoleLogin": answer}));
        record["eventSource"] = json!("signin.amazonaws.com");
        format!("{record}\n")
    };
    let config = format!(r#"{{"built_in_rules":false,"findings":"ecs","rules":[{rule}]}}"#);
    assert_eq!(Both::open(&config).process(record("Success").as_bytes()).findings, []);
    let findings = Both::open(&config).process(record("Failure").as_bytes()).findings;
    let body: Value = serde_json::from_str(&findings[0].body).unwrap();
    assert_eq!(
        (&body["event"]["category"], &body["event"]["outcome"]),
        (&json!(["authentication"]), &json!("failure"))
    );
}
