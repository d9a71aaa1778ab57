//! L7: absent values are never equal. A missing identity or link value never joins two events.

use crate::common::run::{findings, rules};
use crate::common::{chain, lines};

/// Forms that a missing value takes in real records. The empty string omits the member.
const ABSENT: &[&str] = &["", "null", "\"\"", "{}", "[]"];

#[test]
fn records_without_an_identity_do_not_join() {
    for absent in ABSENT {
        let arn = if absent.is_empty() { String::new() } else { format!("\"arn\":{absent}") };
        let batch = String::from_utf8(lines(&chain(60, 120))).unwrap();
        let batch = batch.replace("\"arn\":\"arn:aws:iam::1:user/alice\"", &arn);
        assert_eq!(rules(&findings(batch.as_bytes())), ["aws-instance-created"], "arn {absent:?}");
    }
}

#[test]
fn records_without_a_link_value_do_not_join() {
    for (name, value) in [("volumeId", "vol-1"), ("snapshotId", "snap-1")] {
        for absent in ABSENT {
            let member = if absent.is_empty() { "\"other\":1".to_owned() } else { format!("\"{name}\":{absent}") };
            let batch = String::from_utf8(lines(&chain(60, 120))).unwrap();
            let batch = batch.replace(&format!("\"{name}\":\"{value}\""), &member);
            let found = findings(batch.as_bytes());
            let found = rules(&found);
            assert!(found.contains(&"aws-instance-created"), "{name} {absent:?}: {found:?}");
            assert!(!found.contains(&"aws-snapshot-staging"), "{name} {absent:?}: {found:?}");
        }
    }
}
