//! Fixed costs of calls: one record per call, opening a correlator, partitioning by identity, and a checkpoint of
//! little state.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use catena_component::COMPONENT;
use catena_host::{Bounds, Limits, Mode, Sandbox, Supervisor};
use catena_synthetic::Stream;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const NOW: u64 = 1_900_000_000_000;

fn calls(criterion: &mut Criterion) {
    let sandbox = Arc::new(Sandbox::new(COMPONENT, Limits::default()).expect("the built-in component loads"));
    let mut correlator = sandbox.open("{}").expect("opens");
    let mut supervisor = Supervisor::open(Arc::clone(&sandbox), "{}", Mode::Enrich, Bounds::default()).expect("opens");
    let line = Stream { records: 1, of_interest_per_10_000: 0, chains: 0, ..Stream::default() }.bytes();
    let line = Bytes::from(line);
    let mut group = criterion.benchmark_group("one record a call");
    group.bench_function("correlator", |bencher| {
        bencher.iter(|| correlator.process(black_box(&line), NOW).expect("fits"));
    });
    group.bench_function("supervisor", |bencher| {
        bencher.iter(|| supervisor.process(black_box(&line), NOW).expect("fits"));
    });
    group.finish();
    criterion.bench_function("open", |bencher| bencher.iter(|| sandbox.open("{}").expect("opens")));
    let batch = Stream { records: 800, ..Stream::default() }.bytes();
    correlator.process(&batch, NOW).expect("fits");
    criterion.bench_function("a checkpoint of little", |bencher| {
        bencher.iter(|| correlator.checkpoint().expect("is saved"));
    });
    let mut group = criterion.benchmark_group("a batch of 1 MiB");
    group.throughput(Throughput::Bytes(batch.len() as u64));
    group.bench_function("process", |bencher| {
        bencher.iter(|| correlator.process(black_box(&batch), NOW).expect("fits"));
    });
    group.bench_function("route", |bencher| {
        bencher.iter(|| correlator.route(black_box(&batch), 4).expect("is cut"));
    });
    group.finish();
}

criterion_group!(benches, calls);
criterion_main!(benches);
