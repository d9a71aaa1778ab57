//! A saved state is whole or refused, and the one before it is kept.

use std::fs;
use std::path::PathBuf;

use crate::common::runs::{Runs, append, lines, text};
use crate::common::{catena, stderr};

/// Two runs over a growing file, so that there are two states.
fn two_states() -> (Runs, PathBuf, PathBuf) {
    let runs = Runs::new();
    let log = runs.file("audit.log", text(&lines("a", 0..10)));
    runs.run(&[&log]);
    append(&log, text(&lines("a", 10..20)));
    runs.run(&[&log]);
    append(&log, text(&lines("a", 20..30)));
    let state = runs.path("state").join("run.state");
    (runs, log, state)
}

#[test]
fn a_damaged_state_gives_way_to_the_one_before_it() {
    let (runs, log, state) = two_states();
    let mut bytes = fs::read(&state).expect("it is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&state, &bytes).expect("it is damaged");
    let (_, told) = runs.run(&[&log]);
    assert!(
        told.contains("its checksum does not match") && told.contains("resuming from the state before it"),
        "{told}"
    );
    assert_eq!(runs.output(), lines("a", 0..30));
    assert_eq!(fs::read(state.with_file_name("run.state.damaged")).expect("it is kept"), bytes);
    // The next run finds nothing wrong.
    append(&log, text(&lines("a", 30..31)));
    let (_, told) = runs.run(&[&log]);
    assert!(!told.contains("checksum"), "{told}");
    assert_eq!(runs.output(), lines("a", 0..31));
}

#[test]
fn a_state_without_a_good_one_is_refused() {
    let (runs, log, state) = two_states();
    for name in ["run.state", "run.state.old"] {
        fs::write(state.with_file_name(name), "catena run state 3\nnonsense").expect("it is damaged");
    }
    let output = catena(["run"]).args(runs.arguments()).arg(&log).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cannot resume from"), "{}", stderr(&output));
    assert_eq!(runs.output(), lines("a", 0..20));
}

/// Regression: of 4,032 flipped bits in the part without a checksum, 87 gave wrong output, and one length a panic.
#[test]
fn no_flipped_bit_gives_wrong_output() {
    let (runs, log, state) = two_states();
    let good = fs::read(&state).expect("it is there");
    let previous = fs::read(state.with_file_name("run.state.old")).expect("it is there");
    let output = fs::read(runs.path("out")).expect("it is there");
    for place in 0..40 {
        let bit = place * good.len() * 8 / 40 + place % 8;
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&state, &bytes).expect("it is damaged");
        fs::write(state.with_file_name("run.state.old"), &previous).expect("it is as before");
        fs::write(runs.path("out"), &output).expect("it is as before");
        let (_, told) = runs.run(&[&log]);
        assert!(told.contains("resuming from the state before it"), "bit {bit}: {told}");
        assert_eq!(runs.output(), lines("a", 0..30), "bit {bit}");
    }
}

#[test]
fn a_state_that_was_being_replaced_is_found() {
    let (runs, log, state) = two_states();
    // As after a kill between the two renames.
    fs::rename(&state, state.with_file_name("run.state.new")).expect("it is renamed");
    runs.run(&[&log]);
    assert_eq!(runs.output(), lines("a", 0..30));
    // Without it, only the one before is left: that is no accident.
    fs::remove_file(&state).expect("it is removed");
    let output = catena(["run"]).args(runs.arguments()).arg(&log).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("remove the folder to start over"), "{}", stderr(&output));
}
