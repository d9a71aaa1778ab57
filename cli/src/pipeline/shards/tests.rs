//! Correlators that share a stream by identity produce the same outcome as a single one.

use std::sync::LazyLock;

use bytes::Bytes;
use catena_component::COMPONENT;
use catena_host::{Correlator, Limits, Mode, Outcome, Sandbox};
use catena_synthetic::Stream;
use proptest::prelude::*;

use super::Shards;

const NOW: u64 = 1_767_700_000_000;

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(COMPONENT, Limits::default()).expect("it loads"));

fn sharded(correlators: &mut [Correlator], batch: &Bytes, mode: Mode) -> Outcome {
    let partitions = correlators.len() as u32;
    let routes = correlators[0].route(batch, partitions).expect("is cut");
    let shards = Shards::new(batch, routes, partitions);
    let process = |(correlator, shard): (&mut Correlator, &Bytes)| {
        (!shard.is_empty()).then(|| correlator.process(shard, NOW).expect("is processed"))
    };
    let outcomes = correlators.iter_mut().zip(shards.batches()).map(process).collect();
    shards.join(batch, mode, outcomes)
}

/// The output, the sorted ids of findings, the counts and the rejections.
type Seen = (Vec<u8>, Vec<String>, [u32; 3], Vec<(u32, u32, String)>);

fn seen(outcome: &Outcome, batch: &Bytes) -> Seen {
    let output = outcome.apply(batch);
    let mut found: Vec<_> = outcome.findings.iter().map(|finding| finding.id.clone()).collect();
    found.sort();
    let rejected = outcome.rejections.iter().map(|one| (one.start, one.end, one.code.clone())).collect();
    (output, found, [outcome.records, outcome.matched, outcome.dropped], rejected)
}

/// Lines of every kind: records, containers, blank lines and invalid ones.
fn batch() -> impl Strategy<Value = Bytes> {
    let line = (0..10u8, 0..6usize, 0..5_000u64);
    (prop::collection::vec(line, 1..12), any::<bool>()).prop_map(|(lines, ended)| {
        let mut text = String::new();
        for (kind, count, seed) in lines {
            let records =
                Stream { records: count, of_interest_per_10_000: 5_000, chains: count / 3, seed, ..Stream::default() }
                    .lines();
            text += &match kind {
                0..3 => records.join("\n"),
                3 => format!("{{\"Records\":[{}]}}", records.join(",")),
                4 => format!("[ {} ]\r", records.join(" ,  ")),
                5 => format!("{{\"Records\":[{},null]}}", records.join(",")).replace("[,", "["),
                6 => "nonsense".to_owned(),
                // Truncated at any byte, also so that the remainder looks like a record.
                7 => {
                    let container = format!("{{\"Records\":[{}]}}", records.join(","));
                    container[..seed as usize % container.len()].to_owned()
                }
                8 => format!("[{},{{\"a\":{{\"b\":1}} ", records.join(",")).replace("[,", "["),
                _ => "  ".to_owned(),
            };
            text.push('\n');
        }
        if !ended {
            text.pop();
        }
        text.into()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn several_correlators_produce_the_outcome_of_one(batches in prop::collection::vec(batch(), 1..3), partitions in 1..5usize) {
        for (mode, name) in [(Mode::Enrich, "enrich"), (Mode::Filter, "filter"), (Mode::Findings, "findings")] {
            let config = format!("{{\"mode\":\"{name}\"}}");
            let mut one = SANDBOX.open(&config).expect("opens");
            let mut several: Vec<_> = (0..partitions).map(|_| SANDBOX.open(&config).expect("opens")).collect();
            for batch in &batches {
                let expected = one.process(batch, NOW).expect("is processed");
                let got = sharded(&mut several, batch, mode);
                prop_assert_eq!(seen(&got, batch), seen(&expected, batch), "{}: {}", name, String::from_utf8_lossy(batch));
            }
        }
    }
}
