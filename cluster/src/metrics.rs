//! What a process of a fleet counts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use catena_host::{Health, Metric, Supervisor};

/// A process counts from its start. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    stages: Arc<Mutex<BTreeMap<Stage, Arc<StageMetrics>>>>,
}

/// Whoever commits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Stage {
    /// A source of records, by its name.
    Source(String),
    /// The router.
    Router,
    /// A partition that this process has, or has had.
    Partition(u32),
    /// The joiner.
    Joiner,
}

/// Counts of one stage.
#[derive(Debug, Default)]
pub struct StageMetrics {
    commits: AtomicU64,
    commit_nanoseconds: AtomicU64,
    lost_fences: AtomicU64,
    unknown_commits: AtomicU64,
    retried_commits: AtomicU64,
    blocks: AtomicU64,
    replayed_blocks: AtomicU64,
    lag: AtomicU64,
    /// The last block at which the component lost its state.
    lost_at: AtomicU64,
    checkpoint_bytes: AtomicU64,
    correlator: Mutex<Option<CorrelatorStatus>>,
}

/// The correlator of a partition.
#[derive(Clone, Debug)]
pub struct CorrelatorStatus {
    /// What the component counts.
    pub metrics: Vec<Metric>,
    /// What its supervisor has done.
    pub health: Health,
    /// Its memory in bytes.
    pub memory: usize,
    /// When it last took a checkpoint, or was loaded from one.
    pub checkpointed: Instant,
}

/// Counts of one stage at one time.
#[derive(Clone, Debug, Default)]
pub struct StageCounts {
    /// Commits that were stored.
    pub commits: u64,
    /// The time that they took from the first attempt to the answer.
    pub commit_time: Duration,
    /// Commits that were refused because another process had committed.
    pub lost_fences: u64,
    /// Attempts whose answer did not come.
    pub unknown_commits: u64,
    /// Attempts that were made again: the servers were away, in an election, or full.
    pub retried_commits: u64,
    /// Blocks that were taken.
    pub blocks: u64,
    /// Blocks that were processed again after a start.
    pub replayed_blocks: u64,
    /// Router: blocks that wait. Partition: milliseconds since the next block came; 0 without one.
    pub lag: u64,
    /// The size of the last checkpoint in bytes.
    pub checkpoint_bytes: u64,
    /// The correlator, as long as this process has the partition.
    pub correlator: Option<CorrelatorStatus>,
}

impl Metrics {
    fn stage(&self, stage: Stage) -> Arc<StageMetrics> {
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(stages.entry(stage).or_default())
    }

    pub(crate) fn source(&self, name: &str) -> Arc<StageMetrics> {
        self.stage(Stage::Source(name.to_owned()))
    }

    pub(crate) fn router(&self) -> Arc<StageMetrics> {
        self.stage(Stage::Router)
    }

    pub(crate) fn joiner(&self) -> Arc<StageMetrics> {
        self.stage(Stage::Joiner)
    }

    pub(crate) fn partition(&self, number: u32) -> Arc<StageMetrics> {
        self.stage(Stage::Partition(number))
    }

    /// The counts of all stages.
    pub fn stages(&self) -> Vec<(Stage, StageCounts)> {
        let stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        stages.iter().map(|(stage, metrics)| (stage.clone(), metrics.counts())).collect()
    }
}

impl StageMetrics {
    pub(crate) fn add_commit(&self, since: Instant) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.commit_nanoseconds.fetch_add(since.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }

    pub(crate) fn add_lost_fence(&self) {
        self.lost_fences.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_unknown_commit(&self) {
        self.unknown_commits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_retried_commit(&self) {
        self.retried_commits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_blocks(&self, count: u64) {
        self.blocks.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn add_replayed_blocks(&self, count: u64) {
        self.replayed_blocks.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn set_lag(&self, lag: u64) {
        self.lag.store(lag, Ordering::Relaxed);
    }

    /// Takes note of a loss of state. Returns whether it is the first at this block.
    pub(crate) fn has_lost_state_at(&self, sequence: u64) -> bool {
        self.lost_at.swap(sequence, Ordering::Relaxed) != sequence
    }

    pub(crate) fn set_checkpoint_bytes(&self, bytes: usize) {
        self.checkpoint_bytes.store(bytes as u64, Ordering::Relaxed);
    }

    /// Takes over what a correlator says. Costs a call of the component.
    pub(crate) fn set_correlator(&self, supervisor: &mut Supervisor, checkpointed: Instant) {
        let metrics = supervisor.metrics().unwrap_or_default();
        let (health, memory) = (supervisor.health(), supervisor.memory());
        let status = CorrelatorStatus { metrics, health, memory, checkpointed };
        *self.correlator.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
    }

    /// The partition is another process's from now on.
    pub(crate) fn give_back(&self) {
        *self.correlator.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.set_lag(0);
    }

    fn counts(&self) -> StageCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StageCounts {
            commits: of(&self.commits),
            commit_time: Duration::from_nanos(of(&self.commit_nanoseconds)),
            lost_fences: of(&self.lost_fences),
            unknown_commits: of(&self.unknown_commits),
            retried_commits: of(&self.retried_commits),
            blocks: of(&self.blocks),
            replayed_blocks: of(&self.replayed_blocks),
            lag: of(&self.lag),
            checkpoint_bytes: of(&self.checkpoint_bytes),
            correlator: self.correlator.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}
