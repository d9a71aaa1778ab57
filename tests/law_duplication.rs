//! L2: duplicate records change nothing but a counter.

use crate::common::run::Both;
use crate::common::{events, lines, oracle};
use proptest::prelude::*;

proptest! {
    #![proptest_config(crate::common::cases(200))]

    #[test]
    fn duplicate_records_yield_no_further_findings(
        (events, repeated) in events(1..20, 1_800).prop_flat_map(|events| {
            let again = prop::collection::vec(prop::sample::select(events.clone()), 0..20);
            let repeated = again.prop_map({
                let events = events.clone();
                move |again| [events.clone(), again].concat()
            });
            (Just(events), repeated.prop_shuffle())
        })
    ) {
        let mut both = Both::open("{}");
        let found = both.process(&lines(&repeated)).findings;
        oracle::check(&found, &oracle::findings(&events));
        let matching = |events: &[crate::common::Event]| events.iter().filter(|event| !event.failed).count() as u64;
        prop_assert_eq!(both.metric("duplicates"), matching(&repeated) - matching(&events));
    }
}

#[test]
fn replaying_a_day_yields_no_further_findings() {
    let day: Vec<_> = (0..48u32)
        .flat_map(|half_hour| {
            crate::common::chain(10, 20).map(|event| crate::common::Event {
                id: half_hour * 3 + event.id,
                time: u64::from(half_hour) * 1_800 + event.time,
                ..event
            })
        })
        .collect();
    let batch = lines(&day);
    let mut both = Both::open("{}");
    let first = both.process(&batch).findings;
    oracle::check(&first, &oracle::findings(&day));
    assert_eq!(both.process(&batch).findings, []);
    // The snapshot has the same id in every chain, and the day of the batch spans two by UTC.
    assert_eq!((both.metric("findings:aws-snapshot-staging"), both.metric("further-evidence")), (2, 46));
    assert_eq!((both.metric("duplicates"), both.metric("event-ids")), (144, 144 + 2));
}
