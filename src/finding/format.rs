use serde::{Deserialize, Serialize};

use super::bounds::bounded;
use super::report::Report;
use super::{ecs, ocsf, sentinel};
use crate::vocab::AttackVersion;

/// The schema that findings and annotations are written in.
///
/// To add one, write a file next to `ocsf.rs` with its own `FORMAT` constant, and add a variant here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FindingFormat {
    /// OCSF 1.8 Detection Findings (class 2004).
    #[default]
    Ocsf,
    /// Alerts in the Elastic Common Schema (ECS) 8.17.
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

/// One schema: the body of a finding, and the annotation of a record that refers to it.
pub(super) struct Format {
    /// The finding as one JSON object.
    pub body: fn(&Report<'_>, AttackVersion) -> String,
    /// The annotation as one JSON object.
    pub annotation: AnnotationForm,
}

/// The text of an annotation around its ids. Ids of rules and steps have no character that JSON escapes, and ids of findings are
/// hexadecimal digits, so an annotation is put together without a serialiser.
pub(super) struct AnnotationForm {
    /// Before the rule.
    pub rule: &'static str,
    /// Between the rule and the step.
    pub step: &'static str,
    /// Between the step and the findings.
    pub findings: &'static str,
    /// Before and after each finding.
    pub finding: [&'static str; 2],
    /// After the findings.
    pub end: &'static str,
}

/// Writes findings and annotations in the configured format.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FindingWriter {
    pub format: FindingFormat,
    pub attack: AttackVersion,
}

impl FindingWriter {
    /// Writes a finding as one JSON object.
    pub(super) fn body(self, report: &Report<'_>) -> String {
        bounded((self.format.format().body)(report, self.attack))
    }

    /// The beginning of the annotation of a record that matched a step: the ids of rule and step, under the schema's own
    /// names, so that one query matches findings and annotations.
    pub(crate) fn annotation_of(self, rule: &str, step: &str) -> String {
        let AnnotationForm { rule: before, step: between, findings: after, .. } = self.format.format().annotation;
        [before, rule, between, step, after].concat()
    }

    /// Appends the rest of an annotation: the ids of the findings that the record completed.
    pub(crate) fn end_annotation(self, findings: &[String], to: &mut String) {
        let AnnotationForm { finding: [before, after], end, .. } = self.format.format().annotation;
        for (number, id) in findings.iter().enumerate() {
            for text in [if number > 0 { "," } else { "" }, before, id, after] {
                to.push_str(text);
            }
        }
        to.push_str(end);
    }
}
