//! The published samples, where they are there.

mod common;

use std::fs;
use std::path::Path;

use common::run::{Both, rules};

fn findings(file: &Path) -> (u32, Vec<catena::Finding>) {
    let bytes = fs::read(file).expect("a sample is readable");
    let outcome = Both::open("{}").process(&bytes);
    assert_eq!(outcome.rejections, []);
    (outcome.records, outcome.findings)
}

#[test]
fn the_recorded_attack_has_two_launches_and_a_shared_snapshot() {
    let Some(samples) = common::samples() else { return };
    let (records, found) = findings(&samples.join("invictus-aws_dataset/ec2_events.ndjson"));
    assert_eq!(records, 26);
    // No launch mounts a snapshot. The volume, its snapshot and the sharing of it at 12:11 are what was done on purpose.
    assert_eq!(rules(&found), ["aws-instance-created", "aws-instance-created", "aws-snapshot-staging-share"]);
}

#[test]
fn containers_of_the_recorded_attack_are_read_record_by_record() {
    let Some(samples) = common::samples() else { return };
    let folder = samples.join("invictus-aws_dataset");
    let mut records = 0;
    for entry in fs::read_dir(folder).expect("the folder is readable") {
        let path = entry.expect("an entry is readable").path();
        if path.extension().is_some_and(|extension| extension == "json") {
            records += findings(&path).0;
        }
    }
    assert_eq!(records, 156);
}

#[test]
fn the_synthetic_chain_is_found_in_any_order_and_once() {
    let Some(samples) = common::samples() else { return };
    let text = fs::read_to_string(samples.join("synthetic/chain_volume_snapshot_run.ndjson")).expect("is readable");
    let lines: Vec<_> = text.lines().collect();
    let mut ids = std::collections::BTreeSet::new();
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let batch = order.map(|at| lines[at]).join("\n") + "\n";
        let mut both = Both::open("{}");
        let chains = |found: Vec<catena::Finding>| {
            found.into_iter().filter(|f| f.rule == "aws-snapshot-staging").collect::<Vec<_>>()
        };
        let found = chains(both.process(batch.as_bytes()).findings);
        assert_eq!(found.len(), 1);
        ids.insert(found[0].id.clone());
        assert_eq!(both.process(batch.as_bytes()).findings, [], "repeating the file changes nothing");
    }
    assert_eq!(ids.len(), 1);
}
