//! A batch cut up by identity, so that a host can spread one stream over several correlators.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::Correlator;
use crate::emit::offset;
use crate::event;
use crate::scan::{Piece, Pieces};
use crate::vocab::{Error, IdentityKey};

/// Bytes `start..end` of the batch belong to `partition`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// The first byte.
    pub start: u32,
    /// Behind the last byte.
    pub end: u32,
    /// How many records it holds.
    pub records: u32,
    /// The partition, from 0; `None` where no rule can ask for any of the records, so that no correlator needs them.
    pub partition: Option<u32>,
}

impl Correlator {
    /// Cuts a batch into runs of records, each run for one of `partitions` correlators, or for none: records of one
    /// identity that a rule may match always go to the same one.
    ///
    /// Runs come in order and hold every record once: whole lines, or one record of a container without what is around
    /// it. Give a correlator its runs one behind the other, with an LF behind each that does not end with one. The state
    /// does not change.
    ///
    /// # Errors
    ///
    /// [`Error::LimitExceeded`] where `partitions` is 0 or the batch is too long for [`process`](Self::process).
    pub fn route(&self, batch: &[u8], partitions: u32) -> Result<Vec<Route>, Error> {
        self.check_length(batch)?;
        if partitions == 0 {
            return Err(Error::LimitExceeded("expected at least one partition".to_owned()));
        }
        let mut routes: Vec<Route> = Vec::new();
        let mut inflatable = self.config.limits.batch_bytes;
        let mut container_is_empty = false;
        for piece in Pieces::new(batch, &self.scanner) {
            let candidate = piece.record().is_some_and(|span| span.candidate);
            let partition = match &piece {
                // Whoever gets it rejects it.
                Piece::Unreadable { .. } => Some(0),
                // What tells of nobody may still be found, but joins nothing.
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

    /// The partition of a piece that is a candidate; of one that holds other records that of the first of them.
    /// `nested` is how deep the piece is in others, and how much may still come out of what is compressed.
    fn partition(&self, batch: &[u8], piece: &Piece, partitions: u32, nested: (usize, &mut usize)) -> Option<u32> {
        let (depth, inflatable) = nested;
        let span = piece.record().filter(|span| span.candidate)?;
        let read = event::read(batch.get(span.bytes.clone())?, span.envelope, &self.rules.projection).ok()?;
        for inside in read.inside.into_iter().filter(|_| depth < event::MAX_DEPTH) {
            let Ok(records) = event::decode(inside, inflatable) else { continue };
            let found = Pieces::new(&records, &self.scanner)
                .find_map(|piece| self.partition(&records, &piece, partitions, (depth + 1, &mut *inflatable)));
            if found.is_some() {
                return found;
            }
        }
        let event = read.event?;
        let ways = match &*self.rules.identities {
            [ways] => ways,
            // Rules tell identities in different ways. A role's sessions, keys and principals stay together with it.
            _ => &IdentityKey::DEFAULT[..],
        };
        let (_, identity) = event.actor.identity(ways)?;
        let mut hasher = SipHasher13::new_with_key(&self.config.hash_key);
        hasher.write(identity.as_bytes());
        u32::try_from(hasher.finish() % u64::from(partitions)).ok()
    }
}
