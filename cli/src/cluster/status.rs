//! `catena cluster status`.

use catena_cluster::{Error, Nats, PartitionStatus, Status};

use super::arguments::StatusArguments;
use crate::monitor::Text;

/// `catena cluster status`, as text.
pub async fn status(nats: &Nats, arguments: &StatusArguments) -> Result<String, Error> {
    let status = catena_cluster::status(nats).await?;
    if arguments.prometheus {
        return Ok(metrics(&status));
    }
    if arguments.json {
        return Ok(serde_json::to_string(&status)? + "\n");
    }
    Ok(table(&status))
}

fn table(status: &Status) -> String {
    let share = 100.0 * status.candidate_bytes as f64 / (status.bytes.max(1)) as f64;
    let mut text = format!(
        "epoch {}; {} records routed, {share:.2} % of the bytes to correlators\n",
        status.epoch, status.records
    );
    text += &format!("{} messages wait for the routers\n", status.waiting_blocks);
    if status.unjoined > 0 {
        let unjoined = status.unjoined;
        text += &format!("{unjoined} parts have records that concern several partitions, not all of which are done\n");
    }
    text += &format!("routers: {}; workers: {}\n", listed(&status.routers), listed(&status.workers));
    text += &format!(
        "{:>9}  {:<24} {:>8} {:>12} {:>10} {:>12} {:>8}\n",
        "partition", "worker", "lag", "records", "findings", "checkpoint", "age"
    );
    for one in &status.partitions {
        let age = one.checkpoint_age_ms.map_or("-".to_owned(), |age| format!("{} s", age / 1000));
        text += &format!(
            "{:>9}  {:<24} {:>8} {:>12} {:>10} {:>12} {:>8}\n",
            one.partition,
            one.owner.as_deref().unwrap_or("-"),
            one.lag,
            one.records,
            one.findings,
            one.checkpoint_bytes,
            age
        );
    }
    text
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// A status as metrics.
fn metrics(status: &Status) -> String {
    let mut text = Text::default();
    text.gauge("cluster_routers", "Routers that are there.", status.routers.len() as u64);
    text.gauge("cluster_workers", "Workers that are there.", status.workers.len() as u64);
    text.gauge("cluster_waiting_messages", "Messages that wait for the routers.", status.waiting_blocks);
    text.counter("cluster_records", "Records that were routed.", status.records);
    text.counter("cluster_bytes", "Bytes of records that were routed.", status.bytes);
    let candidates = "Bytes of records that went on to correlators.";
    text.counter("cluster_candidate_bytes", candidates, status.candidate_bytes);
    let mut each = |name: &str, kind: &str, help: &str, of: &dyn Fn(&PartitionStatus) -> Option<u64>| {
        let name = format!("catena_cluster_partition_{name}");
        text.family(&name, help, kind);
        for one in &status.partitions {
            if let Some(value) = of(one) {
                text.sample(&name, &format!("{{partition=\"{}\"}}", one.partition), value);
            }
        }
    };
    each("lag", "gauge", "Sequences between what is committed and the last block.", &|one| Some(one.lag));
    each("records_total", "counter", "Records of a partition.", &|one| Some(one.records));
    each("findings_total", "counter", "Findings of a partition.", &|one| Some(one.findings));
    each("stored_checkpoint_bytes", "gauge", "The size of the last checkpoint.", &|one| {
        Some(one.checkpoint_bytes as u64)
    });
    each("stored_checkpoint_age_seconds", "gauge", "The age of the last checkpoint.", &|one| {
        one.checkpoint_age_ms.map(|age| age / 1000)
    });
    text.0
}
