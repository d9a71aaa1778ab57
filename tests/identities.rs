//! The identity that the events of a chain must share, and how findings report it.

use serde_json::{Value, json};

use crate::common::NOW;

/// The three records of a chain, each with its own `userIdentity`.
fn records(identities: [Value; 3]) -> Vec<u8> {
    let calls = [
        ("CreateVolume", json!({}), json!({"volumeId": "vol-1"})),
        ("CreateSnapshot", json!({"volumeId": "vol-1"}), json!({"snapshotId": "snap-1"})),
        ("RunInstances", json!({"blockDeviceMapping": {"items": {"ebs": {"snapshotId": "snap-1"}}}}), json!({})),
    ];
    let mut batch = Vec::new();
    for (number, (identity, (action, request, response))) in identities.into_iter().zip(calls).enumerate() {
        let record = json!({"eventID": format!("e{number}"), "eventTime": "2026-01-05T10:00:00Z",
            "eventSource": "ec2.amazonaws.com", "eventName": action, "userIdentity": identity,
            "requestParameters": request, "responseElements": response});
        batch.extend(format!("{record}\n").into_bytes());
    }
    batch
}

/// The body of the chain's finding, if there is one.
fn staging(config: &Value, identities: [Value; 3]) -> Option<Value> {
    let mut correlator = crate::common::run::open(&config.to_string()).unwrap();
    let found = correlator.process(&records(identities), NOW).unwrap().findings;
    let staging = found.into_iter().find(|finding| finding.rule == "aws-snapshot-staging")?;
    Some(serde_json::from_str(&staging.body).unwrap())
}

fn session(name: &str) -> Value {
    json!({"type": "AssumedRole", "principalId": format!("AROAEXAMPLE:{name}"), "accessKeyId": format!("ASIA{name}"),
           "arn": format!("arn:aws:sts::1:assumed-role/builder/{name}"),
           "sessionContext": {"sessionIssuer": {"arn": "arn:aws:iam::1:role/builder"}}})
}

#[test]
fn changing_session_names_do_not_break_a_chain() {
    let body = staging(&json!({}), [session("a"), session("b"), session("c")]).expect("one role should form a chain");
    assert_eq!(body["unmapped"]["identity"], "arn:aws:iam::1:role/builder");
    assert_eq!(body["unmapped"]["identity_from"], "role");
    assert_eq!(body["evidences"][2]["actor"]["user"]["uid"], "arn:aws:sts::1:assumed-role/builder/c");
}

#[test]
fn the_session_key_separates_sessions_of_one_role() {
    let strict = json!({"identity": ["session"]});
    assert_eq!(staging(&strict, [session("a"), session("b"), session("c")]), None);
    let body = staging(&strict, [session("a"), session("a"), session("a")]).expect("one session should form a chain");
    assert_eq!(body["unmapped"]["identity_from"], "session");
}

#[test]
fn the_first_identity_key_with_a_value_wins() {
    let without = |names: &[&str]| {
        let mut identity = session("a");
        for name in names {
            identity.as_object_mut().unwrap().remove(*name);
        }
        identity
    };
    for (missing, way, identity) in [
        (&["sessionContext"][..], "arn", "arn:aws:sts::1:assumed-role/builder/a"),
        (&["sessionContext", "arn"], "principal", "AROAEXAMPLE"),
        (&["sessionContext", "arn", "principalId"], "access-key", "ASIAa"),
    ] {
        let body = staging(&json!({}), [without(missing), without(missing), without(missing)]).expect(way);
        assert_eq!(
            (&body["unmapped"]["identity_from"], &body["unmapped"]["identity"]),
            (&way.into(), &identity.into())
        );
    }
}

#[test]
fn an_empty_identity_key_is_skipped() {
    // As in the records of IAM users.
    let user = json!({"arn": "arn:aws:iam::1:user/alice", "sessionContext": {"sessionIssuer": {}}});
    let body = staging(&json!({}), [user.clone(), user.clone(), user]).expect("one user should form a chain");
    assert_eq!(body["unmapped"]["identity_from"], "arn");
    let service = json!({"accountId": "1", "invokedBy": "ec2.amazonaws.com", "arn": "", "sessionContext": {}});
    assert_eq!(staging(&json!({}), [service.clone(), service.clone(), service]), None);
}
