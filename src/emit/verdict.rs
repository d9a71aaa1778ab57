use super::Reason;
use super::annotation::Annotation;
use crate::scan::Defect;

/// The engine's verdict on a record.
pub(crate) enum Verdict<'a> {
    /// It matches no rule.
    Irrelevant,
    /// It matches a step of at least one rule.
    Matched(Annotation<'a>),
    /// It matches a step, and concerns only other partitions.
    Elsewhere,
    /// It may match a rule and cannot be read. The reason, and the problem in words.
    Rejected(Reason, String),
}

impl Verdict<'_> {
    /// The verdict on an envelope, from the verdicts on two of its records. A rejection wins; two matches are merged.
    pub(crate) fn merge(self, other: Self) -> Self {
        match (self, other) {
            (rejected @ Self::Rejected(..), _) | (_, rejected @ Self::Rejected(..)) => rejected,
            (Self::Matched(mut annotation), Self::Matched(other)) => {
                annotation.merge(other);
                Self::Matched(annotation)
            }
            (Self::Irrelevant, verdict) | (verdict, Self::Irrelevant) => verdict,
            (Self::Elsewhere, verdict) | (verdict, Self::Elsewhere) => verdict,
        }
    }
}

impl Defect {
    /// The reason for the rejection, and the problem in words.
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
