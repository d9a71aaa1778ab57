//! Records that concern the identities of several partitions. The correlator of each processes them, and says in a piece what it does to
//! each; the joiner puts the pieces together.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Bytes, BytesMut};
use catena_host::{Outcome, Splice, together};
use serde::{Deserialize, Serialize};

use crate::Error;

/// The header of a block with references to such records: [`References`].
pub(crate) const SHARED: &str = "Catena-Shared";

/// The header of a block of pieces: [`Pieces`].
pub(crate) const PIECES: &str = "Catena-Pieces";

/// The shared records of a block of one partition. They are in blocks of their own, `catena.common.PART.BLOCK`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct References {
    /// The part of the input that they are of, by its first sequence.
    pub(crate) part: u64,
    /// The pieces that all partitions make of the part.
    pub(crate) pieces: u64,
    /// In the order of the input.
    pub(crate) list: Vec<Reference>,
}

/// Where a shared record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u32, u32, u32, u32, u32, bool)", into = "(u32, u32, u32, u32, u32, bool)")]
pub(crate) struct Reference {
    /// The offset in the partition's own records before which it came.
    pub(crate) at: u32,
    /// The number of the common block, and the offset and length in it.
    pub(crate) block: u32,
    pub(crate) offset: u32,
    pub(crate) length: u32,
    /// Its number in its part.
    pub(crate) number: u32,
    /// Whether this is the first of its partitions, which keeps it in the stream unless another annotates it.
    pub(crate) is_first: bool,
}

impl From<(u32, u32, u32, u32, u32, bool)> for Reference {
    fn from((at, block, offset, length, number, is_first): (u32, u32, u32, u32, u32, bool)) -> Self {
        Self { at, block, offset, length, number, is_first }
    }
}

impl From<Reference> for (u32, u32, u32, u32, u32, bool) {
    fn from(of: Reference) -> Self {
        (of.at, of.block, of.offset, of.length, of.number, of.is_first)
    }
}

/// The shared records of a block, once they are in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shared {
    pub(crate) part: u64,
    pub(crate) pieces: u64,
    /// In ascending order.
    places: Vec<Place>,
}

/// Where a shared record is in a block: its start and end, its number in its part, and whether this is the first of its partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place(u32, u32, u32, bool);

impl References {
    /// The numbers of the common blocks that are referred to.
    pub(crate) fn blocks(&self) -> BTreeSet<u32> {
        self.list.iter().map(|reference| reference.block).collect()
    }

    /// Puts the shared records among the partition's own, in the order of the input. None of a block that is not there is put in, nor what is
    /// beyond its end.
    pub(crate) fn resolve(&self, own: Bytes, common: &BTreeMap<u32, Bytes>) -> (Bytes, Shared) {
        let mut shared = Shared { part: self.part, pieces: self.pieces, places: Vec::with_capacity(self.list.len()) };
        if self.list.is_empty() {
            return (own, shared);
        }
        let (mut records, mut from) = (BytesMut::with_capacity(own.len()), 0);
        for Reference { at, block, offset, length, number, is_first } in &self.list {
            let at = (*at as usize).clamp(from, own.len());
            records.extend_from_slice(&own[from..at]);
            from = at;
            let end = offset.saturating_add(*length) as usize;
            let record = common.get(block).and_then(|block| block.get(*offset as usize..end)).unwrap_or_default();
            let start = records.len() as u32;
            records.extend_from_slice(record);
            shared.places.push(Place(start, records.len() as u32, *number, *is_first));
        }
        records.extend_from_slice(&own[from..]);
        (records.freeze(), shared)
    }
}

/// What a message of pieces has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pieces {
    pub(crate) part: u64,
    /// How many there are in it.
    pub(crate) count: u64,
    /// How many all partitions make of the part.
    pub(crate) of: u64,
}

/// What one correlator does to one record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Piece {
    /// The number of the record in its part.
    number: u32,
    /// The record in base64, from the first of its partitions.
    record: Option<String>,
    splices: Vec<(u32, u32, String)>,
}

impl Shared {
    /// Whether something at `offset` is of a record that is another partition's to keep in the stream.
    pub(crate) fn is_of_another(&self, offset: u32) -> bool {
        let at = self.places.partition_point(|place| place.1 <= offset);
        self.places.get(at).is_some_and(|Place(start, _, _, is_first)| *start <= offset && !is_first)
    }

