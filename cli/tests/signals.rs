//! SIGHUP reloads the configuration of a run, and SIGUSR1 has it log its counters.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::ChildStderr;
use std::thread;
use std::time::Duration;

use crate::common::following::{Following, signal};
use crate::common::runs::append;
use crate::common::{START, file};
use catena_synthetic::chain;

/// Reads messages up to one that has `text`.
#[track_caller]
fn told(messages: &mut BufReader<ChildStderr>, text: &str) -> String {
    let mut all = String::new();
    loop {
        let mut line = String::new();
        assert!(messages.read_line(&mut line).expect("messages are text") > 0, "{text}: {all}");
        all += &line;
        if line.contains(text) {
            return all;
        }
    }
}

#[test]
fn a_reload_keeps_pending_events_and_refuses_an_invalid_configuration() {
    for jobs in ["1", "2"] {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let log = file(folder.path(), "logs/in.ndjson", "");
        let config = file(folder.path(), "catena.yaml", "mode: findings\n");
        let findings = folder.path().join("findings.ndjson");
        let text = |path: &std::path::Path| path.display().to_string();
        let mut run = Following::start(&[
            "-c",
            &text(&config),
            "--findings",
            &text(&findings),
            "--jobs",
            jobs,
            &text(&folder.path().join("logs")),
        ]);
        let mut messages = BufReader::new(run.0.stderr.take().expect("it has messages"));
        let [volume, snapshot, instance] = chain("mallory", START, 5);
        append(&log, volume + "\n" + &snapshot + "\n");
        thread::sleep(Duration::from_millis(500));
        signal(&run.0, "-HUP");
        told(&mut messages, "the configuration has not changed");
        fs::write(&config, "mode: findings\nlimits: many\n").expect("it is written");
        signal(&run.0, "-HUP");
        told(&mut messages, "the configuration is not reloaded: ");
        fs::write(&config, "mode: filter\n").expect("it is written");
        signal(&run.0, "-HUP");
        told(&mut messages, "another mode takes a restart");
        fs::write(&config, "mode: findings\ndisabled_rules: [aws-instance-created]\n").expect("it is written");
        signal(&run.0, "-HUP");
        told(&mut messages, "the configuration is reloaded");
        append(&log, instance + "\n");
        thread::sleep(Duration::from_millis(500));
        signal(&run.0, "-USR1");
        let report = told(&mut messages, "engine: ");
        for expected in ["3 records in 1 input", "recognised: 3 aws-record", "findings aws-snapshot-staging 1"] {
            assert!(report.contains(expected), "{expected}: {report}");
        }
        let found = fs::read_to_string(&findings).expect("it is there");
        assert!(
            found.contains("aws-snapshot-staging") && !found.contains("\"uid\":\"aws-instance-created\""),
            "{found}"
        );
    }
}

#[test]
fn a_reload_tells_which_rules_lost_their_pending_events() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let log = file(folder.path(), "logs/in.ndjson", "");
    let config = file(folder.path(), "catena.yaml", "mode: findings\n");
    let text = |path: &std::path::Path| path.display().to_string();
    let mut run = Following::start(&["-c", &text(&config), &text(&folder.path().join("logs"))]);
    let mut messages = BufReader::new(run.0.stderr.take().expect("it has messages"));
    let [volume, snapshot, _] = chain("mallory", START, 5);
    append(&log, volume + "\n" + &snapshot + "\n");
    thread::sleep(Duration::from_millis(500));
    fs::write(&config, "mode: findings\ndisabled_rules: [aws-snapshot-staging]\n").expect("it is written");
    signal(&run.0, "-HUP");
    told(&mut messages, "rule aws-snapshot-staging was changed or removed: its pending events are discarded");
}
