//! `--listen`: records come in over every transport and framing, and none that was acknowledged is lost.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::following::{PATIENCE, signal};
use crate::common::listening::{Listening, request};
use crate::common::{START, catena, file, gzip, stderr};
use base64::Engine as _;
use catena_synthetic::{Random, chain};

fn records(number: u64) -> [String; 3] {
    chain(&format!("user-{number}"), START + 60 * number, number)
}

#[test]
fn streams_of_every_transport_and_framing_bring_records() {
    let listening = Listening::start(&["tcp://127.0.0.1:0", "udp://127.0.0.1:0", "unix://FOLDERsocket"], &[]);
    let send = |bytes: String| {
        let mut stream = TcpStream::connect(&listening.ports[0]).expect("it listens");
        // In pieces, with a pause within a record.
        let (first, second) = bytes.as_bytes().split_at(bytes.len() / 2);
        stream.write_all(first).expect("it takes them");
        thread::sleep(Duration::from_millis(30));
        stream.write_all(second).expect("it takes them");
    };
    send(records(0).join("\n") + "\n");
    send(records(1).join("\0") + "\0");
    send(records(2).map(|record| format!("{} {record}", record.len())).concat());
    let syslog = |record: &String| format!("<134>1 2026-01-05T10:00:00Z host app - - - {record}");
    send(records(3).iter().map(|record| syslog(record) + "\n").collect());
    send(records(4).iter().map(syslog).map(|message| format!("{} {message}", message.len())).collect());
    // Without a line feed at its end, and pretty-printed.
    send(records(5).join("\n"));
    let pretty =
        |record: &String| serde_json::to_string_pretty(&serde_json::from_str::<Value>(record).unwrap()).unwrap();
    send(records(6).iter().map(|record| pretty(record) + "\n").collect());
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("there is a port");
    for record in records(7) {
        datagrams.send_to(record.as_bytes(), &*listening.ports[1]).expect("it is sent");
        thread::sleep(Duration::from_millis(10));
    }
    let mut local = UnixStream::connect(listening.path("socket")).expect("it listens");
    local.write_all((records(8).join("\n") + "\n").as_bytes()).expect("it takes them");
    drop(local);
    let found = listening.wait("findings", 18);
    assert_eq!(found.len(), 18);
    assert!(listening.lines("rejects").is_empty());
}

