//! Misbehaving guests, as components with the world that the host loads.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A guest with its own `process`: instructions that may use the batch (`$length` bytes at `$at`) and the outcome at
/// address 1024, which is zero except for the number of records.
pub struct Guest {
    pub process: &'static str,
    /// Additional module-level declarations.
    pub more: &'static str,
}

/// Accepts every batch but traps on one that contains a `!`. Its checkpoint is the number of records accepted so far.
pub const FAILS_ON_EXCLAMATION: Guest = Guest { process: "", more: "" };

const EXPORT: &str = "catena:pipeline/correlation@1.0.0";

impl Guest {
    /// The guest as a component.
    pub fn component(&self) -> Vec<u8> {
        encode(&self.module(), "catena")
    }

    fn module(&self) -> String {
        format!(
            r#"(module
  (import "[export]{EXPORT}" "[resource-new]correlator" (func $new (param i32) (result i32)))
  (memory (export "memory") 16)
  (global $taken (mut i32) (i32.const 0))
  ;; There is one argument a call: it always lies in the same place.
  (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
    (block $fits
      (br_if $fits (i32.le_u (i32.add (local.get $size) (i32.const 65536)) (i32.mul (memory.size) (i32.const 65536))))
      (drop (memory.grow (i32.add (i32.shr_u (local.get $size) (i32.const 16)) (i32.const 1)))))
    (i32.const 65536))
  (func $open (result i32)
    (i32.store8 (i32.const 512) (i32.const 0))
    (i32.store (i32.const 516) (call $new (i32.const 1)))
    (i32.const 512))
  (func (export "{EXPORT}#[static]correlator.open") (param i32 i32) (result i32) (call $open))
  (func (export "{EXPORT}#[static]correlator.resume")
    (param i32 i32) (param $base64 i32) (param $at i32) (param i32) (result i32)
    (global.set $taken
      (if (result i32) (local.get $base64)
        (then (call $decoded (local.get $at)))
        (else (i32.load (local.get $at)))))
    (call $open))
  (func (export "{EXPORT}#[method]correlator.checkpoint") (param i32) (param $base64 i32) (result i32)
    (i32.store (i32.const 768) (global.get $taken))
    (if (local.get $base64) (then (call $encode)))
    (i64.store (i32.const 512) (i64.const 0))
    (i32.store8 (i32.const 516) (local.get $base64))
    (i32.store (i32.const 520) (i32.const 768))
    (i32.store (i32.const 524) (select (i32.const 8) (i32.const 4) (local.get $base64)))
    (i32.const 512))
  ;; Base64 of four bytes: six letters and two signs.
  (data (i32.const 256) "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
  (func $reversed (param $x i32) (result i32)
    (i32.or
      (i32.and (i32.rotl (local.get $x) (i32.const 8)) (i32.const 0x00FF00FF))
      (i32.and (i32.rotr (local.get $x) (i32.const 8)) (i32.const 0xFF00FF00))))
  (func $encode (local $bits i64) (local $at i32)
    (local.set $bits (i64.shl (i64.extend_i32_u (call $reversed (global.get $taken))) (i64.const 4)))
    (local.set $at (i32.const 5))
    (loop $each
      (i32.store8
        (i32.add (i32.const 768) (local.get $at))
        (i32.load8_u (i32.add (i32.const 256) (i32.and (i32.wrap_i64 (local.get $bits)) (i32.const 63)))))
      (local.set $bits (i64.shr_u (local.get $bits) (i64.const 6)))
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (br_if $each (i32.ge_s (local.get $at) (i32.const 0))))
    (i32.store16 (i32.const 774) (i32.const 0x3D3D)))
  (func $decoded (param $at i32) (result i32) (local $bits i64) (local $end i32) (local $value i32)
    (local.set $end (i32.add (local.get $at) (i32.const 6)))
    (loop $each
      (local.set $value (i32.const 0))
      (block $found
        (loop $search
          (br_if $found
            (i32.eq
              (i32.load8_u (i32.add (i32.const 256) (local.get $value)))
              (i32.load8_u (local.get $at))))
          (local.set $value (i32.add (local.get $value) (i32.const 1)))
          (br_if $search (i32.lt_u (local.get $value) (i32.const 64)))))
      (local.set $bits
        (i64.or (i64.shl (local.get $bits) (i64.const 6)) (i64.extend_i32_u (local.get $value))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $each (i32.lt_u (local.get $at) (local.get $end))))
    (call $reversed (i32.wrap_i64 (i64.shr_u (local.get $bits) (i64.const 4)))))
  (func (export "{EXPORT}#[method]correlator.batch-limit") (param i32) (result i32) (i32.const -1))
  (func (export "{EXPORT}#join-annotations") (param i32 i32) (result i32)
    (i64.store (i32.const 512) (i64.const 0))
    (i32.store (i32.const 520) (i32.const 0))
    (i32.const 512))
  (func (export "{EXPORT}#describe") (result i32)
    (i64.store (i32.const 512) (i64.const 0))
    (i32.const 512))
  (func (export "{EXPORT}#[method]correlator.metrics") (param i32) (result i32)
    (i64.store (i32.const 512) (i64.const 0))
    (i32.const 512))
  (func (export "{EXPORT}#[method]correlator.route") (param i32 i32 i32 i32 i32) (result i32)
    (i64.store (i32.const 512) (i64.const 0))
    (i64.store (i32.const 520) (i64.const 0))
    (i32.const 512))
  (func (export "{EXPORT}#[method]correlator.process")
    (param i32 i32) (param $at i32) (param $length i32) (param i32 i64) (result i32)
    (local $here i32) (local $end i32)
    (memory.fill (i32.const 1024) (i32.const 0) (i32.const 128))
    (local.set $here (local.get $at))
    (local.set $end (i32.add (local.get $at) (local.get $length)))
    (block $done
      (loop $each
        (br_if $done (i32.ge_u (local.get $here) (local.get $end)))
        (if (i32.eq (i32.load8_u (local.get $here)) (i32.const 0x21)) (then (unreachable)))
        (if (i32.eq (i32.load8_u (local.get $here)) (i32.const 0x0A))
          (then
            (global.set $taken (i32.add (global.get $taken) (i32.const 1)))
            (i32.store (i32.const 1028) (i32.add (i32.load (i32.const 1028)) (i32.const 1)))))
        (local.set $here (i32.add (local.get $here) (i32.const 1)))
        (br $each)))
    {}
    (i32.const 1024))
  {})"#,
            self.process, self.more
        )
    }
}

/// Encodes a core module, given as WAT, as a component with a world of the contract.
pub fn encode(module: &str, world: &str) -> Vec<u8> {
    let mut module = wat::parse_str(module).expect("is WebAssembly");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit")).expect("the contract parses");
    let world = resolve.select_world(&[package], Some(world)).expect("there is such a world");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("takes the contract");
    let mut encoder = ComponentEncoder::default();
    let encoder = encoder.module(&module).expect("is a module of the contract");
    encoder.validate(true).encode().expect("is a component")
}

/// The conformance kit has this guest as a file. `CATENA_WRITE_TRAPS=1` writes it.
#[test]
fn the_trapping_component_of_the_conformance_kit_is_this_guest() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../conformance/traps.wasm");
    let component = FAILS_ON_EXCLAMATION.component();
    if std::env::var_os("CATENA_WRITE_TRAPS").is_some() {
        std::fs::write(file, &component).expect("it is written");
    }
    assert!(std::fs::read(file).expect("it is there") == component, "run this test with CATENA_WRITE_TRAPS=1");
}
