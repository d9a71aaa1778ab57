//! `--follow`: files that grow, appear, are rotated and truncated; metrics and health of a running program.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::following::{Following, PATIENCE, append, assert_becomes, get, metrics_address, wait_for};
use crate::common::{catena, file, gzip, records, stderr};
use serde_json::Value;

#[test]
fn growing_new_and_rotated_files_in_a_folder_are_read_as_they_change() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let logs = folder.path().join("logs");
    let lines = records();
    let log = file(&logs, "audit.log", lines[..3].join("\n") + "\n");
    let (output, state) = (folder.path().join("out"), folder.path().join("state"));
    let (output_text, state_text) = (output.display().to_string(), state.display().to_string());
    let logs_text = logs.display().to_string();
    let arguments = ["--output", &output_text, "--state", &state_text, "--save-every", "50ms", &logs_text];
    let run = Following::start(&arguments);
    assert_becomes(&output, &lines[..3]);
    append(&log, &lines[3..5]);
    assert_becomes(&output, &lines[..5]);
    // A new file.
    file(&logs, "b.json.gz", gzip((lines[5..8].join("\n") + "\n").as_bytes()));
    assert_becomes(&output, &lines[..8]);
    // Rotated, with records appended after the rename, and later compressed under a name that is picked up.
    let rotated = logs.join("audit.log.1");
    fs::rename(&log, &rotated).expect("it is renamed");
    append(&rotated, &lines[8..9]);
    assert_becomes(&output, &lines[..9]);
    append(&log, &lines[9..11]);
    assert_becomes(&output, &lines[..11]);
    // Killed and restarted.
    drop(run);
    append(&log, &lines[11..14]);
    let run = Following::start(&arguments);
    assert_becomes(&output, &lines[..14]);
    file(&logs, "audit.log.1.gz", gzip(&fs::read(&rotated).expect("it is there")));
    append(&log, &lines[14..15]);
    assert_becomes(&output, &lines[..15]);
    let told = run.end();
    assert!(told.contains("15 passed"), "{told}");
}

/// Regression: a mistyped path looked like an idle log.
#[test]
fn a_missing_file_is_reported_and_read_once_it_exists() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let [log, output, state] = ["audit.log", "out", "state"].map(|name| folder.path().join(name));
    let [log, output_text, state_text] = [&log, &output, &state].map(|path| path.display().to_string());
    let run = Following::start(&["--output", &output_text, "--state", &state_text, &log]);
    let began = Instant::now();
    // It locks its state after it has looked for its inputs.
    while !state.join("lock").exists() {
        assert!(began.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(20));
    }
    file(folder.path(), "audit.log", records().join("\n") + "\n");
    assert_becomes(&output, &records());
    let told = run.end();
    assert!(told.contains("audit.log: does not exist; waiting for it"), "{told}");
}

#[test]
fn a_truncated_file_is_read_from_the_start_with_a_warning() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let lines = records();
    let log = file(folder.path(), "audit.log", lines[..6].join("\n") + "\n");
    let output = folder.path().join("out");
    let run = Following::start(&["--output", &output.display().to_string(), &log.display().to_string()]);
    assert_becomes(&output, &lines[..6]);
    // As `copytruncate` does.
    OpenOptions::new().write(true).open(&log).and_then(|file| file.set_len(0)).expect("it is cut");
    thread::sleep(Duration::from_millis(500));
    append(&log, &lines[6..8]);
    assert_becomes(&output, &lines[..8]);
    assert!(run.end().contains("was truncated to 0 bytes"));
}

