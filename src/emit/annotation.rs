use crate::finding::{AnnotatedMatch, FindingWriter};
use crate::rule::{RulePlan, StepPlan};
use crate::util::invariant::Invariant as _;

/// The annotation of a record that matched a rule.
#[derive(Default)]
pub(crate) struct Annotation<'a> {
    matches: Vec<Match<'a>>,
    /// The number of matches that are not listed.
    omitted_matches: usize,
    /// The number of findings that are not listed.
    omitted_findings: usize,
    /// Whether the event is a duplicate.
    duplicate: bool,
}

/// A step that a record matched, and the ids of the findings that the record completed.
pub(crate) struct Match<'a> {
    rule: &'a str,
    step: &'a str,
    findings: Vec<String>,
}

/// Maximum number of matches in an annotation. Together with the maximum length of ids it bounds the annotation.
const MAX_MATCHES: usize = 32;

/// Maximum number of finding ids in an annotation.
const MAX_FINDINGS: usize = 16;

/// The member that holds a record's annotation: its name and its format.
#[derive(Clone, Copy)]
pub(crate) struct AnnotationMember<'c> {
    pub name: &'c str,
    pub writer: FindingWriter,
}

impl<'a> Annotation<'a> {
    /// The annotation of an event that may be a duplicate, without matches yet.
    pub(crate) fn new(duplicate: bool) -> Self {
        Self { duplicate, ..Self::default() }
    }

    /// Adds a step that the record matches, and the ids of its findings.
    pub(crate) fn add(&mut self, rule: &'a RulePlan, plan: &StepPlan, findings: Vec<String>) {
        let step = rule.rule.steps.get(plan.position).map_or("", |step| &step.id);
        self.push(Match { rule: &rule.rule.id, step, findings });
    }

    /// Adds what another record of the same envelope matches.
    pub(super) fn merge(&mut self, other: Self) {
        other.matches.into_iter().for_each(|matched| self.push(matched));
        self.omitted_matches += other.omitted_matches;
        self.omitted_findings += other.omitted_findings;
        self.duplicate &= other.duplicate;
    }

    /// About the length of the annotation as JSON.
    pub(crate) fn length(&self) -> usize {
        const EACH: usize = 64;
        let of = |matched: &Match<'_>| EACH + matched.rule.len() + matched.step.len() + EACH * matched.findings.len();
        EACH + self.matches.iter().map(of).sum::<usize>()
    }

    /// Leaves out all matches, and counts them.
    pub(crate) fn omit_all(&mut self) {
        self.omitted_matches += self.matches.len();
        self.omitted_findings += self.matches.drain(..).map(|matched| matched.findings.len()).sum::<usize>();
    }

    fn push(&mut self, mut matched: Match<'a>) {
        // A match with findings is worth more than one without.
        if self.matches.len() == MAX_MATCHES && !matched.findings.is_empty() {
            let idle = self.matches.iter().rposition(|listed| listed.findings.is_empty());
            self.omitted_matches += usize::from(idle.map(|idle| self.matches.remove(idle)).is_some());
        }
        let listed = self.matches.iter().map(|matched| matched.findings.len()).sum::<usize>();
        let most = if self.matches.len() < MAX_MATCHES { MAX_FINDINGS.saturating_sub(listed) } else { 0 };
        self.omitted_findings += matched.findings.len().saturating_sub(most);
        if self.matches.len() < MAX_MATCHES {
            matched.findings.truncate(most);
            self.matches.push(matched);
        } else {
            self.omitted_matches += 1;
        }
    }

    /// The annotation as JSON text: the last member of a record that has other members, with a leading comma.
    pub(super) fn member(&self, member: AnnotationMember<'_>) -> String {
        let name = serde_json::to_string(member.name).invariant("a name is JSON");
        let mut text = format!(r#",{name}:{{"matches":["#);
        for (number, Match { rule, step, findings }) in self.matches.iter().enumerate() {
            if number > 0 {
                text.push(',');
            }
            member.writer.annotate(&AnnotatedMatch { rule, step, findings }, &mut text);
        }
        text.push(']');
        if self.duplicate {
            text.push_str(r#","duplicate":true"#);
        }
        if (self.omitted_matches, self.omitted_findings) != (0, 0) {
            let (matches, findings) = (self.omitted_matches, self.omitted_findings);
            text.push_str(&format!(r#","omitted":{{"matches":{matches},"findings":{findings}}}"#));
        }
        text.push('}');
        text
    }
}
