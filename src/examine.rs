//! Looking into records: each that may matter is read, matched, joined, and told what it is.

use std::collections::BTreeMap;

use crate::batch::{Piece, Pieces, Place, Unreadable};
use crate::chain::{Chain, Chains, Matched};
use crate::config::Config;
use crate::digest::Digest;
use crate::event::{self, Event, Inside, TimeProblem};
use crate::finding::{self, Evidence, Finding};
use crate::metrics::Counters;
use crate::output::{Reason, Verdict};
use crate::prefilter::Prefilter;
use crate::rule::{ExceptionAction, ExceptionPlan, RulePlan, Rules};
use crate::splice::Annotation;

/// Looks into the records that the prefilter lets through.
pub(crate) struct Examiner<'e> {
    pub config: &'e Config,
    pub rules: &'e Rules,
    pub prefilter: &'e Prefilter,
    pub chains: &'e mut Chains,
    pub counters: &'e mut Counters,
    /// How many bytes may still come out of what is compressed in the batch.
    pub inflatable: usize,
}

/// Where a record stands in others.
#[derive(Clone, Copy, Default)]
struct Nesting {
    depth: usize,
    /// Whether something around it would be matched if it were no event itself, so that this has to be known.
    asked: bool,
}

/// What a record, or several taken together, turned out to be.
struct Seen<'e> {
    verdict: Verdict<'e>,
    /// Whether there was an event, wanted by a rule or not.
    is_event: bool,
}

impl Default for Seen<'_> {
    fn default() -> Self {
        Self { verdict: Verdict::Irrelevant, is_event: false }
    }
}

impl Seen<'_> {
    fn rejected(reason: Reason, detail: String) -> Self {
        Self { verdict: Verdict::Rejected(reason, detail), is_event: false }
    }

    fn and(self, other: Self) -> Self {
        Self { verdict: self.verdict.and(other.verdict), is_event: self.is_event || other.is_event }
    }
}

