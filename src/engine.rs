//! The correlator: batches in, outcomes out.

use crate::Error;
use crate::batch::Pieces;
use crate::chain::{Chains, Clock};
use crate::checkpoint;
use crate::config::Config;
use crate::examine::Examiner;
use crate::metrics::{Counters, Metric};
use crate::output::{Outcome, Output};
use crate::prefilter::Prefilter;
use crate::rule::Rules;

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
