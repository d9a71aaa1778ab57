//! The built component is exactly the world of `wit/catena.wit`.

use std::collections::BTreeSet;

use catena_component::COMPONENT;
use catena_host::{Limits, Sandbox};
use wasmtime::component::types::ComponentItem;

#[test]
fn the_component_imports_nothing_and_exports_exactly_the_world() {
    let sandbox = Sandbox::new(COMPONENT, Limits::default()).expect("the built-in component loads");
    let (world, engine) = (sandbox.component().component_type(), sandbox.engine());
    assert_eq!(world.imports(engine).count(), 0);
    let exports: Vec<_> = world.exports(engine).collect();
    assert_eq!(exports.len(), 1);
    let (name, export) = &exports[0];
    assert_eq!(*name, "catena:pipeline/correlation@0.1.0");
    let ComponentItem::ComponentInstance(interface) = &export.ty else { panic!("{name} is no interface") };
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
    ];
    assert_eq!(functions, expected.map(str::to_owned).into());
}

#[test]
fn the_component_is_small() {
    assert!(COMPONENT.len() < 850_000, "{} bytes", COMPONENT.len());
}

#[test]
fn text_and_bytes_are_the_same_batch() {
    let sandbox = Sandbox::new(COMPONENT, Limits::default()).expect("the built-in component loads");
    let batch = "{\"note\":\"é\"}\nnonsense é\n";
    let bytes = sandbox.open("{}").expect("opens").process(batch.as_bytes(), 0).expect("is processed");
    let text = sandbox.open("{}").expect("opens").process_text(batch, 0).expect("is processed");
    assert_eq!((bytes.records, bytes.rejections.len()), (2, 1));
    let place = |outcome: &catena_host::Outcome| (outcome.rejections[0].start, outcome.rejections[0].end);
    assert_eq!(place(&bytes), (14, 25), "offsets count bytes");
    assert_eq!(place(&bytes), place(&text));
}

#[test]
fn a_fault_leaves_the_correlator_as_it_was() {
    let sandbox = Sandbox::new(COMPONENT, Limits::default()).expect("the built-in component loads");
    let mut correlator = sandbox.open(r#"{"limits":{"batch_bytes":20}}"#).expect("opens");
    correlator.process(b"{\"a\":1}\n", 0).expect("is processed");
    let before = correlator.checkpoint().expect("is saved");
    let fault = correlator.process(b"{\"a\":1,\"b\":2,\"c\":3,\"d\":4}\n", 0).expect_err("is refused");
    assert_eq!(fault.to_string(), "limit exceeded: the batch has 26 bytes, the limit is 20");
    assert_eq!(correlator.checkpoint().expect("is saved"), before);
    correlator.process(b"{\"a\":1}\n", 0).expect("goes on");
}
