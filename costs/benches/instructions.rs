//! Counts the instructions that the native engine executes for each kind of record.

use std::hint::black_box;

use catena::{Config, Correlator, Outcome, Timestamp};
use catena_synthetic::Workload;
use gungraun::{Callgrind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};

const NOW: u64 = 1_900_000_000_000;

fn warm(workload: Workload) -> (Correlator, Vec<u8>) {
    let mut correlator = Correlator::new(Config::default()).expect("opens");
    correlator.process(&workload.bytes(0, 200), Timestamp::from_millis(NOW)).expect("fits");
    (correlator, workload.bytes(200, 200))
}

#[library_benchmark]
#[bench::noise(args = (Workload::Noise), setup = warm)]
#[bench::read(args = (Workload::ReadOnly), setup = warm)]
#[bench::volume(args = (Workload::Volume), setup = warm)]
#[bench::snapshot(args = (Workload::Snapshot), setup = warm)]
#[bench::launch(args = (Workload::Launch), setup = warm)]
#[bench::failed(args = (Workload::FailedLaunch), setup = warm)]
#[bench::text(args = (Workload::SnapshotInText), setup = warm)]
#[bench::small(args = (Workload::SmallSnapshot), setup = warm)]
#[bench::large(args = (Workload::LargeSnapshot), setup = warm)]
fn process((correlator, batch): (Correlator, Vec<u8>)) -> (Correlator, Vec<u8>, Outcome) {
    let mut correlator = correlator;
    let outcome = correlator.process(black_box(&batch), Timestamp::from_millis(NOW)).expect("fits");
    (correlator, batch, outcome)
}

library_benchmark_group!(name = costs, benchmarks = process);
main!(
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = costs
);
