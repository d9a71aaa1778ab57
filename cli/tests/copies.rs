//! Copies of input files, compressed or not, complete or still being written: nothing is read twice, and content that
//! only the copy has is read.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::common::following::{assert_becomes, signal};
use crate::common::gzip;
use crate::common::runs::{Runs, append, lines, text};

/// Regression: files with the same first 1024 bytes were taken for one file, renamed and compressed.
#[test]
fn files_with_a_common_prefix_are_distinct() {
    let runs = Runs::new();
    let (first, second) =
        ([lines("a", 0..100), lines("b", 0..5)].concat(), [lines("a", 0..100), lines("c", 0..9)].concat());
    let path = runs.file("a.json.gz", gzip(text(&first).as_bytes()));
    runs.run(&[&path]);
    fs::remove_file(path).expect("it is removed");
    let path = runs.file("b.json.gz", gzip(text(&second).as_bytes()));
    runs.run(&[&path]);
    assert_eq!(runs.output(), [first, second].concat());
}

#[test]
fn records_appended_before_copytruncate_are_read_from_the_copy() {
    let runs = Runs::new();
    let log = runs.file("audit.log", text(&lines("a", 0..50)));
    runs.run(&[&log]);
    append(&log, text(&lines("a", 50..60)));
    fs::copy(&log, runs.path("logs/audit.log.1")).expect("it is copied");
    fs::write(&log, text(&lines("b", 0..90))).expect("it is written anew");
    runs.run(&[&log]);
    assert_eq!(runs.output(), [lines("a", 0..60), lines("b", 0..90)].concat());
    // In a folder, the copy is an input in its own right.
    runs.run(&[&runs.path("logs")]);
    assert_eq!(runs.output().len(), 150);
}

#[test]
fn a_copy_is_not_read_but_a_file_with_a_common_prefix_is() {
    let runs = Runs::new();
    runs.file("a.log", text(&lines("a", 0..50)));
    let run = runs.follow();
    assert_becomes(&runs.path("out"), &lines("a", 0..50));
    runs.file("b.log.gz", gzip(text(&lines("a", 0..50)).as_bytes()));
    runs.file("c.log", text(&lines("a", 0..50)));
    let other = [lines("a", 0..40), lines("c", 0..40)].concat();
    runs.file("d.log.gz", gzip(text(&other).as_bytes()));
    assert_becomes(&runs.path("out"), &[lines("a", 0..50), other].concat());
    let told = run.end();
    assert!(told.contains("b.log.gz: is a copy") && told.contains("c.log: is a copy"), "{told}");
    assert_eq!(runs.output().len(), 130);
}

/// Regression: the copy was read as a new file as soon as it was seen, and all of its records were duplicated.
#[test]
fn a_copy_still_being_written_is_held_back() {
    let runs = Runs::new();
    let text = text(&lines("a", 0..10_000));
    runs.file("a.log", &text);
    let run = runs.follow();
    runs.wait(|output| output.len() == 10_000);
    let zipped = gzip(text.as_bytes());
    let (plain, compressed) = (runs.file("b.log", ""), runs.file("c.log.gz", ""));
    for part in 0..4 {
        let cut = |length: usize| length * part / 4..length * (part + 1) / 4;
        append(&plain, &text[cut(text.len())]);
        append(&compressed, &zipped[cut(zipped.len())]);
        thread::sleep(Duration::from_millis(1_300));
    }
    // A new file with a known prefix is read as well, only later.
    runs.file("d.log", text[..text.len() / 2].to_owned() + "{\"d\":1}\n");
    runs.file("e.log", "{\"e\":1}\n");
    runs.wait(|output| output.len() == 15_002);
    let told = run.end();
    assert!(told.contains("b.log: begins like") && told.contains("c.log.gz: begins like"), "{told}");
    assert_eq!(runs.output().len(), 15_002);
}

