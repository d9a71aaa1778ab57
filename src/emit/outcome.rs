use std::fmt;

use super::splice::{Splice, offset};
use crate::finding::Finding;

/// The result of processing a batch.
///
/// `records = passed() + dropped + rejections.len()`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// The number of records in the batch, rejected ones included.
    pub records: u32,
    /// The number of records that match a step of a rule.
    pub matched: u32,
    /// The number of records that leave the stream, rejected ones not included.
    pub dropped: u32,
    /// The edits that turn the batch into the output, in ascending order, without overlap.
    pub splices: Vec<Splice>,
    /// The findings, in the order of the records that completed them.
    pub findings: Vec<Finding>,
    /// Of each kind of record that was not recognised, the first of the batch, in ascending order. They are neither rejected
    /// nor matched; the metrics count them.
    pub unrecognised: Vec<Unrecognised>,
    /// The records that cannot be read, in ascending order. They stay in the stream in mode `enrich`, and leave it in
    /// the other modes.
    pub rejections: Vec<Rejection>,
}

impl Outcome {
    /// The number of records that stay in the stream, rejected ones not included.
    ///
    /// ```
    /// use catena::{Config, Correlator, Timestamp};
    ///
    /// let mut correlator = Correlator::new(Config::default())?;
    /// let outcome = correlator.process(b"{\"a\":1}\nnot a record\n", None)?;
    /// assert_eq!((outcome.records, outcome.passed()), (2, 1));
    /// # Ok::<(), catena::Error>(())
    /// ```
    pub fn passed(&self) -> u32 {
        self.records.saturating_sub(self.dropped).saturating_sub(offset(self.rejections.len()))
    }

    /// The output: `batch` with the splices applied. Copies the batch once.
    ///
    /// ```
    /// use catena::{Config, Correlator, Timestamp};
    ///
    /// let mut correlator = Correlator::new(r#"{"mode": "filter"}"#.parse::<Config>()?)?;
    /// let batch = b"{\"eventName\":\"DescribeInstances\"}\n";
    /// assert_eq!(correlator.process(batch, None)?.apply(batch), b"");
    /// # Ok::<(), catena::Error>(())
    /// ```
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

/// A rejected record, which cannot be read: bytes `start..end` of the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejection {
    /// The offset of its first byte.
    pub start: u32,
    /// The offset after its last byte.
    pub end: u32,
    /// The kind of problem.
    pub reason: Reason,
    /// The problem with this record, in words.
    pub detail: String,
}

/// A record that was read and not recognised: bytes `start..end` of the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unrecognised {
    /// The offset of its first byte.
    pub start: u32,
    /// The offset after its last byte.
    pub end: u32,
    /// What it looks like.
    pub kind: UnrecognisedKind,
}

/// What a record that was not recognised looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum UnrecognisedKind {
    /// It has a cloud's member for the action, with an action of a rule, and is not an event of that cloud.
    NamesAction,
    /// It has nothing that a record of a known cloud has.
    Unknown,
}

impl UnrecognisedKind {
    /// Every kind. New ones are added at the end: checkpoints hold their counts in this order.
    pub const ALL: [Self; 2] = [Self::NamesAction, Self::Unknown];

    /// The kind's code in the WIT contract and in metrics.
    ///
    /// ```
    /// assert_eq!(catena::UnrecognisedKind::NamesAction.code(), "names-action");
    /// ```
    pub fn code(self) -> &'static str {
        match self {
            Self::NamesAction => "names-action",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for UnrecognisedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

/// Why a record was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// It is not a JSON object.
    NotAnObject,
    /// It begins with `{` and does not end with `}`.
    Truncated,
    /// It is in a container that ends before its list of records does.
    ContainerTruncated,
    /// It is a candidate and not valid JSON.
    MalformedJson,
    /// It matches a step and has no event time.
    NoEventTime,
    /// It matches a step and its event time cannot be parsed.
    BadEventTime,
    /// It is an envelope whose records cannot be decoded.
    BadEnvelope,
    /// It is an envelope whose records are nested more than four levels deep.
    NestedTooDeep,
}

impl Reason {
    /// Every reason. New ones are added at the end: checkpoints hold their counts in this order.
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

    /// The reason's code in the WIT contract and in metrics.
    ///
    /// ```
    /// assert_eq!(catena::Reason::NotAnObject.code(), "not-an-object");
    /// ```
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
