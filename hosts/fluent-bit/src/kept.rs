use catena::{Config, Correlator, Error, Timestamp};

/// Bytes of records after which a checkpoint is taken instead of keeping more of them.
const LIMIT: usize = 256 << 10;

/// What it takes to open the correlator again: a checkpoint, and the records since that changed its state.
pub(crate) struct Kept {
    checkpoint: Option<Vec<u8>>,
    records: Vec<(Vec<u8>, Option<Timestamp>)>,
    bytes: usize,
    limit: usize,
}

impl Default for Kept {
    fn default() -> Self {
        Self { checkpoint: None, records: Vec::new(), bytes: 0, limit: LIMIT }
    }
}

impl Kept {
    /// Notes a record that the correlator has processed.
    pub(crate) fn add(&mut self, record: &[u8], now: Option<Timestamp>) {
        self.bytes += record.len();
        self.records.push((record.to_vec(), now));
    }

    /// Whether it is time for a checkpoint.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= self.limit
    }

    /// Puts the next checkpoint off, in case that taking one fails.
    pub(crate) fn put_off(&mut self) {
        self.limit = self.limit.saturating_mul(2);
    }

    /// A checkpoint, and nothing since. A large one is taken less often.
    pub(crate) fn since(checkpoint: Vec<u8>) -> Self {
        Self { limit: LIMIT.max(checkpoint.len()), checkpoint: Some(checkpoint), ..Self::default() }
    }

    /// Opens the correlator as it was.
    pub(crate) fn open(&self, config: Config) -> Result<Correlator, Error> {
        let mut correlator = match &self.checkpoint {
            Some(checkpoint) => Correlator::resume(config, checkpoint)?,
            None => Correlator::new(config)?,
        };
        for (record, now) in &self.records {
            correlator.process(record, *now)?;
        }
        Ok(correlator)
    }
}
