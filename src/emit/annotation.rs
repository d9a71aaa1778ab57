use crate::finding::AnnotationForm;
use crate::rule::Rules;

/// The annotation of a record that matched a rule.
#[derive(Default)]
pub(crate) struct Annotation<'a> {
    matches: Vec<Match<'a>>,
    /// The number of findings that are listed.
    findings: usize,
    /// The number of matches that are not listed.
    omitted_matches: usize,
    /// The number of findings that are not listed.
    omitted_findings: usize,
    /// Whether the event is a duplicate.
    duplicate: bool,
}

/// A step that a record matched, and the ids of the findings that the record completed.
struct Match<'a> {
    step: &'a AnnotatedStep,
    findings: Vec<String>,
}

/// What the annotation says of any record that matches a step.
#[derive(Debug)]
pub(crate) struct AnnotatedStep {
    /// Its entry without findings, after another one.
    idle: String,
    /// The beginning of its entry up to the findings, after another one.
    start: String,
    /// The length of the ids of its rule and step.
    ids: usize,
}

/// Maximum number of matches in an annotation. Together with the maximum length of ids it bounds the annotation.
const MAX_MATCHES: usize = 32;

/// Maximum number of finding ids in an annotation.
const MAX_FINDINGS: usize = 16;

/// Bytes of an entry besides its ids, and of a finding's id, about.
const EACH: usize = 64;

/// The member that holds a record's annotation: its beginning, which comes after other members, and its format.
#[derive(Clone, Debug)]
pub(crate) struct AnnotationMember {
    start: String,
    form: &'static AnnotationForm,
}

impl AnnotatedStep {
    /// The steps of all rules, in the order of [`Rules::steps`].
    #[cold]
    pub(crate) fn all(rules: &Rules, form: &AnnotationForm) -> Vec<Self> {
        let steps =
            rules.rules.iter().flat_map(|rule| rule.rule.steps.iter().map(move |step| (&rule.rule.id, &step.id)));
        let annotated = |(rule, step): (&String, &String)| {
            let start = format!(",{}", form.start(rule, step));
            let mut idle = start.clone();
            form.end(&[], &mut idle);
            Self { idle, start, ids: rule.len() + step.len() }
        };
        steps.map(annotated).collect()
    }
}

impl AnnotationMember {
    /// The member with this name.
    #[cold]
    pub(crate) fn new(name: &str, form: &'static AnnotationForm) -> Self {
        Self { start: format!(r#",{}:{{"matches":["#, serde_json::Value::from(name)), form }
    }
}

impl<'a> Annotation<'a> {
    /// The annotation of an event that matches `steps` steps and may be a duplicate, without matches yet.
    pub(crate) fn new(steps: usize, duplicate: bool) -> Self {
        Self { matches: Vec::with_capacity(steps.min(MAX_MATCHES)), duplicate, ..Self::default() }
    }

    /// Adds a step that the record matches, and the ids of its findings.
    #[inline]
    pub(crate) fn add(&mut self, step: &'a AnnotatedStep, findings: Vec<String>) {
        if findings.is_empty() && self.matches.len() == MAX_MATCHES {
            self.omitted_matches += 1;
            return;
        }
        self.push(Match { step, findings });
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
        let of = |matched: &Match<'_>| EACH + matched.step.ids + EACH * matched.findings.len();
        EACH + self.matches.iter().map(of).sum::<usize>()
    }

    /// Leaves out all matches, and counts them.
    pub(crate) fn omit_all(&mut self) {
        self.omitted_matches += self.matches.len();
        self.omitted_findings += std::mem::take(&mut self.findings);
        self.matches.clear();
    }

    fn push(&mut self, mut matched: Match<'a>) {
        // A match with findings is worth more than one without.
        if self.matches.len() == MAX_MATCHES
            && !matched.findings.is_empty()
            && let Some(idle) = self.matches.iter().rposition(|listed| listed.findings.is_empty())
        {
            self.matches.remove(idle);
            self.omitted_matches += 1;
        }
        let room = self.matches.len() < MAX_MATCHES;
        let most = if room { MAX_FINDINGS.saturating_sub(self.findings) } else { 0 };
        self.omitted_findings += matched.findings.len().saturating_sub(most);
        if room {
            matched.findings.truncate(most);
            self.findings += matched.findings.len();
            self.matches.push(matched);
        } else {
            self.omitted_matches += 1;
        }
    }

    /// The annotation as JSON text: the last member of a record that has other members, with a leading comma.
    pub(super) fn member(&self, member: &AnnotationMember) -> String {
        let mut text = String::with_capacity(2 * EACH + member.start.len() + self.length());
        text.push_str(&member.start);
        // The first comes after no other.
        let mut comma = 1;
        for Match { step, findings } in &self.matches {
            if findings.is_empty() {
                text.push_str(step.idle.get(comma..).unwrap_or_default());
            } else {
                text.push_str(step.start.get(comma..).unwrap_or_default());
                member.form.end(findings, &mut text);
            }
            comma = 0;
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
