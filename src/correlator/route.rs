//! Partitions a batch by identity, so that a host can distribute one stream over several correlators.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::Correlator;
use crate::emit::offset;
use crate::event;
use crate::scan::{Piece, Pieces};
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
    /// append an LF to each run that does not end with one. The state is not changed.
    ///
    /// Costs about as much as [`process`](Self::process) on a batch without candidates.
    ///
    /// ```
    /// let correlator = catena::Correlator::new(catena::Config::default())?;
    /// let routes = correlator.route(b"{\"eventName\":\"DescribeInstances\"}\n", 4)?;
    /// assert_eq!((routes[0].records, routes[0].partition), (1, None));
    /// # Ok::<(), catena::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::LimitExceeded`] if `partitions` is 0 or the batch is too long for [`process`](Self::process).
    pub fn route(&self, batch: &[u8], partitions: u32) -> Result<Vec<Route>, Error> {
        self.check_length(batch)?;
        if partitions == 0 {
            return Err(Error::LimitExceeded("expected at least one partition".to_owned()));
        }
        let mut routes: Vec<Route> = Vec::new();
        let mut container_is_empty = false;
        for piece in Pieces::new(batch, &self.scanner) {
            let candidate = piece.record().is_some_and(|span| span.candidate);
            let length = piece.record().map_or(0, |span| span.bytes.len());
            let mut inflatable = event::inflatable(length, self.config.limits.batch_bytes);
            let partition = match &piece {
                // Any correlator rejects it.
                Piece::Unreadable { .. } => Some(0),
                // A record without an identity can match a detection, but joins no chain: any partition will do.
                _ if candidate => {
                    Some(self.partition(batch, &piece, partitions, (0, &mut inflatable)).unwrap_or_default())
                }
                _ => None,
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
                Some(last) if last.partition == partition && last.end == start => {
                    last.end = end;
                    last.records += records;
                }
                _ => routes.push(Route { start, end, records, partition }),
            }
        }
        Ok(routes)
    }

    /// The partition of a candidate; for an envelope, that of its first record that has one. `None` without an
    /// identity. `nested` holds the number of envelopes around the piece, and how many bytes may still be decompressed.
    fn partition(&self, batch: &[u8], piece: &Piece, partitions: u32, nested: (usize, &mut usize)) -> Option<u32> {
        let (depth, inflatable) = nested;
        let span = piece.record().filter(|span| span.candidate)?;
        let read = event::read(batch.get(span.bytes.clone())?, span.envelope, &self.rules.projection).ok()?;
        for records in read.embedded.into_iter().filter(|_| depth < event::MAX_DEPTH) {
            let Ok(records) = event::decode(records, inflatable) else { continue };
            let found = Pieces::new(&records, &self.scanner)
                .find_map(|piece| self.partition(&records, &piece, partitions, (depth + 1, &mut *inflatable)));
            if found.is_some() {
                return found;
            }
        }
        let event = read.event?;
        let keys = match &*self.rules.identities {
            [keys] => keys,
            // The rules use different lists of keys. The default list keeps a role's sessions, keys and principals
            // together.
            _ => &IdentityKey::DEFAULT[..],
        };
        let (_, identity) = event.actor.identity(keys)?;
        let mut hasher = SipHasher13::new_with_key(&self.config.hash_key);
        hasher.write(identity.as_bytes());
        u32::try_from(hasher.finish() % u64::from(partitions)).ok()
    }
}
