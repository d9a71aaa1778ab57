//! L1: any arrival order within the allowed lateness yields the same findings, and they match the oracle.

use std::collections::BTreeSet;

use crate::common::run::Both;
use crate::common::{Event, events, lines, oracle};
use proptest::prelude::*;

/// The allowed lateness, in seconds.
const LATENESS: u64 = 900;

/// Generates events over two hours, each arriving up to the allowed lateness after it occurred.
fn delayed() -> impl Strategy<Value = Vec<Event>> {
    events(1..40, 7_200).prop_flat_map(|events| {
        let delays = prop::collection::vec(0..=LATENESS, events.len());
        delays.prop_map(move |delays| {
            let mut arriving: Vec<_> =
                events.iter().zip(delays).map(|(event, delay)| (event.time + delay, event)).collect();
            arriving.sort_by_key(|(arrival, _)| *arrival);
            arriving.into_iter().map(|(_, event)| event.clone()).collect()
        })
    })
}

/// The built-in rule whose findings may depend on the order, see docs/rules.md.
const WITH_ABSENT_STEP: &str = "aws-snapshot-staging-existing";

/// The identity and the snapshots of a finding.
fn used_snapshot(body: &str) -> (String, Vec<String>) {
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let is_snapshot = |resource: &&serde_json::Value| resource["type"] == "AWS::EC2::Snapshot";
    let snapshots = body["resources"].as_array().unwrap().iter().filter(is_snapshot);
    (body["unmapped"]["identity"].to_string(), snapshots.map(|resource| resource["uid"].to_string()).collect())
}

proptest! {
    #![proptest_config(crate::common::cases(300))]

    #[test]
    fn any_arrival_order_within_the_lateness_matches_the_oracle(events in delayed()) {
        let found = Both::open("{}").process(&lines(&events)).findings;
        oracle::check(&found, &oracle::findings(&events));
    }

    #[test]
    fn any_permutation_of_half_an_hour_matches_the_oracle(events in events(1..30, 1_800).prop_shuffle()) {
        let found = Both::open("{}").process(&lines(&events)).findings;
        oracle::check(&found, &oracle::findings(&events));
    }

    #[test]
    fn finding_ids_are_the_same_in_any_order(
        (events, shuffled) in events(1..20, 900).prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle()))
    ) {
        let ids = |events: &[Event]| {
            let found = crate::common::run::findings(&lines(events)).into_iter();
            found.filter(|finding| finding.rule != WITH_ABSENT_STEP).map(|finding| finding.id).collect::<BTreeSet<_>>()
        };
        prop_assert_eq!(ids(&events), ids(&shuffled));
    }

    /// A rule with an absent step may report what a more specific rule reports later. It never hides anything: whatever the
    /// order, a snapshot that is used gives a finding of one of the two.
    #[test]
    fn what_an_absent_step_leaves_out_another_rule_reports(
        (events, shuffled) in events(1..20, 900).prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle()))
    ) {
        let used = |events: &[Event]| {
            let found = crate::common::run::findings(&lines(events)).into_iter();
            let found = found.filter(|finding| [WITH_ABSENT_STEP, "aws-snapshot-staging"].contains(&&*finding.rule));
            found.map(|finding| used_snapshot(&finding.body)).collect::<BTreeSet<_>>()
        };
        prop_assert_eq!(used(&events), used(&shuffled));
    }
}
