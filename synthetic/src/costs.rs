//! What a record costs: instructions of the native engine, and fuel of the component.
//!
//! Both are counted, so they are the same on a busy machine. `scripts/costs` counts instructions under Callgrind and fails if
//! one kind of record costs more than is noted here, by more than the [tolerance](bound); a test of the host does the same
//! with wasmtime's fuel. After a change that makes a record cheaper, note the new figure.

use crate::Workload;

/// The cost of one record of a kind, after others of the same kind. Built-in rules, mode `enrich`, x86-64 without
/// `target-cpu`.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// The kind of record.
    pub workload: Workload,
    /// Instructions of the native engine.
    pub instructions: u64,
    /// Fuel of the component: about one unit for each WebAssembly instruction.
    pub fuel: u64,
}

/// What each kind of record costs.
pub const COSTS: [Cost; Workload::ALL.len()] = [
    Cost { workload: Workload::Noise, instructions: 2_219, fuel: 3_517 },
    Cost { workload: Workload::ReadOnly, instructions: 21_373, fuel: 46_203 },
    Cost { workload: Workload::Volume, instructions: 29_921, fuel: 69_384 },
    Cost { workload: Workload::Snapshot, instructions: 32_204, fuel: 75_026 },
    Cost { workload: Workload::Launch, instructions: 69_301, fuel: 140_664 },
    Cost { workload: Workload::FailedLaunch, instructions: 18_695, fuel: 41_697 },
    Cost { workload: Workload::Mixed, instructions: 40_929, fuel: 86_772 },
    Cost { workload: Workload::SnapshotInText, instructions: 39_050, fuel: 86_103 },
    Cost { workload: Workload::SmallSnapshot, instructions: 26_966, fuel: 67_544 },
    Cost { workload: Workload::LargeSnapshot, instructions: 345_930, fuel: 826_720 },
];

/// Instructions of a CreateSnapshot if there are 500 rules: the others name other actions, or all name the same ones, so that
/// 475 more rules match the record. 9,000 of each are the system's allocator, which tidies up once after the rules were parsed.
pub const WITH_500_RULES: [u64; 2] = [41_938, 118_949];

/// The number of records that are counted together.
pub const RECORDS: u64 = 200;

/// The host's time, in ms since 1970: after that of all records.
pub const NOW: u64 = 1_900_000_000_000;

/// The cost of a kind of record.
///
/// # Panics
///
/// Never: every kind is noted.
pub fn cost(workload: Workload) -> Cost {
    *COSTS.iter().find(|cost| cost.workload == workload).expect("every kind is noted")
}

/// The most that a record may cost if `noted` is what it cost: 5 % more.
pub fn bound(noted: u64) -> u64 {
    noted + noted / 20
}

/// The records that a correlator has seen before those that are counted, and these. There are thousands, so that events of one
/// identity meet; as many that no table doubles while it counts.
pub fn batches(workload: Workload) -> [Vec<u8>; 2] {
    let before = if workload == Workload::LargeSnapshot { RECORDS } else { 3_000 };
    [workload.bytes(0, before), workload.bytes(before, RECORDS)]
}
