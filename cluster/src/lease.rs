//! Leases: who should try to do the work of a stage. They only avoid work that the fence would refuse.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use tokio::task::JoinHandle;

use crate::nats::{Answer, Nats};
use crate::streams;

/// How often a lease is renewed: three times before it ends.
const RENEWAL: Duration = Duration::from_secs(streams::LEASE_SECONDS / 3);

/// A lease that was just acquired.
pub(crate) struct Lease {
    nats: Nats,
    subject: String,
    owner: String,
    sequence: u64,
}

/// A lease that is renewed in the background.
pub(crate) struct Kept {
    nats: Nats,
    subject: String,
    /// Set once somebody else may have it.
    pub(crate) is_lost: Arc<AtomicBool>,
    sequence: Arc<AtomicU64>,
    renewal: JoinHandle<()>,
}

impl Lease {
    /// Takes a lease that nobody has.
    pub(crate) async fn acquire(nats: &Nats, stage: &str, owner: &str) -> Option<Self> {
        let subject = streams::lease_of(stage);
        let sequence = put(nats, &subject, owner, 0).await.ok()?;
        Some(Self { nats: nats.clone(), subject, owner: owner.to_owned(), sequence })
    }

    /// Renews it from now on.
    pub(crate) fn keep(self) -> Kept {
        let Self { nats, subject, owner, sequence } = self;
        let (is_lost, sequence) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(sequence)));
        let renewal = {
            let (nats, subject) = (nats.clone(), subject.clone());
            let (is_lost, sequence) = (Arc::clone(&is_lost), Arc::clone(&sequence));
            tokio::spawn(async move {
                let mut failures = 0;
                loop {
                    tokio::time::sleep(RENEWAL).await;
                    match put(&nats, &subject, &owner, sequence.load(Ordering::Relaxed)).await {
                        Ok(next) => {
                            sequence.store(next, Ordering::Relaxed);
                            failures = 0;
                        }
                        Err(is_refused) => {
                            failures += 1;
                            if is_refused || failures >= 3 {
                                is_lost.store(true, Ordering::Relaxed);
                                return;
                            }
                        }
                    }
                }
            })
        };
        Kept { nats, subject, is_lost, sequence, renewal }
    }
}

impl Kept {
    /// Gives it back at once.
    pub(crate) async fn release(self) {
        self.renewal.abort();
        if !self.is_lost.load(Ordering::Relaxed) {
            let before = self.sequence.load(Ordering::Relaxed) + 1;
            // If that fails, it ends by itself.
            self.nats.tidy(streams::LEASES, &self.subject, before).await;
        }
    }
}

/// Writes a lease over that of a sequence. The error says whether somebody else has it, for certain.
async fn put(nats: &Nats, subject: &str, owner: &str, expected: u64) -> Result<u64, bool> {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Expected-Last-Subject-Sequence", expected.to_string().as_str());
    match nats.request(subject.to_owned(), headers, Bytes::from(owner.to_owned())).await {
        Answer::Ok(answer) => answer["seq"].as_u64().ok_or(false),
        Answer::Refused(_) => Err(true),
        Answer::Unknown(_) => Err(false),
    }
}
