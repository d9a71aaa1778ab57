//! Syslog: messages of RFC 5424, over UDP (RFC 5426), TCP (RFC 6587) or TLS (RFC 5425).
//!
//! Syslog has no acknowledgement. So the findings of a delivery go over a connection of their own, which is closed after them: a
//! receiver that closes its side in order has read everything before. One that dies has not, and gets all of it again.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use catena::Severity;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::destination::Destination;
use super::worker::{Deliver, Delivery, Entry};
use crate::tls;

/// How long to wait at least for a reset after the receiver has closed.
const RESET: Duration = Duration::from_millis(10);

/// How long to wait for a connection, a write, and the receiver's close.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest message over UDP, in bytes.
const MAX_DATAGRAM: usize = 65_000;

/// The number of facility `local0`.
const LOCAL0: u8 = 16;

/// The ports of syslog over UDP, TCP and TLS.
const PORTS: [(&str, u16); 3] = [("udp", 514), ("tcp", 601), ("tls", 6_514)];

pub struct Syslog {
    host: String,
    port: u16,
    transport: Transport,
    facility: u8,
    counts_octets: bool,
    /// Whether a delivery counts only once the receiver has closed its side.
    waits_for_close: bool,
    hostname: String,
}

enum Transport {
    Udp,
    Tcp,
    Tls(Arc<ClientConfig>),
}

impl Syslog {
    pub fn new(destination: &Destination) -> Result<Self, String> {
        let scheme = destination.url.scheme();
        let standard = PORTS.iter().find(|(transport, _)| *transport == scheme).map_or(514, |(_, port)| *port);
        let transport = match scheme {
            "udp" => Transport::Udp,
            "tls" => {
                let (ca, cert, key) = (destination.file("ca"), destination.file("cert"), destination.file("key"));
                Transport::Tls(tls::client(ca.as_deref(), cert.as_deref().zip(key.as_deref()))?)
            }
            _ => Transport::Tcp,
        };
        let facility = destination.option("facility").and_then(|number| number.parse().ok()).unwrap_or(LOCAL0);
        let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Ok(Self {
            host: destination.url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned(),
            port: destination.url.port().unwrap_or(standard),
            transport,
            facility,
            counts_octets: destination.option("framing") != Some("newline"),
            waits_for_close: destination.option("confirm") != Some("sent"),
            hostname: if hostname.trim().is_empty() { "-".to_owned() } else { hostname.trim().to_owned() },
        })
    }

    /// A finding as a message.
    fn message(&self, entry: &Entry) -> String {
        // RFC 5424: 2 critical, 3 error, 4 warning, 5 notice, 6 informational.
        let severity = match entry.severity {
            Severity::Critical => 2,
            Severity::High => 3,
            Severity::Medium => 4,
            Severity::Low => 5,
            Severity::Informational => 6,
        };
        let priority = 8 * u32::from(self.facility) + severity;
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(entry.time) * 1_000_000).ok();
        let time = time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| "-".to_owned());
        let quoted = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace(']', "\\]");
        format!(
            "<{priority}>1 {time} {} catena {} finding [catena@32473 id=\"{}\" rule=\"{}\" severity=\"{}\"] {}",
            self.hostname,
            std::process::id(),
            quoted(&entry.key),
            quoted(&entry.rule),
            entry.severity.as_str(),
            entry.body
        )
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::other("the name has no address");
        for address in (&*self.host, self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(PATIENCE))?;
                    stream.set_write_timeout(Some(PATIENCE))?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Sends the messages over a connection of their own, and waits until the receiver closes it.
    fn send(&self, entries: &[Entry]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for entry in entries {
            let message = self.message(entry);
            if self.counts_octets {
                write!(bytes, "{} {message}", message.len())?;
            } else {
                writeln!(bytes, "{message}")?;
            }
        }
        let began = Instant::now();
        let mut stream = self.connect()?;
        let round_trip = began.elapsed();
        match &self.transport {
            Transport::Tls(config) => {
                let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
                let connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
                let mut tls = StreamOwned::new(connection, stream);
                tls.write_all(&bytes)?;
                tls.conn.send_close_notify();
                tls.flush()?;
                tls.sock.shutdown(Shutdown::Write)?;
                if !self.waits_for_close {
                    return Ok(());
                }
                let until = Instant::now() + PATIENCE;
                match read_to_end(&mut tls, until) {
                    // Receivers may close without a word of TLS; the connection itself tells an orderly close.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                    result => result.map_err(not_closed)?,
                }
                was_read(&tls.sock, round_trip)
            }
            _ => {
                stream.write_all(&bytes)?;
                stream.shutdown(Shutdown::Write)?;
                if !self.waits_for_close {
                    return Ok(());
                }
                read_to_end(&mut stream, Instant::now() + PATIENCE).map_err(not_closed)?;
                was_read(&stream, round_trip)
            }
        }
    }

    /// Sends a datagram for each finding. Nobody can tell whether it arrives.
    fn send_datagrams(&self, entries: &[Entry]) -> Delivery {
        let mut delivery = Delivery::default();
        let local = if self.host.contains(':') { "[::]:0" } else { "0.0.0.0:0" };
        let socket = UdpSocket::bind(local).and_then(|socket| {
            socket.connect((&*self.host, self.port))?;
            Ok(socket)
        });
        let socket = match socket {
            Ok(socket) => socket,
            Err(error) => return Delivery::failed(entries.len(), error.to_string()),
        };
        for (at, entry) in entries.iter().enumerate() {
            let message = self.message(entry);
            if message.len() > MAX_DATAGRAM {
                delivery.refused.push((at, format!("{} bytes are more than a datagram has", message.len())));
            } else if let Err(error) = socket.send(message.as_bytes()) {
                // "Connection refused" is the answer to the datagram before, which did not arrive either.
                delivery.problem = Some(error.to_string());
                delivery.again.extend(at.saturating_sub(1)..entries.len());
                delivery.again.retain(|again| delivery.refused.iter().all(|(refused, _)| refused != again));
                break;
            }
        }
        delivery
    }
}

/// Reads until the receiver closes its side. What it says meanwhile does not count.
fn read_to_end(stream: &mut impl Read, until: Instant) -> io::Result<()> {
    let mut rest = [0; 1_024];
    while stream.read(&mut rest)? > 0 {
        if Instant::now() >= until {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
    Ok(())
}

/// Whether a receiver that has closed its side had received everything. If it closes before, its system answers what comes
/// later with a reset, a round trip after it was sent.
fn was_read(stream: &TcpStream, round_trip: Duration) -> io::Result<()> {
    thread::sleep((2 * round_trip).clamp(RESET, PATIENCE));
    stream.take_error()?.map_or(Ok(()), Err)
}

/// A receiver that reads and does not close would get the same findings for ever.
fn not_closed(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => io::Error::other(
            "the receiver does not close its side after the end of a delivery; if it never does, use confirm=sent",
        ),
        _ => error,
    }
}

impl Deliver for Syslog {
    fn deliver(&mut self, entries: &[Entry]) -> Delivery {
        match self.transport {
            Transport::Udp => self.send_datagrams(entries),
            _ => match self.send(entries) {
                Ok(()) => Delivery::default(),
                Err(error) => Delivery::failed(entries.len(), format!("{}:{}: {error}", self.host, self.port)),
            },
        }
    }
}
