//! Failures observed in other engines. Each test is named after the failure, and asserts that Catena does not share it.

use crate::common::run::{Both, event_ids};
use crate::common::{Call, Event, WINDOW, chain, lines};

const STAGING: &str = "aws-snapshot-staging";

/// The event ids of the chains found when the batches are processed in turn.
fn chains(batches: &[&[Event]]) -> Vec<Vec<String>> {
    let mut both = Both::open("{}");
    let found = batches.iter().flat_map(|events| both.process(&lines(events)).findings);
    found.filter(|finding| finding.rule == STAGING).map(|finding| event_ids(&finding)).collect()
}

fn ids(ids: [u32; 3]) -> Vec<String> {
    ids.map(|id| format!("e{id}")).to_vec()
}

#[test]
fn flink_loses_chains_with_equal_timestamps_that_arrive_out_of_order() {
    let [volume, snapshot, instance] = chain(0, 0);
    assert_eq!(chains(&[&[instance, snapshot, volume]]), [ids([1, 2, 3])]);
}

#[test]
fn flink_drops_events_older_than_the_watermark() {
    let [volume, snapshot, instance] = chain(60, 120);
    let newer = Event { id: 9, time: 1_000, identity: Some("bob"), ..volume.clone() };
    assert_eq!(chains(&[&[snapshot, newer, instance, volume]]), [ids([1, 2, 3])]);
}

#[test]
fn tumbling_windows_split_chains() {
    let late = |event: Event| Event { time: event.time + 3_590, ..event };
    assert_eq!(chains(&[&chain(5, WINDOW).map(late)]), [ids([1, 2, 3])]);
    assert_eq!(chains(&[&chain(5, WINDOW + 1).map(late)]), Vec::<Vec<String>>::new());
}

#[test]
fn rsigma_alerts_on_a_chain_longer_than_the_window_when_an_event_is_late() {
    let [volume, snapshot, instance] = chain(0, 0);
    let at = |event: &Event, id, time| Event { id, time, ..event.clone() };
    let events = [at(&volume, 1, 1_000), at(&volume, 2, 100), at(&snapshot, 3, 950), at(&instance, 4, 1_800)];
    assert_eq!(chains(&[&events]), Vec::<Vec<String>>::new());
}

#[test]
fn rsigma_takes_cubic_time_on_one_key() {
    let [volume, snapshot, _] = chain(0, 0);
    let copies =
        |event: &Event, first| (0..3_000u32).map(|at| Event { id: first + at, ..event.clone() }).collect::<Vec<_>>();
    let mut both = Both::open("{}");
    both.process(&lines(&copies(&volume, 0)));
    both.process(&lines(&copies(&snapshot, 10_000)));
    assert_eq!(both.metric("findings:aws-snapshot-staging"), 0);
    // A rule of which a step is missing is not searched for at all.
    assert_eq!(both.metric("searches-cut"), 0);
}

#[test]
fn rsigma_alerts_again_on_redelivered_events() {
    let events = chain(60, 120);
    let again = [&events[..], &events[1..2], &events[2..]].concat();
    assert_eq!(chains(&[&events, &again]), [ids([1, 2, 3])]);
}

#[test]
fn rsigma_and_eql_join_on_absent_fields() {
    let nobody = chain(60, 120).map(|event| Event { identity: None, ..event });
    assert_eq!(chains(&[&nobody]), Vec::<Vec<String>>::new());
}

#[test]
fn eql_expires_all_identities_when_one_is_ahead() {
    let [volume, snapshot, instance] = chain(60, 120);
    let ahead = Event { id: 9, time: 1_700, identity: Some("bob"), ..volume.clone() };
    assert_eq!(chains(&[&[volume], &[ahead], &[snapshot, instance]]), [ids([1, 2, 3])]);
}

#[test]
fn eql_matches_a_sequence_that_runs_backwards_in_time() {
    let [volume, snapshot, instance] = chain(0, 0);
    let events = [Event { time: 600, ..volume }, Event { time: 100, ..snapshot }, Event { time: 200, ..instance }];
    assert_eq!(chains(&[&events]), Vec::<Vec<String>>::new());
}

