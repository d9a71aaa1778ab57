//! The correlator: batches in, outcomes out.

use std::collections::BTreeMap;

use crate::Error;
use crate::batch::{Piece, Pieces, Place, Unreadable};
use crate::chain::{Chain, Chains, Clock, Matched};
use crate::checkpoint;
use crate::config::Config;
use crate::digest::Digest;
use crate::event::{self, Event, Inside, TimeProblem};
use crate::finding::{self, Evidence, Finding};
use crate::metrics::{Counters, Metric};
use crate::output::{Outcome, Output, Reason, Verdict};
use crate::prefilter::Prefilter;
use crate::rule::{ExceptionAction, ExceptionPlan, RulePlan, Rules};
use crate::splice::Annotation;

/// A correlation over a stream of audit records.
///
/// It keeps what chains need and nothing else: no clock, no files, no threads. The same batches with the same `now` give
/// the same outcomes, to the byte, everywhere.
///
/// # Cost
///
/// One pass over the bytes of a batch. A record that cannot matter is not parsed; one that can is parsed once.
#[derive(Debug)]
pub struct Correlator {
    pub(crate) config: Config,
    pub(crate) rules: Rules,
    pub(crate) prefilter: Prefilter,
    pub(crate) chains: Chains,
    pub(crate) counters: Counters,
    /// The rules whose state a checkpoint held and [`resume`](Self::resume) could not take over.
    pub(crate) reset_rules: Vec<String>,
}

impl Correlator {
    /// A correlator with nothing remembered. `config` is JSON, see [`Config`]; empty text stands for `{}`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`] with the place and what was expected there.
    #[cold]
    pub fn open(config: &str) -> Result<Self, Error> {
        let config = Config::from_json(config)?;
        let rules = Rules::compile(config.all_rules()?, config.all_exceptions()?, &config.identity)?;
        let clock = Clock::new(config.allowed_lateness, config.clock_skew);
        Ok(Self {
            prefilter: Prefilter::new(rules.actions()),
            chains: Chains::new(clock, config.limits, config.hash_key, rules.longest_window),
            counters: Counters::new(&rules),
            reset_rules: Vec::new(),
            rules,
            config,
        })
    }

    /// A correlator that goes on from a checkpoint, as the one that wrote it would have.
    ///
    /// The configuration may differ. What is remembered for rules that are the same is taken over.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`] as for [`open`](Self::open); [`Error::InvalidCheckpoint`] where the checkpoint is cut,
    /// damaged or of an unknown version.
    #[cold]
    pub fn resume(config: &str, checkpoint: &[u8]) -> Result<Self, Error> {
        let mut correlator = Self::open(config)?;
        checkpoint::restore(&mut correlator, checkpoint)?;
        Ok(correlator)
    }

    /// After [`resume`](Self::resume): the ids of the rules whose state the checkpoint held and that have changed or gone
    /// since, so that what was pending for them is forgotten.
    pub fn reset_rules(&self) -> &[String] {
        &self.reset_rules
    }

    /// All that [`resume`](Self::resume) needs to go on from here. Linear in what is remembered.
    pub fn checkpoint(&self) -> Vec<u8> {
        checkpoint::save(self)
    }

    /// The counters and gauges, by name.
    pub fn metrics(&self) -> Vec<Metric> {
        self.counters.metrics(&self.chains, &self.rules, &self.reset_rules)
    }

    /// Processes a batch: records that each end with LF; the last one may go without.
    ///
    /// `now` is the host's time in ms since 1970. It only tells events that are dated in the future, see
    /// [`Config::clock_skew`].
    ///
    /// # Errors
    ///
    /// [`Error::LimitExceeded`] where the batch is longer than [`Limits::batch_bytes`](crate::Limits::batch_bytes) or
    /// than 4 GiB. Nothing was consumed then.
    pub fn process(&mut self, batch: &[u8], now: u64) -> Result<Outcome, Error> {
        self.check_length(batch)?;
        self.chains.clock.set_now(now);
        let mut output = Output::new(self.config.mode, batch.len());
        let mut examiner = Examiner {
            config: &self.config,
            rules: &self.rules,
            prefilter: &self.prefilter,
            chains: &mut self.chains,
            counters: &mut self.counters,
            inflatable: self.config.limits.batch_bytes,
        };
        for piece in Pieces::new(batch, &self.prefilter) {
            let verdict = examiner.examine(batch, &piece, output.findings());
            output.add(piece, verdict, &self.config);
        }
        let outcome = output.into_outcome();
        self.counters.add(&outcome, &self.rules);
        Ok(outcome)
    }

