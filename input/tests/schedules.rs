//! Each record comes out exactly once, whatever happens to the files.

use crate::simulator::schedule;

/// `cargo run --release --example simulate` runs more schedules, and replays one by its seed.
const SCHEDULES: u64 = 3_000;

#[test]
fn every_record_comes_out_exactly_once_under_any_schedule() {
    let (mut records, mut crashes, mut rotations, mut copies) = (0, 0, 0, 0);
    for seed in 0..SCHEDULES {
        match schedule::run(seed) {
            Ok(stats) => {
                records += stats.records;
                crashes += stats.crashes;
                rotations += stats.rotations;
                copies += stats.copies;
            }
            Err(trace) => panic!("seed {seed}:\n{trace}"),
        }
    }
    // The schedules cover what they are meant to cover.
    assert!(
        records > 100_000 && crashes > 3_000 && rotations > 5_000 && copies > 1_000,
        "{records} {crashes} {rotations} {copies}"
    );
}
