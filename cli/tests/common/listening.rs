//! Runs with `--listen` in the background of a test.
#![allow(dead_code, reason = "each test uses what it needs")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::catena;
use super::following::{Following, PATIENCE};

/// A run that listens, its folder and the ports that it got.
pub struct Listening {
    pub folder: tempfile::TempDir,
    pub arguments: Vec<String>,
    pub run: Option<Following>,
    pub ports: Vec<String>,
}

impl Listening {
    pub fn start(addresses: &[&str], more: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut arguments = vec!["run".to_owned(), "--state".into(), path("state"), "--save-every=50ms".into()];
        arguments.extend([
            "-o".to_owned(),
            path("out"),
            "--findings".into(),
            path("findings"),
            "--rejects".into(),
            path("rejects"),
        ]);
        arguments.extend(addresses.iter().map(|address| format!("--listen={}", address.replace("FOLDER", &path("")))));
        arguments.extend(more.iter().map(|argument| argument.replace("FOLDER", &path(""))));
        let mut listening = Self { folder, arguments, run: None, ports: Vec::new() };
        listening.begin();
        listening
    }

    pub fn begin(&mut self) {
        let mut command = catena(&self.arguments);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
        let mut run = Following(command.spawn().expect("it starts"));
        let mut messages = BufReader::new(run.0.stderr.take().expect("it has messages"));
        self.ports.clear();
        let count = self.arguments.iter().filter(|argument| argument.starts_with("--listen")).count();
        let mut told = String::new();
        while self.ports.len() < count {
            let mut line = String::new();
            assert!(messages.read_line(&mut line).expect("messages are text") > 0, "{told}");
            told += &line;
            let place = line.trim_end().split_once("listening on ").and_then(|(_, place)| place.split_once("://"));
            self.ports.extend(place.map(|(_, place)| place.to_owned()));
        }
        thread::spawn(move || std::io::copy(&mut messages, &mut std::io::sink()));
        self.run = Some(run);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn lines(&self, name: &str) -> Vec<String> {
        fs::read_to_string(self.path(name)).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    #[track_caller]
    pub fn wait(&self, name: &str, count: usize) -> Vec<String> {
        let began = Instant::now();
        loop {
            let lines = self.lines(name);
            if lines.len() >= count {
                return lines;
            }
            assert!(began.elapsed() < PATIENCE, "{name}: {} lines, expected {count}", lines.len());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The status and the body of the answer to a request; `None` if none came.
    pub fn post(&self, port: usize, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<(u16, String)> {
        request(&self.ports[port], "POST", path, headers, body)
    }
}

pub fn request(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer))
}