    pub(crate) fn check_length(&self, batch: &[u8]) -> Result<(), Error> {
        let most = self.config.limits.batch_bytes.min(u32::MAX as usize);
        if batch.len() > most {
            return Err(Error::LimitExceeded(format!("the batch has {} bytes, the limit is {most}", batch.len())));
        }
        Ok(())
    }
}

/// Looks into the records that the prefilter lets through.
struct Examiner<'e> {
    config: &'e Config,
    rules: &'e Rules,
    prefilter: &'e Prefilter,
    chains: &'e mut Chains,
    counters: &'e mut Counters,
    /// How many bytes may still come out of what is compressed in the batch.
    inflatable: usize,
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
    fn examine(&mut self, batch: &[u8], piece: &Piece, findings: &mut Vec<Finding>) -> Verdict<'e> {
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
            let found = if rule.is_chain() {
                let chains = observed.chains.iter().filter(|(completed, _)| completed == step);
                self.chains_found(rule, chains.map(|(_, chain)| chain))
            } else {
                let ways = self.rules.identities.get(rule.identity).map_or(&[][..], Vec::as_slice);
                let evidence = Evidence::of_event(plan, &matched, ways);
                if observed.duplicate {
                    annotation.add(rule, plan, self.detection_ids(rule, &evidence));
                    continue;
                }
                self.detections(rule, &evidence)
            };
            annotation.add(rule, plan, found.iter().map(|finding| finding.id.clone()).collect());
            // What several records tell of is found by each of them.
            let told_once = event.operation.is_none() && !rule.tells_operations;
            findings.extend(found.into_iter().filter(|found| told_once || self.chains.is_new_finding(&found.id, time)));
        }
        let form = self.config.form();
        findings
            .extend(observed.pressure.iter().map(|pressure| finding::pressure(pressure, event.provider, time, form)));
        annotation
    }

    /// The findings of chains, but of those that an exception takes, in the order of their ids: each once, though several
    /// records may tell of one step.
    fn chains_found<'c>(&mut self, rule: &RulePlan, chains: impl Iterator<Item = &'c Chain>) -> Vec<Finding> {
        let steps = || self.rules.steps.iter().skip(rule.first_step);
        let evidence = |chain: &Chain| {
            let kept =
                steps().zip(chain).filter_map(|(plan, id)| Some(Evidence::of_kept(plan, self.chains.event((*id)?)?)));
            kept.collect::<Vec<_>>()
        };
        let by_id: BTreeMap<_, _> =
            chains.map(evidence).map(|chain| (finding::id(rule, &chain, None), chain)).collect();
        let mut found = Vec::new();
        for evidence in by_id.values() {
            let exception = self.exception(rule, evidence);
            self.counters.add_excepted(exception, 1);
            if is_emitted(exception) {
                found.push(finding::finding(rule, evidence, None, exception, self.config.form()));
            }
        }
        found
    }

    /// The findings of a rule of one step: one, or one for each value that it asks for.
    fn detections(&mut self, rule: &RulePlan, evidence: &Evidence<'_>) -> Vec<Finding> {
        let exception = self.exception(rule, std::slice::from_ref(evidence));
        let each = each_value(evidence);
        self.counters.add_excepted(exception, each.len());
        let finding =
            |each| finding::finding(rule, std::slice::from_ref(evidence), each, exception, self.config.form());
        if is_emitted(exception) { each.into_iter().map(finding).collect() } else { Vec::new() }
    }

    /// The ids of the findings that [`detections`](Self::detections) has made of an event before.
    fn detection_ids(&self, rule: &RulePlan, evidence: &Evidence<'_>) -> Vec<String> {
        let evidence = std::slice::from_ref(evidence);
        if !is_emitted(self.exception(rule, evidence)) {
            return Vec::new();
        }
        evidence.iter().flat_map(each_value).map(|each| finding::id(rule, evidence, each)).collect()
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
