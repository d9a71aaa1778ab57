//! `--send`: findings leave for other systems, each from a spool of its own, so that a slow receiver slows nothing else.
//!
//! Each finding is delivered at least once, across crashes of either side. The id of a finding tells duplicates.

mod destination;
mod elastic;
mod hec;
mod http;
mod nats;
mod sentinel;
mod spool;
mod status;
mod syslog;
mod webhook;
mod worker;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use catena::Severity;
use catena_host::Finding;
use tracing::{error, info, warn};

use super::CliError;
use super::lock::Locks;
use super::suggest::did_you_mean;
pub use destination::Destination;
use destination::Kind;
use spool::Writer;
use status::Counts;
pub use status::Status;
use worker::{Deliver, Entry};

/// How long a run that ends waits for its findings to be delivered.
const LAST_CHANCE: Duration = Duration::from_secs(30);

/// How often it looks whether it is told to stop meanwhile.
const TICK: Duration = Duration::from_millis(100);

/// How long, if it was told to stop.
const LAST_CHANCE_OF_STOP: Duration = Duration::from_secs(3);

/// All destinations of a run.
#[derive(Default)]
pub struct Senders {
    list: Vec<Sender>,
    _lock: Option<File>,
}

struct Sender {
    destination: Destination,
    spool: Writer,
    status: Arc<Status>,
    thread: Option<JoinHandle<()>>,
}

/// What delivers to a destination. Reads the files that its options name.
pub fn deliver(destination: &Destination) -> Result<Box<dyn Deliver>, CliError> {
    let made: Result<Box<dyn Deliver>, String> = match destination.kind {
        Kind::Syslog => syslog::Syslog::new(destination).map(|to| Box::new(to) as _),
        Kind::Hec => hec::Hec::new(destination).map(|to| Box::new(to) as _),
        Kind::Elastic => elastic::Elastic::new(destination).map(|to| Box::new(to) as _),
        Kind::Sentinel => sentinel::Sentinel::new(destination).map(|to| Box::new(to) as _),
        Kind::Webhook => webhook::Webhook::new(destination).map(|to| Box::new(to) as _),
        Kind::Nats => nats::Nats::new(destination).map(|to| Box::new(to) as _),
    };
    made.map_err(|why| CliError::usage(format!("--send {destination}: {why}")))
}

impl Senders {
    /// Opens the spools in a folder and starts to deliver what is in them.
    pub fn open(destinations: &[Destination], folder: Option<&Path>, locks: &Locks<'_>) -> Result<Self, CliError> {
        tell_left_behind(destinations, folder);
        let Some(folder) = folder.filter(|_| !destinations.is_empty()) else { return Ok(Self::default()) };
        let fail = |error: io::Error| CliError::new(format!("cannot use the spool {}: {error}", folder.display()));
        std::fs::create_dir_all(folder).map_err(fail)?;
        let lock = File::create(folder.join("lock")).map_err(fail)?;
        match locks.take(&lock, folder) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                return Err(CliError::new(format!("the spool {} is in use by another run", folder.display())));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(fail(error)),
            // Not every file system has locks; that is no reason not to send.
            _ => {}
        }
        let mut list: Vec<Sender> = Vec::new();
        for destination in destinations {
            if list.iter().any(|sender| sender.destination.name == destination.name) {
                return Err(CliError::usage(format!(
                    "--send {destination} is given twice; use name= to tell them apart"
                )));
            }
            let to = deliver(destination)?;
            let own = folder.join(&destination.name);
            let (spool, reader) = spool::open(&own, destination.spool_bytes()).map_err(fail)?;
            if spool.waiting() > 0 {
                info!("{destination}: {} bytes of findings wait from an earlier run", spool.waiting());
            }
            let status = Arc::new(Status::default());
            let thread = worker::start(destination, to, reader, &own, Arc::clone(&status)).map_err(fail)?;
            list.push(Sender { destination: destination.clone(), spool, status, thread: Some(thread) });
        }
        Ok(Self { list, _lock: Some(lock) })
    }

    /// Warns about what is probably not meant: patterns that match none of the rules, and findings in clear.
    pub fn tell_doubts(&self, rules: &[&str]) {
        for Sender { destination, .. } in &self.list {
            for pattern in destination.without_rule(rules) {
                warn!(
                    "{destination}: rule={pattern} is the name of no rule{}",
                    did_you_mean(pattern, rules.iter().copied())
                );
            }
            if destination.is_in_clear() {
                warn!("{destination}: findings cross the network in clear: everyone on the way can read them");
            }
        }
    }

    /// What became of the findings, for the summary; `None` if there is nowhere to send to.
    pub fn describe(&self) -> Option<String> {
        let each = |Sender { destination, status, .. }: &Sender| {
            let Counts { sent, refused, dropped, .. } = status.counts();
            let [refused, dropped] = [(refused, "refused"), (dropped, "dropped")]
                .map(|(count, what)| if count > 0 { format!(", {count} {what}") } else { String::new() });
            format!("{sent} to {destination}{refused}{dropped}")
        };
        let all: Vec<_> = self.list.iter().map(each).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Whether there is nowhere to send to.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Puts a finding, whose final form is `body`, into the spool of each destination that wants it.
    pub fn send(&mut self, finding: &Finding, body: &str) {
        for sender in &mut self.list {
            let severity = Severity::from_id(finding.severity_id);
            if !sender.destination.wants(severity, &finding.rule) {
                continue;
            }
            let entry = Entry {
                key: key(finding, body),
                severity,
                rule: finding.rule.clone(),
                time: finding.last_seen_ms,
                body: body.trim_end().to_owned(),
            };
            if !sender.spool.push(&[entry.line().as_bytes()]) && sender.status.dropped() {
                error!(
                    "{}: its spool is full, so findings are not sent to it; they are counted, and lost if there is no --findings",
                    sender.destination
                );
            }
        }
    }

    /// Hands what was put into the spools to the threads.
    pub fn flush(&mut self) -> Result<(), CliError> {
        self.each(Writer::flush)
    }

    /// Brings it to disk.
    pub fn sync(&mut self) -> Result<(), CliError> {
        self.each(Writer::sync)
    }

    fn each(&mut self, work: impl Fn(&mut Writer) -> std::io::Result<()>) -> Result<(), CliError> {
        for Sender { destination, spool, status, .. } in &mut self.list {
            work(spool).map_err(|error| CliError::new(format!("cannot write the spool of {destination}: {error}")))?;
            status.set_waiting(spool.waiting());
        }
        Ok(())
    }

    /// The destinations, for metrics and the health check.
    pub fn statuses(&self) -> Vec<(String, Arc<Status>)> {
        self.list.iter().map(|sender| (sender.destination.name.clone(), Arc::clone(&sender.status))).collect()
    }

    /// Waits for the rest to be delivered, for a bounded time, and ends the threads. Returns true if nothing is left, and
    /// nothing was refused, or dropped because a spool was full.
    pub fn finish(&mut self, is_stopped: impl Fn() -> bool) -> bool {
        let mut until = Instant::now() + LAST_CHANCE;
        let mut is_done = true;
        for sender in &mut self.list {
            let is_empty = loop {
                if is_stopped() {
                    until = until.min(Instant::now() + LAST_CHANCE_OF_STOP);
                }
                let left = until.saturating_duration_since(Instant::now());
                let is_empty = sender.spool.wait_until_empty(TICK.min(left));
                if is_empty || left.is_zero() {
                    break is_empty;
                }
            };
            if !is_empty {
                is_done = false;
                let left = sender.spool.waiting();
                warn!(
                    "{}: {left} bytes of findings are not delivered yet; the next run goes on with them",
                    sender.destination
                );
            }
            sender.spool.end();
        }
        for thread in self.list.iter_mut().filter_map(|sender| sender.thread.take()).filter(|_| is_done) {
            let _ = thread.join();
        }
        is_done && self.list.iter().all(|sender| sender.status.counts().lost() == 0)
    }
}

