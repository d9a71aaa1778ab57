//! What a record costs in the sandbox, in wasmtime's fuel. It is counted, so the figures are the same on a busy machine.

use catena_component::COMPONENT;
use catena_synthetic::Workload;
use catena_synthetic::costs::{COSTS, NOW, RECORDS, batches, bound};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, Store};

#[allow(missing_docs, reason = "generated")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "catena",
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

use bindings::exports::catena::pipeline::correlation::Batch;

/// The fuel that a record of this kind takes after others.
fn fuel(engine: &Engine, component: &Component, workload: Workload) -> u64 {
    let mut store = Store::new(engine, ());
    store.set_fuel(u64::MAX).unwrap();
    let instance = bindings::Catena::instantiate(&mut store, component, &Linker::new(engine)).unwrap();
    let correlator = instance.catena_pipeline_correlation().correlator();
    let handle = correlator.call_open(&mut store, "{}").unwrap().unwrap();
    let mut left = [0; 2];
    for (batch, left) in batches(workload).iter().zip(&mut left) {
        correlator.call_process(&mut store, handle, Batch::Bytes(batch), Some(NOW)).unwrap().unwrap();
        *left = store.get_fuel().unwrap();
    }
    (left[0] - left[1]) / RECORDS
}

#[test]
fn a_record_takes_no_more_fuel_than_is_noted() {
    let mut config = Config::new();
    config.consume_fuel(true).concurrency_support(false);
    let engine = Engine::new(&config).unwrap();
    let component = Component::new(&engine, COMPONENT).unwrap();
    let measured: Vec<_> = COSTS.iter().map(|cost| (cost, fuel(&engine, &component, cost.workload))).collect();
    for (cost, fuel) in &measured {
        println!("{:?}: {fuel}, noted {}", cost.workload, cost.fuel);
    }
    for (cost, fuel) in measured {
        assert!(fuel <= bound(cost.fuel), "{:?}: {fuel}, noted {}", cost.workload, cost.fuel);
    }
}
