use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Path;
use crate::Span;

/// A rule, as it is written in a file.
///
/// One step makes a detection: a finding for each record that the step names. Several steps make a chain: a finding for
/// each set of records, one a step, of one identity, in the order of the steps, no further apart than `within`, that
/// agree on every name that two of the steps bind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The name that findings, annotations and metrics carry. Lower-case letters, digits and hyphens.
    pub id: String,
    /// Counts up with every change of meaning. Part of a finding's id.
    pub version: u32,
    /// One line for a person.
    pub title: String,
    /// What it means when it fires.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// How bad it is.
    pub severity: Severity,
    /// The ATT&CK techniques that it shows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attack: Vec<Attack>,
    /// Where to read more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
    /// What fires it without an attack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub false_positives: Vec<String>,
    /// The longest time from the first record of a chain to the last, both included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
    /// What has to happen.
    pub steps: Vec<Step>,
    /// The kind of resource behind each bound name that findings list, such as `AWS::EC2::Volume`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, String>,
}

/// One step of a rule: which records it names, and what it takes from them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The step's name within the rule.
    pub id: String,
    /// The cloud.
    pub provider: Provider,
    /// The service that was called, such as `ec2.amazonaws.com`: other services have calls of the same name.
    pub service: String,
    /// The calls, any of them.
    pub actions: Vec<String>,
    /// How the call ended.
    #[serde(default)]
    pub outcome: Outcome,
    /// Names for values of the record. Steps that bind the same name join on it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bind: BTreeMap<String, Path>,
    /// In a rule of one step: a finding for each value of this bound name, instead of one for the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<String>,
}

/// An ATT&CK technique or sub-technique with the tactic it serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attack {
    /// The id, such as `T1578.002`.
    pub technique: String,
    /// The name of that technique, or of that sub-technique.
    pub name: String,
}

/// A cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Provider {
    /// Amazon Web Services.
    Aws,
}

/// How an audited call ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Outcome {
    /// It did what was asked.
    #[default]
    Success,
    /// It was refused or went wrong. A dry run is one: nothing was done.
    Failure,
}

/// How bad a finding is, in the words of OCSF's `severity_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Informational,
    /// Expected in many environments.
    Low,
    /// Worth a look.
    Medium,
    /// Worth a look now.
    High,
    /// Worth waking someone.
    Critical,
}

impl Provider {
    /// The name as rules write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
        }
    }
}

impl Severity {
    /// The name as rules write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
