//! Evaluates records: parses each candidate, matches it against the rules, joins it into chains, and gives a verdict.

use std::collections::BTreeMap;

use super::metrics::Counters;
use crate::chain::{Chain, Chains, Matched};
use crate::emit::{Annotation, Reason, Verdict};
use crate::event::{self, EmbeddedRecords, Event, TimeProblem};
use crate::finding::{self, Evidence, Finding, FindingWriter};
use crate::rule::{ExceptionAction, ExceptionPlan, RulePlan, Rules};
use crate::scan::{Defect, Piece, Pieces, RecordSpan, Scanner};
use crate::util::digest::Digest;

/// Evaluates the records of one batch that pass the prefilter.
pub(crate) struct Evaluator<'e> {
    pub rules: &'e Rules,
    pub scanner: &'e Scanner,
    /// If off, every record is parsed. For tests only.
    pub prefilter_on: bool,
    pub writer: FindingWriter,
    pub chains: &'e mut Chains,
    pub counters: &'e mut Counters,
    /// The remaining number of bytes that may be decompressed for this batch.
    pub inflatable: usize,
}

/// The envelopes around a record.
#[derive(Clone, Copy, Default)]
struct Nesting {
    /// The number of envelopes.
    depth: usize,
    /// An enclosing envelope would itself match a rule, so this record must be parsed to see whether it supersedes the
    /// envelope.
    envelope_matches: bool,
}

/// The result of evaluating a record, or several records of one envelope together.
struct Evaluation<'e> {
    verdict: Verdict<'e>,
    /// Whether there was an event, whether or not it matches a rule.
    is_event: bool,
}

impl Default for Evaluation<'_> {
    fn default() -> Self {
        Self { verdict: Verdict::Irrelevant, is_event: false }
    }
}

impl Evaluation<'_> {
    fn rejected(reason: Reason, detail: String) -> Self {
        Self { verdict: Verdict::Rejected(reason, detail), is_event: false }
    }

    fn and(self, other: Self) -> Self {
        Self { verdict: self.verdict.merge(other.verdict), is_event: self.is_event || other.is_event }
    }
}

