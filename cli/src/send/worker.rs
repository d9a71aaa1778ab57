//! The thread of a destination: takes findings from its spool and delivers them, until they are delivered.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use catena::Severity;
use serde_json::json;
use tracing::{info, warn};

use super::destination::{Destination, severity};
use super::spool::Reader;
use super::status::Status;

/// The most findings, and about the most bytes, that are delivered at once.
const MAX_COUNT: usize = 500;
const MAX_BYTES: usize = 512 << 10;

/// The first and the longest pause after a failed delivery. Each is twice as long as the one before.
const BACK_OFF: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(30)];

/// The longest file of dead letters, in bytes. One older one is kept.
const MAX_DEAD: u64 = 64 << 20;

/// A finding in a spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The same for the same finding: a receiver can tell duplicates by it.
    pub key: String,
    pub severity: Severity,
    pub rule: String,
    /// The time of its last event, in ms since 1970.
    pub time: u64,
    /// The finding as JSON.
    pub body: String,
}

impl Entry {
    /// A line of a spool: a checksum, then the parts, separated by tabs.
    pub fn line(&self) -> String {
        let (level, time) = (self.severity.as_str(), self.time.to_string());
        let text = [&*self.key, level, &self.rule, &time, &self.body].join("\t");
        format!("{:08x}\t{text}", crc32fast::hash(text.as_bytes()))
    }

    /// Reads a line of a spool. `None` if it is damaged.
    fn parse(line: &[u8]) -> Option<Self> {
        let (checksum, text) = std::str::from_utf8(line).ok()?.split_once('\t')?;
        if u32::from_str_radix(checksum, 16) != Ok(crc32fast::hash(text.as_bytes())) {
            return None;
        }
        let mut parts = text.splitn(5, '\t');
        let mut next = || parts.next().map(str::to_owned);
        let (key, level, rule, time, body) = (next()?, next()?, next()?, next()?, next()?);
        Some(Self { key, severity: severity(&level)?, rule, time: time.parse().ok()?, body })
    }
}

/// What became of a delivery. Findings that are not mentioned were delivered.
#[derive(Debug, Default)]
pub struct Delivery {
    /// Findings that the receiver will never take, by index, with its reason.
    pub refused: Vec<(usize, String)>,
    /// Findings to deliver again later, by index.
    pub again: Vec<usize>,
    /// Why.
    pub problem: Option<String>,
    /// How long the receiver asks to wait.
    pub after: Option<Duration>,
}

impl Delivery {
    /// Nothing was delivered, or it is not known what; all of it is to be delivered again.
    pub fn failed(count: usize, problem: impl Into<String>) -> Self {
        Self { again: (0..count).collect(), problem: Some(problem.into()), ..Self::default() }
    }
}

/// The protocol of a receiver.
pub trait Deliver: Send {
    /// Delivers findings, in bounded time.
    fn deliver(&mut self, entries: &[Entry]) -> Delivery;

    /// The most findings to deliver at once. What was delivered is noted after each delivery.
    fn most(&self) -> usize {
        MAX_COUNT
    }
}

/// Starts the thread of a destination. Failed deliveries are repeated with growing pauses; refused findings go to the file
/// `dead.ndjson` in the folder.
pub fn start(
    destination: &Destination,
    mut to: Box<dyn Deliver>,
    reader: Reader,
    folder: &Path,
    status: Arc<Status>,
) -> io::Result<JoinHandle<()>> {
    let (name, dead) = (destination.name.clone(), folder.join("dead.ndjson"));
    let thread = thread::Builder::new().name(format!("send {name}"));
    thread.spawn(move || {
        let mut worker = Worker { name, dead, status };
        loop {
            // A defect of one protocol must not end its deliveries unnoticed.
            let round = catch_unwind(AssertUnwindSafe(|| worker.round(&mut *to, &reader)));
            match round.unwrap_or_else(|_| Err(io::Error::other("a defect in Catena: the delivery panicked"))) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    worker.status.failed(&error.to_string());
                    warn!("{}: cannot deliver: {error}", worker.name);
                    reader.pause(BACK_OFF[1]);
                }
            }
        }
    })
}

struct Worker {
    name: String,
    dead: PathBuf,
    status: Arc<Status>,
}

