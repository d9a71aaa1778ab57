//! Throughput of batch processing: the component against the same engine compiled natively, and against a bare newline
//! scan.
//!
//! CloudTrail records of 1.3 KB, batches of 1 MiB. Compare results within one run; absolute numbers depend on the
//! machine.

use std::hint::black_box;

use catena::{Correlator, Timestamp};
use catena_component::COMPONENT;
use catena_host::{Limits, Sandbox};
use catena_synthetic::{Random, Stream, azure_line, batches, gcp_line};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const BATCH: usize = 1 << 20;
const NOW: u64 = 1_900_000_000_000;
const FINDINGS: &str = r#"{"mode":"findings"}"#;

/// Processes the stream once in the component. Returns the number of findings.
fn in_the_component(sandbox: &Sandbox, batches: &[&[u8]]) -> usize {
    let mut correlator = sandbox.open(FINDINGS).expect("opens");
    batches.iter().map(|batch| correlator.process(black_box(batch), NOW).expect("fits").findings.len()).sum()
}

fn throughput(criterion: &mut Criterion) {
    let sandbox = Sandbox::new(COMPONENT, Limits::default()).expect("the built-in component loads");
    for per_10_000 in [0, 100, 1_000] {
        let stream = Stream { records: 100_000, of_interest_per_10_000: per_10_000, chains: 10, ..Stream::default() };
        let bytes = stream.bytes();
        let batches = batches(&bytes, BATCH);
        let mut group = criterion.benchmark_group("throughput");
        group.sample_size(10).throughput(Throughput::Bytes(bytes.len() as u64));
        let name = |who| BenchmarkId::new(who, format!("{}% of interest", f64::from(per_10_000) / 100.0));
        group.bench_function(name("newline scan"), |bencher| {
            bencher.iter(|| {
                batches
                    .iter()
                    .map(|batch| memchr::memchr_iter(b'\n', black_box(batch)).fold(0, |sum, at| sum ^ at))
                    .sum::<usize>()
            });
        });
        group.bench_function(name("native"), |bencher| {
            bencher.iter(|| {
                let mut correlator = Correlator::new(FINDINGS.parse().expect("is right")).expect("opens");
                batches
                    .iter()
                    .map(|batch| {
                        correlator.process(black_box(batch), Timestamp::from_millis(NOW)).expect("fits").findings.len()
                    })
                    .sum::<usize>()
            });
        });
        group.bench_function(name("component"), |bencher| bencher.iter(|| in_the_component(&sandbox, &batches)));
        group.finish();
    }
}

/// An hour of a busy account at 28 records a second, from one cloud and from three. In each, one record in a hundred
/// matches a rule.
fn clouds(criterion: &mut Criterion) {
    let sandbox = Sandbox::new(COMPONENT, Limits::default()).expect("the built-in component loads");
    let aws = Stream { records: 100_000, chains: 10, per_second: 28, ..Stream::default() };
    let mut random = Random::new(3);
    let mixed: Vec<u8> = aws
        .lines()
        .into_iter()
        .enumerate()
        .flat_map(|(at, line)| {
            let time = aws.start + at as u64 / aws.per_second;
            let line = match at % 3 {
                0 => line,
                1 => azure_line(&mut random, time),
                _ => gcp_line(&mut random, time),
            };
            (line + "\n").into_bytes()
        })
        .collect();
    let mut group = criterion.benchmark_group("an hour of");
    for (name, bytes) in [("CloudTrail", aws.bytes()), ("three clouds", mixed)] {
        let batches = batches(&bytes, BATCH);
        group.sample_size(10).throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| in_the_component(&sandbox, &batches)));
    }
    group.finish();
}

criterion_group!(benches, throughput, clouds);
criterion_main!(benches);
