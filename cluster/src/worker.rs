//! A worker: the correlators of a fair share of the partitions, and the joiner if nobody else is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::correlator::Partition;
use crate::deployment::Deployment;
use crate::joiner::{self, Joiner};
use crate::lease::Lease;
use crate::metrics::{Metrics, StageMetrics};
use crate::roster::{self, Present, ROUND, Roster};
use crate::{Error, streams};

/// How a worker is known, and how much it takes.
#[derive(Clone, Debug)]
pub struct Worker {
    /// Its name, unique in the fleet.
    pub name: String,
    /// The most partitions that it takes.
    pub most: u32,
    /// How old the last checkpoint of a partition may become, if there is anything new. A recovery processes again what came since.
    pub checkpoint_after: Duration,
}

/// How long a partition is left alone that another version has to bring to its end.
const FOREIGN: Duration = Duration::from_secs(3);

struct Owned {
    task: JoinHandle<Result<(), Error>>,
    stop: Arc<AtomicBool>,
}

/// Works until told to stop.
///
/// What may pass is waited for: servers that are away, and another version of the program that has partitions to bring to its end.
///
/// # Errors
///
/// None that is known.
pub async fn work(
    deployment: &Deployment,
    worker: &Worker,
    metrics: &Metrics,
    stop: &Arc<AtomicBool>,
) -> Result<(), Error> {
    let present = Present { most: worker.most, version: deployment.version().to_owned() };
    let presence = format!("{}{}.{}.{}", streams::WORKER, worker.name, present.most, present.version);
    // Partitions that another version has to bring to its end first, or that went on to another version.
    let mut foreign: BTreeMap<u32, Instant> = BTreeMap::new();
    let is_taken = |roster: Roster| roster.workers.contains_key(&worker.name);
    if Roster::look(&deployment.nats).await.is_ok_and(is_taken) {
        warn!("a worker named {} is there, or was a moment ago: each must have a name of its own", worker.name);
    }
    let mut told = 0;
    let mut joiner: Option<Owned> = None;
    let mut owned: BTreeMap<u32, Owned> = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        for (partition, ended) in take_ended(&mut owned) {
            match ended.task.await {
                Ok(Ok(())) => {}
                Ok(Err(Error::Epoch(why))) => {
                    info!("{why}");
                    foreign.insert(partition, Instant::now());
                }
                Ok(Err(error)) => warn!("partition {partition}: {error}"),
                Err(error) => warn!("partition {partition}: {error}"),
            }
        }
        if let Some(ended) = joiner.take_if(|one| one.task.is_finished())
            && let Ok(Err(error)) = ended.task.await
        {
            warn!("joiner: {error}");
        }
        // To a version that is no longer current, a partition does not come back.
        if !foreign.is_empty() && deployment.is_current().await.unwrap_or_default() {
            foreign.retain(|_, since| since.elapsed() < FOREIGN);
        }
        // Without an answer, all goes on as it is.
        let _ = roster::announce(&deployment.nats, &presence).await;
        if let Ok(roster) = Roster::look(&deployment.nats).await {
            let share = roster.share(&present, deployment.partitions) as usize;
            let free = (0..deployment.partitions).filter(|partition| !roster.leased.contains(partition));
            // Workers that look at the same time begin at different places.
            let first = worker.name.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
            let is_own = |partition: &u32| !owned.contains_key(partition) && !foreign.contains_key(partition);
            let mut free: Vec<u32> = free.filter(is_own).collect();
            let places = free.len().max(1);
            free.rotate_left(first as usize % places);
            for partition in free.into_iter().take(share.saturating_sub(owned.len())) {
                if let Some(lease) = Lease::acquire(&deployment.nats, &partition.to_string(), &worker.name).await {
                    let counts = metrics.partition(partition);
                    let started = start_partition(deployment.clone(), partition, worker.clone(), counts, lease);
                    owned.insert(partition, started);
                }
            }
            if joiner.is_none()
                && !roster.has_joiner
                && let Some(lease) = Lease::acquire(&deployment.nats, joiner::NAME, &worker.name).await
            {
                joiner = Some(start_joiner(deployment.clone(), metrics.joiner(), lease));
            }
            for (_, surplus) in owned.iter().skip(share) {
                surplus.stop.store(true, Ordering::Relaxed);
            }
        }
        if owned.len() != told {
            told = owned.len();
            info!("{}: has {told} of {} partitions", worker.name, deployment.partitions);
        }
        tokio::time::sleep(ROUND).await;
    }
    roster::leave(&deployment.nats, &presence).await;
    owned.values().for_each(|one| one.stop.store(true, Ordering::Relaxed));
    if let Some(one) = joiner {
        one.stop.store(true, Ordering::Relaxed);
        let _ = one.task.await;
    }
    for (partition, one) in owned {
        if let Ok(Err(error)) = one.task.await {
            warn!("partition {partition}: {error}");
        }
    }
    Ok(())
}

fn take_ended(owned: &mut BTreeMap<u32, Owned>) -> Vec<(u32, Owned)> {
    let ended: Vec<u32> = owned.iter().filter(|(_, one)| one.task.is_finished()).map(|(number, _)| *number).collect();
    ended.into_iter().filter_map(|number| owned.remove(&number).map(|one| (number, one))).collect()
}

/// Runs the joiner under its lease.
fn start_joiner(deployment: Deployment, metrics: Arc<StageMetrics>, lease: Lease) -> Owned {
    start(lease, |is_lost, stop| async move { Joiner::recover(&deployment, metrics).await?.run(&is_lost, &stop).await })
}

/// Runs a partition under its lease.
fn start_partition(
    deployment: Deployment,
    partition: u32,
    worker: Worker,
    metrics: Arc<StageMetrics>,
    lease: Lease,
) -> Owned {
    start(lease, |is_lost, stop| async move {
        let ended = match Partition::recover(&deployment, partition, &worker, Arc::clone(&metrics)).await {
            Ok(mut correlator) => correlator.run(&is_lost, &stop).await,
            Err(error) => Err(error),
        };
        metrics.give_back();
        ended
    })
}

/// Runs a stage, which is given whether its lease is lost and whether it is to stop, and then releases the lease.
fn start<W>(lease: Lease, work: impl FnOnce(Arc<AtomicBool>, Arc<AtomicBool>) -> W) -> Owned
where
    W: Future<Output = Result<(), Error>> + Send + 'static,
{
    let (lease, stop) = (lease.keep(), Arc::new(AtomicBool::new(false)));
    let work = work(Arc::clone(&lease.is_lost), Arc::clone(&stop));
    let task = tokio::spawn(async move {
        let ended = work.await;
        lease.release().await;
        ended
    });
    Owned { task, stop }
}
