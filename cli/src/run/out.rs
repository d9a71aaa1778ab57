//! The end of the pipeline: counts outcomes and writes them.

use std::sync::Arc;

use catena_host::{Outcome, Rejection};
use indicatif::ProgressBar;

use crate::output::Outputs;
use crate::pipeline::{Job, OutcomeSink};
use crate::sink::WriteError;
use crate::summary::Summary;
use catena_input::framing::Kind;

/// Counts the outcomes of the pipeline and writes them.
pub struct Out {
    pub outputs: Outputs,
    pub summary: Summary,
    /// Whether rejected records stay in the stream.
    pub keep_rejected: bool,
    /// The longest record accepted, in bytes.
    pub longest: usize,
    pub progress: ProgressBar,
    /// The input of the batch written last.
    pub input: Arc<str>,
}

impl OutcomeSink for Out {
    fn take(&mut self, job: Job, outcome: Option<Outcome>) -> Result<(), WriteError> {
        self.summary.bytes += job.batch.original.len() as u64;
        if !Arc::ptr_eq(&self.input, &job.input) {
            // Never join the last line of one input to the first of another, not even if both have the same name.
            if self.input != job.input || job.batch.offset == 0 {
                self.outputs.end_line()?;
            }
            self.input = Arc::clone(&job.input);
        }
        match outcome {
            Some(outcome) => {
                self.summary.add(&outcome);
                self.outputs.write(&job.input, &job.batch, outcome)
            }
            None => self.too_long(&job),
        }
    }
}

impl Out {
    fn too_long(&mut self, job: &Job) -> Result<(), WriteError> {
        if job.batch.kind == (Kind::TooLong { first: true }) {
            self.summary.records += 1;
            self.summary.rejected += 1;
            let detail = format!("the record is longer than --max-record-bytes {}", self.longest);
            let rejection = Rejection { start: 0, end: 0, code: "too-long".to_owned(), detail };
            self.outputs.rejection(&job.input, &job.batch, job.batch.line, &rejection)?;
        }
        if self.keep_rejected { self.outputs.pass(vec![job.batch.original.clone()]) } else { Ok(()) }
    }
}
