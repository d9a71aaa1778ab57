//! Evaluates records: parses each candidate, matches it against the rules, joins it into chains, and gives a verdict.

use super::budget::OutputBudget;
use super::evaluation::{Evaluation, Nesting};
use super::inputs::Examples;
use super::metrics::Counters;
use super::partitions::Partitions;
use super::search::Places;
use crate::chain::{Admission, Chain, Chains, Completion, Matched};
use crate::emit::{AnnotatedStep, Annotation, Reason, Verdict};
use crate::event::{self, EmbeddedRecords, Event, RecordKind, TimeProblem};
use crate::finding::{self, Evidence, Finding, FindingWriter, Subject};
use crate::rule::{ExceptionAction, ExceptionPlan, RulePlan, Rules, StepPlan};
use crate::scan::{Defect, Piece, Pieces, RecordSpan, Scanner};
use crate::util::digest::Digest;
use crate::util::invariant::Invariant as _;
use crate::vocab::Provider;

/// Maximum findings of one detection for one record. As many as a chain may have; see `chain::join`.
const MAX_FINDINGS: usize = 4_096;

/// Maximum findings of one detection for a short record: combinations of values may be many more than the values.
const MIN_FINDINGS: usize = 64;

/// As many bytes of a record allow one finding more.
const BYTES_PER_FINDING: usize = 16;

/// Evaluates the records of one batch that pass the prefilter.
pub(crate) struct Evaluator<'e> {
    pub rules: &'e Rules,
    pub scanner: &'e Scanner,
    /// If off, every record is parsed. For tests only.
    pub prefilter_on: bool,
    pub writer: &'e FindingWriter,
    /// What the annotation of a matched record says of each step. `None` if records are not annotated.
    pub annotated: Option<&'e [AnnotatedStep]>,
    pub chains: &'e mut Chains,
    pub counters: &'e mut Counters,
    pub budget: &'e mut OutputBudget,
    /// The length of the current record, envelopes included.
    pub record_bytes: usize,
    /// The number of bytes that may be decompressed for any record.
    pub max_inflatable: usize,
    /// The number that may still be decompressed for this one.
    pub inflatable: usize,
    /// Where records are looked for in a record that is none. `None`: nowhere.
    pub places: Option<Places<'e>>,
    /// Which events are joined, unless all are.
    pub partitions: Option<&'e mut Partitions>,
    /// What records are read into.
    pub buffers: &'e mut event::Buffers,
    /// Room for the steps that a record matches.
    pub steps: &'e mut Vec<usize>,
    /// Records of this batch that were not recognised.
    pub examples: &'e mut Examples,
}