#[test]
fn eql_slows_down_with_every_live_identity() {
    const NAMES: [&str; 2] = ["alice", "bob"];
    let [volume, snapshot, instance] = chain(60, 120);
    let crowd: Vec<_> =
        (100..9_000).map(|id| Event { id, identity: Some(NAMES[id as usize % 2]), ..volume.clone() }).collect();
    let others: Vec<u8> = String::from_utf8(lines(&crowd))
        .unwrap()
        .lines()
        .enumerate()
        .flat_map(|(at, line)| line.replace("user/", &format!("user/{at}-")).into_bytes().into_iter().chain([b'\n']))
        .collect();
    let mut both = Both::open("{}");
    both.process(&others);
    assert_eq!(both.metric("identities"), 8_900);
    let found = both.process(&lines(&[volume, snapshot, instance])).findings;
    assert_eq!(found.iter().filter(|finding| finding.rule == STAGING).count(), 1);
    assert_eq!(both.metric("evicted:total") + both.metric("evicted:identity"), 0);
}

#[test]
fn kql_and_eql_let_a_decoy_overwrite_the_real_volume() {
    let [volume, snapshot, instance] = chain(60, 120);
    let decoys =
        (10..40).map(|id| Event { id, time: 30, call: Call::CreateVolume { volume: Some("vol-2") }, ..volume.clone() });
    let events: Vec<_> = [volume.clone()].into_iter().chain(decoys).chain([snapshot, instance]).collect();
    assert_eq!(chains(&[&events]), [ids([1, 2, 3])]);
}

#[test]
fn eql_consumes_events_on_their_first_match() {
    let [volume, snapshot, instance] = chain(60, 120);
    let snapshot_again = Call::CreateSnapshot { volume: Some("vol-1"), snapshot: Some("snap-2") };
    let of_same_volume = Event { id: 4, time: 200, call: snapshot_again, ..snapshot.clone() };
    let launch = Call::RunInstances { snapshots: vec!["snap-2"] };
    let second = Event { id: 5, time: 300, call: launch, ..instance.clone() };
    assert_eq!(chains(&[&[volume, snapshot, instance], &[of_same_volume, second]]), [ids([1, 2, 3]), ids([1, 4, 5])]);
}

#[test]
fn hayabusa_matches_across_different_values_of_the_key() {
    let [volume, snapshot, instance] = chain(60, 120);
    let other = Event { identity: Some("bob"), ..snapshot };
    assert_eq!(chains(&[&[volume, other, instance]]), Vec::<Vec<String>>::new());
}

#[test]
fn varpulis_measures_the_window_in_processing_time() {
    // All three are processed within a millisecond, but they span an hour.
    assert_eq!(chains(&[&chain(1_800, 3_600)]), Vec::<Vec<String>>::new());
}

#[test]
fn elastic_cannot_join_on_list_elements() {
    let [volume, snapshot, instance] = chain(60, 120);
    let many = Event { call: Call::RunInstances { snapshots: vec!["snap-3", "snap-2", "snap-1"] }, ..instance };
    assert_eq!(chains(&[&[volume, snapshot, many]]), [ids([1, 2, 3])]);
}

#[test]
fn splunk_and_panther_lose_pending_events_on_a_restart() {
    let events = chain(60, 120);
    for split in 0..=3 {
        let mut both = Both::open("{}");
        let mut found = both.process(&lines(&events[..split])).findings;
        both = Both::resume("{}", &both.checkpoint());
        found.extend(both.process(&lines(&events[split..])).findings);
        assert_eq!(found.iter().filter(|finding| finding.rule == STAGING).count(), 1, "split at {split}");
    }
}

#[test]
fn splunk_evicts_silently() {
    let [volume, ..] = chain(0, 0);
    let flood: Vec<_> = (0..20).map(|id| Event { id, time: id.into(), ..volume.clone() }).collect();
    let mut both = Both::open(r#"{"limits":{"pending_per_identity":5}}"#);
    let found = both.process(&lines(&flood)).findings;
    assert_eq!(both.metric("evicted:identity"), 15);
    let rules: Vec<_> = found.iter().map(|finding| finding.rule.as_str()).collect();
    assert_eq!(rules, ["state-pressure"], "evictions should be reported once an hour");
    assert!(found[0].body.contains("arn:aws:iam::1:user/alice"));
}

#[test]
fn a_flood_by_one_identity_evicts_no_event_of_another() {
    let [volume, snapshot, instance] = chain(60, 120);
    let flood: Vec<_> = (100..400).map(|id| Event { id, time: 61, identity: Some("bob"), ..volume.clone() }).collect();
    let mut both = Both::open(r#"{"limits":{"pending_per_identity":50}}"#);
    let mut found = both.process(&lines(&[volume, snapshot])).findings;
    found.extend(both.process(&lines(&flood)).findings);
    found.extend(both.process(&lines(&[instance])).findings);
    assert_eq!(found.iter().filter(|finding| finding.rule == STAGING).count(), 1);
    assert_eq!((both.metric("evicted:identity"), both.metric("evicted:total")), (250, 0));
}
