//! `--send`: findings reach receivers of every kind, also those that misbehave, and a crash loses none.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::following::{Following, PATIENCE, get, metrics_address, signal};
use crate::common::receiver::{Answer, Receiver, Request};
use crate::common::runs::append;
use crate::common::{START, catena, file, records, run, stderr};
use catena_synthetic::{Random, chain};

/// Runs over a chain and sends its two findings.
fn send(destination: &str, more: &[&str]) -> (Output, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let spool = folder.path().join("spool").display().to_string();
    let arguments = ["run", "--mode=findings", "--findings=/dev/null", "--spool", &spool, "--send", destination];
    (run(arguments.into_iter().chain(more.iter().copied()), records().join("\n").as_bytes()), folder)
}

fn ok(_: usize, _: &Request) -> Answer {
    Answer::Status(200, "{}".to_owned())
}

fn secret(folder: &Path) -> String {
    file(folder, "secret", "the secret\n").display().to_string()
}

fn ids<'r>(requests: impl IntoIterator<Item = &'r Request>) -> Vec<String> {
    requests.into_iter().filter_map(|request| request.header("idempotency-key").map(str::to_owned)).collect()
}

#[test]
fn a_webhook_gets_each_finding_with_its_id() {
    let receiver = Receiver::http(ok);
    let (output, _folder) = send(&format!("http://{}/hook?a=b", receiver.address), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let taken = receiver.taken();
    assert_eq!(taken.len(), 2);
    for request in &taken {
        let finding: Value = serde_json::from_str(&request.body).expect("it is JSON");
        assert_eq!(finding["finding_info"]["uid"], request.header("idempotency-key").expect("it has a key"));
        assert_eq!(finding["enrichments"][0]["data"]["file"], "standard input");
        assert_eq!(request.path, "/hook?a=b");
    }
}

#[test]
fn severities_and_rules_select_what_is_sent() {
    for (filter, expected) in [
        ("severity=high", 1),
        ("severity=critical", 0),
        ("rule=aws-snapshot-*", 1),
        ("rule=aws-instance-created", 1),
        ("rule=gcp-*", 0),
        ("rule=gcp-*,rule=aws-*", 2),
    ] {
        let receiver = Receiver::http(ok);
        send(&format!("http://{},{filter}", receiver.address), &[]);
        assert_eq!(receiver.taken().len(), expected, "{filter}");
    }
}

#[test]
fn splunk_gets_events_with_their_token() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let receiver = Receiver::http(|_, _| Answer::Status(200, r#"{"text":"Success","code":0}"#.to_owned()));
    send(&format!("hec+http://{},token-file={},index=main", receiver.address, secret(folder.path())), &[]);
    let taken = receiver.taken();
    let events: Vec<Value> =
        taken.iter().flat_map(|request| request.body.lines()).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 2);
    assert_eq!(taken[0].path, "/services/collector/event");
    assert_eq!(taken[0].header("authorization"), Some("Splunk the secret"));
    for event in events {
        assert_eq!(event["fields"]["finding_id"], event["event"]["finding_info"]["uid"]);
        assert_eq!(event["index"], "main");
    }
}

/// One finding is there already, one is asked for again: both end up there once.
#[test]
fn elasticsearch_gets_documents_with_ids_and_those_again_that_it_asks_for() {
    let receiver = Receiver::http(|number, request| {
        let count = request.body.lines().count() / 2;
        let status = |at: usize| match (number, at) {
            (0, 0) => 409,
            (0, _) => 429,
            _ => 201,
        };
        let items: Vec<_> = (0..count).map(|at| json!({"create": {"status": status(at)}})).collect();
        Answer::Status(200, json!({"errors": number == 0, "items": items}).to_string())
    });
    let (output, folder) =
        send(&format!("elastic+http://{}/findings", receiver.address), &["--findings-format", "ecs"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let taken = receiver.taken();
    let lines: Vec<Vec<Value>> = taken
        .iter()
        .map(|request| request.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
        .collect();
    assert_eq!((taken[0].path.as_str(), lines[0].len(), lines[1].len()), ("/findings/_bulk", 4, 2));
    assert_eq!(lines[0][0]["create"]["_id"], lines[0][1]["event"]["id"]);
    assert_eq!(lines[1], lines[0][2..], "only the other one is sent again");
    assert!(!has_dead_letters(folder.path()));
}

#[test]
fn sentinel_gets_rows_with_a_token_that_is_renewed_when_it_is_refused() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let receiver = Receiver::http(|number, request| match (number, &*request.path) {
        (_, "/tenant/oauth2/v2.0/token") => {
            Answer::Status(200, json!({"access_token": format!("token-{number}"), "expires_in": 3_600}).to_string())
        }
        (1, _) => Answer::Status(401, "the token was revoked".to_owned()),
        _ => Answer::Status(204, String::new()),
    });
    let (address, secret) = (&receiver.address, secret(folder.path()));
    let destination = format!(
        "sentinel+http://{address}/dataCollectionRules/dcr-1/streams/Custom-F,login=http://{address},tenant=tenant,client=app,secret-file={secret}"
    );
    let (output, _folder) = send(&destination, &["--findings-format", "sentinel"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let taken = receiver.taken();
    let rows = taken.last().expect("there are requests");
    assert_eq!(rows.path, "/dataCollectionRules/dcr-1/streams/Custom-F?api-version=2023-01-01");
    assert_eq!(rows.header("authorization"), Some("Bearer token-2"));
    let rows: Vec<Value> = serde_json::from_str(&rows.body).expect("it is JSON");
    assert_eq!(rows.len(), 2);
    assert!(rows[0]["TimeGenerated"].is_string() && rows[0]["FindingId"].is_string());
    assert!(
        taken[0].body.contains("grant_type=client_credentials") && taken[0].body.contains("client_secret=the+secret")
    );
}

/// The frames of a stream with counted octets (RFC 6587).
fn frames(mut stream: &str) -> Vec<&str> {
    let mut frames = Vec::new();
    while let Some((length, rest)) = stream.split_once(' ') {
        let (frame, rest) = rest.split_at(length.parse().expect("a length"));
        frames.push(frame);
        stream = rest;
    }
    frames
}

fn read_all(stream: &mut std::net::TcpStream) -> Option<String> {
    let mut text = String::new();
    stream.read_to_string(&mut text).ok().map(|_| text)
}

#[test]
fn syslog_gets_messages_again_if_the_receiver_dies_before_it_has_read_them() {
    let receiver = Receiver::stream(|number, stream| match number {
        // Closing with bytes unread resets the connection.
        0 => {
            thread::sleep(Duration::from_millis(100));
            None
        }
        _ => read_all(stream),
    });
    let (output, _folder) = send(&format!("syslog+tcp://{}", receiver.address), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let taken = receiver.taken();
    let frames = frames(&taken[0].body);
    assert_eq!(frames.len(), 2);
    for frame in frames {
        assert!(frame.starts_with("<13") && frame.contains(">1 2026-01-05T10:02:15Z "), "{frame}");
        let body = &frame[frame.find('{').expect("there is a finding")..];
        let finding: Value = serde_json::from_str(body).expect("it is JSON");
        assert!(frame.contains(&format!("[catena@32473 id={} rule=", finding["finding_info"]["uid"])), "{frame}");
    }
}

fn has_dead_letters(folder: &Path) -> bool {
    let spools = fs::read_dir(folder.join("spool")).expect("there is a spool").flatten();
    spools.into_iter().any(|entry| entry.path().join("dead.ndjson").exists())
}

#[test]
fn a_receiver_that_fails_in_every_way_gets_each_finding_in_the_end() {
    let receiver = Receiver::http(|number, _| match number {
        0 => Answer::Status(500, "down".to_owned()),
        1 => Answer::With(429, "Retry-After: 1", String::new()),
        2 => Answer::Cut,
        3 => Answer::Status(403, "no permission yet".to_owned()),
        4 => Answer::Status(302, String::new()),
        _ => Answer::Status(200, String::new()),
    });
    let (output, folder) = send(&format!("http://{}", receiver.address), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(ids(&receiver.taken()).into_iter().collect::<BTreeSet<_>>().len(), 2);
    assert!(!has_dead_letters(folder.path()));
    assert!(stderr(&output).contains("will retry: the answer is 500: down"), "{}", stderr(&output));
}

#[test]
fn a_finding_that_is_refused_for_good_is_kept_with_the_reason_and_holds_up_no_other() {
    let receiver = Receiver::http(|number, _| match number {
        0 => Answer::Status(400, "I do not like it".to_owned()),
        _ => Answer::Status(200, String::new()),
    });
    let (output, folder) = send(&format!("http://{},name=hook", receiver.address), &[]);
    assert_eq!((output.status.code(), receiver.taken().len()), (Some(1), 1));
    let letters = fs::read_to_string(folder.path().join("spool/hook/dead.ndjson")).expect("it is there");
    let letter: Value = serde_json::from_str(&letters).expect("it is JSON");
    assert_eq!(letter["reason"], "the answer is 400: I do not like it");
    assert_eq!(letter["finding"]["class_uid"], 2004);
}

/// The receiver hangs on every request; the run, its findings file and another receiver do not notice.
#[test]
fn a_slow_receiver_slows_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let slow = Receiver::http(|_, _| {
        thread::sleep(Duration::from_secs(3_600));
        Answer::Cut
    });
    let quick = Receiver::http(ok);
    let log = file(folder.path(), "logs/in.ndjson", "");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (state, logs, findings) = (path("state"), path("logs"), path("findings.ndjson"));
    let [to_slow, to_quick] = [&slow, &quick].map(|receiver| format!("http://{}", receiver.address));
    let arguments = [
        "--state",
        &state,
        "--findings",
        &findings,
        "--send",
        &to_slow,
        "--send",
        &to_quick,
        "--metrics=0",
        "-o",
        "/dev/null",
        &logs,
    ];
    let mut running = Following::start(&arguments);
    let address = metrics_address(&mut running, |_| {});
    for number in 0..20 {
        append(&log, chain(&format!("user-{number}"), START + 60 * number, number).join("\n") + "\n");
        quick.wait(|taken| taken.len() == 2 * (number as usize + 1));
    }
    let found = fs::read_to_string(&findings).expect("it is there");
    assert_eq!(found.lines().count(), 40);
    let metrics = get(&address, "/metrics");
    let waiting = metrics.lines().find(|line| line.starts_with("catena_send_waiting_bytes{to=\"webhook-127.0.0.1"));
    assert!(waiting.is_some(), "{metrics}");
    assert!(metrics.contains(",fate=\"sent\"} 40"), "{metrics}");
}

#[test]
fn a_spool_that_is_full_is_told_and_nothing_else_is_lost() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let stream = catena_synthetic::Stream { records: 100, chains: 400, ..Default::default() };
    let input = file(folder.path(), "in.ndjson", stream.lines().join("\n"));
    let [spool, findings] = ["spool", "findings.ndjson"].map(|name| folder.path().join(name).display().to_string());
    // Nobody listens there.
    let output = catena(["run", "--mode=findings", "--spool", &spool, "--findings", &findings])
        .args(["--send", "http://127.0.0.1:9,spool-mib=1"])
        .arg(input)
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let told = stderr(&output);
    assert!(told.contains("its spool is full") && told.contains("the next run goes on with them"), "{told}");
    assert_eq!(fs::read_to_string(&findings).expect("it is there").lines().count(), 800);
}

/// A sender and a receiver that are killed and cut off again and again.
#[test]
fn a_hundred_kills_of_the_sender_lose_no_finding() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let seen = Arc::new(AtomicBool::new(false));
    let cut = Arc::clone(&seen);
    let mut random = Random::new(5);
    let receiver = Receiver::http(move |_, _| match random.below(12) {
        0 => {
            cut.store(true, Ordering::Relaxed);
            Answer::Cut
        }
        1 => Answer::Status(503, String::new()),
        _ => Answer::Status(200, String::new()),
    });
    let log = file(folder.path(), "logs/in.ndjson", "");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (state, logs, to) = (path("state"), path("logs"), format!("http://{},name=hook", receiver.address));
    let findings = path("findings.ndjson");
    let arguments =
        ["--mode=findings", "--state", &state, "--save-every=50ms", "--findings", &findings, "--send", &to, &logs];
    let mut random = Random::new(6);
    for number in 0..100 {
        let running = Following::start(&arguments);
        append(&log, chain(&format!("user-{number}"), START + 60 * number, number).join("\n") + "\n");
        thread::sleep(Duration::from_millis(20 + random.below(150)));
        drop(running);
    }
    let _running = Following::start(&arguments);
    receiver.wait(|taken| ids(taken).into_iter().collect::<BTreeSet<_>>().len() >= 200);
    // The receiver may have some from a run before, and the file not again yet.
    let began = Instant::now();
    let read = || fs::read_to_string(&findings).expect("it is there");
    while read().lines().count() < 200 && began.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(20));
    }
    let found = read();
    let expected: BTreeSet<_> = found
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["finding_info"]["uid"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!((found.lines().count(), expected.len()), (200, 200), "the file has each once");
    let sent = ids(&receiver.taken());
    assert_eq!(sent.iter().cloned().collect::<BTreeSet<_>>(), expected);
    println!("{} deliveries of 200 findings", sent.len());
    assert!(seen.load(Ordering::Relaxed));
}

#[test]
fn mistakes_are_refused_before_anything_is_read() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let spool = folder.path().display().to_string();
    for (arguments, expected) in [
        (vec!["--send", "https://localhost"], "--send needs --state FOLDER or --spool FOLDER"),
        (vec!["--spool", &spool, "--send", "hec+https://h,token-file=/nowhere"], "/nowhere: No such file"),
        (vec!["--spool", &spool, "--send", "htps://h"], "htps:// is not known"),
        (vec!["--spool", &spool, "--send", "http://h", "--send", "http://h"], "is given twice"),
    ] {
        let output = run(["run"].into_iter().chain(arguments.iter().copied()), b"");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
}

/// A receiver that reads and never closes would get the same findings again and again.
#[test]
fn a_syslog_receiver_that_never_closes_can_be_told() {
    let receiver = Receiver::stream(|_, stream| {
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        // Kept open.
        std::mem::forget(stream.try_clone());
        Some(text)
    });
    let (output, _folder) = send(&format!("syslog+tcp://{},confirm=sent,framing=newline", receiver.address), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let taken = receiver.wait(|taken| !taken.is_empty());
    assert_eq!(taken[0].body.lines().count(), 2);
}

/// Regression: a run that had read everything waited on for 30 s, whatever it was told.
#[test]
fn a_stop_shortens_the_wait_for_the_last_findings() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let input = file(folder.path(), "in.ndjson", records().join("\n"));
    let [spool, findings] = ["spool", "findings.ndjson"].map(|name| folder.path().join(name).display().to_string());
    // Nobody listens there.
    let mut command = catena(["run", "--mode=findings", "--spool", &spool, "--findings", &findings]);
    command.args(["--send", "http://127.0.0.1:9"]).arg(input);
    let mut running = Following(command.spawn().expect("it starts"));
    let began = Instant::now();
    while fs::read_to_string(&findings).unwrap_or_default().lines().count() < 2 && began.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(20));
    }
    let told = Instant::now();
    signal(&running.0, "-TERM");
    assert_eq!(running.0.wait().expect("it ends").code(), Some(143));
    assert!(told.elapsed() < Duration::from_secs(20), "{:?}", told.elapsed());
}

/// Regressions: a receiver that asks for no pause got thousands of requests, and one that repeats what it is sent put the
/// token into the log and the dead letters.
#[test]
fn a_receiver_that_repeats_the_request_and_asks_for_no_pause() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let input = file(folder.path(), "in.ndjson", records().join("\n"));
    let token = file(folder.path(), "token", "s3cret-token").display().to_string();
    let spool = folder.path().join("spool").display().to_string();
    let asked = Arc::new(AtomicBool::new(false));
    let was_asked = Arc::clone(&asked);
    let mut last = Instant::now();
    let receiver = Receiver::http(move |number, request| {
        let pause = last.elapsed();
        last = Instant::now();
        let seen = request.header("authorization").unwrap_or_default().to_owned();
        match number {
            0 => Answer::With(429, "Retry-After: 0", String::new()),
            1 if pause < Duration::from_millis(150) => Answer::Status(400, "too soon".to_owned()),
            _ => {
                was_asked.store(seen.contains("s3cret-token"), Ordering::Relaxed);
                Answer::Status(400, seen)
            }
        }
    });
    let to = format!("http://{},name=hook,token-file={token}", receiver.address);
    let output = run(["run", "--mode=findings", "--spool", &spool, "--send", &to, &input.display().to_string()], b"");
    let dead = fs::read_to_string(folder.path().join("spool/hook/dead.ndjson")).expect("there are dead letters");
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "refused findings are no success: {told}");
    assert!(asked.load(Ordering::Relaxed) && dead.contains("[hidden]") && !dead.contains("too soon"), "{dead}");
    assert!(!dead.contains("s3cret-token") && !told.contains("s3cret-token"), "{told}");
}

/// Regression: what a slow webhook had taken was noted only once all of it was.
#[test]
fn what_a_slow_webhook_has_taken_is_not_sent_again_by_the_next_run() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let input = file(folder.path(), "in.ndjson", records().join("\n"));
    let receiver = Receiver::http(|number, _| match number {
        0 => Answer::Status(200, String::new()),
        _ => Answer::Cut,
    });
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut command = catena(["run", "--mode=findings", "--state", &path("state"), "--findings", &path("findings")]);
    command.args(["--send", &format!("http://{},name=hook", receiver.address)]).arg(input);
    let running = Following(command.spawn().expect("it starts"));
    let position = folder.path().join("state/send/hook/position");
    let began = Instant::now();
    while !position.exists() {
        assert!(began.elapsed() < PATIENCE, "nothing is noted although a finding was taken");
        thread::sleep(Duration::from_millis(20));
    }
    drop(running);
    assert_eq!(receiver.taken().len(), 1);
}
