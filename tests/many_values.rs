//! Events that share many values form chains like those that share one, and in less than quadratic time.

use crate::common::run::{Both, rules};

/// A volume, a call that creates `of_snapshots` from it, and a launch that mounts `of_launch`.
fn chain(of_snapshots: &[String], of_launch: &[String]) -> String {
    let record = |id: &str, second: u32, action: &str, request: String, response: String| {
        format!(
            r#"{{"eventID":"{id}","eventTime":"2026-01-05T10:00:0{second}Z","eventSource":"ec2.amazonaws.com","eventName":"{action}","userIdentity":{{"arn":"arn:aws:iam::1:user/alice"}},"recipientAccountId":"111122223333","requestParameters":{{{request}}},"responseElements":{{{response}}}}}"#
        )
    };
    let each = |ids: &[String], form: fn(&str) -> String| ids.iter().map(|id| form(id)).collect::<Vec<_>>().join(",");
    let made = each(of_snapshots, |id| format!(r#"{{"volumeId":"vol-1","snapshotId":"{id}"}}"#));
    let mounted = each(of_launch, |id| format!(r#"{{"ebs":{{"snapshotId":"{id}"}}}}"#));
    [
        record("v", 0, "CreateVolume", String::new(), r#""volumeId":"vol-1""#.to_owned()),
        record(
            "s",
            1,
            "CreateSnapshots",
            String::new(),
            format!(r#""CreateSnapshotsResponse":{{"snapshotSet":{{"item":[{made}]}}}}"#),
        ),
        record(
            "r",
            2,
            "RunInstances",
            format!(r#""blockDeviceMapping":{{"items":[{mounted}]}}"#),
            r#""instancesSet":{"items":[{"instanceId":"i-1"}]}"#.to_owned(),
        ),
    ]
    .join("\n")
}

fn ids(prefix: &str, number: usize) -> Vec<String> {
    (0..number).map(|number| format!("{prefix}-{number}")).collect()
}

/// Regression: a candidate counted against `limits.max_candidates` once for each value that led to it, so a launch that
/// names 1,024 snapshots hid its chain.
#[test]
fn a_launch_from_thousands_of_snapshots_does_not_hide_its_chain() {
    let snapshots = ids("snap", 3_000);
    let outcome = Both::open(r#"{"mode":"findings"}"#).process(chain(&snapshots, &snapshots).as_bytes());
    assert_eq!(rules(&outcome.findings), ["aws-instance-created", "aws-snapshot-staging"]);
}

/// Regression: the values of two events were compared pairwise, once for each shared value. The sandbox timed out, and
/// the launch was rejected.
#[test]
fn a_chain_is_found_if_only_some_of_many_values_are_shared() {
    let (shared, others) = (ids("z", 300), ids("a", 3_000));
    let of_launch = [ids("b", 3_000), shared.clone()].concat();
    let outcome =
        Both::open(r#"{"mode":"findings"}"#).process(chain(&[others, shared].concat(), &of_launch).as_bytes());
    assert_eq!(rules(&outcome.findings), ["aws-instance-created", "aws-snapshot-staging"]);
}
