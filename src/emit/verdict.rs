use super::Reason;
use super::annotation::Annotation;
use crate::scan::Defect;

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

impl Defect {
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