#[test]
fn posts_in_the_ways_of_every_sender_bring_records_and_get_the_answers_they_expect() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let token = file(folder.path(), "token", "s3cret").display().to_string();
    let listening = Listening::start(&[&format!("http://127.0.0.1:0,token-file={token}")], &[]);
    let answer = |path: &str, headers: &[(&str, &str)], body: &[u8]| {
        let (status, answer) = listening.post(0, path, headers, body).expect("it answers");
        (status, answer.split_once("\r\n\r\n").expect("it has a body").1.to_owned())
    };
    let plain = ("Authorization", "Bearer s3cret");
    // NDJSON, an array, a container, gzip.
    assert_eq!(answer("/", &[plain], records(0).join("\n").as_bytes()).0, 200);
    assert_eq!(answer("/", &[plain], format!("[{}]", records(1).join(",")).as_bytes()).0, 200);
    let zipped = gzip(format!("{{\"Records\":[{}]}}", records(2).join(",")).as_bytes());
    assert_eq!(answer("/", &[plain, ("Content-Encoding", "gzip")], &zipped).0, 200);
    // Splunk's HEC.
    let event = |record: &String| format!("{{\"time\":1,\"event\":{record}}}");
    let events: String = records(3).iter().map(event).collect();
    let splunk = [("Authorization", "Splunk s3cret")];
    assert_eq!(
        answer("/services/collector/event", &splunk, events.as_bytes()),
        (200, r#"{"code":0,"text":"Success"}"#.to_owned())
    );
    // Firehose.
    let data = |record: &String| json!({"data": base64::engine::general_purpose::STANDARD.encode(record)});
    let body = json!({"requestId": "r-1", "timestamp": 1, "records": records(4).iter().map(data).collect::<Vec<_>>()});
    let firehose = [("X-Amz-Firehose-Request-Id", "r-1"), ("X-Amz-Firehose-Access-Key", "s3cret")];
    let (status, text) = answer("/", &firehose, body.to_string().as_bytes());
    let text: Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!((status, &text["requestId"]), (200, &json!("r-1")));
    assert!(text["timestamp"].is_u64());
    // Pub/Sub push, with the token in the address, and EventBridge with a header of its own.
    for record in records(5) {
        let message = json!({"message": {"data": base64::engine::general_purpose::STANDARD.encode(record), "messageId": "1"}, "subscription": "s"});
        assert_eq!(answer("/?token=s3cret", &[], message.to_string().as_bytes()).0, 200);
    }
    for record in records(6) {
        let event = format!(
            "{{\"version\":\"0\",\"source\":\"aws.ec2\",\"detail-type\":\"AWS API Call via CloudTrail\",\"detail\":{record}}}"
        );
        assert_eq!(answer("/", &[("X-Api-Key", "s3cret")], event.as_bytes()).0, 200);
    }
    let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode("anybody:s3cret"));
    assert_eq!(answer("/", &[("Authorization", &basic)], records(7).join("\n").as_bytes()).0, 200);
    // Event Grid.
    let validation =
        br#"[{"eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","data":{"validationCode":"v-1"}}]"#;
    let grid = [plain, ("aeg-event-type", "SubscriptionValidation")];
    assert_eq!(answer("/", &grid, validation), (200, r#"{"validationResponse":"v-1"}"#.to_owned()));
    let asked = request(&listening.ports[0], "OPTIONS", "/", &[("WebHook-Request-Origin", "eventgrid.azure.net")], b"");
    assert!(asked.expect("it answers").1.to_lowercase().contains("webhook-allowed-origin: eventgrid.azure.net"));
    assert_eq!(listening.wait("findings", 16).len(), 16);
    // What is not taken.
    for (headers, body, expected) in [
        (vec![], &b"{}"[..], 401),
        (vec![("Authorization", "Bearer wrong!")], b"{}", 401),
        (vec![plain], b"", 400),
        (vec![plain], b"{\"a\":", 400),
        (vec![plain, ("Content-Encoding", "gzip")], b"not gzip", 400),
        (vec![plain, ("Content-Encoding", "br")], b"{}", 415),
    ] {
        assert_eq!(answer("/", &headers, body).0, expected, "{}", String::from_utf8_lossy(body));
    }
    assert!(listening.lines("rejects").is_empty());
}

#[test]
fn a_record_that_is_cut_off_is_rejected_with_the_reason_and_harms_no_other() {
    let listening = Listening::start(&["tcp://127.0.0.1:0"], &[]);
    for cut in ["{\"eventName\":[", "{\"eventName\":\"Run", "[{\"a\":1},", "{\"a\":\n"] {
        TcpStream::connect(&listening.ports[0])
            .and_then(|mut stream| stream.write_all(cut.as_bytes()))
            .expect("it is taken");
    }
    listening.wait("rejects", 3);
    let mut stream = TcpStream::connect(&listening.ports[0]).expect("it listens");
    stream.write_all((records(0).join("\n") + "\n").as_bytes()).expect("it is taken");
    assert_eq!(listening.wait("findings", 2).len(), 2);
    // The last of them might have gone on in the next line.
    let rejects = listening.wait("rejects", 4);
    assert!(rejects.iter().all(|reject| reject.contains("(cut off: the connection has ended)")), "{rejects:?}");
}

/// What was acknowledged is processed once, although the run is killed at any moment and clients repeat what was not.
#[test]
fn a_hundred_kills_lose_nothing_that_was_acknowledged() {
    let mut listening = Listening::start(&["http://127.0.0.1:0"], &[]);
    let mut random = Random::new(3);
    let (mut number, mut acknowledged, mut repeated) = (0, Vec::new(), 0);
    for _ in 0..100 {
        let address = listening.ports[0].clone();
        let from = number;
        number += 20;
        let client = thread::spawn(move || {
            let post = |number: &u64| request(&address, "POST", "/", &[], records(*number).join("\n").as_bytes());
            (from..from + 20)
                .map(|number| (number, post(&number).is_some_and(|(status, _)| status == 200)))
                .collect::<Vec<_>>()
        });
        thread::sleep(Duration::from_micros(random.below(60_000)));
        listening.run = None;
        let answers = client.join().expect("the client ends");
        listening.begin();
        for (number, is_taken) in answers {
            if !is_taken {
                repeated += 1;
                assert_eq!(
                    listening.post(0, "/", &[], records(number).join("\n").as_bytes()).expect("it answers").0,
                    200
                );
            }
            acknowledged.push(number);
        }
    }
    let found = listening.wait("findings", 2 * acknowledged.len());
    let ids: BTreeSet<_> = found
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["finding_info"]["uid"].to_string())
        .collect();
    assert_eq!((found.len(), ids.len()), (2 * acknowledged.len(), 2 * acknowledged.len()));
    println!("{} requests, {repeated} repeated", acknowledged.len());
    assert!(repeated > 0);
    // What has been processed is removed.
    let began = Instant::now();
    let segments = || fs::read_dir(listening.path("state/received")).expect("there is a journal").count();
    while segments() > 1 {
        assert!(began.elapsed() < PATIENCE, "{} segments", segments());
        thread::sleep(Duration::from_millis(50));
    }
}

