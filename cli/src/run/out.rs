//! The end of the pipeline: counts outcomes and writes them.

use std::sync::Arc;

use catena_host::{Outcome, Rejection};
use indicatif::ProgressBar;

use crate::output::Outputs;
use crate::pipeline::{InputBatch, OutcomeSink};
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
    fn take(&mut self, item: InputBatch, outcome: Option<Outcome>) -> Result<(), WriteError> {
        self.summary.bytes += item.batch.original.len() as u64;
        if !Arc::ptr_eq(&self.input, &item.input) {
            // Never join the last line of one input to the first of another, not even if both have the same name.
            if self.input != item.input || item.batch.offset == 0 {
                self.outputs.end_line()?;
            }
            self.input = Arc::clone(&item.input);
        }
        match outcome {
            Some(outcome) => {
                self.summary.add(&outcome);
                self.outputs.write(&item.input, &item.batch, outcome)
            }
            None => self.too_long(&item),
        }
    }
}

impl Out {
    fn too_long(&mut self, item: &InputBatch) -> Result<(), WriteError> {
        if item.batch.kind == (Kind::TooLong { first: true }) {
            self.summary.records += 1;
            self.summary.rejected += 1;
            let detail = format!("the record is longer than --max-record-bytes {}", self.longest);
            let rejection = Rejection { start: 0, end: 0, code: "too-long".to_owned(), detail };
            self.outputs.rejection(&item.input, &item.batch, item.batch.line, &rejection)?;
        }
        if self.keep_rejected { self.outputs.pass(vec![item.batch.original.clone()]) } else { Ok(()) }
    }
}
