//! The cost of state: a record among many identities, a flood, memory, checkpoints.
//!
//! Compare results within one run. Memory is printed before the timings: the sandbox's linear memory, which holds all
//! state.

use std::hint::black_box;
use std::time::Duration;

use catena::{Correlator, Timestamp};
use catena_component::COMPONENT;
use catena_host::{Limits, Sandbox};
use catena_synthetic::{Call, Random, Record, time_text};
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};

const NOW: u64 = 1_900_000_000_000;

fn native() -> Correlator {
    Correlator::new(CONFIG.parse().expect("is right")).expect("opens")
}
const START: u64 = 1_767_607_200;
const CONFIG: &str = r#"{"mode":"findings","limits":{"pending":2000000,"event_ids":2000000,"state_bytes":2000000000}}"#;

/// Records with one pending step for each of `identities`: volumes without a snapshot. The records are as short as
/// possible, so that parsing does not dominate.
fn volumes(identities: u64) -> Vec<Vec<u8>> {
    let mut random = Random::new(1);
    let time = time_text(START);
    let numbers: Vec<u64> = (0..identities).collect();
    let line = |number: &u64| {
        let (id, volume) = (random.uuid(), random.hexadecimal(17));
        format!(
            "{{\"eventTime\":\"{time}\",\"eventSource\":\"ec2.amazonaws.com\",\"eventName\":\"CreateVolume\",\
             \"eventID\":\"{id}\",\"userIdentity\":{{\"arn\":\"arn:aws:iam::111122223333:user/user-{number:07}\"}},\
             \"recipientAccountId\":\"111122223333\",\"awsRegion\":\"us-east-1\",\"sourceIPAddress\":\"198.51.100.7\",\
             \"responseElements\":{{\"volumeId\":\"vol-{volume}\"}}}}\n"
        )
    };
    let lines: Vec<String> = numbers.iter().map(line).collect();
    lines.chunks(4_000).map(|lines| lines.concat().into_bytes()).collect()
}

fn memory(sandbox: &Sandbox) {
    let mut few = sandbox.open(CONFIG).expect("opens");
    let batches = volumes(1_000_000);
    few.process(&batches[0], NOW).expect("fits");
    let base = few.memory();
    for batch in &batches[1..] {
        few.process(batch, NOW).expect("fits");
    }
    let metric =
        |metrics: &[catena_host::Metric], name: &str| metrics.iter().find(|m| m.name == name).map_or(0, |m| m.value);
    let metrics = few.metrics().expect("returns the metrics");
    let pending = metric(&metrics, "pending");
    let grown = few.memory() - base;
    println!(
        "memory: {pending} identities with a pending step each: {:.0} MB in all, {} bytes each; the engine's own estimate {:.0} MB",
        grown as f64 / 1e6,
        grown / pending as usize,
        metric(&metrics, "state-bytes") as f64 / 1e6,
    );
    let checkpoint = few.checkpoint().expect("is saved");
    println!("checkpoint: {:.0} MB", checkpoint.len() as f64 / 1e6);
    // The same number of steps by a thousandth of the identities: the cost of a step without its identity.
    let config = CONFIG.replace("\"limits\":{", "\"limits\":{\"pending_per_identity\":2000,");
    let mut crowded = sandbox.open(&config).expect("opens");
    let shared = |batch: &Vec<u8>| {
        let text = String::from_utf8(batch.clone()).expect("is text");
        // Replaces the seven-digit user number by the line's position modulo 1,000, in three digits.
        let lines: Vec<_> = text
            .lines()
            .enumerate()
            .map(|(at, line)| {
                let user = line.find("user-").expect("has a user");
                format!("{}user-{:03}{}\n", &line[..user], at % 1_000, &line[user + 12..])
            })
            .collect();
        lines.concat().into_bytes()
    };
    crowded.process(&shared(&batches[0]), NOW).expect("fits");
    let base = crowded.memory();
    for batch in &batches[1..] {
        crowded.process(&shared(batch), NOW).expect("fits");
    }
    let pending = metric(&crowded.metrics().expect("returns the metrics"), "pending");
    println!(
        "memory: {pending} pending steps of 1,000 identities: {} bytes each",
        (crowded.memory() - base) / pending as usize
    );
}

fn state(criterion: &mut Criterion) {
    let sandbox =
        Sandbox::new(COMPONENT, Limits { call: Duration::from_secs(60), memory: 2 << 30, ..Limits::default() })
            .expect("loads");
    memory(&sandbox);

    let mut group = criterion.benchmark_group("a record among identities");
    group.sample_size(20);
    for identities in [1_000, 1_000_000] {
        let mut correlator = sandbox.open(CONFIG).expect("opens");
        for batch in volumes(identities) {
            correlator.process(&batch, NOW).expect("fits");
        }
        // Each record is by a random identity that already has a pending event.
        let mut random = Random::new(9);
        let mut number = 10_000_000;
        group.bench_function(BenchmarkId::from_parameter(identities), |bencher| {
            bencher.iter_batched(
                || {
                    let mut batch = Vec::new();
                    for _ in 0..500 {
                        number += 1;
                        let call = Call::create_snapshot(&random.hexadecimal(17), &random.hexadecimal(17));
                        let record = Record { identity: 0, time: START, number, call };
                        let user = format!("user/user-{:07}", random.below(identities));
                        batch.extend(record.line(3).replace("user/user-0", &user).into_bytes());
                        batch.push(b'\n');
                    }
                    batch
                },
                |batch| correlator.process(black_box(&batch), NOW).expect("fits"),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("a flood of n volumes and n snapshots that link and make no chain");
    group.sample_size(10);
    for n in [8_000_u64, 16_000] {
        let record = |number, call| Record { identity: 1, time: START, number, call }.line(5) + "\n";
        let volumes: String = (0..n).map(|number| record(number, Call::create_volume("0"))).collect();
        let snapshots: String = (0..n).map(|number| record(n + number, Call::create_snapshot("0", "0"))).collect();
        let flood = (volumes + &snapshots).into_bytes();
        group.bench_function(BenchmarkId::from_parameter(n), |bencher| {
            bencher.iter(|| native().process(black_box(&flood), Timestamp::from_millis(NOW)).expect("fits"));
        });
    }
    group.finish();

    let mut full = sandbox.open(CONFIG).expect("opens");
    for batch in volumes(1_000_000) {
        full.process(&batch, NOW).expect("fits");
    }
    let checkpoint = full.checkpoint().expect("is saved");
    let mut group = criterion.benchmark_group("a checkpoint of 1,000,000 pending steps in the component");
    group.sample_size(10);
    group.bench_function("save", |bencher| bencher.iter(|| full.checkpoint().expect("is saved")));
    group.bench_function("resume", |bencher| bencher.iter(|| sandbox.resume(CONFIG, &checkpoint).expect("resumes")));
    group.finish();
}

criterion_group!(benches, state);
criterion_main!(benches);