impl<'e> Evaluator<'e> {
    /// Parses a record, matches it and joins it. A record that is not a candidate is never rejected, because no rule
    /// can match it.
    #[inline]
    pub(crate) fn evaluate(&mut self, batch: &[u8], piece: &Piece, findings: &mut Vec<Finding>) -> Verdict<'e> {
        match piece.record() {
            Some(span) if span.candidate || !self.prefilter_on => {
                self.read(batch, span, findings, Nesting::default()).verdict
            }
            _ => Verdict::Irrelevant,
        }
    }

    /// Evaluates one record, or the records that it holds.
    fn read(
        &mut self,
        batch: &[u8],
        span: &RecordSpan,
        findings: &mut Vec<Finding>,
        nesting: Nesting,
    ) -> Evaluation<'e> {
        let RecordSpan { ref bytes, candidate, envelope } = *span;
        let record = batch.get(bytes.clone()).unwrap_or_default();
        let read = match event::read(record, envelope, &self.rules.projection) {
            Ok(read) => read,
            Err(error) if candidate => return Evaluation::rejected(Reason::MalformedJson, error.to_string()),
            Err(_) => return Evaluation::default(),
        };
        let steps = read.event.as_ref().map(|event| self.rules.steps_of(event)).unwrap_or_default();
        if candidate && !read.embedded.is_empty() {
            // An envelope repeats the events of its records in other terms. It counts only if none of them is an event.
            let nesting = Nesting { envelope_matches: nesting.envelope_matches || !steps.is_empty(), ..nesting };
            let evaluation = self.evaluate_embedded(read.embedded, findings, nesting);
            if evaluation.is_event || !matches!(evaluation.verdict, Verdict::Irrelevant) {
                return evaluation;
            }
        }
        let Some(event) = read.event else { return Evaluation::default() };
        let verdict = match &event.time {
            _ if steps.is_empty() => Verdict::Irrelevant,
            Ok(time) => Verdict::Matched(self.observe(record, &event, *time, &steps, findings)),
            Err(TimeProblem::Missing) => {
                let detail = format!("{} has no time", event.action);
                Verdict::Rejected(Reason::NoEventTime, detail)
            }
            Err(TimeProblem::NotATime(text)) => {
                let detail = format!("{} has the time {text:?}: expected RFC 3339", event.action);
                Verdict::Rejected(Reason::BadEventTime, detail)
            }
        };
        Evaluation { verdict, is_event: true }
    }

    /// Evaluates the records of an envelope together. If one cannot be read, the envelope is rejected, after its other
    /// records have been joined.
    fn evaluate_embedded(
        &mut self,
        embedded: Vec<EmbeddedRecords>,
        findings: &mut Vec<Finding>,
        nesting: Nesting,
    ) -> Evaluation<'e> {
        if nesting.depth == event::MAX_DEPTH {
            let detail = format!("it holds records that are more than {} deep in others", event::MAX_DEPTH);
            return Evaluation::rejected(Reason::NestedTooDeep, detail);
        }
        let nesting = Nesting { depth: nesting.depth + 1, ..nesting };
        let mut together = Evaluation::default();
        for records in embedded {
            let records = match event::decode(records, &mut self.inflatable) {
                Ok(records) => records,
                Err(why) => {
                    together = together.and(Evaluation::rejected(Reason::BadEnvelope, why));
                    continue;
                }
            };
            for piece in Pieces::new(&records, self.scanner) {
                let evaluation = match (&piece, piece.record()) {
                    (Piece::Unreadable { defect, .. }, _) if *defect != Defect::NotAnObject => {
                        let (reason, detail) = defect.explain();
                        Evaluation::rejected(reason, format!("a record inside it: {detail}"))
                    }
                    (_, Some(span)) if span.candidate || nesting.envelope_matches || !self.prefilter_on => {
                        self.read(&records, span, findings, nesting)
                    }
                    _ => Evaluation::default(),
                };
                together = together.and(evaluation);
            }
        }
        together
    }

    /// Joins an event that matches `steps`, adds the new findings, and returns the annotation of its record.
    fn observe(
        &mut self,
        record: &[u8],
        event: &Event<'_>,
        time: i64,
        steps: &[usize],
        findings: &mut Vec<Finding>,
    ) -> Annotation<'e> {
        let id = event.id.clone().unwrap_or_else(|| Digest::default().part(record).hexadecimal().into());
        let exceptions = self.rules.exceptions_for(event, time);
        let report_id = event.operation.as_ref().unwrap_or(&id);
        let matched = Matched { event, id: &id, report_id, time, steps, exceptions: &exceptions };
        let observed = self.chains.observe(self.rules, &matched);
        let mut annotation = Annotation { duplicate: observed.duplicate, ..Annotation::default() };
        for step in steps {
            let Some((rule, plan)) = self.rules.step(*step) else { continue };
            // If several records report one operation, each of them gives the same finding.
            let repeats = rule.multi_record_operations || event.operation.is_some();
            let mut named = Vec::new();
            if rule.is_chain() {
                let chains = observed.chains.iter().filter(|(completed, _)| completed == step);
                let by_id: BTreeMap<_, _> =
                    chains.map(|(_, chain)| (finding::id(rule, &self.evidence(rule, chain), None), chain)).collect();
                for (id, chain) in by_id {
                    let new = !repeats || self.chains.is_new_finding(&id, time);
                    let built = self.build_finding(rule, &self.evidence(rule, chain), None, new);
                    named.extend(self.settle(id, built, new, findings));
                }
            } else {
                let keys = self.rules.identities.get(rule.identity).map_or(&[][..], Vec::as_slice);
                let evidence = [Evidence::of_event(plan, &matched, keys)];
                for each in evidence.iter().flat_map(each_value) {
                    let id = finding::id(rule, &evidence, each);
                    let new = !observed.duplicate && (!repeats || self.chains.is_new_finding(&id, time));
                    let built = self.build_finding(rule, &evidence, each, new);
                    named.extend(self.settle(id, built, new, findings));
                }
            }
            annotation.add(rule, plan, named);
        }
        let writer = self.writer;
        findings.extend(
            observed.evictions.iter().map(|eviction| finding::eviction(eviction, event.provider, time, writer)),
        );
        annotation
    }

    /// The evidence of a chain's steps.
    fn evidence(&self, rule: &RulePlan, chain: &Chain) -> Vec<Evidence<'_>> {
        let steps = self.rules.steps.iter().skip(rule.first_step).zip(chain);
        steps.filter_map(|(plan, id)| Some(Evidence::of_pending(plan, self.chains.event((*id)?)?))).collect()
    }

    /// The exception that holds for a finding, and the finding if it is `new` and the exception does not drop it.
    fn build_finding(
        &self,
        rule: &RulePlan,
        evidence: &[Evidence<'_>],
        each: Option<(&str, &str)>,
        new: bool,
    ) -> (Option<&'e ExceptionPlan>, Option<Finding>) {
        let exception = self.exception(rule, evidence);
        let finding =
            (new && is_emitted(exception)).then(|| finding::finding(rule, evidence, each, exception, self.writer));
        (exception, finding)
    }

    /// Counts the exception and adds the finding, if any. Returns the id if the record's annotation is to name it.
    fn settle(
        &mut self,
        id: String,
        (exception, finding): (Option<&ExceptionPlan>, Option<Finding>),
        new: bool,
        findings: &mut Vec<Finding>,
    ) -> Option<String> {
        self.counters.count_exception(exception.filter(|_| new));
        findings.extend(finding);
        is_emitted(exception).then_some(id)
    }

    /// The first exception that applies to the rule and holds for all of the finding's events.
    fn exception(&self, rule: &RulePlan, evidence: &[Evidence<'_>]) -> Option<&'e ExceptionPlan> {
        let (first, others) = evidence.split_first()?;
        let held = first.exceptions.iter().filter(|place| others.iter().all(|other| other.exceptions.contains(place)));
        held.filter_map(|place| self.rules.exceptions.get(usize::from(*place)))
            .find(|exception| exception.applies_to(&rule.rule.id))
    }
}

/// Whether a finding is emitted in spite of an exception.
fn is_emitted(exception: Option<&ExceptionPlan>) -> bool {
    exception.is_none_or(|exception| exception.exception.action != ExceptionAction::Drop)
}

/// The bound name and value of each finding to report: one for each value of [`Step::each`](crate::Step::each), or a
/// single `None` if the step has no `each` or the name has no value.
fn each_value<'a>(evidence: &'a Evidence<'_>) -> Vec<Option<(&'a str, &'a str)>> {
    let each = evidence.step.each.and_then(|each| evidence.values.get(each));
    match each {
        Some((binding, values)) if !values.is_empty() => {
            values.iter().map(|value| Some((&*binding.name, &**value))).collect()
        }
        _ => vec![None],
    }
}
