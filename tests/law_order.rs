//! L1: any order of arrival within the allowed lateness gives the same findings, and they are those of the oracle.

use crate::common::run::{Both, sets_of_event_ids};
use crate::common::{Event, events, lines, oracle};
use proptest::prelude::*;

/// The allowed lateness, in seconds.
const LATENESS: u64 = 900;

/// Events over hours, each arriving up to the allowed lateness after it happened.
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn arrival_within_the_lateness_changes_nothing(events in delayed()) {
        let found = Both::open("{}").process(&lines(&events)).findings;
        prop_assert_eq!(sets_of_event_ids(&oracle::known(found)), oracle::findings(&events));
    }

    #[test]
    fn any_permutation_of_half_an_hour_changes_nothing(events in events(1..30, 1_800).prop_shuffle()) {
        let found = Both::open("{}").process(&lines(&events)).findings;
        prop_assert_eq!(sets_of_event_ids(&oracle::known(found)), oracle::findings(&events));
    }

    #[test]
    fn findings_are_the_same_to_the_byte_in_any_order(
        (events, shuffled) in events(1..20, 900).prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle()))
    ) {
        let bodies = |events: &[Event]| {
            let mut bodies: Vec<_> = crate::common::run::findings(&lines(events)).into_iter().map(|finding| finding.body).collect();
            bodies.sort();
            bodies
        };
        prop_assert_eq!(bodies(&events), bodies(&shuffled));
    }
}
