//! Inputs that can be read only once, with and without a state, and readers that close early.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{ChildStdin, Stdio};
use std::thread;
use std::time::Duration;

use crate::common::following::signal;
use crate::common::{START, catena, file, rules, run, stderr, stdout};
use catena_synthetic::chain;

/// Regression: "Illegal seek" for `catena run <(command)`.
#[test]
fn a_named_pipe_is_read_like_standard_input() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let records = file(folder.path(), "in.ndjson", chain("mallory", START, 5).join("\n"));
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let mut writer = std::process::Command::new("sh");
    let mut writer = writer.args(["-c", "cat \"$0\" > \"$1\""]).args([&records, &pipe]).spawn().expect("it starts");
    let output = catena(["run", "--mode=findings"]).arg(&pipe).output().expect("it runs");
    writer.wait().expect("it ends");
    assert_eq!(rules(&output).len(), 2, "{}", stderr(&output));
}

#[test]
fn chains_survive_a_restart_between_two_pipes() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let state = folder.path().join("state").display().to_string();
    let [volume, snapshot, instance] = chain("mallory", START, 5);
    let arguments = ["run", "--mode=findings", "--state", &state];
    let first = run(arguments, format!("{volume}\n{snapshot}\n").as_bytes());
    assert!(stderr(&first).contains("standard input cannot be read again"), "{}", stderr(&first));
    assert_eq!(rules(&first), [] as [&str; 0]);
    // Without a line feed: nothing can follow.
    let second = run(arguments, instance.as_bytes());
    assert!(rules(&second).contains(&"aws-snapshot-staging".to_owned()), "{}", stdout(&second));
}

/// Regression: whoever restarts both ends of a pipe does not wait for the run before, which may still deliver findings. The
/// new run ended at once, and what the pipe held was lost.
#[test]
fn a_run_over_a_pipe_waits_for_the_run_before_it() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let start = || {
        let mut command =
            catena(["run", "--state", &path("state"), "--output", &path("out"), "--findings", &path("found")]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    let [volume, snapshot, instance] = chain("mallory", START, 5);
    let mut first = start();
    let into_first = first.stdin.take().expect("it has a pipe");
    write_to(&into_first, &format!("{volume}\n{snapshot}\n"));
    while !folder.path().join("out").exists() {
        thread::sleep(Duration::from_millis(10));
    }
    let mut second = start();
    write_to(&second.stdin.take().expect("it has a pipe"), &instance);
    let mut told = String::new();
    let mut messages = BufReader::new(second.stderr.take().expect("it has messages"));
    while !told.contains("waiting until it has ended") {
        assert!(messages.read_line(&mut told).expect("they are text") > 0, "{told}");
    }
    drop(into_first);
    assert!(first.wait().expect("it ends").success());
    assert!(second.wait().expect("it ends").success());
    let found = fs::read_to_string(path("found")).expect("it is there");
    assert!(found.contains("aws-snapshot-staging"), "{found}");
    assert_eq!(fs::read_to_string(path("out")).expect("it is there").lines().count(), 3);
}

#[test]
fn a_run_that_waits_for_another_can_be_stopped() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let state = folder.path().join("state").display().to_string();
    let start = || {
        let mut command = catena(["run", "--mode=findings", "--state", &state]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    let mut first = start();
    while !Path::new(&state).join("lock").exists() {
        thread::sleep(Duration::from_millis(10));
    }
    let mut second = start();
    let mut told = String::new();
    let mut messages = BufReader::new(second.stderr.take().expect("it has messages"));
    while !told.contains("waiting until it has ended") {
        assert!(messages.read_line(&mut told).expect("they are text") > 0, "{told}");
    }
    signal(&second, "-TERM");
    messages.read_to_string(&mut told).expect("they are text");
    assert_eq!(second.wait().expect("it ends").code(), Some(1), "{told}");
    drop(first.stdin.take());
    assert!(first.wait().expect("it ends").success());
}

/// Regression: a run that waits for locks would wait for its own.
#[test]
fn two_names_of_one_output_are_refused() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let out = file(folder.path(), "out", "");
    let link = folder.path().join("link");
    symlink(&out, &link).expect("a link can be made");
    let (out, link) = (out.display().to_string(), link.display().to_string());
    let output = run(["run", "--output", &out, "--findings", &link], b"{}\n");
    assert!(stderr(&output).contains("must go to different outputs"), "{}", stderr(&output));
}

fn write_to(mut pipe: &ChildStdin, text: &str) {
    pipe.write_all(text.as_bytes()).expect("it takes them");
}

/// Regression: `catena inspect | head -2` panicked.
#[test]
fn a_closed_pipe_is_a_quiet_end_of_every_command() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let rule = file(folder.path(), "rule.yaml", "nonsense");
    let rule = rule.to_str().expect("it is text");
    for arguments in [
        vec!["inspect"],
        vec!["rules", "list"],
        vec!["rules", "schema"],
        vec!["rules", "explain", "aws-snapshot-staging"],
        vec!["completions", "bash"],
        vec!["man"],
        vec!["sample"],
        vec!["--help"],
        vec!["bench", "--time", "1ms", "--batch-kib", "64", "--shares", "1"],
        vec!["rules", "check", rule],
    ] {
        let mut child = catena(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        let told = stderr(&output);
        assert!(!told.contains("panicked"), "{arguments:?}: {told}");
        let is_quiet = output.status.code() == Some(0) && told.is_empty();
        assert!(is_quiet || arguments[0] == "--help" || arguments.contains(&"check"), "{arguments:?}: {told}");
    }
}
