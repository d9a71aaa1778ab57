//! Receivers of findings that answer as a test wants: an HTTP server, and a server that reads to the end.
#![allow(dead_code, reason = "each test uses what it needs")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::following::PATIENCE;

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    /// The names are in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// How to answer a request.
pub enum Answer {
    Status(u16, String),
    /// With a header.
    With(u16, &'static str, String),
    /// Close the connection without an answer, after the request is noted or not.
    Cut,
}

/// A receiver and everything that it has taken.
pub struct Receiver {
    pub address: String,
    taken: Arc<Mutex<Vec<Request>>>,
}

impl Receiver {
    /// Serves HTTP. `answer` is called with the number of the request, from 0; what it answers with 2xx counts as taken.
    pub fn http(mut answer: impl FnMut(usize, &Request) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
        let address = listener.local_addr().expect("it has an address").to_string();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&taken);
        thread::spawn(move || {
            let mut number = 0;
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream);
                while let Some(request) = read_request(&mut reader) {
                    let answered = answer(number, &request);
                    number += 1;
                    let stream = reader.get_mut();
                    let (status, header, body) = match answered {
                        Answer::Status(status, body) => (status, String::new(), body),
                        Answer::With(status, header, body) => (status, format!("{header}\r\n"), body),
                        Answer::Cut => break,
                    };
                    if (200..300).contains(&status) {
                        notes.lock().expect("no test panics with it").push(request);
                    }
                    let head = format!("HTTP/1.1 {status} X\r\n{header}Content-Length: {}\r\n\r\n", body.len());
                    if stream.write_all((head + &body).as_bytes()).is_err() {
                        break;
                    }
                }
            }
        });
        Self { address, taken }
    }

    /// Reads each connection to its end, or closes it after `most` bytes; then `keeps` says whether that counts.
    pub fn stream(mut keeps: impl FnMut(usize, &mut TcpStream) -> Option<String> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
        let address = listener.local_addr().expect("it has an address").to_string();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&taken);
        thread::spawn(move || {
            for (number, mut stream) in listener.incoming().flatten().enumerate() {
                if let Some(body) = keeps(number, &mut stream) {
                    let request = Request { path: String::new(), headers: Vec::new(), body };
                    notes.lock().expect("no test panics with it").push(request);
                }
            }
        });
        Self { address, taken }
    }

    pub fn taken(&self) -> Vec<Request> {
        self.taken.lock().expect("no test panics with it").clone()
    }

    /// Waits until what was taken satisfies `is`.
    #[track_caller]
    pub fn wait(&self, is: impl Fn(&[Request]) -> bool) -> Vec<Request> {
        let began = Instant::now();
        loop {
            let taken = self.taken();
            if is(&taken) {
                return taken;
            }
            assert!(began.elapsed() < PATIENCE, "{taken:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { path, headers, body: String::from_utf8(body).ok()? })
}
