//! The thread that keeps what all connections bring. What waits together is made safe together.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tracing::{error, warn};

use super::Status;

/// The most requests that wait.
const MAX_WAITING: usize = 256;

/// How long to wait for what was taken before an end.
const DRAIN: Duration = Duration::from_secs(10);

/// How long to wait until there may be room again.
const PAUSE: Duration = Duration::from_millis(100);

/// Where what comes in is kept.
pub trait Store: Send + 'static {
    /// Takes whole lines. After an error, nothing of them is kept.
    fn append(&mut self, lines: &[u8]) -> io::Result<()>;

    /// Is called after each group of lines. With `is_safe`, a client is told that they are safe if this succeeds.
    fn settle(&mut self, is_safe: bool) -> io::Result<()>;

    /// True while the store is full.
    fn fullness(&self) -> Fullness;
}

/// True while the store is full.
pub type Fullness = Arc<dyn Fn() -> bool + Send + Sync>;

/// Whole lines to keep.
struct Request {
    lines: Vec<u8>,
    /// Whether they must be safe before the answer.
    is_safe: bool,
    done: oneshot::Sender<bool>,
}

/// Takes whole lines. Clones share it.
#[derive(Clone)]
pub struct Intake {
    requests: mpsc::Sender<Request>,
    fullness: Fullness,
}

impl Intake {
    /// Starts the thread.
    pub fn start(store: impl Store, status: Arc<Status>) -> io::Result<Self> {
        let (requests, given) = mpsc::channel(MAX_WAITING);
        let fullness = store.fullness();
        thread::Builder::new().name("intake".to_owned()).spawn(move || write(store, given, &status))?;
        Ok(Self { requests, fullness })
    }

    /// Whether there is no room.
    pub fn is_full(&self) -> bool {
        (self.fullness)()
    }

    /// Waits until there is room.
    pub async fn room(&self) {
        while self.is_full() {
            sleep(PAUSE).await;
        }
    }

    /// Takes whole lines. With `is_safe`, they are safe on return. Returns false if they are not kept.
    pub async fn take(&self, lines: Vec<u8>, is_safe: bool) -> bool {
        if lines.is_empty() {
            return true;
        }
        let (done, answer) = oneshot::channel();
        let sent = self.requests.send(Request { lines, is_safe, done }).await;
        sent.is_ok() && answer.await.unwrap_or(false)
    }

    /// Waits until everything is safe that was taken before, and not for ever.
    pub async fn drain(&self) {
        let (done, answer) = oneshot::channel();
        let drained = async {
            let _ = self.requests.send(Request { lines: Vec::new(), is_safe: true, done }).await;
            let _ = answer.await;
        };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            warn!(
                "what clients without answers have sent last is not kept: it could not be stored within {} s",
                DRAIN.as_secs()
            );
        }
    }
}

fn write(mut store: impl Store, mut given: mpsc::Receiver<Request>, status: &Status) {
    let mut has_failed = false;
    while let Some(first) = given.blocking_recv() {
        let mut answers = Vec::new();
        let mut next = Some(first);
        let mut is_safe = false;
        let mut written = Ok(());
        while let Some(Request { lines, is_safe: this, done }) = next {
            let appended = store.append(&lines);
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
        let settled = store.settle(is_safe);
        let is_settled = settled.is_ok();
        for (done, is_safe) in answers {
            let _ = done.send(is_settled || !is_safe);
        }
        match written.and(settled) {
            Ok(()) => has_failed = false,
            Err(error) if !has_failed => {
                error!("cannot keep records, so they are refused: {error}");
                has_failed = true;
            }
            Err(_) => {}
        }
    }
}
