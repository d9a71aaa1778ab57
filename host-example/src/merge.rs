//! Merges the outcomes of the parts of a batch.

use std::ops::Range;

use memchr::{memchr, memrchr};

use crate::sandbox::Unrecognised;
use crate::{Mode, Outcome, Splice};

/// How a part of a batch was handled.
pub enum Fate {
    /// It was processed. The splices are within the part; their offsets count from the start of the batch.
    Processed(Vec<Splice>),
    /// It was not processed, because no rule can match it or it was rejected. Mode `enrich` keeps it in the stream.
    Unprocessed,
}

/// Merges the splices of parts, so that the output equals that of the whole batch. Parts must be added in order. Each
/// is whole lines, or one record of a container without the bytes around it.
pub struct Merge<'b> {
    batch: &'b [u8],
    mode: Mode,
    /// The merged outcome. Callers that do not use [`add`](Self::add) add counts, findings and rejections themselves.
    pub outcome: Outcome,
    container: Option<Container>,
}

/// A container of which some elements have been added.
struct Container {
    first: usize,
    /// The end of the latest element.
    end: usize,
    /// The end of the latest element that is kept.
    kept_end: Option<usize>,
}

impl<'b> Merge<'b> {
    /// A merge of the parts of `batch`.
    pub fn new(batch: &'b [u8], mode: Mode) -> Self {
        Self { batch, mode, outcome: Outcome::default(), container: None }
    }

    /// Adds the outcome of a part: counts, findings, rejections and splices, with offsets relative to the part.
    pub fn add(&mut self, part: Range<usize>, mut outcome: Outcome) {
        let start = part.start as u32;
        for finding in &mut outcome.findings {
            (finding.start, finding.end) = (finding.start + start, finding.end + start);
        }
        self.count(&mut outcome);
        for mut rejection in outcome.rejections {
            (rejection.start, rejection.end) = (rejection.start + start, rejection.end + start);
            self.outcome.rejections.push(rejection);
        }
        for mut example in outcome.unrecognised {
            (example.start, example.end) = (example.start + start, example.end + start);
            self.add_unrecognised(example);
        }
        for splice in &mut outcome.splices {
            (splice.start, splice.end) = (splice.start + start, splice.end + start);
        }
        self.part(part, Fate::Processed(outcome.splices));
    }

    /// Adds a record that was not recognised, unless there is one of its kind already.
    pub fn add_unrecognised(&mut self, example: Unrecognised) {
        if !self.outcome.unrecognised.iter().any(|known| known.code == example.code) {
            self.outcome.unrecognised.push(example);
        }
    }

    /// Adds the counts, and moves the findings out of `outcome`.
    pub fn count(&mut self, outcome: &mut Outcome) {
        self.outcome.records += outcome.records;
        self.outcome.matched += outcome.matched;
        self.outcome.dropped += outcome.dropped;
        self.outcome.findings.append(&mut outcome.findings);
    }

    /// Adds the next part of the batch.
    pub fn part(&mut self, part: Range<usize>, fate: Fate) {
        match (self.mode, fate) {
            (Mode::Findings, _) | (Mode::Enrich, Fate::Unprocessed) => {}
            (Mode::Enrich, Fate::Processed(splices)) => self.outcome.splices.extend(splices),
            (Mode::Filter, fate) => {
                let is_line = part.start == 0 || self.batch.get(part.start - 1) == Some(&b'\n');
                if is_line {
                    self.close_container();
                    match fate {
                        Fate::Processed(splices) => self.outcome.splices.extend(splices),
                        Fate::Unprocessed => self.delete(part),
                    }
                } else {
                    self.element(part, fate);
                }
            }
        }
    }

    fn element(&mut self, part: Range<usize>, fate: Fate) {
        if let Some(container) = &self.container
            && memchr(b'\n', self.batch.get(container.end..part.start).unwrap_or_default()).is_some()
        {
            self.close_container();
        }
        let kept = match fate {
            Fate::Processed(splices) if !splices.iter().any(|splice| is_whole(splice, &part)) => Some(splices),
            _ => None,
        };
        let container = self.container.get_or_insert(Container { first: part.start, end: part.start, kept_end: None });
        let before = std::mem::replace(&mut container.end, part.end);
        if let Some(splices) = kept {
            let first = container.first;
            let gone = container.kept_end.replace(part.end).map_or(first..part.start, |kept_end| kept_end..before);
            self.delete(gone);
            self.outcome.splices.extend(splices);
        }
    }

    fn close_container(&mut self) {
        let Some(container) = self.container.take() else { return };
        match container.kept_end {
            Some(kept_end) => self.delete(kept_end..container.end),
            None => {
                let start = self.batch.get(..container.first).and_then(|before| memrchr(b'\n', before));
                let rest = self.batch.get(container.end..).unwrap_or_default();
                let end = memchr(b'\n', rest).map_or(self.batch.len(), |length| container.end + length + 1);
                self.delete(start.map_or(0, |line_feed| line_feed + 1)..end);
            }
        }
    }

    fn delete(&mut self, bytes: Range<usize>) {
        let (start, end) = (bytes.start as u32, bytes.end as u32);
        match self.outcome.splices.last_mut() {
            _ if start >= end => {}
            Some(last) if last.end == start && last.text.is_empty() => last.end = end,
            _ => self.outcome.splices.push(Splice { start, end, text: String::new() }),
        }
    }

    /// The outcome of the whole batch.
    pub fn finish(mut self) -> Outcome {
        self.close_container();
        if self.mode == Mode::Findings {
            self.delete(0..self.batch.len());
        }
        self.outcome
    }
}

/// Whether a splice deletes the whole part.
fn is_whole(splice: &Splice, part: &Range<usize>) -> bool {
    splice.text.is_empty() && splice.start as usize <= part.start && splice.end as usize >= part.end
}
