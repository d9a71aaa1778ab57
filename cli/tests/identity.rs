//! Which file is which, from run to run and while files are followed: none is read twice, and none is taken for another.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::common::following::{Following, assert_becomes};
use crate::common::runs::{Runs, append, lines, text};
use crate::common::{catena, gzip, stderr, summary};

/// A file that was listed twice, or by a link, was read twice, and again in each run.
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
        assert!(told.contains("b.log: is an input already"), "{told}");
    }
    assert_eq!(runs.output(), lines("a", 0..10));
}

/// An inode that is used again was not read again.
#[test]
fn what_is_written_in_place_of_a_file_is_read() {
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

/// Members that came to a gzip file after its end had been read were never read.
#[test]
fn a_compressed_file_that_grows_is_read_on() {
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

/// What is not there for one run was forgotten, and read anew when it was there again.
#[test]
fn a_file_that_was_away_for_a_run_is_known() {
    let runs = Runs::new();
    let (plain, compressed) =
        (runs.file("a.log", text(&lines("a", 0..3))), runs.file("b.json.gz", gzip(text(&lines("b", 0..3)).as_bytes())));
    let other = runs.file("c.log", text(&lines("c", 0..3)));
    let all: [&Path; 3] = [&plain, &compressed, &other];
    runs.run(&all);
    let away = |path: &Path| path.with_extension("away");
    [&plain, &compressed].into_iter().for_each(|path| fs::rename(path, away(path)).expect("it is renamed"));
    let output = catena(["run", "-q"]).args(runs.arguments()).args(all).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1), "two are not there");
    [&plain, &compressed].into_iter().for_each(|path| fs::rename(away(path), path).expect("it is renamed"));
    append(&plain, text(&lines("a", 3..4)));
    let (summary, _) = runs.run(&all);
    assert_eq!((&summary["records"], &summary["files"]), (&10.into(), &3.into()));
}

/// A log that was cut, and had grown beyond what had been read before that was seen, was read from the middle.
#[test]
fn a_followed_log_that_is_cut_and_grows_beyond_what_was_read_is_read_from_its_beginning() {
    let runs = Runs::new();
    let log = runs.file("audit.log", text(&lines("a", 0..20)));
    let run = runs.follow();
    assert_becomes(&runs.path("out"), &lines("a", 0..20));
    // At once: both lie between two looks.
    fs::write(&log, text(&lines("b", 0..200))).expect("it is written anew");
    assert_becomes(&runs.path("out"), &[lines("a", 0..20), lines("b", 0..200)].concat());
    let told = run.end();
    assert!(told.contains("audit.log: was"), "{told}");
}

/// The file that has the name now was read twice.
#[test]
fn an_old_log_may_be_cut_after_another_has_its_name() {
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

/// All were opened at once, and the run ended when it could not save.
#[test]
fn more_files_than_may_be_open_are_followed() {
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

/// What came through it was lost with the second run.
#[test]
fn a_pipe_with_a_name_is_refused_where_a_state_is_kept() {
    let runs = Runs::new();
    let pipe = runs.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let output = catena(["run"]).args(runs.arguments()).arg(&pipe).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("inputs have to be files"), "{}", stderr(&output));
}

/// The last record of a file that is followed was not processed if nothing ended its line.
#[test]
fn a_followed_file_without_a_last_line_feed_is_read_to_its_end() {
    let runs = Runs::new();
    let records = "{\"Records\":[{\"a\":1},{\"a\":2}]}".to_owned();
    let log = runs.file("a.json", &records);
    let run = runs.follow();
    runs.wait(|output| output == [records.as_str()]);
    append(&log, "\n{\"b\":1}\n");
    assert_becomes(&runs.path("out"), &[records, "{\"b\":1}".to_owned()]);
    assert!(run.end().contains("3 passed"));
}

/// A file that could not be read once was given up.
#[test]
fn a_followed_file_that_cannot_be_read_is_tried_again() {
    let runs = Runs::new();
    let broken = runs.file("a.json.gz", [&gzip(b"")[..10], b"\x07 no kind of block"].concat());
    runs.file("b.log", text(&lines("b", 0..3)));
    let run = runs.follow();
    assert_becomes(&runs.path("out"), &lines("b", 0..3));
    fs::write(&broken, gzip(text(&lines("a", 0..50)).as_bytes())).expect("it is written");
    assert_becomes(&runs.path("out"), &[lines("b", 0..3), lines("a", 0..50)].concat());
    let sent = std::process::Command::new("kill").args(["-TERM", &run.0.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
}

#[test]
fn a_compressed_file_that_is_replaced_while_it_is_written_is_read_from_its_beginning() {
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

/// It was emptied before it was read.
#[test]
fn an_output_that_is_an_input_is_refused_and_what_the_run_has_written_is_no_input() {
    let runs = Runs::new();
    let log = runs.file("a.log", text(&lines("a", 0..10)));
    for argument in ["--output", "--findings", "--rejects"] {
        let output = catena(["run", argument]).arg(&log).arg(runs.path("logs")).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("is an input, too, and would be emptied"), "{}", stderr(&output));
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

/// What had been read and not processed when the state was saved was counted again.
#[test]
fn what_is_left_to_the_next_run_is_counted_once() {
    let runs = Runs::new();
    let log = runs.file("a.log", "{\"a\":1}\n{\"b\"");
    let (summary, _) = runs.run(&[&log]);
    assert_eq!((&summary["files"], &summary["bytes"]), (&1.into(), &8.into()));
    append(&log, ":2}\n");
    let (summary, _) = runs.run(&[&log]);
    assert_eq!((&summary["files"], &summary["bytes"]), (&1.into(), &16.into()));
}

/// It was never read: it seemed to be one that is still being written.
#[test]
fn a_compressed_file_that_is_written_anew_and_shorter_is_read() {
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
fn a_followed_log_that_is_written_anew_at_the_same_length_is_read() {
    let runs = Runs::new();
    let log = runs.file("a.log", text(&lines("a", 0..3)));
    let run = runs.follow();
    runs.wait(|output| output.len() == 3);
    thread::sleep(Duration::from_millis(500));
    fs::write(&log, text(&lines("b", 0..3))).expect("it is written anew");
    assert_becomes(&runs.path("out"), &[lines("a", 0..3), lines("b", 0..3)].concat());
    run.end();
}

/// It was taken off the count again.
#[test]
fn a_digest_that_is_touched_counts_as_no_input() {
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