impl<'e> Examiner<'e> {
    /// Parses a record, matches it and joins it. A record that is no candidate is never refused: nobody asked for it.
    #[inline]
    pub(crate) fn examine(&mut self, batch: &[u8], piece: &Piece, findings: &mut Vec<Finding>) -> Verdict<'e> {
        match piece.record() {
            Some(place) if place.candidate || !self.config.prefilter => {
                self.read(batch, place, findings, Nesting::default()).verdict
            }
            _ => Verdict::Irrelevant,
        }
    }

    fn read(&mut self, batch: &[u8], place: &Place, findings: &mut Vec<Finding>, nesting: Nesting) -> Seen<'e> {
        let Place { ref bytes, candidate, envelope } = *place;
        let record = batch.get(bytes.clone()).unwrap_or_default();
        let read = match event::read(record, envelope, &self.rules.projection) {
            Ok(read) => read,
            Err(error) if candidate => return Seen::rejected(Reason::MalformedJson, error.to_string()),
            Err(_) => return Seen::default(),
        };
        let steps = read.event.as_ref().map(|event| self.rules.steps_of(event)).unwrap_or_default();
        if candidate && !read.inside.is_empty() {
            // What is around a record repeats it in other words. It counts only where nothing inside is known.
            let nesting = Nesting { asked: nesting.asked || !steps.is_empty(), ..nesting };
            let seen = self.read_inside(read.inside, findings, nesting);
            if seen.is_event || !matches!(seen.verdict, Verdict::Irrelevant) {
                return seen;
            }
        }
        let Some(event) = read.event else { return Seen::default() };
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
        Seen { verdict, is_event: true }
    }

    /// What the records in a record are, taken together. One that cannot be read has the whole of it rejected, once the
    /// others have been joined.
    fn read_inside(&mut self, inside: Vec<Inside>, findings: &mut Vec<Finding>, nesting: Nesting) -> Seen<'e> {
        if nesting.depth == event::MOST_NESTED {
            let detail = format!("it holds records that are more than {} deep in others", event::MOST_NESTED);
            return Seen::rejected(Reason::NestedTooDeep, detail);
        }
        let nesting = Nesting { depth: nesting.depth + 1, ..nesting };
        let mut together = Seen::default();
        for records in inside {
            let records = match event::open(records, &mut self.inflatable) {
                Ok(records) => records,
                Err(why) => {
                    together = together.and(Seen::rejected(Reason::BadEnvelope, why));
                    continue;
                }
            };
            for piece in Pieces::new(&records, self.prefilter) {
                let seen = match (&piece, piece.record()) {
                    (Piece::Unreadable { why, .. }, _) if *why != Unreadable::NotAnObject => {
                        let (reason, detail) = why.explain();
                        Seen::rejected(reason, format!("a record inside it: {detail}"))
                    }
                    (_, Some(place)) if place.candidate || nesting.asked || !self.config.prefilter => {
                        self.read(&records, place, findings, nesting)
                    }
                    _ => Seen::default(),
                };
                together = together.and(seen);
            }
        }
        together
    }

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
        let told_as = event.operation.as_ref().unwrap_or(&id);
        let matched = Matched { event, id: &id, told_as, time, steps, exceptions: &exceptions };
        let observed = self.chains.observe(self.rules, &matched);
        let mut annotation = Annotation { duplicate: observed.duplicate, ..Annotation::default() };
        for step in steps {
            let Some((rule, plan)) = self.rules.step(*step) else { continue };
            // What several records tell of is found by each of them.
            let repeats = rule.tells_operations || event.operation.is_some();
            let mut named = Vec::new();
            if rule.is_chain() {
                let chains = observed.chains.iter().filter(|(completed, _)| completed == step);
                let by_id: BTreeMap<_, _> =
                    chains.map(|(_, chain)| (finding::id(rule, &self.evidence(rule, chain), None), chain)).collect();
                for (id, chain) in by_id {
                    let new = !repeats || self.chains.is_new_finding(&id, time);
                    let told = self.tell(rule, &self.evidence(rule, chain), None, new);
                    named.extend(self.settle(id, told, new, findings));
                }
            } else {
                let ways = self.rules.identities.get(rule.identity).map_or(&[][..], Vec::as_slice);
                let evidence = [Evidence::of_event(plan, &matched, ways)];
                for each in evidence.iter().flat_map(each_value) {
                    let id = finding::id(rule, &evidence, each);
                    let new = !observed.duplicate && (!repeats || self.chains.is_new_finding(&id, time));
                    let told = self.tell(rule, &evidence, each, new);
                    named.extend(self.settle(id, told, new, findings));
                }
            }
            annotation.add(rule, plan, named);
        }
        let form = self.config.form();
        findings
            .extend(observed.pressure.iter().map(|pressure| finding::pressure(pressure, event.provider, time, form)));
        annotation
    }

    /// The evidence of a chain's steps.
    fn evidence(&self, rule: &RulePlan, chain: &Chain) -> Vec<Evidence<'_>> {
        let steps = self.rules.steps.iter().skip(rule.first_step).zip(chain);
        steps.filter_map(|(plan, id)| Some(Evidence::of_kept(plan, self.chains.event((*id)?)?))).collect()
    }

    /// The exception that holds for what was found, and the finding, if it is `new` and not taken by the exception.
    fn tell(
        &self,
        rule: &RulePlan,
        evidence: &[Evidence<'_>],
        each: Option<(&str, &str)>,
        new: bool,
    ) -> (Option<&'e ExceptionPlan>, Option<Finding>) {
        let exception = self.exception(rule, evidence);
        let finding = (new && is_emitted(exception))
            .then(|| finding::finding(rule, evidence, each, exception, self.config.form()));
        (exception, finding)
    }

    /// Counts what was found and adds it to the findings; gives back its id where the record is to name it.
    fn settle(
        &mut self,
        id: String,
        (exception, finding): (Option<&ExceptionPlan>, Option<Finding>),
        new: bool,
        findings: &mut Vec<Finding>,
    ) -> Option<String> {
        self.counters.add_excepted(exception.filter(|_| new));
        findings.extend(finding);
        is_emitted(exception).then_some(id)
    }

    /// The first exception that is for a rule and holds for all of its events.
    fn exception(&self, rule: &RulePlan, evidence: &[Evidence<'_>]) -> Option<&'e ExceptionPlan> {
        let (first, others) = evidence.split_first()?;
        let held = first.exceptions.iter().filter(|place| others.iter().all(|other| other.exceptions.contains(place)));
        held.filter_map(|place| self.rules.exceptions.get(usize::from(*place)))
            .find(|exception| exception.is_for(&rule.rule.id))
    }
}

/// Whether an exception leaves a finding to be seen.
fn is_emitted(exception: Option<&ExceptionPlan>) -> bool {
    exception.is_none_or(|exception| exception.exception.action != ExceptionAction::Drop)
}

/// The bound name and values that a rule of one step makes a finding for each of; none, once, where it asks for none.
fn each_value<'a>(evidence: &'a Evidence<'_>) -> Vec<Option<(&'a str, &'a str)>> {
    let each = evidence.step.each.and_then(|each| evidence.values.get(each));
    match each {
        Some((binding, values)) if !values.is_empty() => {
            values.iter().map(|value| Some((&*binding.name, &**value))).collect()
        }
        _ => vec![None],
    }
}
