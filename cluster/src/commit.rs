//! Commits: messages that are stored together or not at all, if nobody else has committed since.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use async_nats::HeaderMap;
use bytes::Bytes;
use tracing::{info, warn};

use crate::metrics::StageMetrics;
use crate::nats::{Answer, Nats, code};
use crate::{Error, nats, streams};

/// The most messages of a batch (nats-server, `streamDefaultMaxAtomicBatchSize`).
pub(crate) const MOST: usize = 1_000;

/// A stage commits once about this many bytes of outputs wait.
const BATCH_BYTES: usize = 8 << 20;

/// The header by which a process knows its own commit.
const TOKEN: &str = "Catena-Commit";

/// Bytes a second that servers store at the least when they are up.
const SLOWEST: u64 = 4 << 20;

/// The header that says how long a message is kept.
pub(crate) const TTL: &str = "Nats-TTL";

/// How long to wait before a commit is tried again, and at most.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A message of a commit.
pub(crate) struct Outgoing {
    pub(crate) subject: String,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Bytes,
}

impl Outgoing {
    pub(crate) fn new(subject: String, payload: Bytes) -> Self {
        Self { subject, headers: HeaderMap::new(), payload }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name, value);
        self
    }
}

/// Messages that wait for a commit.
#[derive(Default)]
pub(crate) struct Batch {
    messages: Vec<Outgoing>,
    bytes: usize,
}

impl Batch {
    pub(crate) fn add(&mut self, message: Outgoing) {
        self.bytes += message.payload.len();
        self.messages.push(message);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether it must be committed before more comes. What one block gives still fits.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES || self.messages.len() >= MOST / 4
    }

    pub(crate) fn take(&mut self) -> Vec<Outgoing> {
        std::mem::take(self).messages
    }
}

/// The right to commit: the sequence of the last pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fence(pub(crate) u64);

impl Nats {
    /// Stores messages and, last, a pointer, all in `stream`, if the subject of the pointer still ends at the fence. Waits for servers
    /// that are away, full or in an election, and asks whether a commit was stored if its answer was lost.
    ///
    /// # Errors
    ///
    /// [`Error::Fenced`] if another process has committed, [`Error::Stopped`].
    pub(crate) async fn commit(
        &self,
        stream: &str,
        outputs: &[Outgoing],
        pointer: &Outgoing,
        fence: Fence,
        metrics: &StageMetrics,
    ) -> Result<Fence, Error> {
        let (token, began) = (token(), Instant::now());
        let mut pause = PAUSE;
        let stored = |sequence| {
            metrics.add_commit(began);
            Ok(Fence(sequence))
        };
        loop {
            let why = match self.try_commit(stream, outputs, pointer, fence, &token).await {
                Answer::Ok(answer) => match answer["seq"].as_u64() {
                    Some(sequence) => return stored(sequence),
                    None => "the answer has no sequence".to_owned(),
                },
                Answer::Refused(error) if code::WRONG_LAST_SEQUENCE.contains(&error.err_code) => {
                    match self.since(stream, &pointer.subject, fence, &token).await? {
                        Since::Own(sequence) => return stored(sequence),
                        Since::Other => {
                            metrics.add_lost_fence();
                            return Err(Error::Fenced(pointer.subject.clone()));
                        }
                        // An earlier attempt is still under way.
                        Since::Nothing => error.description,
                    }
                }
                Answer::Refused(error) if error.err_code == code::STREAM_FULL => {
                    format!("{stream} is full; waiting: {}", error.description)
                }
                Answer::Refused(error) => error.description,
                Answer::Unknown(why) => {
                    metrics.add_unknown_commit();
                    info!("{}: unknown whether it was committed: {why}", pointer.subject);
                    // It may still arrive, after this look: then the fence refuses the next attempt, which looks again.
                    match self.since(stream, &pointer.subject, fence, &token).await {
                        Ok(Since::Own(sequence)) => return stored(sequence),
                        _ => why,
                    }
                }
            };
            self.check_stop()?;
            metrics.add_retried_commit();
            if pause >= LONGEST_PAUSE {
                warn!("{}: cannot commit: {why}", pointer.subject);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn try_commit(
        &self,
        stream: &str,
        outputs: &[Outgoing],
        pointer: &Outgoing,
        fence: Fence,
        commit: &str,
    ) -> Answer {
        let batch = token();
        // Servers check it against what is before the batch, and refuse it behind another message of the batch to the same subject.
        let fenced = outputs.iter().position(|output| output.subject == pointer.subject).unwrap_or(outputs.len());
        let in_batch = |outgoing: &Outgoing, at: usize| {
            let mut headers = outgoing.headers.clone();
            if at == fenced {
                headers.insert("Nats-Expected-Last-Subject-Sequence", fence.0.to_string().as_str());
            }
            if !outputs.is_empty() {
                headers.insert("Nats-Batch-Id", batch.as_str());
                headers.insert("Nats-Batch-Sequence", (at + 1).to_string().as_str());
            }
            headers
        };
        for (at, output) in outputs.iter().enumerate() {
            let published = self.publish(output.subject.clone(), in_batch(output, at), output.payload.clone()).await;
            if let Err(error) = published {
                return Answer::Unknown(error.to_string());
            }
        }
        let mut headers = in_batch(pointer, outputs.len());
        if !outputs.is_empty() {
            headers.insert("Nats-Batch-Commit", "1");
        }
        headers.insert(TOKEN, commit);
        if stream == streams::OUT {
            // What is read grows old; the pointer must not.
            headers.insert(TTL, "never");
        }
        let bytes = outputs.iter().map(|output| output.payload.len()).sum::<usize>();
        self.request_within(patience(bytes), pointer.subject.clone(), headers, pointer.payload.clone()).await
    }

    /// What has become of a pointer since a fence.
    async fn since(&self, stream: &str, subject: &str, fence: Fence, token: &str) -> Result<Since, Error> {
        let last = self.last(stream, subject).await?;
        let Some(last) = last.filter(|last| last.sequence > fence.0) else { return Ok(Since::Nothing) };
        let is_own = nats::header(&last.headers, TOKEN) == Some(token);
        Ok(if is_own { Since::Own(last.sequence) } else { Since::Other })
    }
}

/// What has become of a pointer since a fence.
enum Since {
    /// This commit was stored, at this sequence.
    Own(u64),
    /// Another one was.
    Other,
    /// None was, as far as is known.
    Nothing,
}

/// How long to wait for the answer to a commit: servers must have taken, copied and written it all.
fn patience(bytes: usize) -> Duration {
    nats::PATIENCE + Duration::from_secs(bytes as u64 / SLOWEST)
}

/// A text that no other call gives.
fn token() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let (count, process) = (COUNT.fetch_add(1, Ordering::Relaxed), std::process::id());
    format!("{process:x}-{:x}-{count:x}", since.as_nanos())
}
