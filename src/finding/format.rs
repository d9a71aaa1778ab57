use serde::{Deserialize, Serialize};

use super::report::Report;
use super::{ecs, ocsf, sentinel};
use crate::vocab::AttackVersion;

/// The schema that findings and annotations are written in.
///
/// A new one is a file beside `ocsf.rs` with a constant of its own, and a line here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FindingFormat {
    /// OCSF 1.8 Detection Findings (class 2004).
    #[default]
    Ocsf,
    /// Alerts of the Elastic Common Schema 8.17.
    Ecs,
    /// Flat rows for Microsoft Sentinel.
    Sentinel,
}

impl FindingFormat {
    fn format(self) -> &'static Format {
        match self {
            Self::Ocsf => &ocsf::FORMAT,
            Self::Ecs => &ecs::FORMAT,
            Self::Sentinel => &sentinel::FORMAT,
        }
    }
}

/// One schema: how a finding is written, and how a record's annotation refers to it.
pub(super) struct Format {
    pub body: fn(&Report<'_>, AttackVersion) -> String,
    /// The match as one JSON object.
    pub annotation: fn(&AnnotatedMatch<'_>) -> String,
}

/// A rule's step that a record matched, and the findings that it made or completed.
pub(crate) struct AnnotatedMatch<'a> {
    pub rule: &'a str,
    pub step: &'a str,
    pub findings: &'a [String],
}

/// Writes findings and annotations as the configuration asks for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FindingWriter {
    pub format: FindingFormat,
    pub attack: AttackVersion,
}

impl FindingWriter {
    /// A finding as one JSON object.
    pub(super) fn body(self, report: &Report<'_>) -> String {
        (self.format.format().body)(report, self.attack)
    }

    /// A match under the names of the schema, so that one query finds both.
    pub(crate) fn annotation(self, matched: &AnnotatedMatch<'_>) -> String {
        (self.format.format().annotation)(matched)
    }
}