impl<'e> Evaluator<'e> {
    /// Parses a record, matches it and joins it. A record that is not a candidate is never rejected, because no rule
    /// can match it.
    #[inline]
    pub(crate) fn evaluate(&mut self, batch: &[u8], piece: &Piece, findings: &mut Vec<Finding>) -> Verdict<'e> {
        if let Some(partitions) = &mut self.partitions {
            partitions.begin();
        }
        match piece.record() {
            Some(span) if span.candidate || !self.prefilter_on => self.evaluate_candidate(batch, span, findings),
            Some(span) => {
                self.counters.inputs.add_unread(span, self.examples);
                Verdict::Irrelevant
            }
            None => Verdict::Irrelevant,
        }
    }

    fn evaluate_candidate(&mut self, batch: &[u8], span: &RecordSpan, findings: &mut Vec<Finding>) -> Verdict<'e> {
        self.budget.begin_record(&span.bytes);
        self.record_bytes = span.bytes.len();
        self.inflatable = event::inflatable(span.bytes.len(), self.max_inflatable);
        let places = self.places.clone();
        let nesting = Nesting { depth: 0, levels: 0, places, is_certain: true, envelope_matches: false };
        let evaluation = self.read(batch, span, findings, &nesting);
        if evaluation.is_nothing() && span.candidate {
            self.counters.inputs.add_unrecognised(span, self.examples);
        } else if evaluation.is_nothing() {
            self.counters.inputs.add_unread(span, self.examples);
        }
        evaluation.verdict
    }

    /// Evaluates one record, or the records that it holds.
    pub(super) fn read(
        &mut self,
        batch: &[u8],
        span: &RecordSpan,
        findings: &mut Vec<Finding>,
        nesting: &Nesting<'e>,
    ) -> Evaluation<'e> {
        let RecordSpan { ref bytes, candidate, envelope, .. } = *span;
        let record = batch.get(bytes.clone()).unwrap_or_default();
        let read = match event::read(record, envelope, span.is_searched(), &self.rules.projection, self.buffers) {
            Ok(read) => read,
            Err(error) if candidate && nesting.is_certain => {
                return Evaluation::rejected(Reason::MalformedJson, error.to_string());
            }
            Err(_) => return Evaluation::default(),
        };
        let mut steps = std::mem::take(self.steps);
        match &read.kind {
            RecordKind::Call(event) => self.rules.steps_of(event, &mut steps),
            _ => steps.clear(),
        }
        let is_matched = !steps.is_empty();
        if candidate && !read.embedded.is_empty() {
            // An envelope repeats the events of its records in other terms. It counts only if none of them is an event.
            let envelope_matches = nesting.envelope_matches || is_matched;
            let nesting = Nesting { envelope_matches, is_certain: true, ..nesting.clone() };
            let evaluation = self.evaluate_embedded(read.embedded, findings, &nesting);
            // What a caller's text spoils must not hide the call itself.
            let is_spoiled = matches!(evaluation.verdict, Verdict::Rejected(..)) && read.kind.has_caller();
            if !evaluation.is_nothing() && !is_spoiled {
                return evaluation;
            }
        }
        let event = match read.kind {
            RecordKind::Call(event) => event,
            RecordKind::NoCall(provider) => {
                self.counters.inputs.add_no_call(provider);
                return Evaluation { is_recognised: true, ..Evaluation::default() };
            }
            RecordKind::Unknown if span.is_searched() => return self.search(batch, bytes.clone(), findings, nesting),
            RecordKind::Unknown => return Evaluation::default(),
        };
        self.counters.inputs.add_event(&event);
        if let Some(partitions) = &mut self.partitions {
            partitions.add(&event, self.rules, &mut steps);
        }
        let verdict = match &event.time {
            _ if !is_matched => Verdict::Irrelevant,
            Ok(_) if steps.is_empty() => Verdict::Elsewhere,
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
        (*self.buffers, *self.steps) = (event.values.into_buffers(), steps);
        Evaluation { verdict, is_recognised: true }
    }

    /// Evaluates the records of an envelope together. If one cannot be read, the envelope is rejected, after its other
    /// records have been joined.
    pub(super) fn evaluate_embedded(
        &mut self,
        embedded: Vec<EmbeddedRecords>,
        findings: &mut Vec<Finding>,
        nesting: &Nesting<'e>,
    ) -> Evaluation<'e> {
        if nesting.depth == event::MAX_DEPTH {
            let detail = format!("it holds records that are more than {} deep in others", event::MAX_DEPTH);
            return Evaluation::rejected(Reason::NestedTooDeep, detail);
        }
        let nesting = &Nesting { depth: nesting.depth + 1, ..nesting.clone() };
        let mut together = Evaluation::default();
        for records in embedded {
            let records = match event::decode(records, &mut self.inflatable) {
                Ok(records) => records,
                Err(why) => {
                    if nesting.is_certain {
                        together = together.and(Evaluation::rejected(Reason::BadEnvelope, why));
                    }
                    continue;
                }
            };
            for piece in Pieces::new(&records, self.scanner) {
                let evaluation = match (&piece, piece.record()) {
                    (Piece::Unreadable { defect, .. }, _) if *defect != Defect::NotAnObject && nesting.is_certain => {
                        let (reason, detail) = defect.explain();
                        Evaluation::rejected(reason, format!("a record inside it: {detail}"))
                    }
                    (_, Some(span)) if span.candidate || nesting.envelope_matches || !self.prefilter_on => {
                        let evaluation = self.read(&records, span, findings, nesting);
                        if evaluation.is_nothing() { self.unread(span, nesting) } else { evaluation }
                    }
                    (_, Some(span)) => self.unread(span, nesting),
                    _ => Evaluation::default(),
                };
                together = together.and(evaluation);
            }
        }
        together
    }

    /// Counts a record inside another that no rule can match. It must not supersede an event around it that one does match.
    pub(super) fn unread(&mut self, span: &RecordSpan, nesting: &Nesting<'e>) -> Evaluation<'e> {
        let may_count = !span.candidate && !nesting.envelope_matches;
        let is_recognised = may_count && self.counters.inputs.add_unread_of_cloud(span);
        Evaluation { is_recognised, ..Evaluation::default() }
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
        let mut annotation = Annotation::new(steps.len(), observed.duplicate);
        self.report_losses(event.provider, findings);
        for step in steps {
            let Some((rule, plan)) = self.rules.step(*step) else { continue };
            let mut named = Vec::new();
            if !rule.is_chain() {
                named = self.report_detection(rule, plan, &matched, observed.duplicate, findings);
            } else if !observed.completions.is_empty() {
                let keys = self.rules.identities.get(rule.identity).map_or(&[][..], Vec::as_slice);
                let identity = event.actor.identity(keys).map_or("", |(_, identity)| identity);
                let of_step = observed.completions.iter().filter(|(completed, _)| completed == step);
                for completion in of_step.flat_map(|(_, completions)| completions) {
                    named.extend(self.report_chain(rule, completion, (time, identity), findings));
                }
            }
            if let Some(annotated) = self.annotated.and_then(|annotated| annotated.get(*step)) {
                annotation.add(annotated, named);
            }
        }
        self.report_losses(event.provider, findings);
        if self.annotated.is_some() {
            if self.budget.is_open() {
                self.budget.spend(annotation.length());
            } else {
                annotation.omit_all();
            }
        }
        annotation
    }

    /// Reports what limits have cost, as far as that is due.
    fn report_losses(&mut self, provider: Provider, findings: &mut Vec<Finding>) {
        while self.budget.is_open_for_losses() {
            let Some(loss) = self.chains.next_loss() else { return };
            let finding = finding::pressure(&loss, provider, self.writer);
            self.budget.spend(finding.body.len() + finding.id.len() + finding.rule.len());
            findings.push(finding);
        }
    }

    /// Emits the finding of a chain that the current event, of this time and identity, completed. Returns its id if the record's
    /// annotation is to name it.
    fn report_chain(
        &mut self,
        rule: &'e RulePlan,
        completion: &Completion,
        (time, identity): (i64, &str),
        findings: &mut Vec<Finding>,
    ) -> Option<String> {
        let subject = Subject::of_chain(rule, &completion.key, &self.rules.steps);
        let exception = completion.exception.and_then(|place| self.rules.exceptions.get(usize::from(place)));
        if is_emitted(exception) && !self.budget.is_open() {
            // It is not recorded, so that later evidence may still report it.
            self.chains.withhold(1, time, &rule.rule.id, identity);
            return None;
        }
        let evidence = self.evidence(rule, &completion.chain);
        let (id, recurrence) = (subject.id(rule, &evidence, exception), subject.recurrence(rule, &evidence));
        drop(evidence);
        let admission = self.chains.admit(&id, recurrence, time);
        let admitted = Admitted { id, exception, admission };
        let build = |this: &Self, id: &str, further| {
            let evidence = this.evidence(rule, &completion.chain);
            finding::finding(id, rule, &evidence, &subject, exception, further, this.writer)
        };
        self.emit(admitted, build, findings)
    }

    /// Emits the findings of a detection that a record matched. Returns the ids that its annotation is to name.
    fn report_detection(
        &mut self,
        rule: &'e RulePlan,
        plan: &'e StepPlan,
        matched: &Matched<'_>,
        duplicate: bool,
        findings: &mut Vec<Finding>,
    ) -> Vec<String> {
        let keys = self.rules.identities.get(rule.identity).map_or(&[][..], Vec::as_slice);
        let evidence = Evidence::of_event(plan, matched, keys);
        let identity = evidence.attribution.identity;
        let exception = self.exception(rule, matched.exceptions);
        let most = (MIN_FINDINGS + self.record_bytes / BYTES_PER_FINDING).min(MAX_FINDINGS);
        let (subjects, mut more) = Subject::of_detection(rule, &evidence, most);
        let evidence = std::slice::from_ref(&evidence);
        let mut named = Vec::new();
        let count = subjects.len();
        for (number, subject) in subjects.into_iter().enumerate() {
            if is_emitted(exception) && !self.budget.is_open() {
                more += if duplicate { 0 } else { count - number };
                break;
            }
            let id = subject.id(rule, evidence, exception);
            // One event is seen once. What several events may report must be remembered.
            let several = !subject.of_event || rule.multi_record_operations;
            let admission = match several {
                _ if duplicate => Admission::Known,
                true => self.chains.admit(&id, subject.recurrence(rule, evidence), matched.time),
                false => Admission::New,
            };
            let admitted = Admitted { id, exception, admission };
            let build = |this: &Self, id: &str, further| {
                finding::finding(id, rule, evidence, &subject, exception, further, this.writer)
            };
            named.extend(self.emit(admitted, build, findings));
        }
        if more > 0 && !duplicate {
            self.chains.withhold(more as u64, matched.time, &rule.rule.id, identity);
        }
        named
    }

    /// Builds and emits a finding that is new or to be updated, and counts it. Returns its id if the record's annotation
    /// is to name it.
    fn emit(
        &mut self,
        finding: Admitted<'e>,
        build: impl FnOnce(&Self, &str, Option<u64>) -> Finding,
        findings: &mut Vec<Finding>,
    ) -> Option<String> {
        let Admitted { id, exception, admission } = finding;
        let emitted = is_emitted(exception);
        let further = match admission {
            Admission::Known => return emitted.then_some(id),
            Admission::New => None,
            Admission::Update(further) => Some(further),
        };
        if further.is_none() {
            self.counters.count_exception(exception);
        }
        if !emitted {
            return None;
        }
        let finding = build(self, &id, further);
        self.budget.spend(finding.body.len() + finding.id.len() + finding.rule.len());
        findings.push(finding);
        Some(id)
    }

    /// The evidence of a chain's steps.
    fn evidence(&self, rule: &RulePlan, chain: &Chain) -> Vec<Evidence<'_>> {
        let steps = self.rules.steps.iter().skip(rule.first_step).zip(chain);
        let event = |id| self.chains.event(id).invariant("the events of a chain that was just completed are pending");
        steps.filter_map(|(plan, id)| id.map(|id| Evidence::of_pending(plan, event(id)))).collect()
    }

    /// The first exception that applies to a rule among those that hold.
    fn exception(&self, rule: &RulePlan, holding: &[u16]) -> Option<&'e ExceptionPlan> {
        let exceptions = holding.iter().filter_map(|place| self.rules.exceptions.get(usize::from(*place)));
        exceptions.into_iter().find(|exception| exception.applies_to(&rule.rule.id))
    }
}
/// A finding that a record completed.
struct Admitted<'e> {
    id: String,
    exception: Option<&'e ExceptionPlan>,
    admission: Admission,
}

/// Whether a finding is emitted in spite of an exception.
fn is_emitted(exception: Option<&ExceptionPlan>) -> bool {
    exception.is_none_or(|exception| exception.exception.action != ExceptionAction::Drop)
}
