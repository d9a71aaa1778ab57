//! The result of evaluating a record, and what is around it.

use super::search::Places;
use crate::emit::{Reason, Verdict};

/// What is around a record.
#[derive(Clone)]
pub(super) struct Nesting<'e> {
    /// The number of texts, encoded or not.
    pub depth: usize,
    /// The number of objects and arrays in which records were searched for.
    pub levels: usize,
    /// Where records are looked for in this one.
    pub places: Option<Places<'e>>,
    /// Whether the text is known to hold records, so that anything else in it is an error.
    pub is_certain: bool,
    /// An enclosing envelope would itself match a rule, so this record must be parsed to see whether it supersedes the
    /// envelope.
    pub envelope_matches: bool,
}

/// The result of evaluating a record, or several records of one envelope together.
pub(super) struct Evaluation<'e> {
    pub verdict: Verdict<'e>,
    /// Whether a cloud's record was recognised, whether or not it matches a rule.
    pub is_recognised: bool,
}

impl Default for Evaluation<'_> {
    fn default() -> Self {
        Self { verdict: Verdict::Irrelevant, is_recognised: false }
    }
}

impl Evaluation<'_> {
    pub(super) fn rejected(reason: Reason, detail: String) -> Self {
        Self { verdict: Verdict::Rejected(reason, detail), is_recognised: false }
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self { verdict: self.verdict.merge(other.verdict), is_recognised: self.is_recognised || other.is_recognised }
    }

    /// Whether there was nothing.
    pub(super) fn is_nothing(&self) -> bool {
        !self.is_recognised && matches!(self.verdict, Verdict::Irrelevant)
    }
}
