//! Partitions a batch by identity, so that a host can distribute one stream over several correlators.

use super::Correlator;
use super::budget::OutputBudget;
use super::evaluate::Evaluator;
use super::inputs::Examples;
use super::metrics::Counters;
use super::partitions::Partitions;
use super::search::Places;
use crate::emit::offset;
use crate::scan::{Piece, Pieces};
use crate::vocab::Error;

/// A run of records: bytes `start..end` of the batch, for the correlators of some partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// The offset of the first byte.
    pub start: u32,
    /// The offset after the last byte.
    pub end: u32,
    /// The number of records in the run.
    pub records: u32,
    /// The partitions, from 0, in ascending order. Empty if no rule can match any of the records, so that no correlator needs
    /// them. Several if the run is one record that concerns several identities; each of these correlators processes it.
    pub partitions: Vec<u32>,
}

impl Correlator {
    /// Splits a batch into runs of records, each for some of `partitions` correlators, or for none. All events of one
    /// identity go to the same partition.
    ///
    /// The runs are in ascending order and contain every record exactly once. A run consists of whole lines, or of a
    /// single record of a container without the text around it. Concatenate the runs of a correlator in order, and
    /// append an LF to each run that does not end with one. Open each correlator with its
    /// [`Config::partition`](crate::Config::partition). Of the state, only the counts of records that were not parsed change.
    ///
    /// Costs about as much as [`process`](Self::process) on a batch without candidates.
    ///
    /// ```
    /// let mut correlator = catena::Correlator::new(catena::Config::default())?;
    /// let routes = correlator.route(b"{\"eventName\":\"DescribeInstances\"}\n", 4)?;
    /// assert_eq!((routes[0].records, &*routes[0].partitions), (1, &[][..]));
    /// # Ok::<(), catena::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if `partitions` is 0; [`Error::LimitExceeded`] if the batch is too long for
    /// [`process`](Self::process).
    pub fn route(&mut self, batch: &[u8], partitions: u32) -> Result<Vec<Route>, Error> {
        self.check_length(batch)?;
        if partitions == 0 {
            return Err(Error::argument("partitions", "expected at least one"));
        }
        let mut routes: Vec<Route> = Vec::new();
        let mut container_is_empty = false;
        let mut found = Partitions::route(partitions, self.config.hash_key);
        // What the evaluation of a candidate counts and says is for the correlator that processes it.
        let mut evaluator = Evaluator {
            rules: &self.rules,
            scanner: &self.scanner,
            prefilter_on: true,
            writer: &self.writer,
            annotated: None,
            chains: &mut self.chains,
            counters: &mut Counters::default(),
            budget: &mut OutputBudget::new(0),
            record_bytes: 0,
            max_inflatable: self.config.limits.batch_bytes,
            inflatable: 0,
            places: Places::of(&self.config.record_search),
            partitions: Some(&mut found),
            buffers: &mut self.buffers,
            steps: &mut self.steps,
            examples: &mut Examples::default(),
        };
        for piece in Pieces::new(batch, &self.scanner) {
            let partitions = match piece.record() {
                Some(span) if span.candidate => {
                    evaluator.evaluate(batch, &piece, &mut Vec::new());
                    evaluator.partitions.as_ref().map(|partitions| partitions.all()).unwrap_or_default()
                }
                Some(span) if span.key.is_some() => {
                    self.counters.inputs.add_unread(span, &mut Examples::default());
                    Vec::new()
                }
                // Any correlator rejects it, or says that it is unknown.
                Some(_) => vec![0],
                None if matches!(piece, Piece::Unreadable { .. }) => vec![0],
                None => Vec::new(),
            };
            let (run, records) = match piece {
                Piece::Record { line, .. } | Piece::Unreadable { line, .. } => (line, 1),
                Piece::Element { record } => (record.bytes, 1),
                Piece::Blank { line } => (line, 0),
                Piece::ContainerEnd { line } if container_is_empty => (line, 0),
                Piece::Container | Piece::ContainerEnd { .. } => {
                    container_is_empty = true;
                    continue;
                }
            };
            container_is_empty = false;
            let (start, end) = (offset(run.start), offset(run.end));
            match routes.last_mut() {
                // A record for several correlators stays a run of its own, so that their outcomes can be merged.
                Some(last) if last.end == start && partitions.len() < 2 && last.partitions == partitions => {
                    last.end = end;
                    last.records += records;
                }
                _ => routes.push(Route { start, end, records, partitions }),
            }
        }
        Ok(routes)
    }
}
