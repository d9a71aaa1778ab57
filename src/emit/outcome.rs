use std::fmt;

use super::splice::{Splice, offset};
use crate::finding::Finding;

/// What a batch has led to.
///
/// `records = passed + dropped + rejections.len()`, where `passed` is what is left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
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
#[non_exhaustive]
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
