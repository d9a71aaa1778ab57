//! A batch partitioned by identity yields the findings of the whole batch, for any number of correlators.

use std::collections::BTreeSet;

use crate::common::{events, oracle, sharded};
use proptest::prelude::*;

proptest! {
    #![proptest_config(crate::common::cases(100))]

    #[test]
    fn sharded_findings_match_the_oracle(
        events in events(1..30, 1_800),
        partitions in 1..6u32,
        container in any::<bool>(),
    ) {
        let records: Vec<_> = events.iter().map(crate::common::Event::line).collect();
        let batch = if container { format!("{{\"Records\":[{}]}}\n", records.join(",")) } else { records.join("\n") };
        let (together, _) = sharded::several("{}", batch.as_bytes(), partitions);
        prop_assert_eq!(together.counts[0], events.len());
        oracle::check(&together.findings, &oracle::findings(&events));
    }
}

#[test]
fn routes_are_in_order_and_hold_whole_lines() {
    let stream = catena_synthetic::Stream { of_interest_per_10_000: 2_000, records: 500, ..Default::default() };
    let batch = stream.bytes();
    let routes = crate::common::run::open("{}").unwrap().route(&batch, 4).unwrap();
    let (mut at, mut records) = (0, 0);
    for route in &routes {
        records += route.records;
        assert_eq!(route.start, at);
        assert_eq!(batch[route.end as usize - 1], b'\n');
        at = route.end;
    }
    let lines = batch.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!((at as usize, records as usize), (batch.len(), lines));
    let partitions: BTreeSet<_> = routes.iter().flat_map(|route| route.partitions.iter().copied()).collect();
    assert_eq!(partitions, (0..4).collect());
    let wanted: u32 = routes.iter().filter(|route| !route.partitions.is_empty()).map(|route| route.records).sum();
    assert!(wanted < records / 2, "records that no rule matches should go to no partition: {wanted} of {records}");
}
