//! A batch partitioned by identity yields the findings of the whole batch, for any number of correlators.

use std::collections::BTreeSet;

use crate::common::{events, oracle};
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
        let mut router = crate::common::run::open("{}").unwrap();
        let mut shards = vec![Vec::new(); partitions as usize];
        let (mut records, mut found) = (0, Vec::new());
        for route in router.route(batch.as_bytes(), partitions).unwrap() {
            let Some(partition) = route.partition else {
                records += route.records;
                continue;
            };
            let shard = &mut shards[partition as usize];
            shard.extend_from_slice(&batch.as_bytes()[route.start as usize..route.end as usize]);
            if shard.last() != Some(&b'\n') {
                shard.push(b'\n');
            }
        }
        for shard in shards {
            let outcome = crate::common::run::open("{}").unwrap().process(&shard, crate::common::NOW).unwrap();
            records += outcome.records;
            found.extend(outcome.findings);
        }
        prop_assert_eq!(records as usize, events.len());
        oracle::check(&found, &oracle::findings(&events));
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
    let partitions: BTreeSet<_> = routes.iter().filter_map(|route| route.partition).collect();
    assert_eq!(partitions, (0..4).collect());
    let wanted: u32 = routes.iter().filter(|route| route.partition.is_some()).map(|route| route.records).sum();
    assert!(wanted < records / 2, "records that no rule matches should go to no partition: {wanted} of {records}");
}
