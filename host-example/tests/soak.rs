//! Soak test with fault injection: random batches run through a supervisor whose instances are made to trap, and every
//! outcome is compared with that of the native engine. A minute covers hours of event time.
//!
//! `CATENA_SOAK_SECONDS` sets the duration; `scripts/soak` runs it for ten minutes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use catena_component::COMPONENT;
use catena_host::{Bounds, Limits, Mode, Outcome, Sandbox, Supervisor};
use catena_synthetic::{Random, Stream};

/// Minimum interval between faults, so that the recovery from one is not hit by the next.
const BETWEEN_FAULTS: Duration = Duration::from_millis(150);

/// Maximum growth of resident memory after the first third of the run, in bytes.
const MAX_GROWTH: u64 = 48 << 20;

fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    pages * 4_096
}

/// A batch of records with steps, duplicates, late events and truncated records; some batches are a container.
fn batch(random: &mut Random, at: u64) -> Bytes {
    let records = 1 + random.below(2_000) as usize;
    let stream = Stream {
        seed: random.below(1 << 40),
        records,
        of_interest_per_10_000: random.below(1_000) as u32,
        chains: records / 300,
        start: at,
        ..Stream::default()
    };
    let mut lines = stream.lines();
    for _ in 0..random.below(4) {
        let place = random.below(lines.len() as u64) as usize;
        let cut = lines[place].len() / 2;
        lines[place].truncate(cut);
    }
    if random.below(5) == 0 {
        return format!("{{\"Records\":[{}]}}\n", stream.lines().join(",")).into();
    }
    (lines.join("\n") + "\n").into()
}

/// The counts, the ids of the findings, the output, and the rejections.
type Seen = ([u32; 3], Vec<String>, Vec<u8>, Vec<(u32, u32, String)>);

fn seen(outcome: Outcome, batch: &[u8]) -> Seen {
    // After bisection, deletions may be split into different splices: compare the output instead.
    let output = outcome.apply(batch);
    (
        [outcome.records, outcome.matched, outcome.dropped],
        outcome.findings.into_iter().map(|finding| finding.id).collect(),
        output,
        outcome.rejections.into_iter().map(|rejection| (rejection.start, rejection.end, rejection.code)).collect(),
    )
}

fn expected(outcome: catena::Outcome, batch: &[u8]) -> Seen {
    let output = outcome.apply(batch);
    (
        [outcome.records, outcome.matched, outcome.dropped],
        outcome.findings.into_iter().map(|finding| finding.id).collect(),
        output,
        outcome
            .rejections
            .into_iter()
            .map(|rejection| (rejection.start, rejection.end, rejection.reason.code().to_owned()))
            .collect(),
    )
}

/// Forces calls past their deadline at random intervals until `stop` is set.
fn fail(sandbox: &Sandbox, stop: &AtomicBool) {
    let mut random = Random::new(5);
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(BETWEEN_FAULTS + Duration::from_millis(random.below(100)));
        for _ in 0..1_100 {
            sandbox.engine().increment_epoch();
        }
    }
}

#[test]
fn outcomes_equal_the_native_engines_under_faults_and_memory_stays_bounded() {
    let seconds = std::env::var("CATENA_SOAK_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(5);
    let sandbox = Arc::new(Sandbox::new(COMPONENT, Limits::default()).expect("it loads"));
    let bounds = Bounds { replay: 2 << 20, recycle: 48 << 20 };
    let config = r#"{"mode":"filter"}"#;
    let open = || Supervisor::open(Arc::clone(&sandbox), config, Mode::Filter, bounds).expect("it opens");
    let (mut supervisor, mut native) =
        (open(), catena::Correlator::new(config.parse().expect("it is right")).expect("it opens"));
    let stop = Arc::new(AtomicBool::new(false));
    let faults = thread::spawn({
        let (sandbox, stop) = (Arc::clone(&sandbox), Arc::clone(&stop));
        move || fail(&sandbox, &stop)
    });
    let (mut random, mut at) = (Random::new(11), 1_767_607_200);
    let (mut records, mut dropped, mut rejected) = (0, 0, 0);
    let (mut batches, mut resumed, mut warm) = (0_u64, 0_u64, 0_u64);
    let mut restarts = 0;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(seconds) {
        let batch = batch(&mut random, at);
        let now = (at + 60) * 1_000;
        at += 300;
        let outcome = supervisor.process(&batch, now).expect("the supervisor goes on");
        let native = expected(native.process(&batch, catena::Timestamp::from_millis(now)).expect("it fits"), &batch);
        records += u64::from(outcome.records);
        dropped += u64::from(outcome.dropped);
        rejected += outcome.rejections.len() as u64;
        let (got, health) = (seen(outcome, &batch), supervisor.health());
        assert_eq!((got.0, &got.1, &got.3), (native.0, &native.1, &native.3), "batch {batches}, after {health:?}");
        assert!(got.2 == native.2, "the output of batch {batches} differs, after {health:?}");
        batches += 1;
        match random.below(40) {
            0 => supervisor.restart().expect("it starts again"),
            1 => {
                let checkpoint = supervisor.checkpoint().expect("is saved");
                restarts += supervisor.health().restarts;
                assert_eq!(supervisor.health().state_lost, 0);
                // A fault may hit the resume too.
                let resume =
                    || Supervisor::resume(Arc::clone(&sandbox), config, Mode::Filter, bounds, checkpoint.clone());
                supervisor = resume().or_else(|_| resume()).expect("it resumes");
                resumed += 1;
            }
            _ => {}
        }
        if began.elapsed() < Duration::from_secs(seconds) / 3 {
            warm = warm.max(resident());
        }
    }
    let last = resident();
    stop.store(true, Ordering::Relaxed);
    faults.join().expect("the faults end");
    restarts += supervisor.health().restarts;
    println!(
        "{batches} batches, {records} records, {restarts} traps, {resumed} resumed; resident {} MB, then {} MB",
        warm >> 20,
        last >> 20
    );
    let metrics = supervisor.metrics().expect("returns the metrics");
    let counted = |is_it: &dyn Fn(&str) -> bool| -> u64 {
        metrics.iter().filter(|metric| is_it(&metric.name)).map(|metric| metric.value).sum()
    };
    assert_eq!(counted(&|name| name == "records"), records, "checkpoints carry the counts");
    assert_eq!(counted(&|name| name == "dropped"), dropped);
    assert_eq!(counted(&|name| name == "rejected"), rejected);
    assert!(restarts > 0, "no fault has hit");
    assert!(last < warm + MAX_GROWTH, "resident {} MB, then {} MB", warm >> 20, last >> 20);
}
