use std::cmp::Ordering;

use serde::Deserialize;
use serde_json::Value;

use crate::finding::AnnotationForm;
use crate::rule::Rules;
use crate::scan::children;
use crate::vocab::Error;

/// The annotation of a record that matched a rule.
#[derive(Default)]
pub(crate) struct Annotation<'a> {
    /// In the order of [`Match::cmp`].
    matches: Vec<Match<'a>>,
    omitted: Omitted,
    /// Whether the event is a duplicate.
    duplicate: bool,
}

/// The numbers of matches and of findings that are not listed.
#[derive(Clone, Copy, Default, Deserialize)]
struct Omitted {
    matches: usize,
    findings: usize,
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
    /// Its place among all steps in the order of their texts.
    rank: usize,
}

/// Maximum number of matches in an annotation. Together with the maximum length of ids it bounds the annotation.
const MAX_MATCHES: usize = 32;

/// Maximum number of finding ids of one match in an annotation.
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
            Self { idle, start, ids: rule.len() + step.len(), rank: 0 }
        };
        let mut all: Vec<_> = steps.map(annotated).collect();
        let mut by_text: Vec<_> = all.iter_mut().collect();
        by_text.sort_by(|one, other| one.start.cmp(&other.start));
        by_text.into_iter().enumerate().for_each(|(rank, step)| step.rank = rank);
        all
    }
}

impl AnnotationMember {
    /// The member with this name.
    #[cold]
    pub(crate) fn new(name: &str, form: &'static AnnotationForm) -> Self {
        Self { start: format!(",{}:{LIST}", Value::from(name)), form }
    }
}

impl<'a> Annotation<'a> {
    /// The annotation of an event that matches `steps` steps and may be a duplicate, without matches yet.
    pub(crate) fn new(steps: usize, duplicate: bool) -> Self {
        Self { matches: Vec::with_capacity(steps.min(MAX_MATCHES)), duplicate, ..Self::default() }
    }

    /// Adds a step that the record matches, and the ids of its findings.
    #[inline]
    pub(crate) fn add(&mut self, step: &'a AnnotatedStep, mut findings: Vec<String>) {
        // With hundreds of rules for one action, nearly all of them end here.
        if self.matches.len() == MAX_MATCHES
            && findings.is_empty()
            && self.matches.last().is_some_and(|last| last.key() <= (true, step.rank))
        {
            self.omitted.matches += 1;
            return;
        }
        self.omitted.findings += findings.len().saturating_sub(MAX_FINDINGS);
        findings.truncate(MAX_FINDINGS);
        let new = Match { step, findings };
        // Most steps come in this order.
        let at = match self.matches.last() {
            Some(last) if self.matches.len() == MAX_MATCHES && last.cmp(&new).is_le() => {
                self.omitted.matches += 1;
                self.omitted.findings += new.findings.len();
                return;
            }
            Some(last) if last.cmp(&new).is_gt() => self.matches.partition_point(|listed| listed.cmp(&new).is_le()),
            _ => self.matches.len(),
        };
        self.matches.insert(at, new);
        if self.matches.len() > MAX_MATCHES
            && let Some(last) = self.matches.pop()
        {
            self.omitted.matches += 1;
            self.omitted.findings += last.findings.len();
        }
    }

    /// Adds what another record of the same envelope matches.
    pub(super) fn merge(&mut self, other: Self) {
        other.matches.into_iter().for_each(|Match { step, findings }| self.add(step, findings));
        self.omitted.matches += other.omitted.matches;
        self.omitted.findings += other.omitted.findings;
        self.duplicate &= other.duplicate;
    }

    /// About the length of the annotation as JSON.
    pub(crate) fn length(&self) -> usize {
        let of = |matched: &Match<'_>| EACH + matched.step.ids + EACH * matched.findings.len();
        EACH + self.matches.iter().map(of).sum::<usize>()
    }

    /// Leaves out all matches, and counts them.
    pub(crate) fn omit_all(&mut self) {
        self.omitted.matches += self.matches.len();
        self.omitted.findings += self.matches.iter().map(|listed| listed.findings.len()).sum::<usize>();
        self.matches.clear();
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
        finish(&mut text, self.duplicate, self.omitted);
        text
    }
}

