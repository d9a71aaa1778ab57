//! Helpers shared by the tests of the program.
#![allow(dead_code, reason = "each test uses what it needs")]

pub mod certificates;
pub mod following;
pub mod listening;
pub mod receiver;
pub mod runs;

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub use catena_synthetic::shapes::gzip;
use catena_synthetic::{Stream, chain};
use serde_json::Value;

/// 2026-01-05T10:00:00Z.
pub const START: u64 = 1_767_607_200;

/// A command that runs the program.
pub fn catena<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_catena"));
    command.args(arguments);
    command
}

/// Runs the program with `input` as its standard input.
pub fn run<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>, input: &[u8]) -> Output {
    let mut child = catena(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("it has an input");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // The program may exit before it has read everything.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("the input is written");
    output
}

/// The summary, in the last line of standard error.
pub fn summary(output: &Output) -> Value {
    let errors = stderr(output);
    let last = errors.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {errors}"))
}

/// Findings without the file and line of the record, which differ if the same record is read from elsewhere.
pub fn without_places(findings: &[u8]) -> String {
    let text = std::str::from_utf8(findings).expect("findings are text");
    let without =
        |line: &str| line.find(",\"enrichments\":").map_or(line.to_owned(), |at| format!("{}}}", &line[..at]));
    text.lines().map(|line| without(line) + "\n").collect()
}

/// The rules of the findings on standard output.
pub fn rules(output: &Output) -> Vec<String> {
    stdout(output)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a finding is JSON"))
        .map(|finding| finding["finding_info"]["analytic"]["uid"].as_str().expect("a finding has a rule").to_owned())
        .collect()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("the output is text")
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("messages are text")
}

/// The records of a chain, hidden in 20 records of noise.
pub fn records() -> Vec<String> {
    let mut records =
        Stream { records: 20, of_interest_per_10_000: 0, chains: 0, duplicate_percent: 0, ..Stream::default() }.lines();
    for (at, line) in chain("mallory", START, 5).into_iter().enumerate() {
        records.insert(5 * (at + 1), line);
    }
    records
}

/// Writes a file and returns its path.
pub fn file(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("folders can be made");
    std::fs::write(&path, content).expect("files can be written");
    path
}

/// Removes the annotations from an enriched stream.
pub fn without_annotations(mut output: &[u8]) -> Vec<u8> {
    let mut bare = Vec::new();
    while let Some(at) = memchr::memmem::find(output, b",\"catena\":{\"matches\":[") {
        bare.extend_from_slice(&output[..at]);
        let value = at + b",\"catena\":".len();
        let end = catena::JsonScanner::new(value).end(output, output.len()).expect("an annotation ends");
        output = &output[end..];
    }
    bare.extend_from_slice(output);
    bare
}
