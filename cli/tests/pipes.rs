//! Inputs that can be read only once, with and without a state, and readers that close early.

use std::process::Stdio;

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