    /// Separates the output of a block: what only this partition has, and its pieces of what it shares.
    pub(crate) fn separate(&self, records: &[u8], splices: &[Splice]) -> (Vec<u8>, Vec<Piece>) {
        let (mut own, mut pieces, mut from) = (Vec::with_capacity(records.len()), Vec::new(), 0);
        for Place(start, end, number, is_first) in &self.places {
            own.extend(applied(records, splices, from, *start));
            let record = records.get(*start as usize..*end as usize).unwrap_or_default();
            let splices = within(splices, *start, *end).into_iter().map(|one| (one.start, one.end, one.text));
            let record = is_first.then(|| BASE64.encode(record));
            pieces.push(Piece { number: *number, record, splices: splices.collect() });
            from = *end;
        }
        own.extend(applied(records, splices, from, records.len() as u32));
        (own, pieces)
    }
}

/// The splices within some bytes, clipped to them, counted from their start.
fn within(splices: &[Splice], start: u32, end: u32) -> Vec<Splice> {
    let first = splices.partition_point(|splice| splice.end < start);
    let those = splices.get(first..).unwrap_or_default().iter().take_while(|splice| splice.start < end);
    // A deletion may go across the line feed behind a record.
    let those = those.filter(|splice| !(splice.start < start && splice.end == start));
    those
        .map(|splice| {
            let text = if splice.start >= start { splice.text.clone() } else { String::new() };
            Splice { start: splice.start.max(start) - start, end: splice.end.min(end) - start, text }
        })
        .collect()
}

fn applied(records: &[u8], splices: &[Splice], start: u32, end: u32) -> Vec<u8> {
    let bytes = records.get(start as usize..end as usize).unwrap_or_default();
    Outcome { splices: within(splices, start, end), ..Outcome::default() }.apply(bytes)
}

/// Pieces as lines.
pub(crate) fn write(pieces: &[Piece]) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    for piece in pieces {
        serde_json::to_writer(&mut text, piece)?;
        text.push(b'\n');
    }
    Ok(text)
}

/// Lines as pieces.
pub(crate) fn read(text: &[u8]) -> Result<Vec<Piece>, Error> {
    let pieces: Result<_, _> = serde_json::Deserializer::from_slice(text).into_iter().collect();
    pieces.map_err(|error: serde_json::Error| Error::Invalid(format!("a piece cannot be read: {error}")))
}

