use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use wasmtime::{Config, Engine, Instance, Memory, Module, Store, TypedFunc};

/// The module, as the script builds it.
pub fn module() -> &'static [u8] {
    static MODULE: OnceLock<Vec<u8>> = OnceLock::new();
    MODULE.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/fluent-bit");
        let output = Command::new(script).output().expect("the script runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let path = String::from_utf8(output.stdout).expect("it is a path");
        std::fs::read(path.trim()).expect("it can be read")
    })
}

type Filter = TypedFunc<(u32, u32, u32, u32, u32, u32), u32>;

/// What Fluent Bit does with a module: it instantiates it once without imports, and for each record allocates, copies, calls and
/// frees. After a trap it drops the record and goes on with the same instance.
pub struct FluentBit {
    store: Store<()>,
    memory: Memory,
    malloc: TypedFunc<u32, u32>,
    free: TypedFunc<u32, ()>,
    filter: Filter,
}

/// The time of all records for Fluent Bit, in seconds: after that of all events.
const NOW: u32 = 1_900_000_000;

/// Fuel for a call that may take as long as it likes.
const PLENTY: u64 = 1 << 40;

impl FluentBit {
    pub fn with(function: &str) -> Self {
        let mut config = Config::new();
        config.consume_fuel(true);
        // What its interpreter does not know.
        config.wasm_simd(false);
        config.wasm_relaxed_simd(false);
        config.wasm_tail_call(false);
        config.wasm_extended_const(false);
        let engine = Engine::new(&config).expect("the settings are valid");
        let module = Module::new(&engine, module()).expect("it is a module");
        let mut store = Store::new(&engine, ());
        store.set_fuel(PLENTY).expect("fuel is on");
        let instance = Instance::new(&mut store, &module, &[]).expect("it has no imports");
        let memory = instance.get_memory(&mut store, "memory").expect("it has a memory");
        let malloc = instance.get_typed_func(&mut store, "malloc").expect("it has malloc");
        let free = instance.get_typed_func(&mut store, "free").expect("it has free");
        let filter = instance.get_typed_func(&mut store, function).expect("it has the function");
        Self { store, memory, malloc, free, filter }
    }

    /// The record that goes on; none if it is dropped.
    pub fn record(&mut self, record: &str) -> Option<String> {
        self.record_with(record, PLENTY).expect("it does not trap")
    }

    /// The same with a limit on the instructions of the call, beyond which it traps.
    pub fn record_with(&mut self, record: &str, fuel: u64) -> Result<Option<String>, wasmtime::Error> {
        self.store.set_fuel(PLENTY)?;
        let tag = self.copy(b"audit")?;
        let copied = self.copy(record.as_bytes())?;
        self.store.set_fuel(fuel)?;
        let length = record.len() as u32;
        let called = self.filter.call(&mut self.store, (tag, 5, NOW, 0, copied, length));
        self.store.set_fuel(PLENTY)?;
        let answer = called.as_ref().ok().copied().filter(|answer| *answer != 0).map(|answer| self.text(answer));
        self.free.call(&mut self.store, tag)?;
        self.free.call(&mut self.store, copied)?;
        called.map(|_| answer.filter(|answer| !answer.is_empty()))
    }

    /// The memory of the module in bytes.
    pub fn memory(&self) -> usize {
        self.memory.data_size(&self.store)
    }

    fn copy(&mut self, bytes: &[u8]) -> Result<u32, wasmtime::Error> {
        let at = self.malloc.call(&mut self.store, bytes.len() as u32 + 1)?;
        assert_ne!(at, 0, "no memory");
        self.memory.write(&mut self.store, at as usize, bytes)?;
        self.memory.write(&mut self.store, at as usize + bytes.len(), b"\0")?;
        Ok(at)
    }

    fn text(&self, at: u32) -> String {
        let bytes = &self.memory.data(&self.store)[at as usize..];
        let end = bytes.iter().position(|byte| *byte == 0).expect("it ends");
        String::from_utf8(bytes[..end].to_vec()).expect("it is text")
    }
}
