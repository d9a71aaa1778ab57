//! File identity, across runs and while files are followed: no file is read twice, and none is mistaken for another.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::common::following::{Following, assert_becomes, signal};
use crate::common::runs::{Runs, append, lines, text};
use crate::common::{catena, gzip, stderr, summary};

/// Regression: a file listed twice, or through a link, was read twice, and again in each run.
#[test]
fn a_file_with_several_names_is_read_once() {
    let runs = Runs::new();
    let log = runs.file("a.log", text(&lines("a", 0..10)));
    let (link, hard) = (runs.path("logs/b.log"), runs.path("logs/c.log"));
    std::os::unix::fs::symlink(&log, &link).expect("a link can be made");
    fs::hard_link(&log, &hard).expect("a link can be made");
    for _ in 0..2 {
        let (summary, told) = runs.run(&[&log, &link, &hard, &log]);
        assert_eq!(summary["records"], 10);
        assert!(told.contains("b.log: already an input"), "{told}");
    }
    assert_eq!(runs.output(), lines("a", 0..10));
}

/// Regression: a file that reused a known inode was not read.
#[test]
fn a_file_that_replaces_another_is_read() {
    let runs = Runs::new();
    let path = runs.file("a.json.gz", gzip(text(&lines("a", 0..50)).as_bytes()));
    runs.run(&[&path]);
    fs::write(&path, gzip(text(&lines("b", 0..50)).as_bytes())).expect("it is written");
    runs.run(&[&path]);
    assert_eq!(runs.output(), [lines("a", 0..50), lines("b", 0..50)].concat());
    let run = runs.follow();
    thread::sleep(Duration::from_millis(1_500));
    fs::write(&path, gzip(text(&lines("c", 0..50)).as_bytes())).expect("it is written");
    assert_becomes(&runs.path("out"), &[lines("a", 0..50), lines("b", 0..50), lines("c", 0..50)].concat());
    run.end();
}

/// Regression: members appended to a gzip file after its end had been read were never read.
#[test]
fn members_appended_to_a_compressed_file_are_read() {
    let runs = Runs::new();
    let path = runs.file("a.json.gz", gzip(text(&lines("a", 0..50)).as_bytes()));
    runs.run(&[&path]);
    append(&path, gzip(text(&lines("a", 50..60)).as_bytes()));
    runs.run(&[&path]);
    runs.run(&[&path]);
    assert_eq!(runs.output(), lines("a", 0..60));
    let run = runs.follow();
    thread::sleep(Duration::from_millis(1_500));
    append(&path, gzip(text(&lines("a", 60..70)).as_bytes()));
    assert_becomes(&runs.path("out"), &lines("a", 0..70));
    run.end();
}

/// Regression: a file missing during one run was forgotten, and read again when it came back.
#[test]
fn a_file_missing_for_one_run_is_remembered() {
    let runs = Runs::new();
    let (plain, compressed) =
        (runs.file("a.log", text(&lines("a", 0..3))), runs.file("b.json.gz", gzip(text(&lines("b", 0..3)).as_bytes())));
    let other = runs.file("c.log", text(&lines("c", 0..3)));
    let all: [&Path; 3] = [&plain, &compressed, &other];
    runs.run(&all);
    let away = |path: &Path| path.with_extension("away");
    [&plain, &compressed].into_iter().for_each(|path| fs::rename(path, away(path)).expect("it is renamed"));
    let output = catena(["run", "-q"]).args(runs.arguments()).args(all).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1), "two are missing");
    [&plain, &compressed].into_iter().for_each(|path| fs::rename(away(path), path).expect("it is renamed"));
    append(&plain, text(&lines("a", 3..4)));
    let (summary, _) = runs.run(&all);
    assert_eq!((&summary["records"], &summary["files"]), (&10.into(), &3.into()));
}

