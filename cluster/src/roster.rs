//! Who is there. Routers and workers say so each second, and are forgotten when they have not for as long as a lease.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::nats::Nats;
use crate::turn::Turn;
use crate::{Error, joiner, streams};

/// How often a process says that it is there.
pub(crate) const ROUND: Duration = Duration::from_secs(1);

/// The processes of a fleet, and the partitions that somebody has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Roster {
    pub(crate) routers: Vec<String>,
    pub(crate) workers: BTreeMap<String, Present>,
    pub(crate) leased: BTreeSet<u32>,
    /// Whether somebody joins.
    pub(crate) has_joiner: bool,
}

/// A worker that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Present {
    /// The most partitions that it takes.
    pub(crate) most: u32,
    /// The version of its component and of what it stores. While one version takes over from another, there are workers of both.
    pub(crate) version: String,
}

impl Roster {
    /// # Errors
    ///
    /// [`Error::Nats`] if no server answers.
    pub(crate) async fn look(nats: &Nats) -> Result<Self, Error> {
        let mut roster = Self::default();
        for subject in nats.subjects(streams::LEASES, ">").await?.keys() {
            if let Some(name) = subject.strip_prefix(streams::ROUTER) {
                roster.routers.push(name.to_owned());
            } else if let Some(name) = subject.strip_prefix(streams::WORKER) {
                let mut words = name.split('.');
                let name = words.next().unwrap_or_default().to_owned();
                let most = words.next().and_then(|most| most.parse().ok()).unwrap_or(u32::MAX);
                let version = words.next().unwrap_or_default().to_owned();
                roster.workers.insert(name, Present { most, version });
            } else if let Some(stage) = subject.strip_prefix(streams::LEASE) {
                roster.leased.extend(stage.parse::<u32>());
                roster.has_joiner |= stage == joiner::NAME;
            }
        }
        roster.routers.sort_unstable();
        Ok(roster)
    }

    /// How many partitions a worker takes: as many as each other of its version, but for those that do not take so many.
    pub(crate) fn share(&self, Present { most, version }: &Present, partitions: u32) -> u32 {
        let alike = || self.workers.values().filter(|worker| worker.version == *version);
        let all = |level: u32| alike().map(|worker| u64::from(worker.most.min(level))).sum::<u64>();
        let level = (0..=partitions).find(|level| all(*level) >= partitions.into()).unwrap_or(partitions);
        level.min(*most)
    }
}

/// Says that a process is there. `subject` is that of its kind and name.
pub(crate) async fn announce(nats: &Nats, subject: &str) -> Result<(), Error> {
    nats.publish(subject.to_owned(), HeaderMap::new(), Bytes::new()).await
}

/// Says that it is gone, so that the others need not wait for it to be forgotten.
pub(crate) async fn leave(nats: &Nats, subject: &str) {
    nats.tidy(streams::LEASES, subject, u64::MAX >> 1).await;
}

/// A router that says that it is there, until it is dropped.
pub(crate) struct Presence {
    nats: Nats,
    subject: String,
    turn: watch::Receiver<Option<Turn>>,
    saying: JoinHandle<()>,
}

impl Presence {
    pub(crate) fn begin(nats: &Nats, name: &str) -> Self {
        let subject = format!("{}{name}", streams::ROUTER);
        let (set, turn) = watch::channel(None);
        let saying = {
            let (nats, subject, name) = (nats.clone(), subject.clone(), Arc::<str>::from(name));
            tokio::spawn(async move {
                loop {
                    // Without an answer, what was last known is as good as anything.
                    if announce(&nats, &subject).await.is_ok()
                        && let Ok(roster) = Roster::look(&nats).await
                    {
                        set.send_replace(Turn::among(&name, &roster.routers));
                    }
                    tokio::time::sleep(ROUND).await;
                }
            })
        };
        Self { nats: nats.clone(), subject, turn, saying }
    }

    /// The turn of this router; none until it is seen.
    pub(crate) fn turn(&self) -> Option<Turn> {
        *self.turn.borrow()
    }

    pub(crate) async fn leave(self) {
        self.saying.abort();
        leave(&self.nats, &self.subject).await;
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.saying.abort();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// With limits on some workers, the others left partitions to nobody.
        #[test]
        fn shares_cover_all_partitions_if_they_can(mosts in prop::collection::vec(0_u32..300, 1..8), partitions in 1_u32..=256) {
            let present = |most: u32, version: &str| Present { most, version: version.to_owned() };
            let mut workers: BTreeMap<_, _> =
                mosts.iter().enumerate().map(|(number, most)| (number.to_string(), present(*most, "v"))).collect();
            workers.insert("old".to_owned(), present(256, "u"));
            let roster = Roster { workers, ..Roster::default() };
            let shares: Vec<u32> = mosts.iter().map(|most| roster.share(&present(*most, "v"), partitions)).collect();
            prop_assert!(shares.iter().zip(&mosts).all(|(share, most)| share <= most));
            prop_assert!(shares.iter().sum::<u32>() >= partitions.min(mosts.iter().sum()));
            // Nobody has more than one more than another that could take it.
            let highest = shares.iter().max().copied().unwrap_or_default();
            prop_assert!(shares.iter().zip(&mosts).all(|(share, most)| *share == highest || share == most));
        }
    }
}
