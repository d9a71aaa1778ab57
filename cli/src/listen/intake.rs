//! The thread that writes what all connections bring into the journal. What waits together is brought to disk together.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use catena_input::{Journal, JournalWriter};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tracing::error;

use super::Status;

/// The most requests that wait.
const MAX_WAITING: usize = 256;

/// The most bytes in the journal, read or not. Beyond that, clients wait.
const MAX_JOURNAL: u64 = 1 << 30;

/// How long to wait until there may be room again.
const PAUSE: Duration = Duration::from_millis(100);

/// Whole lines for the journal.
struct Request {
    lines: Vec<u8>,
    /// Whether they must be on disk before the answer.
    is_safe: bool,
    done: oneshot::Sender<bool>,
}

/// Takes whole lines into the journal. Clones share it.
#[derive(Clone)]
pub struct Intake {
    requests: mpsc::Sender<Request>,
    journal: Journal,
}

impl Intake {
    /// Starts the thread.
    pub fn start(journal: Journal, writer: JournalWriter, status: Arc<Status>) -> io::Result<Self> {
        let (requests, given) = mpsc::channel(MAX_WAITING);
        thread::Builder::new().name("journal".to_owned()).spawn(move || write(writer, given, &status))?;
        Ok(Self { requests, journal })
    }

    /// Whether the journal has no room.
    pub fn is_full(&self) -> bool {
        self.journal.bytes() >= MAX_JOURNAL
    }

    /// Waits until the journal has room.
    pub async fn room(&self) {
        while self.is_full() {
            sleep(PAUSE).await;
        }
    }

    /// Appends whole lines. With `is_safe`, they are on disk on return. Returns false if they are not in the journal.
    pub async fn take(&self, lines: Vec<u8>, is_safe: bool) -> bool {
        if lines.is_empty() {
            return true;
        }
        let (done, answer) = oneshot::channel();
        let sent = self.requests.send(Request { lines, is_safe, done }).await;
        sent.is_ok() && answer.await.unwrap_or(false)
    }
}

fn write(mut writer: JournalWriter, mut given: mpsc::Receiver<Request>, status: &Status) {
    let mut has_failed = false;
    while let Some(first) = given.blocking_recv() {
        let mut answers = Vec::new();
        let mut next = Some(first);
        let mut is_safe = false;
        let mut written = Ok(());
        while let Some(Request { lines, is_safe: this, done }) = next {
            let appended = writer.append(&lines);
            if appended.is_ok() {
                status.received_bytes.fetch_add(lines.len() as u64, Ordering::Relaxed);
                answers.push((done, this));
                is_safe |= this;
            } else {
                let _ = done.send(false);
            }
            written = written.and(appended);
            next = if answers.len() < MAX_WAITING { given.try_recv().ok() } else { None };
        }
        let synced = if is_safe { writer.sync() } else { Ok(()) };
        let is_on_disk = synced.is_ok();
        for (done, is_safe) in answers {
            let _ = done.send(is_on_disk || !is_safe);
        }
        match written.and(synced) {
            Ok(()) => has_failed = false,
            Err(error) if !has_failed => {
                error!("cannot write the journal, so records are refused: {error}");
                has_failed = true;
            }
            Err(_) => {}
        }
    }
}
