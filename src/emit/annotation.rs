use crate::finding::{AnnotatedMatch, FindingWriter};
use crate::rule::{RulePlan, StepPlan};
use crate::util::invariant::Invariant as _;

/// What is written into a record that matched.
#[derive(Default)]
pub(crate) struct Annotation<'a> {
    pub matches: Vec<Match<'a>>,
    /// Whether the event had been seen before.
    pub duplicate: bool,
}

/// A rule's step that a record matched, and the ids of the findings that it made or completed.
pub(crate) struct Match<'a> {
    rule: &'a str,
    step: &'a str,
    findings: Vec<String>,
}

/// The member that annotations are written as: its name and its schema.
#[derive(Clone, Copy)]
pub(crate) struct AnnotationMember<'c> {
    pub name: &'c str,
    pub writer: FindingWriter,
}

impl<'a> Annotation<'a> {
    /// Adds that the record is a step of a rule.
    pub(crate) fn add(&mut self, rule: &'a RulePlan, plan: &StepPlan, findings: Vec<String>) {
        let step = rule.rule.steps.get(plan.position).map_or("", |step| &step.id);
        self.matches.push(Match { rule: &rule.rule.id, step, findings });
    }

    /// The annotation as the last member of a record that has others.
    pub(super) fn member(&self, member: AnnotationMember<'_>) -> String {
        let annotated = |Match { rule, step, findings }: &Match<'_>| {
            member.writer.annotation(&AnnotatedMatch { rule, step, findings })
        };
        let name = serde_json::to_string(member.name).invariant("a name is JSON");
        let matches: Vec<_> = self.matches.iter().map(annotated).collect();
        let duplicate = if self.duplicate { r#","duplicate":true"# } else { "" };
        format!(r#",{name}:{{"matches":[{}]{duplicate}}}"#, matches.join(","))
    }
}
