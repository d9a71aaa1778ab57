use std::time::Duration;

use catena_host::Outcome;
use serde::{Deserialize, Serialize};

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

    /// The summary as one line of JSON.
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The summary as text. `processing` is the time since the component was ready, during which `read` bytes were
    /// read.
    pub fn describe(&self, read: u64, processing: Duration) -> String {
        let seconds = processing.as_secs_f64().max(1e-9);
        let [records, bytes] = [self.records as f64, read as f64].map(|count| count / seconds);
        format!(
            "{} records in {}: {} passed, {} dropped, {} rejected, {} found; \
             {:.2} s, {:.0} records/s, {:.2} GB/s{}",
            self.records,
            plural(self.files, "input"),
            self.passed,
            self.dropped,
            self.rejected,
            self.findings,
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
