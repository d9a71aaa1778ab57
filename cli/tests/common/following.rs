//! Runs with `--follow` in the background of a test.
#![allow(dead_code, reason = "each test uses what it needs")]

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::catena;

/// Timeout, long enough for the slowest machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A run with `--follow`, killed when dropped.
pub struct Following(pub Child);

impl Following {
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = catena(["run", "--follow"]);
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::piped());
        Self(command.spawn().expect("it starts"))
    }

    /// Stops it with SIGTERM, as an operator does, and returns its messages.
    pub fn end(mut self) -> String {
        signal(&self.0, "-TERM");
        let mut told = String::new();
        self.0.stderr.take().expect("it has messages").read_to_string(&mut told).expect("they are text");
        assert_eq!(self.0.wait().expect("it ends").code(), Some(143), "{told}");
        told
    }
}

/// The address at which a run serves its metrics. `each` sees every message up to that one.
pub fn metrics_address(run: &mut Following, each: impl Fn(&str)) -> String {
    let mut told = BufReader::new(run.0.stderr.take().expect("it has messages"));
    loop {
        let mut line = String::new();
        told.read_line(&mut line).expect("it says something");
        each(&line);
        let address = line.split_once("http://").and_then(|(_, rest)| rest.split_once("/metrics"));
        if let Some((address, _)) = address {
            let address = address.to_owned();
            // Whatever it says later must not block it.
            thread::spawn(move || std::io::copy(&mut told, &mut std::io::sink()));
            return address;
        }
    }
}

/// The response to a GET request.
pub fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("it can be asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

/// Sends a signal, such as `-TERM`.
pub fn signal(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until a file consists of these lines, annotations aside.
#[track_caller]
pub fn assert_becomes(path: &Path, lines: &[String]) {
    let expected = lines.join("\n") + "\n";
    let began = Instant::now();
    let mut got = String::new();
    while began.elapsed() < PATIENCE {
        got = String::from_utf8(super::without_annotations(&fs::read(path).unwrap_or_default())).expect("it is text");
        if got == expected {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("{} lines, expected {}", got.lines().count(), lines.len());
}

/// Waits until a file has `count` lines, or the timeout expires, and returns its lines.
pub fn wait_for(path: &Path, count: usize) -> Vec<String> {
    let began = Instant::now();
    loop {
        let got: Vec<_> = fs::read_to_string(path).expect("it is text").lines().map(str::to_owned).collect();
        if got.len() >= count || began.elapsed() >= PATIENCE {
            return got;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

pub fn append(path: &Path, lines: &[String]) {
    let mut growing = OpenOptions::new().append(true).create(true).open(path).expect("it opens");
    growing.write_all((lines.join("\n") + "\n").as_bytes()).expect("it grows");
}
