//! The correlator: batches in, outcomes out.

use crate::Error;
use crate::batch::{Piece, Pieces};
use crate::chain::{Chains, Clock, Matched};
use crate::checkpoint;
use crate::config::Config;
use crate::digest::Digest;
use crate::event::{self, Event, TimeProblem, Unread};
use crate::finding::{self, Evidence, Finding};
use crate::metrics::{Counters, Metric};
use crate::output::{Outcome, Output, Reason, Verdict};
use crate::prefilter::Prefilter;
use crate::rule::{RulePlan, Rules};
use crate::splice::{Annotation, Match};

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
}

impl Correlator {
    /// A correlator with nothing remembered. `config` is JSON, see [`Config`]; empty text stands for `{}`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`] with the place and what was expected there.
    pub fn open(config: &str) -> Result<Self, Error> {
        let config = Config::from_json(config)?;
        let rules = Rules::compile(config.all_rules()?)?;
        let clock = Clock::new(config.allowed_lateness, config.clock_skew);
        Ok(Self {
            prefilter: Prefilter::new(rules.actions()),
            chains: Chains::new(clock, config.limits, config.hash_key, rules.longest_window),
            counters: Counters::new(&rules),
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
    pub fn resume(config: &str, checkpoint: &[u8]) -> Result<Self, Error> {
        let mut correlator = Self::open(config)?;
        checkpoint::restore(&mut correlator, checkpoint)?;
        Ok(correlator)
    }

    /// All that [`resume`](Self::resume) needs to go on from here. Linear in what is remembered.
    pub fn checkpoint(&self) -> Vec<u8> {
        checkpoint::save(self)
    }

    /// The counters and gauges, by name.
    pub fn metrics(&self) -> Vec<Metric> {
        self.counters.metrics(&self.chains, &self.rules)
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
        let mut examiner = Examiner { rules: &self.rules, chains: &mut self.chains };
        for piece in Pieces::new(batch, &self.prefilter) {
            let verdict = match &piece {
                Piece::Record { record, candidate, .. } | Piece::Element { record, candidate } => {
                    if *candidate || !self.config.prefilter {
                        let bytes = batch.get(record.clone()).unwrap_or_default();
                        examiner.examine(bytes, *candidate, output.findings())
                    } else {
                        Verdict::Irrelevant
                    }
                }
                _ => Verdict::Irrelevant,
            };
            output.add(piece, verdict, &self.config.annotation);
        }
        let outcome = output.into_outcome();
        self.counters.add(&outcome, &self.rules);
        Ok(outcome)
    }
}

impl Correlator {
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
    rules: &'e Rules,
    chains: &'e mut Chains,
}

impl<'e> Examiner<'e> {
    /// Parses a record, matches it and joins it. A record that is no candidate is never refused: nobody asked for it.
    fn examine(&mut self, record: &[u8], candidate: bool, findings: &mut Vec<Finding>) -> Verdict<'e> {
        let event = match event::read(record, &self.rules.projection) {
            Ok(event) => event,
            Err(Unread::Malformed(error)) if candidate => {
                return Verdict::Rejected(Reason::MalformedJson, error.to_string());
            }
            Err(Unread::Malformed(_) | Unread::Unknown) => return Verdict::Irrelevant,
        };
        let steps = self.matching_steps(&event);
        if steps.is_empty() {
            return Verdict::Irrelevant;
        }
        match &event.time {
            Ok(time) => Verdict::Matched(self.observe(record, &event, *time, &steps, findings)),
            Err(TimeProblem::Missing) => {
                let detail = format!("{} has no eventTime", event.action);
                Verdict::Rejected(Reason::NoEventTime, detail)
            }
            Err(TimeProblem::NotATime(text)) => {
                let detail = format!("{} has the eventTime {text:?}: expected RFC 3339", event.action);
                Verdict::Rejected(Reason::BadEventTime, detail)
            }
        }
    }

    fn matching_steps(&self, event: &Event<'_>) -> Vec<usize> {
        let matches = |step: &usize| {
            self.rules.step(*step).is_some_and(|(_, plan)| {
                plan.provider == event.provider && *plan.service == *event.service && plan.outcome == event.outcome
            })
        };
        self.rules.steps_by_action(&event.action).iter().copied().filter(matches).collect()
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
        let observed = self.chains.observe(self.rules, &Matched { event, id: &id, time, steps });
        let mut annotation = Annotation { matches: Vec::new(), duplicate: observed.duplicate };
        for (rule, plan, step) in steps.iter().filter_map(|step| {
            let (rule, plan) = self.rules.step(*step)?;
            Some((rule, plan, *step))
        }) {
            let mut found = Vec::new();
            if rule.is_chain() {
                for (_, chain) in observed.chains.iter().filter(|(completed, _)| *completed == step) {
                    let steps = self.rules.steps.iter().skip(rule.first_step);
                    let evidence: Vec<_> = steps
                        .zip(chain)
                        .filter_map(|(plan, id)| Some(Evidence::of_kept(plan, self.chains.event(*id)?)))
                        .collect();
                    found.push(finding::finding(rule, &evidence, None));
                }
                found.sort_by(|left, right| left.id.cmp(&right.id));
            } else {
                let evidence = [Evidence::of_event(plan, event, &id, time)];
                found = detections(rule, &evidence);
            }
            annotation.matches.push(Match {
                rule: &rule.rule.id,
                step: rule.rule.steps.get(plan.position).map_or("", |step| &step.id),
                findings: found.iter().map(|finding| finding.id.clone()).collect(),
            });
            if !observed.duplicate {
                findings.append(&mut found);
            }
        }
        annotation
    }
}

/// The findings of a rule of one step: one, or one for each value that it asks for.
fn detections(rule: &RulePlan, evidence: &[Evidence<'_>]) -> Vec<Finding> {
    let each = evidence.first().and_then(|evidence| {
        let slot = evidence.step.each?;
        evidence.values.iter().find(|(binding, values)| binding.slot == slot && !values.is_empty())
    });
    match each {
        None => vec![finding::finding(rule, evidence, None)],
        Some((binding, values)) => {
            values.iter().map(|value| finding::finding(rule, evidence, Some((&binding.name, value)))).collect()
        }
    }
}
