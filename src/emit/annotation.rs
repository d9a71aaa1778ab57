use crate::finding::{AnnotatedMatch, FindingWriter};
use crate::rule::{RulePlan, StepPlan};
use crate::util::invariant::Invariant as _;

/// The annotation of a record that matched a rule.
#[derive(Default)]
pub(crate) struct Annotation<'a> {
    pub matches: Vec<Match<'a>>,
    /// Whether the event is a duplicate.
    pub duplicate: bool,
}

/// A step that a record matched, and the ids of the findings that the record completed.
pub(crate) struct Match<'a> {
    rule: &'a str,
    step: &'a str,
    findings: Vec<String>,
}

/// The member that holds a record's annotation: its name and its format.
#[derive(Clone, Copy)]
pub(crate) struct AnnotationMember<'c> {
    pub name: &'c str,
    pub writer: FindingWriter,
}

impl<'a> Annotation<'a> {
    /// Adds a step that the record matches, and the ids of its findings.
    pub(crate) fn add(&mut self, rule: &'a RulePlan, plan: &StepPlan, findings: Vec<String>) {
        let step = rule.rule.steps.get(plan.position).map_or("", |step| &step.id);
        self.matches.push(Match { rule: &rule.rule.id, step, findings });
    }

    /// The annotation as JSON text: the last member of a record that has other members, with a leading comma.
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
