//! What becomes of each piece of a batch, put together to an outcome.

use std::fmt;

use crate::batch::{Piece, Unreadable};
use crate::config::{Config, Mode};
use crate::finding::Finding;
use crate::splice::{Annotation, Splice, Splices, offset};

/// What a batch has led to.
///
/// `records = passed + dropped + rejections.len()`, where `passed` is what is left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How many records the batch holds, those that cannot be read included.
    pub records: u32,
    /// How many of them are a step of some rule.
    pub matched: u32,
    /// How many of them were read and are taken out of the stream.
    pub dropped: u32,
    /// What to change in the batch to get the output.
    pub splices: Vec<Splice>,
    /// What the rules have found, in the order of the records that completed it.
    pub findings: Vec<Finding>,
    /// Records that cannot be read. In mode `enrich` they stay in the stream, else they leave it.
    pub rejections: Vec<Rejection>,
}

impl Outcome {
    /// How many records were read and stay in the stream.
    pub fn passed(&self) -> u32 {
        self.records.saturating_sub(self.dropped).saturating_sub(offset(self.rejections.len()))
    }

    /// The output: `batch` with the splices applied.
    pub fn apply(&self, batch: &[u8]) -> Vec<u8> {
        let mut output = Vec::with_capacity(batch.len());
        let mut from = 0;
        for splice in &self.splices {
            output.extend_from_slice(batch.get(from..splice.start as usize).unwrap_or_default());
            output.extend_from_slice(splice.text.as_bytes());
            from = splice.end as usize;
        }
        output.extend_from_slice(batch.get(from..).unwrap_or_default());
        output
    }
}

/// A record that cannot be read: bytes `start..end` of the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Its first byte.
    pub start: u32,
    /// Behind its last byte.
    pub end: u32,
    /// What kind of problem it is.
    pub reason: Reason,
    /// What is wrong with this one, for a person.
    pub detail: String,
}

/// Why a record cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// It is not a JSON object.
    NotAnObject,
    /// It begins as a JSON object and does not end as one.
    Truncated,
    /// It stands in a container that ends before its list of records does.
    ContainerTruncated,
    /// It may matter and is no JSON.
    MalformedJson,
    /// It matters and does not say when it happened.
    NoEventTime,
    /// It matters and its time cannot be read.
    BadEventTime,
    /// It holds records, and what holds them cannot be decoded.
    BadEnvelope,
    /// It holds records in records in records.
    NestedTooDeep,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::NotAnObject,
        Self::Truncated,
        Self::ContainerTruncated,
        Self::MalformedJson,
        Self::NoEventTime,
        Self::BadEventTime,
        Self::BadEnvelope,
        Self::NestedTooDeep,
    ];

    /// The reason's code, in the contract and in metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotAnObject => "not-an-object",
            Self::Truncated => "truncated",
            Self::ContainerTruncated => "container-truncated",
            Self::MalformedJson => "malformed-json",
            Self::NoEventTime => "no-event-time",
            Self::BadEventTime => "bad-event-time",
            Self::BadEnvelope => "bad-envelope",
            Self::NestedTooDeep => "nested-too-deep",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

/// What the engine says of a record.
pub(crate) enum Verdict<'a> {
    /// No rule asks for it.
    Irrelevant,
    /// It is a step of at least one rule.
    Matched(Annotation<'a>),
    /// It matters and cannot be read.
    Rejected(Reason, String),
}

impl Verdict<'_> {
    /// What is to be said of a record that holds two others.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (rejected @ Self::Rejected(..), _) | (_, rejected @ Self::Rejected(..)) => rejected,
            (Self::Matched(mut annotation), Self::Matched(other)) => {
                annotation.matches.extend(other.matches);
                annotation.duplicate &= other.duplicate;
                Self::Matched(annotation)
            }
            (Self::Irrelevant, verdict) | (verdict, Self::Irrelevant) => verdict,
        }
    }
}

/// Puts an outcome together, piece by piece.
pub(crate) struct Output {
    mode: Mode,
    batch_length: usize,
    outcome: Outcome,
    splices: Splices,
    container: Option<OpenContainer>,
}

