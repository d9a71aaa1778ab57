//! The built component implements exactly the world of `wit/catena.wit`.

use std::collections::BTreeSet;

use catena_component::COMPONENT;
use catena_host::{Limits, Sandbox};
use wasmtime::component::types::ComponentItem;

#[test]
fn the_component_imports_nothing_and_exports_exactly_the_world() {
    let sandbox = Sandbox::new(COMPONENT, Limits::default()).expect("the built-in component should load");
    let (world, engine) = (sandbox.component().component_type(), sandbox.engine());
    assert_eq!(world.imports(engine).count(), 0);
    let exports: Vec<_> = world.exports(engine).collect();
    assert_eq!(exports.len(), 1);
    let (name, export) = &exports[0];
    assert_eq!(*name, "catena:pipeline/correlation@1.0.0");
    let ComponentItem::ComponentInstance(interface) = &export.ty else { panic!("{name} is not an interface") };
    let functions: BTreeSet<_> = interface
        .exports(engine)
        .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)))
        .map(|(name, _)| name.to_owned())
        .collect();
    let expected = [
        "[static]correlator.open",
        "[static]correlator.resume",
        "[method]correlator.process",
        "[method]correlator.route",
        "[method]correlator.checkpoint",
        "[method]correlator.metrics",
        "[method]correlator.batch-limit",
        "join-annotations",
        "describe",
    ];
    assert_eq!(functions, expected.map(str::to_owned).into());
}

#[test]
fn the_component_is_smaller_than_1120_kb() {
    assert!(COMPONENT.len() < 1_120_000, "{} bytes", COMPONENT.len());
}

#[test]
fn text_and_byte_batches_report_the_same_offsets() {
    let sandbox = Sandbox::new(COMPONENT, Limits::default()).expect("the built-in component should load");
    let batch = "{\"note\":\"é\"}\nnonsense é\n";
    let bytes = sandbox.open("{}").expect("should open").process(batch.as_bytes(), None).expect("should succeed");
    let text = sandbox.open("{}").expect("should open").process_text(batch, None).expect("should succeed");
    assert_eq!((bytes.records, bytes.rejections.len()), (2, 1));
    let place = |outcome: &catena_host::Outcome| (outcome.rejections[0].start, outcome.rejections[0].end);
    assert_eq!(place(&bytes), (14, 25), "offsets should count bytes");
    assert_eq!(place(&bytes), place(&text));
    assert_eq!((bytes.records, bytes.matched, bytes.splices.len()), (text.records, text.matched, text.splices.len()));
}

#[test]
fn a_fault_leaves_the_correlator_unchanged() {
    let sandbox = Sandbox::new(COMPONENT, Limits::default()).expect("the built-in component should load");
    let mut correlator = sandbox.open(r#"{"limits":{"batch_bytes":20}}"#).expect("should open");
    correlator.process(b"{\"a\":1}\n", None).expect("should succeed");
    let before = correlator.checkpoint().expect("should write a checkpoint");
    let fault = correlator.process(b"{\"a\":1,\"b\":2,\"c\":3,\"d\":4}\n", None).expect_err("should exceed the limit");
    assert_eq!(fault.to_string(), "limit exceeded: the batch has 26 bytes, the limit is 20");
    assert_eq!(correlator.checkpoint().expect("should write a checkpoint"), before);
    correlator.process(b"{\"a\":1}\n", None).expect("should succeed after a fault");
}