#[test]
fn metrics_and_health_are_served_and_messages_can_be_json() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let log = file(folder.path(), "audit.log", records().join("\n") + "\n");
    let (output, log) = (folder.path().join("out").display().to_string(), log.display().to_string());
    let state = folder.path().join("state").display().to_string();
    let arguments = [
        "--metrics",
        "0",
        "--log-format",
        "json",
        "--jobs",
        "2",
        "--state",
        &state,
        "--save-every",
        "50ms",
        "--listen=tcp://127.0.0.1:0",
        "--send=http://127.0.0.1:9",
    ];
    let mut run = Following::start(&[&arguments[..], &["--output", &output, &log]].concat());
    let address = metrics_address(&mut run, |line| {
        let message: Value = serde_json::from_str(line).expect("a message is JSON");
        assert!(message["level"].is_string() && message["timestamp"].is_string(), "{line}");
    });
    assert!(address.starts_with("127.0.0.1:"), "on the loopback: {address}");
    let began = Instant::now();
    let mut metrics = String::new();
    let is_complete = |metrics: &str| {
        metrics.contains("catena_records_total 23\n") && metrics.contains("catena_checkpoint_timestamp_seconds")
    };
    while !is_complete(&metrics) && began.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(50));
        metrics = get(&address, "/metrics");
    }
    for expected in [
        "\ncatena_records_total 23\n",
        "\n# TYPE catena_records_total counter\n",
        "\ncatena_findings_total 2\n",
        "\ncatena_instances 2\n",
        "\ncatena_restarts_total 0\n",
        "\ncatena_lag_bytes 0\n",
        "\ncatena_engine_findings_total{rule=\"aws-snapshot-staging\"} 1\n",
        "\n# TYPE catena_engine_pending gauge\n",
    ] {
        assert!(metrics.contains(expected), "{expected} is not in {metrics}");
    }
    // Every metric named by the dashboard, the alerts and the guides exists.
    let documents = [
        include_str!("../../docs/dashboard.json"),
        include_str!("../../docs/operating.md"),
        include_str!("../../docs/listening.md"),
        include_str!("../../docs/alerts.yml"),
    ];
    for document in documents {
        for (at, _) in document.match_indices("catena_") {
            let name: String =
                document[at..].chars().take_while(|letter| letter.is_ascii_lowercase() || *letter == '_').collect();
            assert!(metrics.contains(&name), "{name} is not in {metrics}");
        }
    }
    assert!(get(&address, "/metrics?name=any").contains("catena_records_total"));
    assert!(get(&address, "/health").contains("200 OK"));
    assert!(get(&address, "/").contains("404"));
}

#[test]
fn a_record_that_the_component_fails_on_is_rejected_and_the_run_continues() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let component = file(folder.path(), "fails.wasm", crate::guest::FAILS_ON_EXCLAMATION.component());
    let lines = ["{\"a\":1}", "{\"b\":\"!\"}", "{\"a\":2}"];
    let input = file(folder.path(), "in.ndjson", lines.join("\n") + "\n");
    let rejects = folder.path().join("rejects");
    let output = catena(["run", "--component"])
        .arg(&component)
        .arg("--rejects")
        .arg(&rejects)
        .arg(&input)
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(crate::common::stdout(&output), lines.join("\n") + "\n", "the stream is whole");
    let rejected: Value = serde_json::from_slice(&fs::read(rejects).expect("it is there")).expect("one line of JSON");
    assert_eq!(
        (&rejected["line"], &rejected["code"], &rejected["record"]),
        (&2.into(), &"poison".into(), &lines[1].into())
    );
    assert!(rejected["detail"].as_str().unwrap_or_default().contains("unreachable"), "{rejected}");
    assert!(stderr(&output).contains("the instance is replaced"), "{}", stderr(&output));
}

#[test]
fn more_files_than_are_kept_open_can_be_followed() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let logs = folder.path().join("logs");
    let lines: Vec<_> = (0..600).map(|at| format!("{{\"a\":{at}}}")).collect();
    let path = |at: usize| logs.join(format!("{at:03}.log"));
    for (at, line) in lines.iter().take(300).enumerate() {
        file(&logs, &format!("{at:03}.log"), format!("{line}\n"));
    }
    let output = folder.path().join("out");
    let run = Following::start(&["--output", &output.display().to_string(), &logs.display().to_string()]);
    assert_becomes(&output, &lines[..300]);
    for (at, line) in lines[300..].iter().enumerate() {
        append(&path(at), std::slice::from_ref(line));
    }
    let mut got = wait_for(&output, lines.len());
    got.sort();
    let mut expected = lines.clone();
    expected.sort();
    assert_eq!(got, expected);
    let told = run.end();
    assert!(told.contains("600 passed"), "{told}");
}

