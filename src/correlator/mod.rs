//! The correlator: batches in, outcomes out.

mod budget;
mod checkpoint;
mod evaluate;
mod evaluation;
mod inputs;
mod metrics;
mod partitions;
mod route;
mod search;

use crate::chain::{Chains, Watermark};
use crate::config::Config;
use crate::emit::{AnnotatedStep, AnnotationMember, Outcome, Output, offset};
use crate::event;
use crate::finding::FindingWriter;
use crate::rule::Rules;
use crate::scan::{Pieces, Prefilter, Scanner, Sniffer};
use crate::util::invariant::Invariant as _;
use crate::vocab::{Error, Mode, Timestamp};
use budget::OutputBudget;
pub(crate) use checkpoint::FORMAT;
use evaluate::Evaluator;
use inputs::Examples;
use metrics::Counters;
pub use metrics::{METRICS, Metric, MetricInfo, MetricKind};
use partitions::Partitions;
pub use route::Route;
use search::Places;

/// Correlates a stream of audit records.
///
/// It holds the state of its chains and uses no clock, files or threads. The same batches with the same `now` give the
/// same outcomes, to the byte, on every machine.
///
/// # Cost
///
/// One pass over the bytes of a batch. A record that no rule can match is not parsed; a candidate is parsed once.
///
/// # Example
///
/// ```
/// use catena::{Config, Correlator, Timestamp};
///
/// let mut correlator = Correlator::new(Config::default())?;
/// let outcome = correlator.process(b"{\"eventName\":\"DescribeInstances\"}\n", None)?;
/// assert_eq!((outcome.records, outcome.matched), (1, 0));
/// # Ok::<(), catena::Error>(())
/// ```
#[derive(Debug)]
pub struct Correlator {
    config: Config,
    rules: Rules,
    scanner: Scanner,
    chains: Chains,
    counters: Counters,
    budget: OutputBudget,
    /// How records are annotated: the member, and what it says of each step.
    annotation: AnnotationMember,
    annotated: Vec<AnnotatedStep>,
    /// If other correlators join a part of the events.
    partitions: Option<Partitions>,
    writer: FindingWriter,
    /// What records are read and matched in, kept so that nothing is allocated for each.
    buffers: event::Buffers,
    steps: Vec<usize>,
    /// The rules whose state a checkpoint held and [`resume`](Self::resume) could not restore.
    reset_rules: Vec<String>,
}

impl Correlator {
    /// A correlator with empty state.
    ///
    /// ```
    /// use catena::{Config, Correlator};
    ///
    /// let mut config = Config::default();
    /// config.built_in_exceptions.push("auto-scaling".to_owned());
    /// assert!(Correlator::new(config).is_ok());
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`] with the path and what was expected there.
    #[cold]
    pub fn new(config: Config) -> Result<Self, Error> {
        config.check()?;
        let rules = Rules::compile(config.all_rules()?, config.all_exceptions()?, &config.identity)?;
        let writer = FindingWriter::new(config.findings, config.attack_version, &rules);
        let watermark = Watermark::new(config.allowed_lateness, config.clock_skew);
        let prefilter = Prefilter::new(&event::action_keys(), rules.actions());
        Ok(Self {
            scanner: Scanner {
                prefilter: prefilter.invariant("the keys of all clouds share four anchors"),
                sniffer: Sniffer::new(event::containers()),
            },
            chains: Chains::new(
                watermark,
                config.limits,
                config.hash_key,
                rules.longest_window,
                config.finding_updates,
            ),
            counters: Counters::new(&rules),
            budget: OutputBudget::new(rules.rules.len()),
            annotation: AnnotationMember::new(&config.annotation, writer.annotations()),
            annotated: AnnotatedStep::all(&rules, writer.annotations()),
            partitions: config.partition.map(|partition| Partitions::of(partition, config.hash_key)),
            writer,
            buffers: event::Buffers::default(),
            steps: Vec::new(),
            reset_rules: Vec::new(),
            rules,
            config,
        })
    }

    /// Resumes from a checkpoint. The correlator continues exactly as the one that wrote the checkpoint would have.
    ///
    /// The configuration may differ. The state of rules that have not changed is kept; for the others, see
    /// [`reset_rules`](Self::reset_rules). Linear in the size of the checkpoint.
    ///
    /// ```
    /// use catena::{Config, Correlator};
    ///
    /// let checkpoint = Correlator::new(Config::default())?.checkpoint();
    /// let resumed = Correlator::resume(Config::default(), &checkpoint)?;
    /// assert_eq!(resumed.checkpoint(), checkpoint);
    /// # Ok::<(), catena::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`] as for [`new`](Self::new); [`Error::InvalidCheckpoint`] if the checkpoint is truncated,
    /// damaged or of an unknown version.
    #[cold]
    pub fn resume(config: Config, checkpoint: &[u8]) -> Result<Self, Error> {
        let mut correlator = Self::new(config)?;
        checkpoint::restore(&mut correlator, checkpoint)?;
        Ok(correlator)
    }

    /// After [`resume`](Self::resume), the ids of the rules whose pending events were dropped, because the rule has
    /// changed since the checkpoint or is no longer configured.
    ///
    /// ```
    /// use catena::{Config, Correlator};
    ///
    /// let checkpoint = Correlator::new(Config::default())?.checkpoint();
    /// let mut without = Config::default();
    /// without.disabled_rules.push("aws-snapshot-staging".to_owned());
    /// let resumed = Correlator::resume(without, &checkpoint)?;
    /// assert_eq!(resumed.reset_rules(), ["aws-snapshot-staging"]);
    /// # Ok::<(), catena::Error>(())
    /// ```
    pub fn reset_rules(&self) -> &[String] {
        &self.reset_rules
    }

