use std::collections::BTreeMap;
use std::time::Duration;

use catena_host::{Metric, Outcome};
use serde::{Deserialize, Serialize};

use super::metric;

/// Totals of a run. `records = passed + dropped + rejected`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Records read.
    pub records: u64,
    /// Records passed on in the stream.
    pub passed: u64,
    /// Records removed from the stream.
    pub dropped: u64,
    /// Records rejected.
    pub rejected: u64,
    /// Findings reported.
    pub findings: u64,
    /// Bytes read, decompressed.
    pub bytes: u64,
    /// Elapsed time, start-up included.
    pub seconds: f64,
    /// Inputs read.
    pub files: u64,
    /// Files skipped because they hold no audit records.
    pub skipped: u64,
    /// Records by cloud and form, as the component counts them: `aws-record`, `azure-unread`.
    #[serde(default)]
    pub input: BTreeMap<String, u64>,
    /// Records that were not recognised, by kind.
    #[serde(default)]
    pub unrecognised: BTreeMap<String, u64>,
}

impl Summary {
    /// Adds the outcome of a batch.
    pub fn add(&mut self, outcome: &Outcome) {
        let (records, dropped) = (u64::from(outcome.records), u64::from(outcome.dropped));
        let rejected = outcome.rejections.len() as u64;
        self.records += records;
        self.dropped += dropped;
        self.rejected += rejected;
        self.passed += records - dropped - rejected;
        self.findings += outcome.findings.len() as u64;
    }

    /// Takes over what the component counts of its input.
    pub fn set_input(&mut self, metrics: &[Metric]) {
        let of = |name: &str| {
            let counted = metric::named(metrics, name).filter(|metric| metric.value > 0);
            counted.map(|metric| (metric::kind(metric), metric.value)).collect()
        };
        (self.input, self.unrecognised) = (of("input"), of("unrecognised"));
    }

    /// Whether a record of a known cloud was read.
    pub fn recognised_any(&self) -> bool {
        !self.input.is_empty()
    }

    /// What the input consisted of, as text: `120 aws-record, 3 azure-unread; not recognised: 5 unknown`.
    pub fn describe_input(&self) -> String {
        let list = |counts: &BTreeMap<String, u64>| {
            counts.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
        };
        let mut text = if self.input.is_empty() { "nothing".to_owned() } else { list(&self.input) };
        if !self.unrecognised.is_empty() {
            text += &format!("; not recognised: {}", list(&self.unrecognised));
        }
        text
    }

    /// The summary as one line of JSON.
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The totals as text.
    pub fn describe_counts(&self) -> String {
        format!(
            "{} records in {}: {} passed, {} dropped, {} rejected, {} found",
            self.records,
            plural(self.files, "input"),
            self.passed,
            self.dropped,
            self.rejected,
            self.findings,
        )
    }

    /// The summary as text: the totals of the state, and the rates of this run. `processing` is the time since the component was
    /// ready, `before` what the totals of records and bytes were then.
    pub fn describe(&self, before: (u64, u64), processing: Duration) -> String {
        let seconds = processing.as_secs_f64().max(1e-9);
        let [records, bytes] = [self.records - before.0, self.bytes - before.1].map(|count| count as f64 / seconds);
        format!(
            "{}; {:.2} s, {:.0} records/s, {:.2} GB/s{}",
            self.describe_counts(),
            seconds,
            records,
            bytes / 1e9,
            if self.skipped > 0 { format!("; {} skipped", plural(self.skipped, "file")) } else { String::new() },
        )
    }
}

fn plural(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
