//! Partitions a batch by identity, so that a host can distribute one stream over several correlators.

use std::hash::Hasher;
use std::ops::Range;

use siphasher::sip::SipHasher13;

use super::Correlator;
use super::inputs::Examples;
use super::search::{MAX_LEVELS, Places};
use crate::emit::offset;
use crate::event::{self, EmbeddedRecords, RecordKind};
use crate::scan::{Piece, Pieces, RecordSpan, children};
use crate::vocab::{Error, IdentityKey};

/// A run of records: bytes `start..end` of the batch, for the correlator of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// The offset of the first byte.
    pub start: u32,
    /// The offset after the last byte.
    pub end: u32,
    /// The number of records in the run.
    pub records: u32,
    /// The partition, from 0. `None` if no rule can match any of the records, so that no correlator needs them.
    pub partition: Option<u32>,
}

impl Correlator {
    /// Splits a batch into runs of records, each for one of `partitions` correlators, or for none. Candidates of one
    /// identity always go to the same partition.
    ///
    /// The runs are in ascending order and contain every record exactly once. A run consists of whole lines, or of a
    /// single record of a container without the text around it. Concatenate the runs of a correlator in order, and
    /// append an LF to each run that does not end with one. Of the state, only the counts of records that were not parsed change.
    ///
    /// Costs about as much as [`process`](Self::process) on a batch without candidates.
    ///
    /// ```
    /// let mut correlator = catena::Correlator::new(catena::Config::default())?;
    /// let routes = correlator.route(b"{\"eventName\":\"DescribeInstances\"}\n", 4)?;
    /// assert_eq!((routes[0].records, routes[0].partition), (1, None));
    /// # Ok::<(), catena::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::LimitExceeded`] if `partitions` is 0 or the batch is too long for [`process`](Self::process).
    pub fn route(&mut self, batch: &[u8], partitions: u32) -> Result<Vec<Route>, Error> {
        self.check_length(batch)?;
        if partitions == 0 {
            return Err(Error::LimitExceeded("expected at least one partition".to_owned()));
        }
        let mut routes: Vec<Route> = Vec::new();
        let mut container_is_empty = false;
        let mut buffers = std::mem::take(&mut self.buffers);
        for piece in Pieces::new(batch, &self.scanner) {
            let length = piece.record().map_or(0, |span| span.bytes.len());
            let mut inflatable = event::inflatable(length, self.config.limits.batch_bytes);
            let partition = match &piece {
                // Any correlator rejects it, or says that it is unknown.
                Piece::Unreadable { .. } => Some(0),
                piece if piece.record().is_some_and(|span| !span.candidate && span.key.is_none()) => Some(0),
                // A record without an identity can match a detection, but joins no chain: any partition will do.
                _ => piece.record().filter(|span| span.candidate).map(|span| {
                    let places = Places::of(&self.config.record_search);
                    let mut inner =
                        Inner { depth: 0, levels: 0, places, inflatable: &mut inflatable, buffers: &mut buffers };
                    self.partition(batch, span, partitions, &mut inner).unwrap_or_default()
                }),
            };
            if let (Some(span), None) = (piece.record(), partition) {
                self.counters.inputs.add_unread(span, &mut Examples::default());
            }
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
                Some(last) if last.partition == partition && last.end == start => {
                    last.end = end;
                    last.records += records;
                }
                _ => routes.push(Route { start, end, records, partition }),
            }
        }
        self.buffers = buffers;
        Ok(routes)
    }

    /// The partition of a candidate; for one that holds others, that of the first that has one. `None` without an identity.
    fn partition(&self, batch: &[u8], span: &RecordSpan, partitions: u32, inner: &mut Inner<'_>) -> Option<u32> {
        let span = Some(span).filter(|span| span.candidate)?;
        let record = batch.get(span.bytes.clone())?;
        let read =
            event::read(record, span.envelope, span.is_searched(), &self.rules.projection, inner.buffers).ok()?;
        for records in read.embedded {
            let found = self.partition_of_embedded(records, partitions, inner);
            if found.is_some() {
                return found;
            }
        }
        let event = match read.kind {
            RecordKind::Call(event) => event,
            RecordKind::Unknown => return self.partition_of_parent(batch, span.bytes.clone(), partitions, inner),
            RecordKind::NoCall(_) => return None,
        };
        let keys = match &*self.rules.identities {
            [keys] => keys,
            // The rules use different lists of keys. The default list keeps a role's sessions, keys and principals
            // together.
            _ => &IdentityKey::DEFAULT[..],
        };
        let partition = event.actor.identity(keys).map(|(_, identity)| {
            let mut hasher = SipHasher13::new_with_key(&self.config.hash_key);
            hasher.write(identity.as_bytes());
            hasher.finish() % u64::from(partitions)
        });
        *inner.buffers = event.values.into_buffers();
        u32::try_from(partition?).ok()
    }

    /// The partition of the first record in a text.
    fn partition_of_embedded(&self, records: EmbeddedRecords, partitions: u32, inner: &mut Inner<'_>) -> Option<u32> {
        if inner.depth == event::MAX_DEPTH {
            return None;
        }
        let records = event::decode(records, &mut *inner.inflatable).ok()?;
        inner.depth += 1;
        let mut pieces = Pieces::new(&records, &self.scanner);
        let found = pieces.find_map(|piece| self.partition(&records, piece.record()?, partitions, inner));
        inner.depth -= 1;
        found
    }

    /// The partition of the first record in an object or array, as [`process`](Self::process) finds it.
    fn partition_of_parent(
        &self,
        batch: &[u8],
        parent: Range<usize>,
        partitions: u32,
        inner: &mut Inner<'_>,
    ) -> Option<u32> {
        let places = inner.places.clone().filter(|_| inner.levels < MAX_LEVELS)?;
        inner.levels += 1;
        let found = children(batch, parent).find_map(|child| {
            inner.places = Some(places.of_child(batch, &child)?);
            let span = self.scanner.span_of_child(batch, child.value.clone());
            match batch.get(child.value.start)? {
                _ if !span.candidate => None,
                b'{' => self.partition(batch, &span, partitions, inner),
                b'[' => self.partition_of_parent(batch, child.value, partitions, inner),
                _ => {
                    let records = event::embedded_in_string(batch.get(child.value)?)?;
                    self.partition_of_embedded(records, partitions, inner)
                }
            }
        });
        inner.levels -= 1;
        inner.places = Some(places);
        found
    }
}

/// How deep a record is in others, and what may still be done to find it.
struct Inner<'c> {
    depth: usize,
    levels: usize,
    places: Option<Places<'c>>,
    inflatable: &'c mut usize,
    buffers: &'c mut event::Buffers,
}
