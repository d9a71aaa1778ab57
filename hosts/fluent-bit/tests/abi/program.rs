//! The filter in the real program, where it is installed: `fluent-bit`, or the program that `CATENA_FLUENT_BIT_PROGRAM` names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use catena_synthetic::Stream;
use serde_json::Value;

use crate::standin::{FluentBit, module};

fn program() -> Option<PathBuf> {
    let named = env::var_os("CATENA_FLUENT_BIT_PROGRAM").map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    named.or_else(|| env::split_paths(&path).map(|folder| folder.join("fluent-bit")).find(|file| file.is_file()))
}

fn findings_in<'r>(records: impl Iterator<Item = &'r str>) -> BTreeSet<String> {
    let records = records.map(|record| serde_json::from_str::<Value>(record).expect("it is JSON"));
    let lists = records.filter_map(|record| record.get("catena_findings").and_then(Value::as_array).cloned());
    lists.flatten().map(|finding| finding["finding_info"]["uid"].to_string()).collect()
}

#[test]
fn the_real_program_finds_what_the_stand_in_finds() {
    let Some(program) = program() else {
        println!("skipped: no fluent-bit is installed");
        return;
    };
    let folder = env::temp_dir().join(format!("catena-fluent-bit-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder can be made");
    let path = |name: &str| folder.join(name).display().to_string();
    let lines = Stream { records: 10_000, chains: 20, of_interest_per_10_000: 200, ..Stream::default() }.lines();
    fs::write(folder.join("in.ndjson"), lines.join("\n") + "\n").expect("it can be written");
    fs::write(folder.join("catena.wasm"), module()).expect("it can be written");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/fluent-bit");
    for name in ["fluent-bit.conf", "parsers.conf"] {
        let text = fs::read_to_string(example.join(name)).expect("it is there");
        let text = text.replace("/var/log/audit/*.ndjson", &path("in.ndjson")).replace("/var/lib/catena", &path(""));
        let text = text.replace("/usr/share/catena/catena-fluent-bit.wasm", &path("catena.wasm"));
        fs::write(folder.join(name), text.replace("Exit_On_Eof       Off", "Exit_On_Eof       On"))
            .expect("it is written");
    }
    let output = Command::new(program).args(["-c", &path("fluent-bit.conf")]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let out = fs::read_to_string(folder.join("enriched.ndjson")).unwrap_or_else(|error| panic!("{error}: {said}"));
    let mut stand_in = FluentBit::with("catena_enrich");
    let expected: Vec<_> = lines.iter().filter_map(|line| stand_in.record(line.trim_end())).collect();
    assert_eq!(out.lines().count(), expected.len(), "{said}");
    let expected = findings_in(expected.iter().map(String::as_str));
    assert!(expected.len() >= 40);
    assert_eq!(findings_in(out.lines()), expected, "{said}");
    fs::remove_dir_all(folder).expect("it can be removed");
}
