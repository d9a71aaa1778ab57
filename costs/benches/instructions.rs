//! Counts the instructions that the native engine executes for a record of each kind.
#![allow(missing_docs, reason = "the macros generate public items")]

use std::hint::black_box;

use catena::{Config, Correlator, Outcome, Timestamp};
use catena_synthetic::costs::{NOW, RECORDS, WITH_500_RULES, batches, bound, cost};
use catena_synthetic::{Workload, chain_rules};
use gungraun::{Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use serde_json::json;

/// Fails if a record costs more than its bound.
fn limit(instructions: u64) -> LibraryBenchmarkConfig {
    let most = bound(instructions) * RECORDS;
    let mut callgrind = Callgrind::with_args(["--cache-sim=no"]);
    callgrind.hard_limits([(EventKind::Ir, most)]);
    LibraryBenchmarkConfig::default().tool(callgrind).clone()
}

fn of(workload: Workload) -> LibraryBenchmarkConfig {
    limit(cost(workload).instructions)
}

/// A correlator that has seen records of a kind, and the records to count.
fn warm(workload: Workload) -> (Correlator, Vec<u8>) {
    prepared(Config::default(), workload)
}

/// The same with 500 rules. With `same`, the added ones name the actions of the records, otherwise others.
fn with_500_rules(same: bool) -> (Correlator, Vec<u8>) {
    let built_in = catena::built_in().expect("the built-in rules are valid").len();
    let config = json!({"rules": chain_rules(500 - built_in, same)});
    prepared(config.to_string().parse().expect("the rules are valid"), Workload::Snapshot)
}

fn prepared(config: Config, workload: Workload) -> (Correlator, Vec<u8>) {
    let mut correlator = Correlator::new(config).expect("the configuration is valid");
    let [before, batch] = batches(workload);
    correlator.process(&before, Timestamp::from_millis(NOW)).expect("the batch is within the limits");
    (correlator, batch)
}

/// Processes the batch. What is allocated is returned, so that freeing it does not count.
fn process((mut correlator, batch): (Correlator, Vec<u8>)) -> (Correlator, Vec<u8>, Outcome) {
    let outcome = correlator.process(black_box(&batch), Timestamp::from_millis(NOW)).expect("it is within the limits");
    assert_eq!(u64::from(outcome.records), RECORDS);
    (correlator, batch, outcome)
}

#[library_benchmark]
#[bench::noise(args = (Workload::Noise), setup = warm, config = of(Workload::Noise))]
#[bench::read_only(args = (Workload::ReadOnly), setup = warm, config = of(Workload::ReadOnly))]
#[bench::volume(args = (Workload::Volume), setup = warm, config = of(Workload::Volume))]
#[bench::snapshot(args = (Workload::Snapshot), setup = warm, config = of(Workload::Snapshot))]
#[bench::launch(args = (Workload::Launch), setup = warm, config = of(Workload::Launch))]
#[bench::failed_launch(args = (Workload::FailedLaunch), setup = warm, config = of(Workload::FailedLaunch))]
#[bench::mixed(args = (Workload::Mixed), setup = warm, config = of(Workload::Mixed))]
#[bench::json_in_text(args = (Workload::SnapshotInText), setup = warm, config = of(Workload::SnapshotInText))]
#[bench::small(args = (Workload::SmallSnapshot), setup = warm, config = of(Workload::SmallSnapshot))]
#[bench::large(args = (Workload::LargeSnapshot), setup = warm, config = of(Workload::LargeSnapshot))]
fn kinds(ready: (Correlator, Vec<u8>)) -> (Correlator, Vec<u8>, Outcome) {
    process(ready)
}

#[library_benchmark]
#[bench::of_other_actions(args = (false), setup = with_500_rules, config = limit(WITH_500_RULES[0]))]
#[bench::of_the_same_actions(args = (true), setup = with_500_rules, config = limit(WITH_500_RULES[1]))]
fn five_hundred_rules(ready: (Correlator, Vec<u8>)) -> (Correlator, Vec<u8>, Outcome) {
    process(ready)
}

library_benchmark_group!(name = record, benchmarks = [kinds, five_hundred_rules]);
main!(library_benchmark_groups = record);