/// Half of the connections are cut, some are silent in the middle of a record, and the rest is served.
#[test]
fn a_thousand_connections_of_which_half_misbehave_harm_no_other() {
    let listening = Listening::start(&["tcp://127.0.0.1:0,idle=5s", "http://127.0.0.1:0"], &[]);
    let mut random = Random::new(9);
    let mut open = Vec::new();
    let mut whole = 0;
    for number in 0..1_000 {
        let port = &listening.ports[0];
        let mut stream = TcpStream::connect(port).expect("it listens");
        let text = records(number).join("\n") + "\n";
        match number % 4 {
            // Cut off within a record.
            0 | 1 => {
                let length = random.below(200) as usize;
                stream.write_all(&text.as_bytes()[..length]).expect("it is taken");
            }
            // Silent from then on.
            2 if number < 400 => {
                stream.write_all(&text.as_bytes()[..50]).expect("it is taken");
                open.push(stream);
            }
            _ => {
                stream.write_all(text.as_bytes()).expect("it is taken");
                whole += 1;
            }
        }
    }
    for number in 1_000..1_020 {
        let (status, _) = listening.post(1, "/", &[], records(number).join("\n").as_bytes()).expect("it answers");
        assert_eq!(status, 200);
        whole += 1;
    }
    let found = listening.wait("findings", 2 * whole);
    assert_eq!(found.len(), 2 * whole);
    let pid = listening.run.as_ref().expect("it runs").0.id();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<u64>().ok());
    assert!(peak.expect("there is a peak") < 400 << 10, "{peak:?} KiB");
    // Those that are silent are closed in the end.
    for mut stream in open {
        stream.set_read_timeout(Some(PATIENCE)).expect("it can be set");
        assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
    }
}

#[test]
fn too_many_connections_are_refused_and_too_long_records_end_theirs() {
    let listening =
        Listening::start(&["tcp://127.0.0.1:0,connections=2"], &["--max-record-bytes=10000", "--batch-bytes=10000"]);
    let connect = || TcpStream::connect(&listening.ports[0]).expect("it listens");
    let (mut one, two) = (connect(), connect());
    thread::sleep(Duration::from_millis(200));
    let mut third = connect();
    assert!(matches!(third.read(&mut [0]), Ok(0) | Err(_)), "it is closed");
    drop(two);
    let long = format!("{{\"a\":\"{}\"}}\n", "x".repeat(20_000));
    let _ = one.write_all(long.as_bytes());
    assert!(matches!(one.read(&mut [0]), Ok(0) | Err(_)), "it is closed");
    thread::sleep(Duration::from_millis(200));
    let mut again = connect();
    again.write_all((records(0).join("\n") + "\n").as_bytes()).expect("it is taken");
    assert_eq!(listening.wait("findings", 2).len(), 2);
}

#[test]
fn listening_and_following_go_together() {
    let listening = Listening::start(&["tcp://127.0.0.1:0"], &["--follow", "FOLDERlogs"]);
    let [volume, snapshot, instance] = records(0);
    file(listening.folder.path(), "logs/a.ndjson", volume + "\n" + &snapshot + "\n");
    listening.wait("out", 2);
    let mut stream = TcpStream::connect(&listening.ports[0]).expect("it listens");
    stream.write_all((instance + "\n").as_bytes()).expect("it is taken");
    assert_eq!(listening.wait("findings", 2).len(), 2);
    signal(&listening.run.as_ref().expect("it runs").0, "-TERM");
}

#[test]
fn mistakes_are_refused_with_the_reason() {
    for (arguments, expected) in [
        (vec!["--listen", "tcp://127.0.0.1:0"], "--state"),
        (vec!["--state", "s", "--listen", "tcp://0.0.0.0:1"], "use TLS, or the loopback interface"),
        (
            vec!["--state", "s", "--listen", "tcp://127.0.0.1:0", "file"],
            "--listen takes other inputs only with --follow",
        ),
    ] {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let output = catena(["run"]).args(&arguments).current_dir(folder.path()).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
}

/// Regression: only the first byte of a body told whether it could end within a record.
#[test]
fn a_post_that_ends_within_a_record_is_refused_whatever_comes_before() {
    let listening = Listening::start(&["http://127.0.0.1:0"], &[]);
    let whole = &records(0)[0];
    let cut = &whole[..whole.len() / 2];
    for start in ["", "\u{feff}", "<13>Jan  5 10:00:00 h a: ", "2026-01-05T10:00:00Z ", "\0", ",", "["] {
        for body in [format!("{start}{cut}"), format!("{start}{whole}\n{start}{cut}")] {
            let answer = listening.post(0, "/", &[], body.as_bytes());
            assert_eq!(answer.map(|(status, _)| status), Some(400), "{body}");
        }
    }
}
