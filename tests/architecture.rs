//! The folders of `src/` are layers: each imports only those below it, so there is no import cycle between them.

use std::fs;
use std::path::{Path, PathBuf};

/// From the bottom up. `component` is the only one that knows WIT.
const LAYERS: [&str; 12] = [
    "util",
    "vocab",
    "scan",
    "event",
    "rule",
    "chain",
    "finding",
    "emit",
    "config",
    "correlator",
    "describe",
    "component",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// What a source names of the crate: `use crate::x`, `use crate::{x, y}`, `crate::x::f()`, or the same by as many
/// `super` as lead to the crate. `depth` is the number of modules between the crate and the items of the file.
fn imports(text: &str, depth: usize) -> Vec<String> {
    let mut found = Vec::new();
    // In a module of tests, `super` is the file itself.
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let code: String =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line} ")).collect();
    let by_super = "super::".repeat(depth);
    let code = code.replace(&by_super, "crate::");
    for rest in code.split("crate::").skip(1) {
        let names = match rest.strip_prefix('{') {
            Some(list) => {
                let list = list.split('}').next().unwrap_or_default();
                assert!(!list.contains('{'), "nested braces cannot be checked: {list}");
                list.split(',').map(str::trim).map(str::to_owned).collect()
            }
            None => vec![rest.to_owned()],
        };
        let name =
            |text: &String| text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
        found.extend(names.iter().map(name));
    }
    found
}

#[test]
fn each_layer_imports_only_the_layers_below_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let rank = |layer: &str| LAYERS.iter().position(|known| *known == layer);
    let mut arrows = 0;
    for file in &files {
        let relative = file.strip_prefix(&root).unwrap();
        let layer = relative.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        if layer == "lib" {
            continue;
        }
        let own = rank(layer).unwrap_or_else(|| panic!("{layer} is not one of the layers"));
        let is_folder = relative.ends_with("mod.rs");
        let depth = relative.components().count() - usize::from(is_folder);
        for import in imports(&fs::read_to_string(file).unwrap(), depth) {
            // What is not a layer is an item that lib.rs exports; only the component uses those.
            match rank(&import) {
                Some(other) => assert!(other <= own, "{} imports {import}, which is above it", relative.display()),
                None => assert_eq!(layer, "component", "{} imports crate::{import}", relative.display()),
            }
            arrows += 1;
        }
    }
    assert!(arrows > 80 && files.len() > 60, "{arrows} imports in {} files", files.len());
}

#[test]
fn only_the_component_names_the_contract() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let naming: Vec<_> =
        files.iter().filter(|file| fs::read_to_string(file).unwrap().contains("wit_bindgen")).collect();
    assert_eq!(naming, [&root.join("component.rs")]);
}
