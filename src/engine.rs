//! The correlator: batches in, outcomes out.

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
        };
        for piece in Pieces::new(batch, &self.prefilter) {
            let verdict = examiner.examine(batch, &piece, output.findings(), 0);
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
}

impl<'e> Examiner<'e> {
    /// Parses a record, matches it and joins it. A record that is no candidate is never refused: nobody asked for it.
    #[inline]
    fn examine(&mut self, batch: &[u8], piece: &Piece, findings: &mut Vec<Finding>, nested: usize) -> Verdict<'e> {
        match piece.record() {
            Some(place) if place.candidate || !self.config.prefilter => self.read(batch, place, findings, nested),
            _ => Verdict::Irrelevant,
        }
    }

    fn read(&mut self, batch: &[u8], place: &Place, findings: &mut Vec<Finding>, nested: usize) -> Verdict<'e> {
        let Place { ref bytes, candidate, envelope } = *place;
        let record = batch.get(bytes.clone()).unwrap_or_default();
        let read = match event::read(record, envelope, &self.rules.projection) {
            Ok(read) => read,
            Err(error) if candidate => return Verdict::Rejected(Reason::MalformedJson, error.to_string()),
            Err(_) => return Verdict::Irrelevant,
        };
        if candidate && !read.inside.is_empty() {
            let verdict = self.read_inside(read.inside, findings, nested);
            if !matches!(verdict, Verdict::Irrelevant) {
                return verdict;
            }
        }
        let Some(event) = read.event else { return Verdict::Irrelevant };
        let steps = self.rules.steps_of(&event);
        if steps.is_empty() {
            return Verdict::Irrelevant;
        }
        match &event.time {
            Ok(time) => Verdict::Matched(self.observe(record, &event, *time, &steps, findings)),
            Err(TimeProblem::Missing) => {
                let detail = format!("{} has no time", event.action);
                Verdict::Rejected(Reason::NoEventTime, detail)
            }
            Err(TimeProblem::NotATime(text)) => {
                let detail = format!("{} has the time {text:?}: expected RFC 3339", event.action);
                Verdict::Rejected(Reason::BadEventTime, detail)
            }
        }
    }

    /// What the records in a record are, taken together. One that cannot be read has the whole of it rejected, once the
    /// others have been joined.
    fn read_inside(&mut self, inside: Vec<Inside>, findings: &mut Vec<Finding>, nested: usize) -> Verdict<'e> {
        let mut together = Verdict::Irrelevant;
        if nested == event::MOST_NESTED {
            let detail = format!("it holds records that are more than {} deep in others", event::MOST_NESTED);
            return Verdict::Rejected(Reason::NestedTooDeep, detail);
        }
        for records in inside {
            let records = match event::open(records, self.config.limits.batch_bytes) {
                Ok(records) => records,
                Err(why) => {
                    together = together.and(Verdict::Rejected(Reason::BadEnvelope, why));
                    continue;
                }
            };
            for piece in Pieces::new(&records, self.prefilter) {
                let verdict = match &piece {
                    Piece::Unreadable { why, .. } if *why != Unreadable::NotAnObject => {
                        let (reason, detail) = why.explain();
                        Verdict::Rejected(reason, format!("a record inside it: {detail}"))
                    }
                    _ => self.examine(&records, &piece, findings, nested + 1),
                };
                together = together.and(verdict);
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
                let mut found: Vec<Finding> = Vec::new();
                for finding in chains.filter_map(|(_, chain)| self.chain(rule, chain)) {
                    let place = found.partition_point(|other| other.id < finding.id);
                    found.insert(place, finding);
                }
                found
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
            findings.extend(
                found
                    .into_iter()
                    .filter(|found| event.operation.is_none() || self.chains.is_new_finding(&found.id, time)),
            );
        }
        let form = self.config.form();
        findings
            .extend(observed.pressure.iter().map(|pressure| finding::pressure(pressure, event.provider, time, form)));
        annotation
    }

    /// The finding of a chain, unless an exception takes it.
    fn chain(&mut self, rule: &RulePlan, chain: &Chain) -> Option<Finding> {
        let steps = self.rules.steps.iter().skip(rule.first_step);
        let evidence: Vec<_> = steps
            .zip(chain)
            .filter_map(|(plan, id)| Some(Evidence::of_kept(plan, self.chains.event((*id)?)?)))
            .collect();
        let exception = self.exception(rule, &evidence);
        self.counters.add_excepted(exception, 1);
        is_emitted(exception).then(|| finding::finding(rule, &evidence, None, exception, self.config.form()))
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
