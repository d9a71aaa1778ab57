use serde_json::{Value, json};

/// `count` chain rules as JSON, to measure the cost of large rule sets: a volume, its snapshot, and an instance from the
/// snapshot.
///
/// With `same`, they name the calls of the other records in this crate; otherwise each names calls of its own, which no record
/// has.
pub fn chain_rules(count: usize, same: bool) -> Vec<Value> {
    (0..count).map(|number| chain_rule(number, same)).collect()
}

fn chain_rule(number: usize, same: bool) -> Value {
    let step = |id: &str, action: &str, bind: Value| {
        let action = if same { action.to_owned() } else { format!("{action}{number}") };
        json!({"id": id, "provider": "aws", "service": "ec2.amazonaws.com", "actions": [action], "bind": bind})
    };
    let snapshot = json!({"volume": "requestParameters.volumeId", "snapshot": "responseElements.snapshotId"});
    let launch = json!({"snapshot": "requestParameters.blockDeviceMapping.items[].ebs.snapshotId"});
    json!({
        "id": format!("chain-{number}"), "version": 1, "title": "Volume, snapshot, instance", "severity": "low", "within": "15m",
        "steps": [
            step("volume", "CreateVolume", json!({"volume": "responseElements.volumeId"})),
            step("snapshot", "CreateSnapshot", snapshot),
            step("launch", "RunInstances", launch),
        ],
    })
}