/// Regression: a log truncated and regrown past the read position before the next poll was read from the middle.
#[test]
fn a_followed_log_truncated_and_regrown_past_the_read_position_is_read_from_the_start() {
    let runs = Runs::new();
    let log = runs.file("audit.log", text(&lines("a", 0..20)));
    let run = runs.follow();
    assert_becomes(&runs.path("out"), &lines("a", 0..20));
    // In one write: truncation and growth both happen between two polls.
    fs::write(&log, text(&lines("b", 0..200))).expect("it is written anew");
    assert_becomes(&runs.path("out"), &[lines("a", 0..20), lines("b", 0..200)].concat());
    let told = run.end();
    assert!(told.contains("audit.log: was"), "{told}");
}

/// Regression: the file that now has the name was read twice.
#[test]
fn truncating_a_rotated_log_does_not_affect_its_successor() {
    let runs = Runs::new();
    let log = runs.file("audit.log", text(&lines("a", 0..50)));
    let (out, old) = (runs.path("out").display().to_string(), runs.path("old"));
    let run = Following::start(&["--output", &out, &log.display().to_string()]);
    runs.wait(|output| output.len() == 50);
    fs::rename(&log, &old).expect("it is renamed");
    fs::write(&log, text(&lines("b", 0..60))).expect("it is written");
    runs.wait(|output| output.len() == 110);
    OpenOptions::new().write(true).open(&old).and_then(|file| file.set_len(0)).expect("it is cut");
    thread::sleep(Duration::from_millis(1_500));
    append(&log, text(&lines("b", 60..61)));
    runs.wait(|output| output.len() >= 111);
    run.end();
    assert_eq!(runs.output().len(), 111);
}

/// Regression: all files were opened at once, and the run failed because it could not save its state.
#[test]
fn more_files_than_the_descriptor_limit_can_be_followed() {
    let runs = Runs::new();
    for at in 0..300 {
        runs.file(&format!("{at}.log"), text(&lines("a", at..at + 1)));
    }
    let mut command = std::process::Command::new("bash");
    command.args(["-c", "ulimit -n 100; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_catena"), "run", "--follow"]);
    command.args(runs.arguments()).args(["--save-every", "20ms"]).arg(runs.path("logs"));
    let child = command.stderr(std::process::Stdio::piped()).spawn().expect("it starts");
    let run = Following(child);
    runs.wait(|output| output.len() == 300);
    (0..300).for_each(|at| append(&runs.path(&format!("logs/{at}.log")), text(&lines("b", at..at + 1))));
    runs.wait(|output| output.len() == 600);
    let told = run.end();
    assert!(told.contains("600 passed") && !told.contains("Too many open files"), "{told}");
}

/// Regression: the last record of a followed file was not processed without a line feed after it.
#[test]
fn a_followed_file_without_a_final_line_feed_is_read_to_its_end() {
    let runs = Runs::new();
    let records = "{\"Records\":[{\"a\":1},{\"a\":2}]}".to_owned();
    let log = runs.file("a.json", &records);
    let run = runs.follow();
    runs.wait(|output| output == [records.as_str()]);
    append(&log, "\n{\"b\":1}\n");
    assert_becomes(&runs.path("out"), &[records, "{\"b\":1}".to_owned()]);
    assert!(run.end().contains("3 passed"));
}

/// Regression: a file was abandoned after one read error.
#[test]
fn reading_a_followed_file_is_retried_after_an_error() {
    let runs = Runs::new();
    let broken = runs.file("a.json.gz", [&gzip(b"")[..10], b"\x07 no kind of block"].concat());
    runs.file("b.log", text(&lines("b", 0..3)));
    let run = runs.follow();
    assert_becomes(&runs.path("out"), &lines("b", 0..3));
    fs::write(&broken, gzip(text(&lines("a", 0..50)).as_bytes())).expect("it is written");
    assert_becomes(&runs.path("out"), &[lines("b", 0..3), lines("a", 0..50)].concat());
    signal(&run.0, "-TERM");
}

