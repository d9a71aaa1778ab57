//! The component says what it is, in the places where registries and tools look.

use catena_component::COMPONENT;
use wasm_metadata::Payload;
use wit_parser::Resolve;

const CONTRACT: &str = include_str!("../../wit/catena.wit");

#[test]
fn the_component_targets_the_world_of_the_contract() {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit")).expect("the contract parses");
    let world = resolve.select_world(&[package], Some("catena")).expect("there is such a world");
    wit_component::targets(&resolve, world, COMPONENT).expect("it is of this world");
}

#[test]
fn its_metadata_name_it_and_its_version_licence_and_authors() {
    let payload = Payload::from_binary(COMPONENT).expect("it is WebAssembly");
    let metadata = payload.metadata();
    assert_eq!(metadata.name.as_deref(), Some("catena"));
    assert_eq!(metadata.version.as_ref().map(ToString::to_string).as_deref(), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(metadata.licenses.as_ref().map(ToString::to_string).as_deref(), Some("Apache-2.0"));
    assert_eq!(metadata.authors.as_ref().map(ToString::to_string).as_deref(), Some("The Catena developers"));
    assert!(metadata.description.as_ref().is_some_and(|text| text.to_string().contains("cloud audit records")));
}

#[test]
fn it_carries_the_contract_with_its_documentation() {
    let decoded = wit_component::decode(COMPONENT).expect("it is a component");
    let package = &decoded.resolve().packages[decoded.package()];
    assert!(package.docs.contents.as_ref().is_some_and(|docs| docs.contains("What every host must keep")));
    let mut sections = wasmparser::Parser::new(0).parse_all(COMPONENT).filter_map(|payload| match payload {
        Ok(wasmparser::Payload::CustomSection(section)) if section.name() == "wit" => Some(section.data()),
        _ => None,
    });
    assert_eq!(sections.next(), Some(CONTRACT.as_bytes()));
}