/// The records of a part, from all of its pieces, in order.
pub(crate) fn join(pieces: Vec<Piece>) -> Vec<u8> {
    let mut records: BTreeMap<u32, (Vec<u8>, Vec<Vec<Splice>>)> = BTreeMap::new();
    for Piece { number, record, splices } in pieces {
        let (bytes, all) = records.entry(number).or_default();
        let splices = splices.into_iter().map(|(start, end, text)| Splice { start, end, text }).collect();
        match record {
            // What the first of the partitions does comes first: it decides unless another annotates.
            Some(record) => {
                *bytes = BASE64.decode(record).unwrap_or_default();
                all.insert(0, splices);
            }
            None => all.push(splices),
        }
    }
    let mut output = Vec::new();
    for (bytes, all) in records.into_values() {
        let splices = together(all, |texts| catena::join_annotations(texts).ok());
        let fits = splices.iter().all(|splice| splice.start <= splice.end && splice.end as usize <= bytes.len());
        let splices = if fits { splices } else { Vec::new() };
        output.extend(Outcome { splices, ..Outcome::default() }.apply(&bytes));
    }
    output
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn insertion(at: usize, text: &str) -> Splice {
        Splice { start: at as u32, end: at as u32, text: text.to_owned() }
    }

    fn deletion(start: usize, end: usize) -> Splice {
        Splice { start: start as u32, end: end as u32, text: String::new() }
    }

    /// Lines, each of which stays, is annotated or goes.
    fn block(fates: &[u8]) -> (Vec<u8>, Vec<Splice>, Vec<(u32, u32)>) {
        let (mut records, mut splices, mut lines) = (Vec::new(), Vec::<Splice>::new(), Vec::new());
        for (number, fate) in fates.iter().enumerate() {
            let start = records.len();
            records.extend(format!("{{\"n\":{number}}}\n").bytes());
            let end = records.len();
            lines.push((start as u32, end as u32));
            match fate {
                0 => {}
                1 => splices.push(insertion(end - 2, ",\"a\":1")),
                // Neighbours go together.
                _ => match splices.last_mut() {
                    Some(last) if last.end as usize == start && last.text.is_empty() => last.end = end as u32,
                    _ => splices.push(deletion(start, end)),
                },
            }
        }
        (records, splices, lines)
    }

    proptest! {
        /// Whatever is shared, what is separated is all there is: joined again in order, it is the output of the block.
        #[test]
        fn own_output_and_pieces_are_the_whole_output(fates in prop::collection::vec((0_u8..3, any::<bool>()), 0..20)) {
            let (records, splices, lines) = block(&fates.iter().map(|(fate, _)| *fate).collect::<Vec<_>>());
            let is_shared = |number: &usize| fates.get(*number).is_some_and(|(_, is_shared)| *is_shared);
            let shared: Vec<usize> = (0..fates.len()).filter(is_shared).collect();
            let places = shared.iter().map(|number| Place(lines[*number].0, lines[*number].1, *number as u32, true)).collect();
            let (own, pieces) = Shared { part: 1, pieces: 0, places }.separate(&records, &splices);
            let joined = join(read(&write(&pieces).unwrap()).unwrap());
            let expected = |is_shared: bool| -> Vec<u8> {
                let those = (0..fates.len()).filter(|number| fates[*number].1 == is_shared);
                those.flat_map(|number| applied(&records, &splices, lines[number].0, lines[number].1)).collect()
            };
            prop_assert_eq!(own, expected(false));
            prop_assert_eq!(joined, expected(true));
        }
    }

    #[test]
    fn shared_records_come_where_they_were_in_the_input() {
        let common = BTreeMap::from([(0, Bytes::from_static(b"s1\ns2\n")), (1, Bytes::from_static(b"s3\n"))]);
        let reference = |at, block, offset, number| Reference { at, block, offset, length: 3, number, is_first: true };
        let list = vec![reference(0, 0, 0, 0), reference(3, 0, 3, 1), reference(6, 1, 0, 2)];
        let references = References { part: 17, pieces: 6, list };
        let text = serde_json::to_string(&references).unwrap();
        assert_eq!(serde_json::from_str::<References>(&text).unwrap(), references);
        assert_eq!(references.blocks().into_iter().collect::<Vec<_>>(), [0, 1]);
        let (records, shared) = references.resolve(Bytes::from_static(b"o1\no2\n"), &common);
        assert_eq!(records, "s1\no1\ns2\no2\ns3\n");
        let (own, pieces) = shared.separate(&records, &[]);
        assert_eq!((own, join(pieces)), (b"o1\no2\n".to_vec(), b"s1\ns2\ns3\n".to_vec()));
    }

    #[test]
    fn an_annotation_by_any_partition_counts() {
        // In mode `filter`, records that only the second identity's rule matches were lost.
        let record = b"{\"n\":1}\n";
        let piece = |splices: Vec<Splice>, is_first| {
            let shared = Shared { part: 1, pieces: 2, places: vec![Place(0, record.len() as u32, 0, is_first)] };
            shared.separate(record, &splices).1
        };
        let annotation =
            ",\"catena\":{\"matches\":[{\"analytic\":{\"uid\":\"b\"},\"step\":\"s\",\"finding_info\":[]}]}";
        let mut pieces = piece(vec![insertion(6, annotation)], false);
        pieces.extend(piece(vec![deletion(0, record.len())], true));
        let joined = String::from_utf8(join(pieces)).unwrap();
        assert!(joined.starts_with("{\"n\":1,\"catena\""), "{joined}");
    }

    #[test]
    fn the_first_partition_decides_about_records_that_none_annotates() {
        let record = b"{\"n\":1}\n";
        let shared = |is_first| Shared { part: 1, pieces: 2, places: vec![Place(0, record.len() as u32, 0, is_first)] };
        let gone = [deletion(0, record.len())];
        let mut pieces = shared(false).separate(record, &[]).1;
        pieces.extend(shared(true).separate(record, &gone).1);
        assert_eq!(join(pieces), b"");
        assert!(shared(false).is_of_another(3) && !shared(true).is_of_another(3));
    }
}
