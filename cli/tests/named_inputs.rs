//! A log that is an input by its name is rotated while the run is down: what was rotated away is read, what is older is not.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::following::{Following, PATIENCE, assert_becomes};
use crate::common::{file, records, run};

struct Case {
    folder: tempfile::TempDir,
    records: Vec<String>,
}

impl Case {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder can be made"), records: records() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a run that saves only when it starts and ends.
    fn start(&self, input: &Path) -> Following {
        let path = |path: &Path| path.display().to_string();
        let (state, output) = (path(&self.path("state")), path(&self.path("out")));
        Following::start(&["--state", &state, "--save-every", "1h", "-o", &output, &path(input)])
    }

    fn text(&self, range: std::ops::Range<usize>) -> String {
        self.records[range].join("\n") + "\n"
    }

    /// Waits until the output has this many lines.
    #[track_caller]
    fn wait(&self, lines: usize) {
        let began = Instant::now();
        while fs::read_to_string(self.path("out")).unwrap_or_default().lines().count() < lines {
            assert!(began.elapsed() < PATIENCE, "there are no {lines} lines");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until there is a state.
    fn wait_for_state(&self) {
        let began = Instant::now();
        while !self.path("state/run.state").exists() {
            assert!(began.elapsed() < PATIENCE, "there is no state");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Regression: the state knew nothing of the file, so its records were lost without a word, and those already written as
/// well.
#[test]
fn a_log_that_was_read_after_the_last_save_and_rotated_is_read_again() {
    let case = Case::new();
    let log = case.path("logs/audit.log");
    file(case.folder.path(), "logs/audit.log.1", "{\"older\":1}\n");
    let first = case.start(&log);
    case.wait_for_state();
    file(case.folder.path(), "logs/audit.log", case.text(0..8));
    case.wait(8);
    drop(first);
    fs::rename(&log, case.path("logs/audit.log.2")).expect("it is renamed");
    file(case.folder.path(), "logs/audit.log", case.text(8..15));
    let second = case.start(&log);
    case.wait(15);
    drop(second);
    // Twice, and nobody saw the one in between.
    fs::rename(&log, case.path("logs/audit.log-20260106")).expect("it is renamed");
    file(case.folder.path(), "logs/audit.log-20260107", case.text(15..20));
    file(case.folder.path(), "logs/audit.log", case.text(20..23));
    let third = case.start(&log);
    assert_becomes(&case.path("out"), &case.records);
    third.end();
}

/// Regression: the old file was looked for beside the link.
#[test]
fn a_log_behind_a_link_is_rotated() {
    let case = Case::new();
    let log = file(case.folder.path(), "logs/audit.log", case.text(0..10));
    symlink(&log, case.path("link")).expect("links can be made");
    let first = case.start(&case.path("link"));
    case.wait(10);
    drop(first);
    fs::rename(&log, case.path("logs/audit.log.1")).expect("it is renamed");
    file(case.folder.path(), "logs/audit.log", case.text(10..23));
    let second = case.start(&case.path("link"));
    assert_becomes(&case.path("out"), &case.records);
    second.end();
}

#[test]
fn runs_that_end_read_what_was_rotated_in_between() {
    let case = Case::new();
    let log = file(case.folder.path(), "logs/audit.log", case.text(0..10));
    let (state, output) = (case.path("state"), case.path("out"));
    let once = || {
        run(
            ["run".as_ref(), "--state".as_ref(), state.as_os_str(), "-o".as_ref(), output.as_os_str(), log.as_os_str()],
            b"",
        )
    };
    assert!(once().status.success());
    fs::rename(&log, case.path("logs/audit.log.1")).expect("it is renamed");
    file(case.folder.path(), "logs/audit.log.2", case.text(10..12));
    file(case.folder.path(), "logs/audit.log", case.text(12..23));
    assert!(once().status.success());
    assert_becomes(&output, &case.records);
}
