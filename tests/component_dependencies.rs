//! `docs/dependencies.md` lists exactly the crates that are compiled into the component.

use std::collections::BTreeSet;
use std::process::Command;

#[test]
fn the_dependency_table_matches_cargo_tree() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--package", "catena", "--target", "wasm32-unknown-unknown", "--edges", "normal,no-proc-macro"])
        .args(["--prefix", "none", "--format", "{lib}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo should run");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).expect("the output of cargo should be UTF-8");
    let name = |line: &str| line.trim_end_matches(" (*)").trim().replace('_', "-");
    let mut crates: BTreeSet<_> = tree.lines().map(name).filter(|name| !name.is_empty()).collect();
    crates.remove("catena");
    let table = include_str!("../docs/dependencies.md");
    let rows = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| crate"));
    let cells = rows.flat_map(|row| row.split('|').skip(1).take(2));
    let told: BTreeSet<_> = cells
        .flat_map(|cell| cell.split(','))
        .map(|name| name.trim().replace('_', "-"))
        .filter(|name| !name.is_empty())
        .collect();
    assert_eq!(told, crates);
}
