//! `catena inspect` describes a component.

use crate::common::{file, run, stderr, stdout};

#[test]
fn the_built_in_component_is_described() {
    let told = stdout(&run(["inspect"], b""));
    for expected in [
        &format!("built-in component: {} bytes", catena_component::COMPONENT.len()),
        "world: catena:pipeline/plugin@0.1.0",
        "imports: none",
        "    [static]correlator.open",
        "  aws-snapshot-staging     high     EBS volume created",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
}

#[test]
fn a_component_file_is_described_and_run_like_the_built_in_one() {
    let folder = tempfile::tempdir().unwrap();
    let component = file(folder.path(), "catena.wasm", catena_component::COMPONENT);
    let told = run(["inspect".as_ref(), component.as_os_str()], b"");
    assert!(stdout(&told).starts_with(&component.display().to_string()), "{}", stderr(&told));
    let input = crate::common::records().join("\n");
    let found = run(
        ["run".as_ref(), "--mode=findings".as_ref(), "--component".as_ref(), component.as_os_str()],
        input.as_bytes(),
    );
    assert_eq!(crate::common::rules(&found).len(), 2);
}
