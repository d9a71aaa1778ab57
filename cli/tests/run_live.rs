//! Live pipelines: output appears while the input pauses, and every way to stop is clean.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::common::following::{PATIENCE, signal};
use crate::common::{START, catena, summary};
use catena_synthetic::chain;

fn live(arguments: &[&str]) -> Child {
    catena(["run", "--summary"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

/// Sends the lines of an output as they arrive.
fn lines(output: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

#[test]
fn every_line_is_passed_on_while_the_input_stays_open() {
    let mut child = live(&["--mode=enrich"]);
    let mut input = child.stdin.take().unwrap();
    let output = lines(child.stdout.take().unwrap());
    for record in chain("mallory", START, 5) {
        // In two writes: half a record must wait.
        let (first, second) = record.split_at(record.len() / 2);
        input.write_all(first.as_bytes()).unwrap();
        input.flush().unwrap();
        std::thread::sleep(Duration::from_millis(30));
        input.write_all(format!("{second}\n").as_bytes()).unwrap();
        let answer = output.recv_timeout(PATIENCE).expect("an answer comes");
        assert!(answer.starts_with(&record[..record.len() - 1]) && answer.contains("\"catena\":"));
    }
    drop(input);
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(summary(&ended)["findings"], 2);
}

/// Regression: half a record was rejected as truncated, and the output ended within a line.
#[test]
fn signals_stop_the_run_at_the_end_of_a_record() {
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut child = live(&["--mode=enrich"]);
        let mut input = child.stdin.take().unwrap();
        let output = lines(child.stdout.take().unwrap());
        let [volume, snapshot, _] = chain("mallory", START, 5);
        let half = &snapshot[..snapshot.len() / 2];
        input.write_all(format!("{volume}\n{half}").as_bytes()).unwrap();
        output.recv_timeout(PATIENCE).expect("the first record is answered");
        // The half may still be in the pipe.
        std::thread::sleep(Duration::from_millis(100));
        signal(&child, name);
        assert_eq!(output.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected));
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(code));
        let summary = summary(&ended);
        assert_eq!((&summary["records"], &summary["passed"], &summary["rejected"]), (&1.into(), &1.into(), &0.into()));
        let told = format!("standard input: stopped before line 2, of which {} bytes were read", half.len());
        assert!(crate::common::stderr(&ended).contains(&told), "{}", crate::common::stderr(&ended));
        drop(input);
    }
}

#[test]
fn the_run_stops_if_the_reader_closes_the_pipe() {
    let mut child = live(&["--mode=enrich"]);
    let mut input = child.stdin.take().unwrap();
    drop(child.stdout.take());
    let writer = std::thread::spawn(move || {
        let line = chain("mallory", START, 5)[0].clone() + "\n";
        // Fails once the program has exited.
        while input.write_all(line.as_bytes()).is_ok() {}
    });
    let ended = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_eq!(ended.status.code(), Some(141));
    let summary = summary(&ended);
    let count = |name: &str| summary[name].as_u64().unwrap();
    assert!(count("records") > 0);
    assert_eq!(count("records"), count("passed") + count("dropped") + count("rejected"));
    assert!(crate::common::stderr(&ended).contains("the reader of standard output closed the pipe"));
}