    /// The complete state as bytes, for [`resume`](Self::resume). Linear in the size of the state.
    ///
    /// ```
    /// let correlator = catena::Correlator::new(catena::Config::default())?;
    /// assert!(correlator.checkpoint().starts_with(b"CATENA"));
    /// # Ok::<(), catena::Error>(())
    /// ```
    pub fn checkpoint(&self) -> Vec<u8> {
        checkpoint::save(self)
    }

    /// The counters and gauges.
    ///
    /// ```
    /// let correlator = catena::Correlator::new(catena::Config::default())?;
    /// assert!(correlator.metrics().iter().any(|metric| metric.name == "records" && metric.value == 0));
    /// # Ok::<(), catena::Error>(())
    /// ```
    pub fn metrics(&self) -> Vec<Metric> {
        self.counters.metrics(&self.chains, &self.rules, &self.reset_rules)
    }

    /// Processes a batch: records separated by LF, with or without one after the last.
    ///
    /// `now` is the host's time. It serves only to recognise events dated in the future, see [`Config::clock_skew`]; without
    /// it, none is. An empty batch is a tick: it passes the time.
    ///
    /// ```
    /// use catena::{Config, Correlator, Timestamp};
    ///
    /// let mut correlator = Correlator::new(Config::default())?;
    /// let outcome = correlator.process(b"not a record\n", Timestamp::from_millis(1_767_607_200_000))?;
    /// assert_eq!(outcome.rejections[0].reason, catena::Reason::NotAnObject);
    /// # Ok::<(), catena::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::LimitExceeded`] if the batch is longer than [`batch_limit`](Self::batch_limit);
    /// [`Error::InvalidArgument`] if `now` is not between the years 2000 and 9999, as a number of seconds or microseconds
    /// would be. The state is then unchanged.
    pub fn process(&mut self, batch: &[u8], now: impl Into<Option<Timestamp>>) -> Result<Outcome, Error> {
        self.check_length(batch)?;
        let now = now.into();
        if let Some(now) = now.filter(|now| !(Timestamp::YEAR_2000..Timestamp::YEAR_10000).contains(now)) {
            let reason =
                format!("expected milliseconds since 1970, of the years 2000 to 9999, not {}", now.as_millis());
            return Err(Error::argument("now-ms", reason));
        }
        self.chains.watermark.set_now(now);
        let mut output = Output::new(self.config.mode, &self.annotation, batch.len());
        let mut examples = Examples::default();
        let mut evaluator = Evaluator {
            rules: &self.rules,
            scanner: &self.scanner,
            prefilter_on: self.config.prefilter,
            writer: &self.writer,
            annotated: Some(&*self.annotated).filter(|_| self.config.mode != Mode::Findings),
            chains: &mut self.chains,
            counters: &mut self.counters,
            budget: &mut self.budget,
            record_bytes: 0,
            max_inflatable: self.config.limits.batch_bytes,
            inflatable: 0,
            places: Places::of(&self.config.record_search),
            partitions: self.partitions.as_mut(),
            buffers: &mut self.buffers,
            steps: &mut self.steps,
            examples: &mut examples,
        };
        for piece in Pieces::new(batch, &self.scanner) {
            let before = output.findings().len();
            let counted = evaluator.partitions.is_some().then_some(evaluator.counters.inputs.numbers);
            let verdict = evaluator.evaluate(batch, &piece, output.findings());
            if let Some(span) = piece.record().filter(|_| output.findings().len() > before) {
                let (start, end) = (offset(span.bytes.start), offset(span.bytes.end));
                let new = output.findings().iter_mut().skip(before);
                new.for_each(|finding| (finding.start, finding.end) = (start, end));
            }
            let is_counted = evaluator.partitions.as_ref().is_none_or(|partitions| partitions.is_counted());
            if let (false, Some(counted)) = (is_counted, counted) {
                evaluator.counters.inputs.numbers = counted;
            }
            output.add(piece, verdict, is_counted);
        }
        self.budget.end_batch(batch.len());
        let mut outcome = output.into_outcome();
        outcome.unrecognised = examples.into_list();
        self.counters.add(&outcome, &self.rules);
        Ok(outcome)
    }

    /// Checks every invariant of the state. Linear in it.
    ///
    /// # Panics
    ///
    /// If one is broken.
    #[doc(hidden)]
    pub fn check(&self) {
        self.chains.check();
    }

    /// Checks that the reader and a visitor of serde_json make the same of a record.
    ///
    /// # Panics
    ///
    /// If they differ.
    #[cfg(fuzzing)]
    #[doc(hidden)]
    pub fn check_reader(&self, record: &[u8]) {
        event::oracle::check(&self.rules.projection, record);
    }

    /// The length of the longest batch that is accepted, in bytes: [`Limits::batch_bytes`](crate::Limits::batch_bytes), and
    /// less than 4 GiB.
    ///
    /// ```
    /// let correlator = catena::Correlator::new(catena::Config::default())?;
    /// assert_eq!(correlator.batch_limit(), 256 << 20);
    /// # Ok::<(), catena::Error>(())
    /// ```
    pub fn batch_limit(&self) -> usize {
        self.config.limits.batch_bytes.min(u32::MAX as usize)
    }

    fn check_length(&self, batch: &[u8]) -> Result<(), Error> {
        let max = self.batch_limit();
        if batch.len() > max {
            return Err(Error::LimitExceeded(format!("the batch has {} bytes, the limit is {max}", batch.len())));
        }
        Ok(())
    }
}