impl Match<'_> {
    /// The order of the list: those with findings first, each kind by its JSON text. So it does not matter in which order an
    /// envelope has its records, nor which correlator saw them.
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key()).then_with(|| self.cmp_findings(other))
    }

    /// What usually tells two matches apart.
    fn key(&self) -> (bool, usize) {
        (self.findings.is_empty(), self.step.rank)
    }

    #[cold]
    fn cmp_findings(&self, other: &Self) -> Ordering {
        // A comma comes before the bracket that ends a list.
        let common = self.findings.iter().zip(&other.findings).map(|(one, another)| one.cmp(another));
        common.fold(Ordering::Equal, Ordering::then).then(other.findings.len().cmp(&self.findings.len()))
    }
}

/// Ends an annotation whose matches are written.
fn finish(text: &mut String, duplicate: bool, Omitted { matches, findings }: Omitted) {
    text.push(']');
    if duplicate {
        text.push_str(r#","duplicate":true"#);
    }
    if (matches, findings) != (0, 0) {
        text.push_str(&format!(r#","omitted":{{"matches":{matches},"findings":{findings}}}"#));
    }
    text.push('}');
}

/// Joins the annotations that the correlators of several partitions insert into one record into the annotation that one
/// correlator would have inserted.
///
/// Costs a parse of the texts.
///
/// ```
/// let one = r#","catena":{"matches":[{"analytic":{"uid":"b"},"step":"s","finding_info":[]}]}"#;
/// let other = r#","catena":{"matches":[{"analytic":{"uid":"a"},"step":"s","finding_info":[]}]}"#;
/// let joined = catena::join_annotations(&[one, other])?;
/// assert!(joined.starts_with(r#","catena":{"matches":[{"analytic":{"uid":"a"},"#));
/// # Ok::<(), catena::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::InvalidArgument`] for texts that no correlator inserts, or that are named differently.
#[cold]
pub fn join_annotations(texts: &[impl AsRef<str>]) -> Result<String, Error> {
    let wrong = || Error::argument("texts", "expected the texts that correlators insert into one record");
    let mut joined: Option<(String, Vec<(bool, String)>)> = None;
    let (mut omitted, mut duplicate) = (Omitted::default(), true);
    for text in texts {
        let start = text.as_ref().find(LIST).map(|at| at + LIST.len());
        let (start, rest) = start.and_then(|at| text.as_ref().split_at_checked(at)).ok_or_else(wrong)?;
        let annotation = format!("{{{LIST_NAME}:[{rest}");
        let read: Written = serde_json::from_str(&annotation).map_err(|_| wrong())?;
        let list = children(annotation.as_bytes(), 0..annotation.len()).next().ok_or_else(wrong)?;
        let entries = children(annotation.as_bytes(), list.value);
        let entries = entries.map(|entry| annotation.get(entry.value).unwrap_or_default().to_owned());
        let (name, all) = joined.get_or_insert_with(|| (start.to_owned(), Vec::new()));
        if name != start {
            return Err(wrong());
        }
        all.extend(entries.zip(&read.matches).map(|(text, value)| (findings_in(value) == 0, text)));
        omitted.matches += read.omitted.matches;
        omitted.findings += read.omitted.findings;
        duplicate &= read.duplicate;
    }
    let (mut text, mut entries) = joined.ok_or_else(wrong)?;
    entries.sort_unstable();
    for (_, entry) in entries.drain(entries.len().min(MAX_MATCHES)..) {
        omitted.matches += 1;
        omitted.findings += serde_json::from_str(&entry).map_or(0, |value| findings_in(&value));
    }
    text.push_str(&entries.into_iter().map(|(_, entry)| entry).collect::<Vec<_>>().join(","));
    finish(&mut text, duplicate, omitted);
    Ok(text)
}

/// The beginning of the list of matches.
const LIST: &str = r#"{"matches":["#;
const LIST_NAME: &str = r#""matches""#;

/// An annotation that was written.
#[derive(Deserialize)]
struct Written {
    matches: Vec<Value>,
    #[serde(default)]
    duplicate: bool,
    #[serde(default)]
    omitted: Omitted,
}

/// The number of findings of a match that was written. The only list in it has them, in every format.
fn findings_in(entry: &Value) -> usize {
    match entry {
        Value::Array(findings) => findings.len(),
        Value::Object(members) => members.values().map(findings_in).sum(),
        _ => 0,
    }
}
