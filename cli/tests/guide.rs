//! The examples in the guide, `docs/rules.md`, work as described.

use std::path::Path;

use crate::common::{file, run, stderr, stdout};

/// The indented blocks of the guide, without their indentation.
fn blocks() -> Vec<String> {
    let guide = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rules.md")).unwrap();
    let mut blocks = vec![String::new()];
    for line in guide.lines() {
        match line.strip_prefix("    ") {
            Some(code) => {
                let block = blocks.last_mut().unwrap();
                block.push_str(code);
                block.push('\n');
            }
            None if !blocks.last().unwrap().is_empty() => blocks.push(String::new()),
            None => {}
        }
    }
    blocks
}

fn block(beginning: &str) -> String {
    let found = blocks().into_iter().find(|block| block.starts_with(beginning));
    found.unwrap_or_else(|| panic!("no block begins with {beginning:?}"))
}

#[test]
fn the_detection_in_the_guide_is_a_valid_rule() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "trail-deleted.yaml", block("id: trail-deleted"));
    let output = crate::common::catena(["rules", "check"]).arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn the_chain_in_the_guide_passes_its_examples() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "key-role-trail.yaml", block("id: key-role-trail") + &block("examples:"));
    let output = crate::common::catena(["rules", "test"]).arg(&path).output().unwrap();
    assert_eq!(
        stdout(&output),
        block("catena rules test key-role-trail.yaml").split_once('\n').unwrap().1,
        "{}",
        stderr(&output)
    );
}

#[test]
fn the_exceptions_in_the_guide_are_valid() {
    let folder = tempfile::tempdir().unwrap();
    let config = file(folder.path(), "catena.yaml", block("exceptions:") + &block("built_in_exceptions:"));
    let output = run(["run", "-q", "-c", config.to_str().unwrap()], b"");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}