impl Worker {
    /// Delivers the next findings. Returns false once the thread is to end.
    fn round(&mut self, to: &mut dyn Deliver, reader: &Reader) -> io::Result<bool> {
        let Some((lines, position)) = reader.next(to.most(), MAX_BYTES)? else { return Ok(false) };
        let mut entries = Vec::with_capacity(lines.len());
        for line in &lines {
            match Entry::parse(line) {
                Some(entry) => entries.push(entry),
                None => {
                    let why = "a line of the spool is damaged";
                    warn!("{}: {why}, which is kept in {}", self.name, self.dead.display());
                    self.status.sent(0, 1);
                    self.bury(&String::from_utf8_lossy(line), why)?;
                }
            }
        }
        let [mut pause, longest] = BACK_OFF;
        let mut failing_since = None;
        while !entries.is_empty() {
            let delivery = to.deliver(&entries);
            for (at, why) in &delivery.refused {
                if let Some(entry) = entries.get(*at) {
                    warn!(
                        "{}: refused finding {}, which is kept in {}: {why}",
                        self.name,
                        entry.key,
                        self.dead.display()
                    );
                    self.bury(&entry.body, why)?;
                }
            }
            let sent = entries.len() - delivery.refused.len() - delivery.again.len();
            self.status.sent(sent as u64, delivery.refused.len() as u64);
            let again: Vec<_> = delivery.again.iter().filter_map(|at| entries.get(*at).cloned()).collect();
            if again.is_empty() {
                break;
            }
            let problem = delivery.problem.as_deref().unwrap_or("it asks for some findings again");
            self.status.failed(problem);
            if failing_since.is_none() {
                failing_since = Some(Instant::now());
                warn!("{}: cannot send {} findings, will retry: {problem}", self.name, again.len());
            }
            if sent > 0 {
                pause = BACK_OFF[0];
            }
            entries = again;
            if reader.is_over() {
                return Ok(false);
            }
            reader.pause(delivery.after.unwrap_or_default().clamp(jittered(pause), 10 * longest));
            if reader.is_over() {
                return Ok(false);
            }
            pause = (2 * pause).min(longest);
        }
        if let Some(since) = failing_since {
            info!("{}: sends again, after {:.1} s", self.name, since.elapsed().as_secs_f64());
        }
        self.status.works();
        reader.take(position)?;
        self.status.set_waiting(reader.waiting());
        Ok(true)
    }

    /// Keeps a finding that cannot be delivered.
    fn bury(&self, finding: &str, why: &str) -> io::Result<()> {
        if self.dead.metadata().is_ok_and(|metadata| metadata.len() > MAX_DEAD) {
            fs::rename(&self.dead, self.dead.with_extension("ndjson.old"))?;
        }
        let seconds = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_secs());
        let finding = serde_json::from_str(finding).unwrap_or_else(|_| json!(finding));
        let letter = json!({"time": seconds, "reason": why, "finding": finding});
        let mut file: File = OpenOptions::new().append(true).create(true).open(&self.dead)?;
        file.write_all(format!("{letter}\n").as_bytes())?;
        file.sync_data()
    }
}

/// A pause that is up to a quarter longer, so that many senders do not come back at once.
fn jittered(pause: Duration) -> Duration {
    let nanoseconds = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.subsec_nanos());
    pause + pause / 4 * (nanoseconds % 1_000) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Regression: a changed bit reached the receiver in the finding, or joined two of them.
    #[test]
    fn a_changed_bit_of_a_line_is_noticed() {
        let entry = Entry {
            key: "k".to_owned(),
            severity: Severity::High,
            rule: "r".to_owned(),
            time: 7,
            body: "{\"a\":1}".to_owned(),
        };
        let line = entry.line().into_bytes();
        assert_eq!(Entry::parse(&line), Some(entry));
        for bit in 0..8 * line.len() {
            let mut changed = line.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            // The case of the checksum's digits tells nothing.
            let is_case = bit / 8 < 8 && changed.to_ascii_lowercase() == line;
            assert!(is_case || Entry::parse(&changed).is_none(), "bit {bit}");
        }
        assert_eq!(Entry::parse(&[&line[..], &line].concat()), None);
    }
}
