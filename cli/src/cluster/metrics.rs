//! `--metrics` of the processes of a fleet.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use catena_cluster::{Error, Metrics, Nats, Stage, StageCounts};
use catena_host::{Metric, MetricKind};
use tracing::info;

use crate::monitor::{Text, server};
use crate::{listen, metric, send};

/// Without an answer of the servers for so long, a process is unhealthy.
const TOO_LONG: Duration = Duration::from_secs(30);

/// How often the servers are asked something, so that silence means something.
const ASK: Duration = Duration::from_secs(5);

/// What a process tells about itself.
#[derive(Clone, Default)]
pub struct Told {
    pub metrics: Metrics,
    /// The partitions of the deployment.
    pub partitions: Option<u32>,
    pub listen: Option<Arc<listen::Status>>,
    pub senders: Vec<(String, Arc<send::Status>)>,
}

/// Serves them if there is an address to do so.
pub fn serve(address: Option<SocketAddr>, nats: &Nats, told: Told) -> Result<(), Error> {
    let Some(address) = address else { return Ok(()) };
    let asked = nats.clone();
    tokio::spawn(async move {
        loop {
            asked.ask().await;
            tokio::time::sleep(ASK).await;
        }
    });
    let nats = nats.clone();
    let answer = move |path: &str| match path {
        "/metrics" => (200, text(&told)),
        "/health" => health(&nats, &told),
        _ => (404, "not found; see /metrics and /health\n".to_owned()),
    };
    let bound = server::serve(address, Arc::new(answer));
    let bound = bound.map_err(|error| Error::Invalid(format!("cannot listen on {address}: {error}")))?;
    info!("serving metrics at http://{bound}/metrics");
    Ok(())
}

fn health(nats: &Nats, told: &Told) -> (u16, String) {
    let mut problems = Vec::new();
    let silence = nats.silence();
    if silence >= TOO_LONG {
        problems.push(format!("no NATS server has answered for {} s", silence.as_secs()));
    }
    for (name, sender) in &told.senders {
        problems.extend(sender.problem().map(|problem| format!("{name}: {problem}")));
    }
    if problems.is_empty() { (200, "ok\n".to_owned()) } else { (503, problems.join("\n") + "\n") }
}

/// One of the counts of a stage.
type Of = fn(&StageCounts) -> u64;

/// The labels of a stage.
fn labels(stage: &Stage) -> String {
    match stage {
        Stage::Source(name) => format!("{{role=\"ingest\",source={name:?}}}"),
        Stage::Router => "{role=\"route\"}".to_owned(),
        Stage::Partition(number) => format!("{{role=\"work\",partition=\"{number}\"}}"),
        Stage::Joiner => "{role=\"join\"}".to_owned(),
        _ => String::new(),
    }
}

fn text(told: &Told) -> String {
    let stages = told.metrics.stages();
    let mut text = Text::default();
    text.build();
    let commit = "catena_cluster_commit_seconds";
    text.family(commit, "Time of a commit, from the first attempt to the answer.", "summary");
    for (stage, counts) in &stages {
        text.sample(&format!("{commit}_sum"), &labels(stage), counts.commit_time.as_secs_f64());
        text.sample(&format!("{commit}_count"), &labels(stage), counts.commits);
    }
    let counters: [(&str, &str, Of); 5] = [
        ("lost_fences", "Commits refused because another process had committed.", |counts| counts.lost_fences),
        ("unknown_commits", "Attempts to commit that were not answered.", |counts| counts.unknown_commits),
        ("retried_commits", "Attempts to commit that were made again.", |counts| counts.retried_commits),
        ("messages", "Messages that were stored (ingest) or taken.", |counts| counts.blocks),
        ("replayed_blocks", "Blocks that were processed again after a start.", |counts| counts.replayed_blocks),
    ];
    for (name, help, of) in counters {
        let name = format!("catena_cluster_{name}_total");
        text.family(&name, help, "counter");
        stages.iter().for_each(|(stage, counts)| text.sample(&name, &labels(stage), of(counts)));
    }
    if let Some((_, counts)) = stages.iter().find(|(stage, _)| *stage == Stage::Router) {
        text.gauge("cluster_waiting_messages", "Messages that wait for the routers.", counts.lag);
    }
    if let Some(partitions) = told.partitions {
        text.gauge("cluster_partitions", "Partitions of the deployment.", partitions.into());
    }
    if stages.iter().any(|(stage, _)| matches!(stage, Stage::Partition(_))) {
        text.partitions(&stages);
    }
    if let Some(status) = &told.listen {
        text.listen(status);
    }
    text.senders(&told.senders);
    text.0
}

impl Text {
    /// The partitions that a worker has.
    fn partitions(&mut self, stages: &[(Stage, StageCounts)]) {
        let owned: Vec<_> = stages
            .iter()
            .filter_map(|(stage, counts)| match (stage, &counts.correlator) {
                (Stage::Partition(number), Some(correlator)) => Some((*number, counts, correlator)),
                _ => None,
            })
            .collect();
        self.gauge("cluster_owned_partitions", "Partitions that this worker has.", owned.len() as u64);
        let mut each = |name: &str, kind: &str, help: &str, values: &BTreeMap<u32, f64>| {
            self.family(name, help, kind);
            for (number, value) in values {
                self.sample(name, &format!("{{partition=\"{number}\"}}"), value);
            }
        };
        let behind = owned.iter().map(|(number, counts, _)| (*number, counts.lag as f64 / 1e3)).collect();
        let help = "Age of the next block when it was taken; 0 if none waits.";
        each("catena_cluster_partition_behind_seconds", "gauge", help, &behind);
        let age = owned.iter().map(|(number, _, one)| (*number, one.checkpointed.elapsed().as_secs_f64())).collect();
        let help = "Time since the last checkpoint, or since the partition was taken.";
        each("catena_cluster_partition_checkpoint_age_seconds", "gauge", help, &age);
        let bytes = owned.iter().map(|(number, counts, _)| (*number, counts.checkpoint_bytes as f64)).collect();
        let help = "Size of the last checkpoint that this worker took.";
        each("catena_cluster_partition_checkpoint_bytes", "gauge", help, &bytes);
        let memory = owned.iter().map(|(number, _, one)| (*number, one.memory as f64)).collect();
        each("catena_instance_memory_bytes", "gauge", "Memory of a partition's component instance.", &memory);
        let health = |of: fn(&catena_host::Health) -> u64| -> BTreeMap<u32, f64> {
            owned.iter().map(|(number, _, one)| (*number, of(&one.health) as f64)).collect()
        };
        let help = "Component instances restarted after a failure.";
        each("catena_restarts_total", "counter", help, &health(|health| health.restarts));
        let help = "Records rejected because the component fails on them.";
        each("catena_poison_total", "counter", help, &health(|health| health.poison));
        let help = "Times that state was lost after a failure of the component.";
        each("catena_state_lost_total", "counter", help, &health(|health| health.state_lost));
        // What the engine counts goes with a partition from worker to worker, so it must not be added up.
        let mut engine = Vec::new();
        let mut watermark = Vec::new();
        for (number, _, one) in &owned {
            for counted in &one.metrics {
                if counted.name == "watermark" {
                    metric::add(&mut watermark, counted.clone());
                } else if counted.value > 0 || counted.kind == MetricKind::Gauge {
                    let mut labels = counted.labels.clone();
                    labels.push(("partition".to_owned(), number.to_string()));
                    engine.push(Metric { labels, ..counted.clone() });
                }
            }
        }
        engine.extend(watermark);
        self.engine(&engine);
    }
}
