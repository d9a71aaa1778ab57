//! The output as edits of the input: records of interest get a member more, others are taken out.

use std::ops::Range;

use serde::Serialize;

use crate::finding::FindingFormat;
use crate::rule::{RulePlan, StepPlan};

/// Bytes `start..end` of the batch give way to `text`.
///
/// Splices come in ascending order and do not overlap. Bytes that no splice covers go out as they came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splice {
    /// The first byte that gives way.
    pub start: u32,
    /// Behind the last byte that gives way; `start` where nothing does.
    pub end: u32,
    /// What comes in their place.
    pub text: String,
}

/// Puts splices together, in order of place; neighbouring deletions become one.
#[derive(Debug, Default)]
pub(crate) struct Splices {
    list: Vec<Splice>,
}

impl Splices {
    /// Takes bytes out.
    pub(crate) fn delete(&mut self, bytes: Range<usize>) {
        let (start, end) = (offset(bytes.start), offset(bytes.end));
        match self.list.last_mut() {
            _ if start >= end => {}
            Some(last) if last.end == start && last.text.is_empty() => last.end = end,
            _ => self.list.push(Splice { start, end, text: String::new() }),
        }
    }

    /// Puts text in.
    pub(crate) fn insert(&mut self, at: usize, text: String) {
        self.list.push(Splice { start: offset(at), end: offset(at), text });
    }

    pub(crate) fn into_list(self) -> Vec<Splice> {
        self.list
    }
}

/// An offset in a batch. Batches are refused where it could not hold one.
pub(crate) fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// What an annotated record is told to be.
#[derive(Default)]
pub(crate) struct Annotation<'a> {
    pub matches: Vec<Match<'a>>,
    /// Whether the event had been seen before.
    pub duplicate: bool,
}

/// A rule's step that a record is, and the ids of the findings that it makes or completes.
pub(crate) struct Match<'a> {
    pub rule: &'a str,
    pub step: &'a str,
    pub findings: Vec<String>,
}

/// An annotation as it is written.
#[derive(Serialize)]
struct Written<'a> {
    matches: Vec<Named<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    duplicate: bool,
}

/// A match in the names of each form of finding, so that one query finds both.
#[derive(Serialize)]
#[serde(untagged)]
enum Named<'a> {
    Ocsf {
        analytic: Uid<'a>,
        step: &'a str,
        finding_info: Vec<Uid<'a>>,
    },
    Ecs {
        rule: Id<&'a str>,
        step: &'a str,
        event: Id<&'a [String]>,
    },
    Sentinel {
        #[serde(rename = "RuleId")]
        rule_id: &'a str,
        #[serde(rename = "Step")]
        step: &'a str,
        #[serde(rename = "FindingId")]
        finding_id: &'a [String],
    },
}

#[derive(Serialize)]
struct Uid<'a> {
    uid: &'a str,
}

#[derive(Serialize)]
struct Id<T> {
    id: T,
}

impl Match<'_> {
    fn named(&self, format: FindingFormat) -> Named<'_> {
        let Self { rule, step, ref findings } = *self;
        match format {
            FindingFormat::Ocsf => Named::Ocsf {
                analytic: Uid { uid: rule },
                step,
                finding_info: findings.iter().map(|uid| Uid { uid }).collect(),
            },
            FindingFormat::Ecs => Named::Ecs { rule: Id { id: rule }, step, event: Id { id: findings } },
            FindingFormat::Sentinel => Named::Sentinel { rule_id: rule, step, finding_id: findings },
        }
    }
}

impl<'a> Annotation<'a> {
    /// Adds that the record is a step of a rule.
    pub(crate) fn add(&mut self, rule: &'a RulePlan, plan: &StepPlan, findings: Vec<String>) {
        let step = rule.rule.steps.get(plan.position).map_or("", |step| &step.id);
        self.matches.push(Match { rule: &rule.rule.id, step, findings });
    }

    /// The annotation as a member that goes before a record's closing brace. The record has other members.
    pub(crate) fn member(&self, name: &str, format: FindingFormat) -> String {
        let matches = self.matches.iter().map(|one| one.named(format)).collect();
        let name = serde_json::to_string(name).unwrap_or_default();
        let value = serde_json::to_string(&Written { matches, duplicate: self.duplicate }).unwrap_or_default();
        format!(",{name}:{value}")
    }
}
