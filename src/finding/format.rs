use serde::{Deserialize, Serialize};

use super::bounds::bounded;
use super::report::{Report, RuleFacts};
use super::{ecs, ocsf, sentinel};
use crate::rule::{RulePlan, Rules};
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
    /// The parts of findings that are the same for all of a rule.
    pub prepare: fn(&RuleFacts<'_>, AttackVersion) -> Prepared,
    /// The finding as one JSON object.
    pub body: fn(&Report<'_>, &Prepared, AttackVersion) -> String,
    /// The annotation as one JSON object.
    pub annotation: AnnotationForm,
}

/// The text of an annotation around its ids. Ids of rules and steps have no character that JSON escapes, and ids of findings are
/// hexadecimal digits, so an annotation is put together without a serialiser.
#[derive(Debug)]
pub(crate) struct AnnotationForm {
    /// Before the rule.
    pub(super) rule: &'static str,
    /// Between the rule and the step.
    pub(super) step: &'static str,
    /// Between the step and the findings.
    pub(super) findings: &'static str,
    /// Before and after each finding.
    pub(super) finding: [&'static str; 2],
    /// After the findings.
    pub(super) end: &'static str,
}

impl AnnotationForm {
    /// The beginning of the annotation of a record that matched a step: the ids of rule and step, under the schema's own
    /// names, so that one query matches findings and annotations.
    pub(crate) fn start(&self, rule: &str, step: &str) -> String {
        [self.rule, rule, self.step, step, self.findings].concat()
    }

    /// Appends the rest of an annotation: the ids of the findings that the record completed.
    pub(crate) fn end(&self, findings: &[String], to: &mut String) {
        let [before, after] = self.finding;
        for (number, id) in findings.iter().enumerate() {
            for text in [if number > 0 { "," } else { "" }, before, id, after] {
                to.push_str(text);
            }
        }
        to.push_str(self.end);
    }
}

/// JSON texts of one rule, of which its findings are made. Which they are is the format's business.
#[derive(Clone, Debug, Default)]
pub(super) struct Prepared(pub Vec<String>);

impl Prepared {
    /// The text with this number; empty if the format has prepared none.
    pub(super) fn get(&self, number: usize) -> &str {
        self.0.get(number).map_or("", String::as_str)
    }
}

/// Writes findings in the configured format.
#[derive(Debug)]
pub(crate) struct FindingWriter {
    format: FindingFormat,
    attack: AttackVersion,
    /// By rule, in the order of [`Rules::rules`].
    prepared: Vec<Prepared>,
}

impl FindingWriter {
    /// A writer of the findings of `rules`.
    #[cold]
    pub(crate) fn new(format: FindingFormat, attack: AttackVersion, rules: &Rules) -> Self {
        let prepare = |rule: &RulePlan| (format.format().prepare)(&RuleFacts::of(&rule.rule), attack);
        Self { format, attack, prepared: rules.rules.iter().map(prepare).collect() }
    }

    /// The form of annotations.
    pub(crate) fn annotations(&self) -> &'static AnnotationForm {
        &self.format.format().annotation
    }

    /// Writes a finding of the rule with this number as one JSON object.
    pub(super) fn body(&self, report: &Report<'_>, rule: usize) -> String {
        match self.prepared.get(rule) {
            Some(prepared) => bounded((self.format.format().body)(report, prepared, self.attack)),
            None => self.body_of_none(report),
        }
    }

    /// Writes a finding that is not of a configured rule.
    pub(super) fn body_of_none(&self, report: &Report<'_>) -> String {
        let format = self.format.format();
        let prepared = (format.prepare)(&report.rule, self.attack);
        bounded((format.body)(report, &prepared, self.attack))
    }
}
