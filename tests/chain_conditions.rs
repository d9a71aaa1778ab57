//! The conditions under which events form a chain.

use crate::common::run::{Both, rules};
use crate::common::{Call, Event, WINDOW, chain, lines};

const CHAIN: [&str; 2] = ["aws-instance-created", "aws-snapshot-staging"];

/// Without the rule for existing volumes, which reports what lacks its first step.
fn findings(batch: &[u8]) -> Vec<catena::Finding> {
    Both::open(r#"{"disabled_rules":["aws-snapshot-staging-existing"]}"#).process(batch).findings
}

fn found(events: &[Event]) -> Vec<String> {
    rules(&findings(&lines(events))).into_iter().map(str::to_owned).collect()
}

#[test]
fn the_window_includes_its_last_second() {
    assert_eq!(found(&chain(60, WINDOW)), CHAIN);
    assert_eq!(found(&chain(60, WINDOW + 1)), CHAIN[..1]);
}

#[test]
fn events_with_equal_times_are_in_order() {
    assert_eq!(found(&chain(0, 0)), CHAIN);
}

#[test]
fn any_arrival_order_yields_the_same_finding() {
    let events = chain(60, 120);
    let mut ids = std::collections::BTreeSet::new();
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let batch = lines(&order.map(|at| events[at].clone()));
        let chains: Vec<_> = findings(&batch).into_iter().filter(|finding| finding.rule == CHAIN[1]).collect();
        assert_eq!(chains.len(), 1, "{order:?}");
        ids.insert(chains[0].id.clone());
    }
    assert_eq!(ids.len(), 1);
}

#[test]
fn a_launch_before_its_snapshot_does_not_complete_a_chain() {
    let [volume, snapshot, instance] = chain(60, 120);
    let early = Event { time: 30, ..instance };
    assert_eq!(found(&[volume, snapshot, early]), CHAIN[..1]);
}

#[test]
fn a_launch_from_another_snapshot_does_not_complete_a_chain() {
    let [volume, snapshot, instance] = chain(60, 120);
    let other = Event { call: Call::RunInstances { snapshots: vec!["snap-2"] }, ..instance };
    assert_eq!(found(&[volume, snapshot, other]), CHAIN[..1]);
}

#[test]
fn an_event_of_another_identity_does_not_join_a_chain() {
    for at in 0..3 {
        let mut events = chain(60, 120);
        events[at].identity = Some("bob");
        assert_eq!(found(&events), CHAIN[..1], "step {at}");
    }
}

#[test]
fn a_failed_call_matches_no_step() {
    for at in 0..3 {
        let mut events = chain(60, 120);
        events[at].failed = true;
        let expected: &[&str] = if at == 2 { &[] } else { &CHAIN[..1] };
        assert_eq!(found(&events), expected, "step {at}");
    }
}

#[test]
fn a_call_to_another_service_matches_no_step() {
    let batch = String::from_utf8(lines(&chain(60, 120))).unwrap();
    let batch = batch.replacen("ec2.amazonaws.com", "fsx.amazonaws.com", 1);
    assert_eq!(rules(&findings(batch.as_bytes())), CHAIN[..1]);
}

#[test]
fn one_matching_device_of_several_is_enough() {
    let [volume, snapshot, instance] = chain(60, 120);
    let many = Event { call: Call::RunInstances { snapshots: vec!["snap-2", "snap-1", "snap-3"] }, ..instance };
    assert_eq!(found(&[volume, snapshot, many]), CHAIN);
}

#[test]
fn a_single_element_list_may_be_replaced_with_its_element() {
    let batch = String::from_utf8(lines(&chain(60, 120))).unwrap();
    let collapsed = batch
        .replace(r#""items":[{"ebs":{"snapshotId":"snap-1"}}]"#, r#""items":{"ebs":{"snapshotId":"snap-1"}}"#)
        .replace(r#""items":[{"instanceId":"i-3"}]"#, r#""items":{"instanceId":"i-3"}"#);
    assert_ne!(batch, collapsed);
    let bodies = |batch: &str| findings(batch.as_bytes()).into_iter().map(|finding| finding.body).collect::<Vec<_>>();
    assert_eq!(bodies(&collapsed), bodies(&batch));
}

#[test]
fn a_decoy_does_not_replace_the_real_volume() {
    let [volume, snapshot, instance] = chain(60, 120);
    let decoy = Event { id: 9, time: 30, call: Call::CreateVolume { volume: Some("vol-2") }, ..volume.clone() };
    assert_eq!(found(&[volume, decoy, snapshot, instance]), CHAIN);
}

#[test]
fn a_second_launch_from_the_snapshot_is_further_evidence() {
    let [volume, snapshot, instance] = chain(60, 120);
    let again = Event { id: 4, time: 130, ..instance.clone() };
    assert_eq!(found(&[volume, snapshot, instance, again]), [CHAIN[0], CHAIN[1], CHAIN[0]]);
}

#[test]
fn every_distinct_instance_of_a_launch_is_a_finding() {
    let batch = String::from_utf8(lines(&chain(60, 120)[2..])).unwrap();
    let batch =
        batch.replace(r#"{"instanceId":"i-3"}"#, r#"{"instanceId":"i-3"},{"instanceId":"i-4"},{"instanceId":"i-3"}"#);
    let found = findings(batch.as_bytes());
    let ids: std::collections::BTreeSet<_> = found.iter().map(|finding| &finding.id).collect();
    assert_eq!((found.len(), ids.len()), (2, 2));
}

#[test]
fn an_event_dated_in_the_future_expires_no_state() {
    let [volume, snapshot, instance] = chain(60, 120);
    let future = Event { id: 9, time: 300_000_000, ..volume.clone() };
    assert_eq!(found(&[volume, snapshot, future, instance]), CHAIN);
}