/// Warns about findings that wait for a destination that is not given any more.
fn tell_left_behind(destinations: &[Destination], folder: Option<&Path>) {
    let spools = folder.and_then(|folder| folder.read_dir().ok()).into_iter().flatten().flatten();
    for spool in spools.map(|entry| entry.path()) {
        let is_given = destinations.iter().any(|destination| spool.ends_with(&destination.name));
        let waiting = spool::waiting_in(&spool).unwrap_or_default();
        if !is_given && waiting > 0 {
            warn!("{}: {waiting} bytes of findings wait for a destination that --send does not name", spool.display());
        }
    }
}

/// What tells a finding from others. An update has the id of its finding, but is not a duplicate of it.
fn key(finding: &Finding, body: &str) -> String {
    let body = serde_json::from_str::<serde_json::Value>(body).unwrap_or_default();
    // Of OCSF, ECS and Sentinel.
    let updated = if body["activity_id"] == 2 { &body["count"] } else { &serde_json::Value::Null };
    let count =
        [updated, &body["labels"]["events_count"], &body["EventsCount"]].into_iter().find(|count| !count.is_null());
    match count.map(|count| count.as_str().map_or_else(|| count.to_string(), str::to_owned)) {
        Some(count) => format!("{}-{count}", finding.id),
        None => finding.id.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Regression: updates in the form of ECS and Sentinel had the key of their finding, and receivers took them for
    /// duplicates.
    #[test]
    fn an_update_has_another_key_than_its_finding_in_every_format() {
        let finding = Finding {
            id: "f".to_owned(),
            rule: String::new(),
            severity_id: 2,
            first_seen_ms: 0,
            last_seen_ms: 0,
            start: 0,
            end: 0,
            body: String::new(),
            extra: None,
        };
        for (body, expected) in [
            (r#"{"activity_id":1,"count":1}"#, "f"),
            (r#"{"activity_id":2,"count":4}"#, "f-4"),
            (r#"{"event":{"id":"f"},"labels":{"identity":"x"}}"#, "f"),
            (r#"{"event":{"id":"f"},"labels":{"events_count":"4"}}"#, "f-4"),
            (r#"{"FindingId":"f"}"#, "f"),
            (r#"{"FindingId":"f","EventsCount":4}"#, "f-4"),
        ] {
            assert_eq!(key(&finding, body), expected, "{body}");
        }
    }
}