/// Regression: the copy was no longer recognised, and was read from the start.
#[test]
fn a_copytruncate_copy_of_a_followed_log_is_not_read_again() {
    let runs = Runs::new();
    let log = runs.file("audit.log", text(&lines("a", 0..50)));
    let run = runs.follow();
    runs.wait(|output| output.len() == 50);
    fs::copy(&log, runs.path("logs/audit.log.1")).expect("it is copied");
    fs::write(&log, text(&lines("b", 0..3))).expect("it is written anew");
    runs.wait(|output| output.len() == 53);
    thread::sleep(Duration::from_millis(2_500));
    run.end();
    // The next run recognises the copy, too.
    fs::remove_file(&log).expect("it is removed");
    let (summary, _) = runs.run(&[&runs.path("logs")]);
    assert_eq!((&summary["records"], runs.output().len()), (&53.into(), 53));
}

/// Regression: a copy was remembered only until the end of the run.
#[test]
fn a_copy_is_recognised_by_the_next_run() {
    let runs = Runs::new();
    let log = runs.file("a.log", text(&lines("a", 0..50)));
    let run = runs.follow();
    runs.wait(|output| output.len() == 50);
    runs.file("b.log.gz", gzip(text(&lines("a", 0..50)).as_bytes()));
    thread::sleep(Duration::from_millis(2_500));
    assert!(run.end().contains("b.log.gz: is a copy"));
    fs::remove_file(&log).expect("it is removed");
    runs.file("c.log", text(&lines("c", 0..5)));
    runs.run(&[&runs.path("logs")]);
    assert_eq!(runs.output().len(), 55);
}

/// Regression: the copy was read as a new file if a run started before it was complete.
#[test]
fn a_copy_that_is_incomplete_when_a_run_starts_is_held_back() {
    let runs = Runs::new();
    let text = text(&lines("a", 0..10_000));
    let log = runs.file("a.log.1", &text);
    runs.run(&[&runs.path("logs")]);
    let zipped = gzip(text.as_bytes());
    let copy = runs.file("a.log.1.gz", &zipped[..zipped.len() / 2]);
    let (_, told) = runs.run(&[&runs.path("logs")]);
    assert!(told.contains("a.log.1.gz: begins like"), "{told}");
    let run = runs.follow();
    thread::sleep(Duration::from_millis(1_500));
    append(&copy, &zipped[zipped.len() / 2..]);
    fs::remove_file(&log).expect("it is removed");
    thread::sleep(Duration::from_millis(2_500));
    run.end();
    runs.run(&[&runs.path("logs")]);
    assert_eq!(runs.output(), lines("a", 0..10_000));
}

#[test]
fn a_copy_of_a_log_that_has_grown_since_is_not_read() {
    let runs = Runs::new();
    let log = runs.file("a.log", text(&lines("a", 0..100)));
    let run = runs.follow();
    runs.wait(|output| output.len() == 100);
    fs::copy(&log, runs.path("logs/b.log")).expect("it is copied");
    append(&log, text(&lines("a", 100..101)));
    thread::sleep(Duration::from_millis(7_500));
    append(&log, text(&lines("a", 101..102)));
    assert_becomes(&runs.path("out"), &lines("a", 0..102));
    run.end();
}

/// Regression: both halves of the record were rejected.
#[test]
fn a_partial_record_is_completed_from_a_copy() {
    let runs = Runs::new();
    let half = "{\"name\":\"half\",\"number\":1}";
    let log = runs.file("a.log", text(&lines("a", 0..100)) + &half[..12]);
    let run = runs.follow();
    runs.wait(|output| output.len() == 100);
    thread::sleep(Duration::from_millis(500));
    signal(&run.0, "-STOP");
    append(&log, half[12..].to_owned() + "\n" + &text(&lines("b", 0..5)));
    fs::copy(&log, runs.path("logs/a.log.1")).expect("it is copied");
    fs::write(&log, "").expect("it is cut");
    signal(&run.0, "-CONT");
    let expected = [lines("a", 0..100), vec![half.to_owned()], lines("b", 0..5)].concat();
    assert_becomes(&runs.path("out"), &expected);
    run.end();
}
