//! Nobody who can reach the metrics can stop the run, or keep others from reading them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::following::{Following, PATIENCE, append, assert_becomes, get, metrics_address};
use crate::common::{file, records};

/// A run that may open few files, its metrics' address, and the paths of its log and its output.
struct Victim {
    run: Following,
    address: String,
    folder: tempfile::TempDir,
}

impl Victim {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        file(folder.path(), "audit.log", records()[..3].join("\n") + "\n");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let arguments = [
            "--metrics",
            "0",
            "--save-every",
            "50ms",
            "--state",
            &path("state"),
            "--output",
            &path("out"),
            &path("audit.log"),
        ];
        let mut run = Following::start(&arguments);
        let address = metrics_address(&mut run, |_| {});
        Self { run, address, folder }
    }

    /// Asserts that the metrics can be read, and that the run goes on and saves its state.
    fn assert_alive(&mut self) {
        assert!(get(&self.address, "/metrics").contains("catena_records_total"));
        append(&self.folder.path().join("audit.log"), &records()[3..5]);
        assert_becomes(&self.folder.path().join("out"), &records()[..5]);
        let state = self.folder.path().join("state/run.state");
        let saved = || state.metadata().and_then(|file| file.modified()).ok();
        let (before, began) = (saved(), Instant::now());
        while saved() == before {
            assert!(began.elapsed() < PATIENCE, "the state is not saved any more");
            thread::sleep(Duration::from_millis(20));
        }
        assert!(self.run.0.try_wait().expect("it can be asked").is_none(), "the run has ended");
    }

    fn memory_kb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.run.0.id())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it has memory");
        line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
    }
}

/// Regression: 500 idle connections ended the server for good, and then the run.
#[test]
fn a_thousand_idle_connections_lock_nobody_out() {
    let mut victim = Victim::start();
    // Fewer are left if this process may not open as many.
    let idle: Vec<_> = (0..900).map_while(|_| TcpStream::connect(&victim.address).ok()).collect();
    assert!(idle.len() >= 500, "{} connections", idle.len());
    victim.assert_alive();
}

/// Regression: a head without an end was buffered until memory ran out.
#[test]
fn a_head_without_an_end_is_cut_off() {
    let mut victim = Victim::start();
    let before = victim.memory_kb();
    let mut stream = TcpStream::connect(&victim.address).expect("the server listens");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nX: ").expect("it listens");
    let line = [b'a'; 64 << 10];
    let mut sent = 0;
    while sent < 256 << 20 && stream.write_all(&line).is_ok() {
        sent += line.len();
    }
    assert!(sent < 256 << 20, "it should hang up");
    assert!(victim.memory_kb() < before + (50 << 10));
    victim.assert_alive();
}

#[test]
fn a_slow_head_and_a_reader_that_never_reads_are_cut_off() {
    let mut victim = Victim::start();
    let mut slow = TcpStream::connect(&victim.address).expect("the server listens");
    let began = Instant::now();
    // A byte at a time, for as long as it is taken.
    while slow.write_all(b"G").is_ok() && slow.flush().is_ok() {
        assert!(began.elapsed() < PATIENCE, "it should hang up");
        thread::sleep(Duration::from_millis(100));
    }
    let mut asking: Vec<_> = (0..40).map_while(|_| TcpStream::connect(&victim.address).ok()).collect();
    for stream in &mut asking {
        // It may have been closed for a newer one.
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    victim.assert_alive();
}

#[test]
fn anything_but_a_request_is_refused() {
    let mut victim = Victim::start();
    for (request, answer) in [
        (&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], ""),
        (b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", "405"),
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", "404"),
        (b"GET http://[ HTTP/1.1\r\n\r\n", "400"),
    ] {
        let mut stream = TcpStream::connect(&victim.address).expect("the server listens");
        stream.write_all(request).expect("it listens");
        let mut got = Vec::new();
        let _ = stream.read_to_end(&mut got);
        let got = String::from_utf8_lossy(&got);
        assert!(got.contains(answer) && !got.contains("200 OK"), "{got}");
    }
    victim.assert_alive();
}
