//! An input in an unknown form never passes for one without findings.

use crate::common::{file, records, rules, run, stderr, summary};

fn lines() -> String {
    records().join("\n") + "\n"
}

fn run_file(name: &str, content: impl AsRef<[u8]>, more: &[&str]) -> std::process::Output {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), name, content);
    let mut arguments = vec!["run", "--mode=findings", "--summary"];
    arguments.extend(more);
    arguments.push(path.to_str().unwrap());
    run(arguments, b"")
}

#[test]
fn an_input_without_any_known_record_has_an_exit_code_of_its_own() {
    let unknown = "{\"message\":\"hello\"}\n".repeat(3);
    let output = run_file("a.json", &unknown, &[]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let text = stderr(&output);
    assert!(text.contains("a.json:1: looks like no record of a known cloud"), "{text}");
    assert!(text.contains("none of 3 records is one of a known cloud"), "{text}");
    assert_eq!(summary(&output)["unrecognised"]["unknown"], 3);
    assert_eq!(run_file("a.json", &unknown, &["--unrecognised=ignore"]).status.code(), Some(0));
    assert_eq!(run_file("a.json", "nonsense\n", &[]).status.code(), Some(3));
    assert_eq!(run_file("a.json", "", &[]).status.code(), Some(0), "an empty input lacks nothing");
}

#[test]
fn some_unknown_records_are_counted_shown_once_and_an_error_only_if_asked_for() {
    let mixed = format!("{}{{\"message\":1}}\n{{\"message\":2}}\n", lines());
    let output = run_file("a.json", &mixed, &[]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(rules(&output).len(), 2);
    assert_eq!(stderr(&output).matches("looks like no record").count(), 1);
    let summary = summary(&output);
    assert_eq!(summary["unrecognised"]["unknown"], 2);
    assert!(
        summary["input"]["aws-record"].as_u64() >= Some(3) && summary["input"]["aws-unread"].as_u64() > Some(0),
        "{summary}"
    );
    assert_eq!(run_file("a.json", &mixed, &["--unrecognised=any"]).status.code(), Some(3));
    assert_eq!(run_file("a.json", lines(), &["--unrecognised=any"]).status.code(), Some(0));
}

#[test]
fn several_jobs_count_the_same() {
    let mixed = format!("{}{{\"message\":1}}\n{{\"eventName\":\"RunInstances\"}}\n", lines());
    let [one, four] = ["--jobs=1", "--jobs=4"].map(|jobs| summary(&run_file("a.json", &mixed, &[jobs])));
    assert_eq!((&one["input"], &one["unrecognised"]), (&four["input"], &four["unrecognised"]));
    assert_eq!(one["unrecognised"]["names-action"], 1);
}

#[test]
fn what_is_not_json_is_named() {
    for (content, kind) in [
        (&b"PAR1\x15\x04\x15\x10"[..], "it is a Parquet file"),
        (b"ElfFile\0\0\0\0\0", "it is a Windows event log (EVTX)"),
        (b"PK\x03\x04\x14\0", "it is a zip archive"),
    ] {
        let output = run_file("a.json", content, &[]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(kind), "{}", stderr(&output));
    }
    let output = run_file("a.json", "eventTime,eventName,eventSource,region\n1,2,3,4\n", &[]);
    assert!(
        stderr(&output).contains("a.json:1: rejected: expected a JSON object (not-an-object); this looks like CSV")
    );
}

#[test]
fn utf_16_and_lines_with_a_prefix_are_read() {
    let utf16: Vec<u8> = [0xFEFF].into_iter().chain(lines().encode_utf16()).flat_map(u16::to_le_bytes).collect();
    assert_eq!(rules(&run_file("a.json", utf16, &[])).len(), 2);
    let prefixed: String = records().iter().map(|record| format!("2026-01-05T10:00:00.000Z {record}\n")).collect();
    assert_eq!(rules(&run_file("a.json", prefixed, &[])).len(), 2);
}

#[test]
fn skipped_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    file(folder.path(), "a.json", lines());
    file(folder.path(), "notes.txt", "x");
    let output = run(["run".as_ref(), "--mode=findings".as_ref(), folder.path().as_os_str()], b"");
    assert!(stderr(&output).contains("notes.txt: skipped"), "{}", stderr(&output));
}
