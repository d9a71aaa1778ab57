use std::cell::Cell;

use catena::{Config, Correlator, Error, Mode, Outcome, Timestamp};

use crate::kept::Kept;
use crate::record::{with_additions, with_error};

/// What was lost since the start. The next record that passes tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Calls that did not return. Fluent Bit drops their records.
    pub failed_calls: u64,
    /// How often the state of all chains was lost besides.
    pub lost_states: u64,
}

/// A filter with its state.
///
/// After a trap, Fluent Bit calls the same instance again, with its memory as the trap left it. So nothing is borrowed during a
/// call: the correlator is taken out before it and put back as the last thing, and a call that finds none opens another from what
/// is kept outside.
pub struct Filter {
    config: String,
    mode: Mode,
    correlator: Cell<Option<Correlator>>,
    /// None before the first call, and while a correlator is opened.
    kept: Cell<Option<Kept>>,
    is_begun: Cell<bool>,
    is_in_call: Cell<bool>,
    losses: Cell<Losses>,
    /// Losses that have been told.
    told: Cell<Losses>,
}

impl Filter {
    /// A filter with settings in JSON, besides the mode.
    pub fn new(config: &str, mode: Mode) -> Self {
        Self {
            config: config.to_owned(),
            mode,
            correlator: Cell::new(None),
            kept: Cell::new(None),
            is_begun: Cell::new(false),
            is_in_call: Cell::new(false),
            losses: Cell::default(),
            told: Cell::default(),
        }
    }

    /// What has been lost so far.
    pub fn losses(&self) -> Losses {
        self.losses.get()
    }

    /// Filters a record, a JSON object on one line. Returns a JSON object, or nothing if the record leaves the stream. If the settings
    /// are invalid, every record says so.
    pub fn record(&self, record: &[u8], now: Option<Timestamp>) -> Option<Vec<u8>> {
        if self.is_in_call.replace(true) {
            self.lose(Losses { failed_calls: 1, lost_states: 0 });
        }
        let answer = match self.correlator.take().map_or_else(|| self.open(), Ok) {
            Ok(correlator) => self.process(correlator, record, now),
            Err(error) => Some(with_error(record, &error.to_string())),
        };
        self.is_in_call.set(false);
        answer
    }

    fn process(&self, mut correlator: Correlator, record: &[u8], now: Option<Timestamp>) -> Option<Vec<u8>> {
        let outcome = match correlator.process(record, now) {
            Ok(outcome) => outcome,
            Err(error) => {
                self.correlator.set(Some(correlator));
                return Some(with_error(record, &error.to_string()));
            }
        };
        let answer = self.answer(record, &outcome);
        if outcome.matched > 0 {
            self.keep(record, now, &correlator);
        }
        self.correlator.set(Some(correlator));
        answer
    }

    /// What goes on in the pipeline. There is no other way out, so a record that cannot be read stays in it in every mode.
    fn answer(&self, record: &[u8], outcome: &Outcome) -> Option<Vec<u8>> {
        let stays = self.mode == Mode::Enrich || (self.mode == Mode::Filter && outcome.dropped == 0);
        let rest = match (outcome.rejections.is_empty(), stays) {
            (false, _) => record.to_vec(),
            (true, true) => outcome.apply(record),
            (true, false) => Vec::new(),
        };
        let losses = Some(self.losses.get()).filter(|losses| *losses != self.told.get());
        let is_told = !rest.is_empty() || !outcome.findings.is_empty() || losses.is_some();
        is_told.then(|| {
            let answer = with_additions(&rest, outcome, losses.as_ref());
            self.told.set(self.losses.get());
            answer
        })
    }

    /// Keeps a record that changed the state, or a checkpoint instead.
    fn keep(&self, record: &[u8], now: Option<Timestamp>, correlator: &Correlator) {
        let mut kept = self.kept.take().unwrap_or_default();
        kept.add(record, now);
        let is_full = kept.is_full();
        if is_full {
            kept.put_off();
        }
        self.kept.set(Some(kept));
        if is_full {
            self.kept.set(Some(Kept::since(correlator.checkpoint())));
        }
    }

    /// Opens the first correlator, or another after a call that did not return. What is kept is taken out meanwhile: if it is at
    /// fault, it is lost with this call, and the next one starts anew.
    fn open(&self) -> Result<Correlator, Error> {
        let mut config: Config = self.config.parse()?;
        config.mode = self.mode;
        let kept = self.kept.take();
        let reopened = kept.as_ref().and_then(|kept| kept.open(config.clone()).ok());
        if let Some(correlator) = reopened {
            self.kept.set(kept);
            return Ok(correlator);
        }
        let correlator = Correlator::new(config)?;
        if self.is_begun.replace(true) {
            self.lose(Losses { failed_calls: 0, lost_states: 1 });
        }
        self.kept.set(Some(Kept::default()));
        Ok(correlator)
    }

    fn lose(&self, more: Losses) {
        let Losses { failed_calls, lost_states } = self.losses.get();
        let lost_states = lost_states + more.lost_states;
        self.losses.set(Losses { failed_calls: failed_calls + more.failed_calls, lost_states });
    }
}
