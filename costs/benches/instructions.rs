//! Counts the instructions that the native engine executes for a record of each kind.
#![allow(missing_docs, reason = "the macros generate public items")]

use std::hint::black_box;

use catena::{Config, Correlator, Outcome, Timestamp};
use catena_costs::{NOW, RECORDS, WITH_500_RULES, batches, bound, cost};
use catena_synthetic::Workload;
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
    const BUILT_IN: usize = 26;
    let rule = |number: usize| {
        let step = |id: &str, action: &str, bind: serde_json::Value| {
            let action = if same { action.to_owned() } else { format!("{action}{number}") };
            json!({"id": id, "provider": "aws", "service": "ec2.amazonaws.com", "actions": [action], "bind": bind})
        };
        let snapshot = json!({"volume": "requestParameters.volumeId", "snapshot": "responseElements.snapshotId"});
        let launch = json!({"snapshot": "requestParameters.blockDeviceMapping.items[].ebs.snapshotId"});
        json!({
            "id": format!("rule-{number}"), "version": 1, "title": "t", "severity": "low", "within": "15m",
            "steps": [
                step("volume", "CreateVolume", json!({"volume": "responseElements.volumeId"})),
                step("snapshot", "CreateSnapshot", snapshot),
                step("launch", "RunInstances", launch),
            ],
        })
    };
    let config = json!({"rules": (BUILT_IN..500).map(rule).collect::<Vec<_>>()});
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
