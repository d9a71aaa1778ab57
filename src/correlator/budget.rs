//! A bound on the output: findings and annotations may be 60 times as long as the input that they come from.

use std::ops::Range;

/// Bytes of output that each byte of input allows. With the stream itself, the output is at most 64 times the input.
const PER_BYTE: i64 = 60;

/// Bytes of output that each rule may write whatever the length of the input: one finding, mostly.
const PER_RULE: i64 = 4 << 10;

/// What reports of losses may overdraw: they come first when there is credit again.
const FOR_LOSSES: i64 = 64 << 10;

/// The maximum that is saved up for later. One event may complete what thousands before it began.
const MAX_SAVED_UP: i64 = 64 << 20;

/// How much may be written now. It depends on the bytes that came before, not on how they were cut into batches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutputBudget {
    /// What may be written. Below zero if the last output was longer than allowed.
    pub credit: i64,
    /// The offset in the current batch up to which its bytes have been counted.
    counted: usize,
}

impl OutputBudget {
    /// The budget for a set of `rules` before any input.
    pub(super) fn new(rules: usize) -> Self {
        let rules = i64::try_from(rules).unwrap_or(i64::MAX);
        Self { credit: PER_RULE.saturating_mul(rules.max(1)).min(MAX_SAVED_UP), counted: 0 }
    }

    /// Counts the bytes of the batch up to a record, and those of the record.
    pub(super) fn begin_record(&mut self, record: &Range<usize>) {
        self.count_to(record.start);
        self.credit = self.credit.min(MAX_SAVED_UP);
        self.count_to(record.end);
    }

    /// Counts the rest of a batch of `length` bytes.
    pub(super) fn end_batch(&mut self, length: usize) {
        self.count_to(length);
        self.counted = 0;
    }

    fn count_to(&mut self, offset: usize) {
        let bytes = i64::try_from(offset.saturating_sub(self.counted)).unwrap_or(i64::MAX);
        self.credit = self.credit.saturating_add(bytes.saturating_mul(PER_BYTE));
        self.counted = self.counted.max(offset);
    }

    /// Whether anything may be written. What is written then may be longer than what is left, by one finding.
    pub(super) fn is_open(&self) -> bool {
        self.credit > 0
    }

    /// Whether a report of losses may be written.
    pub(super) fn is_open_for_losses(&self) -> bool {
        self.credit > -FOR_LOSSES
    }

    /// Counts output of `length` bytes.
    pub(super) fn spend(&mut self, length: usize) {
        self.credit = self.credit.saturating_sub(i64::try_from(length).unwrap_or(i64::MAX));
    }
}
