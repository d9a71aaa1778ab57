//! The module as Fluent Bit calls it: a stand-in for `filter_wasm` on wasmtime's core interface.

mod filtering;
mod program;
mod standin;
mod traps;