#[test]
fn a_compressed_file_replaced_while_being_written_is_read_from_the_start() {
    let runs = Runs::new();
    let whole = gzip(text(&lines("a", 0..2_000)).as_bytes());
    let path = runs.file("a.json.gz", &whole[..whole.len() / 2]);
    let run = runs.follow();
    runs.wait(|output| !output.is_empty());
    fs::write(&path, gzip(text(&lines("b", 0..2_000)).as_bytes())).expect("it is written");
    runs.wait(|output| output.last() == lines("b", 1_999..2_000).last());
    run.end();
    assert_eq!(runs.output().iter().filter(|line| line.contains("\"b\"")).count(), 2_000);
}

/// Regression: such an output was truncated before it was read.
#[test]
fn an_output_that_is_an_input_is_refused_and_own_outputs_are_not_read() {
    let runs = Runs::new();
    let log = runs.file("a.log", text(&lines("a", 0..10)));
    for argument in ["--output", "--findings", "--rejects"] {
        let output = catena(["run", argument]).arg(&log).arg(runs.path("logs")).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("is also an input"), "{}", stderr(&output));
    }
    assert_eq!(fs::read_to_string(&log).expect("it is there"), text(&lines("a", 0..10)));
    let inside = runs.path("logs/out.json").display().to_string();
    for _ in 0..2 {
        let output = catena(["run", "--summary", "--output", &inside, "--state"])
            .args([runs.path("state"), runs.path("logs")])
            .output()
            .expect("it runs");
        assert_eq!(summary(&output)["records"], 10);
    }
    assert_eq!(fs::read_to_string(inside).expect("it is there"), text(&lines("a", 0..10)));
}

/// Regression: bytes read but not processed when the state was saved were counted twice.
#[test]
fn a_partial_record_left_to_the_next_run_is_counted_once() {
    let runs = Runs::new();
    let log = runs.file("a.log", "{\"a\":1}\n{\"b\"");
    let (summary, _) = runs.run(&[&log]);
    assert_eq!((&summary["files"], &summary["bytes"]), (&1.into(), &8.into()));
    append(&log, ":2}\n");
    let (summary, _) = runs.run(&[&log]);
    assert_eq!((&summary["files"], &summary["bytes"]), (&1.into(), &16.into()));
}

/// Regression: the new file was never read, because it was taken for one still being written.
#[test]
fn a_compressed_file_rewritten_with_less_content_is_read() {
    let runs = Runs::new();
    let whole = gzip(text(&lines("a", 0..2_000)).as_bytes());
    let path = runs.file("a.json.gz", &whole[..whole.len() / 2]);
    let run = runs.follow();
    runs.wait(|output| output.len() > 500);
    fs::write(&path, gzip(text(&lines("b", 0..10)).as_bytes())).expect("it is written");
    runs.wait(|output| output.last() == lines("b", 9..10).last());
    run.end();
}

#[test]
fn a_followed_log_rewritten_at_the_same_length_is_read() {
    let runs = Runs::new();
    let log = runs.file("a.log", text(&lines("a", 0..3)));
    let run = runs.follow();
    runs.wait(|output| output.len() == 3);
    thread::sleep(Duration::from_millis(500));
    fs::write(&log, text(&lines("b", 0..3))).expect("it is written anew");
    assert_becomes(&runs.path("out"), &[lines("a", 0..3), lines("b", 0..3)].concat());
    run.end();
}

/// Regression: the digest was subtracted from the count of files once more.
#[test]
fn a_rewritten_digest_is_not_counted_as_an_input() {
    let runs = Runs::new();
    let digest = "{\"awsAccountId\":\"123456789012\",\"digestStartTime\":\"2026-01-05T10:00:00Z\"}";
    let path = runs.file("a.json", digest);
    runs.file("b.log", text(&lines("b", 0..3)));
    for _ in 0..2 {
        let (summary, _) = runs.run(&[&runs.path("logs")]);
        assert_eq!(summary["files"], 1);
        fs::write(&path, digest).expect("it is written");
    }
}
