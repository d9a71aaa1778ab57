//! Counts the instructions that the native engine executes for each kind of record.

use std::hint::black_box;

use catena::{Config, Correlator, Outcome, Timestamp};
use catena_synthetic::Workload;
use gungraun::{Callgrind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};

const NOW: u64 = 1_900_000_000_000;

fn warm(workload: Workload) -> (Correlator, Vec<u8>) {
    let mut correlator = Correlator::new(Config::default()).expect("opens");
    let before = if workload == Workload::Mixed { 4_000 } else { 200 };
    correlator.process(&workload.bytes(0, before), Timestamp::from_millis(NOW)).expect("fits");
    (correlator, workload.bytes(before, 200))
}

/// A correlator with `rules` more rules, chains of a call that the records have and one that they do not have. With `same`, all
/// of their steps are those of one chain.
fn with_rules(workload: Workload, rules: usize, same: bool) -> (Correlator, Vec<u8>) {
    let rule = |number: usize| {
        let action = if same { String::new() } else { number.to_string() };
        serde_json::json!({
            "id": format!("rule-{number}"), "version": 1, "title": "t", "severity": "low", "within": "15m",
            "steps": [
                {"id": "volume", "provider": "aws", "service": "ec2.amazonaws.com", "actions": [format!("CreateVolume{action}")], "bind": {"volume": "responseElements.volumeId"}},
                {"id": "snapshot", "provider": "aws", "service": "ec2.amazonaws.com", "actions": [format!("CreateSnapshot{action}")],
                 "bind": {"volume": "requestParameters.volumeId", "snapshot": "responseElements.snapshotId"}},
                {"id": "launch", "provider": "aws", "service": "ec2.amazonaws.com", "actions": [format!("RunInstances{action}")],
                 "bind": {"snapshot": "requestParameters.blockDeviceMapping.items[].ebs.snapshotId"}},
            ],
        })
    };
    let config = serde_json::json!({"rules": (0..rules).map(rule).collect::<Vec<_>>()}).to_string();
    let mut correlator = Correlator::new(config.parse().expect("is right")).expect("opens");
    correlator.process(&workload.bytes(0, 200), Timestamp::from_millis(NOW)).expect("fits");
    (correlator, workload.bytes(200, 200))
}

#[library_benchmark]
#[bench::rules0(args = (Workload::Snapshot, 0, false), setup = with_rules)]
#[bench::rules500(args = (Workload::Snapshot, 474, false), setup = with_rules)]
#[bench::same500(args = (Workload::Snapshot, 474, true), setup = with_rules)]
#[bench::noise500(args = (Workload::Noise, 474, false), setup = with_rules)]
fn rules((correlator, batch): (Correlator, Vec<u8>)) -> (Correlator, Vec<u8>, Outcome) {
    let mut correlator = correlator;
    let outcome = correlator.process(black_box(&batch), Timestamp::from_millis(NOW)).expect("fits");
    (correlator, batch, outcome)
}

#[library_benchmark]
#[bench::noise(args = (Workload::Noise), setup = warm)]
#[bench::read(args = (Workload::ReadOnly), setup = warm)]
#[bench::volume(args = (Workload::Volume), setup = warm)]
#[bench::snapshot(args = (Workload::Snapshot), setup = warm)]
#[bench::launch(args = (Workload::Launch), setup = warm)]
#[bench::failed(args = (Workload::FailedLaunch), setup = warm)]
#[bench::mixed(args = (Workload::Mixed), setup = warm)]
#[bench::text(args = (Workload::SnapshotInText), setup = warm)]
#[bench::small(args = (Workload::SmallSnapshot), setup = warm)]
#[bench::large(args = (Workload::LargeSnapshot), setup = warm)]
fn process((correlator, batch): (Correlator, Vec<u8>)) -> (Correlator, Vec<u8>, Outcome) {
    let mut correlator = correlator;
    let outcome = correlator.process(black_box(&batch), Timestamp::from_millis(NOW)).expect("fits");
    (correlator, batch, outcome)
}

library_benchmark_group!(name = costs, benchmarks = [process, rules]);
main!(
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = costs
);
