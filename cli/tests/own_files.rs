//! What a run writes is never read or moved by it, and it moves nothing else.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::following::{Following, PATIENCE};
use crate::common::listening::Listening;
use crate::common::runs::append;
use crate::common::{file, records, run, stderr};

/// Regression: everything that was named like an output and longer was taken for a copy of it, and moved away.
#[test]
fn files_whose_names_begin_like_an_output_are_left_alone() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let log = file(folder.path(), "audit.ndjson", "");
    let arguments =
        ["--state", &path("state"), "-o", &path("audit"), "--findings", &path("audit.findings"), &path("audit.ndjson")];
    let records = records();
    let wait = |lines: usize| {
        let began = Instant::now();
        while fs::read_to_string(path("audit")).unwrap_or_default().lines().count() < lines {
            assert!(began.elapsed() < PATIENCE, "there are no {lines} lines");
            thread::sleep(Duration::from_millis(20));
        }
    };
    let first = Following::start(&arguments);
    append(&log, records.join("\n") + "\n");
    wait(records.len());
    drop(first);
    let second = Following::start(&arguments);
    wait(records.len());
    append(&log, "{\"one\":\"more\"}\n");
    wait(records.len() + 1);
    second.end();
    assert_eq!(fs::read_to_string(path("audit.findings")).expect("it exists").lines().count(), 2);
    assert!(log.exists());
}

/// Regression: a run cut an output back to where it had ended, and with it what another run had appended.
#[test]
fn what_others_append_after_a_run_has_ended_is_kept() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let log = file(folder.path(), "in", "{\"a\":1}");
    let once = || {
        let ended =
            run(["run", "--state", &path("state"), "-o", &path("out"), "--unrecognised", "ignore", &path("in")], b"");
        assert!(ended.status.success(), "{}", stderr(&ended));
        fs::read_to_string(path("out")).expect("it exists")
    };
    assert_eq!(once(), "{\"a\":1}");
    append(&log, "\n{\"b\":2}\n");
    assert_eq!(once(), "{\"a\":1}\n{\"b\":2}\n", "and nothing comes between");
    append(Path::new(&path("out")), "{\"theirs\":1}\n");
    append(&log, "{\"c\":3}\n");
    assert_eq!(once(), "{\"a\":1}\n{\"b\":2}\n{\"theirs\":1}\n{\"c\":3}\n");
}

/// Regression: a run that was killed when it had just made its outputs was refused from then on.
#[test]
fn empty_outputs_of_a_killed_first_start_are_no_inputs() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = |name: &str| folder.path().join(name).display().to_string();
    file(folder.path(), "in.ndjson", records().join("\n") + "\n");
    file(folder.path(), "findings.ndjson", "");
    let ended = run(
        ["run", "--mode", "findings", "--state", &path("state"), "--findings", &path("findings.ndjson"), &path("")],
        b"",
    );
    assert!(ended.status.success(), "{}", stderr(&ended));
    assert_eq!(fs::read_to_string(path("findings.ndjson")).expect("it exists").lines().count(), 2);
}

/// Regression: records that came over a network were read again as files, and once more if the state's folder was spelled
/// otherwise.
#[test]
fn a_state_below_the_inputs_is_not_read() {
    let mut listening = Listening::start(&["http://127.0.0.1:0"], &["--follow", "FOLDER"]);
    let records = records();
    for round in 1..3 {
        let answer = listening.post(0, "/", &[], records.join("\n").as_bytes());
        assert_eq!(answer.map(|(status, _)| status), Some(200));
        listening.wait("out", round * records.len());
        // Two looks for new files.
        thread::sleep(Duration::from_millis(2_500));
        assert_eq!(listening.lines("out").len(), round * records.len());
        listening.run = None;
        let state =
            listening.arguments.iter_mut().find(|argument| argument.ends_with("state")).expect("it has a state");
        *state = state.replace("/state", "/logs/../state");
        fs::create_dir_all(listening.path("logs")).expect("a folder can be made");
        listening.begin();
    }
}

#[test]
fn a_state_that_is_an_input_is_refused() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let place = folder.path().display().to_string();
    let ended = run(["run", "--state", &place, &place], b"");
    assert_eq!(ended.status.code(), Some(2));
    assert!(stderr(&ended).contains("is also an input"), "{}", stderr(&ended));
}