/// A log is written and rotated while the run that reads it is killed again and again.
#[test]
fn rotations_and_kills_neither_lose_nor_duplicate_records() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let logs = folder.path().join("logs");
    fs::create_dir(&logs).expect("a folder can be made");
    let (output, state) = (folder.path().join("out"), folder.path().join("state"));
    let texts = [&output, &state, &logs].map(|path| path.display().to_string());
    let arguments = ["-q", "--output", &texts[0], "--state", &texts[1], "--save-every", "20ms", &texts[2]];
    let log = logs.join("audit.log");
    let mut random = catena_synthetic::Random::new(3);
    let (mut lines, mut rotations, mut kills) = (Vec::new(), 0, 0);
    let mut run = Following::start(&arguments);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(6) {
        let more: Vec<_> =
            (0..1 + random.below(40)).map(|at| format!("{{\"a\":{}}}", lines.len() as u64 + at)).collect();
        let text = more.join("\n") + "\n";
        // In two writes: the first may end within a record.
        let (first, second) = text.split_at(random.below(text.len() as u64) as usize);
        let mut growing = OpenOptions::new().append(true).create(true).open(&log).expect("it opens");
        growing.write_all(first.as_bytes()).expect("it grows");
        thread::sleep(Duration::from_millis(random.below(15)));
        growing.write_all(second.as_bytes()).expect("it grows");
        lines.extend(more);
        if random.below(25) == 0 {
            rotations += 1;
            fs::rename(&log, logs.join(format!("audit.log.{rotations}"))).expect("it is renamed");
        }
        if random.below(12) == 0 {
            kills += 1;
            drop(run);
            run = Following::start(&arguments);
        }
    }
    let mut got = wait_for(&output, lines.len());
    run.end();
    got.sort();
    lines.sort();
    assert!(
        got == lines,
        "{} lines, expected {}, after {rotations} rotations and {kills} kills",
        got.len(),
        lines.len()
    );
    assert!(rotations > 3 && kills > 3);
}

/// Regression: a file first seen empty was taken for uncompressed.
#[test]
fn a_compressed_file_that_is_empty_at_first_is_decompressed() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let logs = folder.path().join("logs");
    let lines = records();
    let path = file(&logs, "a.json.gz", "");
    file(&logs, "b.log", lines[0].clone() + "\n");
    let output = folder.path().join("out");
    let run = Following::start(&["--output", &output.display().to_string(), &logs.display().to_string()]);
    assert_becomes(&output, &lines[..1]);
    fs::write(&path, gzip((lines[1..].join("\n") + "\n").as_bytes())).expect("it is written");
    assert_becomes(&output, &lines);
    run.end();
}

/// Regression: only what the arguments name was looked at.
#[test]
fn a_damaged_file_in_a_folder_is_unhealthy_until_it_is_gone() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut damaged = crate::common::gzip(records().join("\n").as_bytes());
    damaged.iter_mut().skip(20).for_each(|byte| *byte = !*byte);
    let damaged = file(folder.path(), "logs/b.json.gz", damaged);
    let logs = folder.path().join("logs").display().to_string();
    let output = folder.path().join("out").display().to_string();
    let mut run = Following::start(&["--metrics", "0", "-o", &output, &logs]);
    let address = metrics_address(&mut run, |_| {});
    let becomes = |expected: &str| {
        let began = Instant::now();
        while !get(&address, "/health").contains(expected) {
            assert!(began.elapsed() < PATIENCE, "{}", get(&address, "/health"));
            thread::sleep(Duration::from_millis(50));
        }
    };
    becomes("b.json.gz");
    assert!(get(&address, "/metrics").contains("\ncatena_inputs_unreadable 1\n"));
    fs::remove_file(damaged).expect("it is removed");
    becomes("200 OK");
}
