//! What a record costs in the sandbox, in wasmtime's fuel: nearly one unit for each WebAssembly instruction, counted exactly.

use catena_component::COMPONENT;
use catena_synthetic::Workload;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, Store};

#[allow(missing_docs, reason = "generated")]
mod bindings {
    wasmtime::component::bindgen!({ path: "../wit", world: "plugin", ownership: Borrowing { duplicate_if_necessary: true } });
}

use bindings::exports::catena::pipeline::correlation::Batch;

const NOW: u64 = 1_900_000_000_000;
const RECORDS: u64 = 200;

/// The fuel of a record of each kind, after as many of the same kind.
fn fuel(engine: &Engine, component: &Component, workload: Workload) -> u64 {
    let mut store = Store::new(engine, ());
    store.set_fuel(u64::MAX).unwrap();
    let plugin = bindings::Plugin::instantiate(&mut store, component, &Linker::new(engine)).unwrap();
    let correlator = plugin.catena_pipeline_correlation().correlator();
    let handle = correlator.call_open(&mut store, "{}").unwrap().unwrap();
    let mut process = |store: &mut Store<()>, first: u64| {
        let batch = workload.bytes(first, RECORDS);
        correlator.call_process(&mut *store, handle, Batch::Bytes(&batch), NOW).unwrap().unwrap();
    };
    process(&mut store, 0);
    let before = store.get_fuel().unwrap();
    process(&mut store, RECORDS);
    (before - store.get_fuel().unwrap()) / RECORDS
}

#[test]
fn a_record_costs_no_more_fuel_than_noted() {
    let mut config = Config::new();
    config.consume_fuel(true).concurrency_support(false);
    let engine = Engine::new(&config).unwrap();
    let component = Component::new(&engine, COMPONENT).unwrap();
    for workload in Workload::ALL {
        println!("{:20} {}", workload.name(), fuel(&engine, &component, workload));
    }
}