/// How far a container has been gone through: what is deleted in it is deleted with one of the commas beside it.
#[derive(Default)]
struct OpenContainer {
    /// Where its first element begins.
    first: Option<usize>,
    /// Behind its latest element.
    end: usize,
    /// Behind the latest element that stays.
    kept_end: Option<usize>,
}

impl Output {
    pub(crate) fn new(mode: Mode, batch_length: usize) -> Self {
        Self { mode, batch_length, outcome: Outcome::default(), splices: Splices::default(), container: None }
    }

    pub(crate) fn findings(&mut self) -> &mut Vec<Finding> {
        &mut self.outcome.findings
    }

    /// Adds the next piece of the batch.
    #[inline]
    pub(crate) fn add(&mut self, piece: Piece, verdict: Verdict<'_>, config: &Config) {
        match piece {
            Piece::Record { record, line } => {
                let record = record.bytes;
                let kept = self.settle(record.start, record.end, &verdict);
                if !kept {
                    self.delete(line);
                }
                self.annotate(record.end, &verdict, config);
            }
            Piece::Element { record } => {
                let record = record.bytes;
                let kept = self.settle(record.start, record.end, &verdict);
                self.pass_element(record.start, record.end, kept);
                self.annotate(record.end, &verdict, config);
            }
            Piece::Unreadable { bytes, line, why } => {
                let (reason, detail) = why.explain();
                self.settle(bytes.start, bytes.end, &Verdict::Rejected(reason, detail.to_owned()));
                match self.container {
                    Some(_) => self.pass_element(bytes.start, bytes.end, false),
                    None => self.delete(line),
                }
            }
            Piece::Blank { line } => self.delete(line),
            Piece::Container => self.container = Some(OpenContainer::default()),
            Piece::ContainerEnd { line } => {
                let container = self.container.take().unwrap_or_default();
                match container.kept_end {
                    Some(kept_end) => self.delete(kept_end..container.end),
                    None => self.delete(line),
                }
            }
        }
    }

    /// Counts a record, and says whether it stays in the stream.
    #[inline]
    fn settle(&mut self, start: usize, end: usize, verdict: &Verdict<'_>) -> bool {
        self.outcome.records += 1;
        let kept = match verdict {
            Verdict::Irrelevant => self.mode == Mode::Enrich,
            Verdict::Matched(_) => {
                self.outcome.matched += 1;
                self.mode != Mode::Findings
            }
            Verdict::Rejected(reason, detail) => {
                let (start, end) = (offset(start), offset(end));
                self.outcome.rejections.push(Rejection { start, end, reason: *reason, detail: detail.clone() });
                return self.mode == Mode::Enrich;
            }
        };
        self.outcome.dropped += u32::from(!kept);
        kept
    }

    /// Goes past an element of the open container, deleting what has to go before it.
    fn pass_element(&mut self, start: usize, end: usize, kept: bool) {
        let Some(container) = &mut self.container else { return };
        let first = *container.first.get_or_insert(start);
        let before = std::mem::replace(&mut container.end, end);
        if kept {
            let gone = container.kept_end.replace(end).map_or(first..start, |kept_end| kept_end..before);
            self.delete(gone);
        }
    }

    fn annotate(&mut self, record_end: usize, verdict: &Verdict<'_>, config: &Config) {
        if let (Verdict::Matched(annotation), true) = (verdict, self.mode != Mode::Findings) {
            let member = annotation.member(&config.annotation, config.findings);
            self.splices.insert(record_end.saturating_sub(1), member);
        }
    }

    fn delete(&mut self, bytes: std::ops::Range<usize>) {
        if self.mode == Mode::Filter {
            self.splices.delete(bytes);
        }
    }

    pub(crate) fn into_outcome(mut self) -> Outcome {
        if self.mode == Mode::Findings {
            self.splices.delete(0..self.batch_length);
        }
        self.outcome.splices = self.splices.into_list();
        self.outcome
    }
}

impl Unreadable {
    /// The reason for a rejection, and the same for a person.
    pub(crate) fn explain(self) -> (Reason, &'static str) {
        match self {
            Self::NotAnObject => (Reason::NotAnObject, "expected a JSON object"),
            Self::Truncated => (Reason::Truncated, "the record begins with { and does not end with }"),
            Self::ContainerTruncated => {
                (Reason::ContainerTruncated, "the container ends before its list of records does")
            }
        }
    }
}
