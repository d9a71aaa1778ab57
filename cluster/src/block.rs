//! Blocks: whole records, compressed. A block is one message, or, if a record in it is longer than a message may be, several in a row.

use bytes::{Bytes, BytesMut};

use crate::Error;
use crate::commit::Outgoing;
use crate::nats::{Nats, Stored, header};

/// The longest payload. Servers take 1 MiB (`max_payload`), with headers.
pub(crate) const LONGEST: usize = 900_000;

/// Bytes of records in a block, about, if they compress as audit records do.
pub(crate) const TARGET: usize = 4 << 20;

/// The largest block that is decompressed.
pub(crate) const LARGEST: usize = 256 << 20;

/// The longest record that a fleet takes, in bytes. If it is rejected, its text in JSON may be six times as long, and must fit a commit.
pub const LONGEST_RECORD: usize = 64 << 20;

/// Compression level: the fastest that saves most.
const LEVEL: i32 = 1;

/// The header of a message that is one of several of a block: which one, and of how many, as in `2/7`.
const FRAGMENT: &str = "Catena-Fragment";

/// Records as messages, in blocks of whole lines.
///
/// # Errors
///
/// [`Error::Invalid`] for a record that is longer than [`LONGEST_RECORD`].
pub(crate) fn encode(subject: &str, records: &[u8]) -> Result<Vec<Outgoing>, Error> {
    let mut messages = Vec::new();
    let mut waiting = vec![records];
    while let Some(part) = waiting.pop() {
        if part.is_empty() {
            continue;
        }
        let compressed = if part.len() <= LARGEST { zstd::bulk::compress(part, LEVEL)? } else { Vec::new() };
        let fits = part.len() <= LARGEST && compressed.len() <= LONGEST;
        if !fits && let Some(middle) = middle(part) {
            waiting.extend([&part[middle..], &part[..middle]]);
        } else if part.len() > LARGEST {
            return Err(Error::Invalid(format!("a record of {} bytes does not fit a block", part.len())));
        } else {
            messages.extend(cut(subject, compressed.into()));
        }
    }
    Ok(messages)
}

/// Records as the messages of one block, however long it is.
pub(crate) fn whole(subject: &str, records: &[u8]) -> Result<Vec<Outgoing>, Error> {
    if records.len() > LARGEST {
        return Err(Error::Invalid(format!("{} bytes do not fit a block", records.len())));
    }
    Ok(cut(subject, zstd::bulk::compress(records, LEVEL)?.into()).collect())
}

/// The line end that is nearest to the middle, if there is one before the last.
fn middle(part: &[u8]) -> Option<usize> {
    let half = part.len() / 2;
    let before = part[..half].iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
    let after = part[half..].iter().position(|byte| *byte == b'\n').map(|at| half + at + 1);
    before.or(after).filter(|at| *at < part.len())
}

/// One block as messages, or anything else that may be longer than a message.
pub(crate) fn cut(subject: &str, block: Bytes) -> impl Iterator<Item = Outgoing> {
    let count = block.len().div_ceil(LONGEST);
    (1..=count).map(move |number| {
        let payload = block.slice((number - 1) * LONGEST..(number * LONGEST).min(block.len()));
        let message = Outgoing::new(subject.to_owned(), payload);
        if count == 1 { message } else { message.header(FRAGMENT, &format!("{number}/{count}")) }
    })
}

/// Puts messages of a subject together to blocks again.
#[derive(Default)]
pub(crate) struct Assembly {
    payload: BytesMut,
    /// Messages that are in `payload`.
    count: u64,
}

impl Assembly {
    /// Takes the next message. Gives a block, with all but the payload of its last message, once it is complete. The rest of a block
    /// whose beginning was not given is passed over.
    pub(crate) fn take(&mut self, message: Stored) -> Option<Stored> {
        let Some((number, count)) = fragment(&message) else {
            self.clear();
            return Some(message);
        };
        if number == 1 {
            self.clear();
        } else if number != self.count + 1 {
            self.clear();
            return None;
        }
        self.count += 1;
        self.payload.extend_from_slice(&message.payload);
        if number < count {
            return None;
        }
        self.count = 0;
        Some(Stored { payload: self.payload.split().freeze(), ..message })
    }

    /// Whether `message` is more of the block whose beginning was taken.
    pub(crate) fn is_continued_by(&self, message: &Stored) -> bool {
        self.count > 0 && fragment(message).is_some_and(|(number, _)| number == self.count + 1)
    }

    /// Whether it waits for the rest of a block.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.count > 0
    }

    fn clear(&mut self) {
        self.payload.clear();
        self.count = 0;
    }
}

/// Which message of a block it is, and of how many.
fn fragment(message: &Stored) -> Option<(u64, u64)> {
    let (number, count) = header(&message.headers, FRAGMENT)?.split_once('/')?;
    Some((number.parse().ok()?, count.parse().ok()?))
}

/// The first whole block at `sequence` or later of a subject, or of all subjects of a pattern: the messages of a block are stored together.
pub(crate) async fn next(nats: &Nats, stream: &str, subject: &str, sequence: u64) -> Result<Option<Stored>, Error> {
    let (mut assembly, mut next) = (Assembly::default(), sequence);
    while let Some(message) = nats.next(stream, subject, next).await? {
        next = message.sequence + 1;
        if let Some(block) = assembly.take(message) {
            return Ok(Some(block));
        }
    }
    Ok(None)
}

/// The records in a block.
///
/// # Errors
///
/// [`Error::Invalid`] if it is none.
pub(crate) fn decode(payload: &[u8]) -> Result<Bytes, Error> {
    let records = zstd::bulk::decompress(payload, LARGEST);
    records.map(Bytes::from).map_err(|error| Error::Invalid(format!("a message is no block: {error}")))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What does not compress.
    fn noise(bytes: usize, seed: &mut u64) -> String {
        let mut text = String::new();
        while text.len() < bytes {
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text.push_str(&format!("{seed:016x}"));
        }
        text.truncate(bytes);
        text
    }

    /// Messages as a stream gives them back.
    pub(crate) fn stored(messages: Vec<Outgoing>) -> Vec<Stored> {
        let numbered = (1..).zip(messages);
        numbered
            .map(|(sequence, one)| Stored {
                subject: one.subject,
                sequence,
                headers: one.headers,
                payload: one.payload,
                time_ms: 0,
            })
            .collect()
    }

    fn blocks(messages: Vec<Stored>) -> Vec<Bytes> {
        let mut assembly = Assembly::default();
        messages.into_iter().filter_map(|one| assembly.take(one)).map(|one| decode(&one.payload).unwrap()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// A CloudTrail file is one line of up to 50 MB; a record that fitted no message stopped its source for good.
        #[test]
        fn blocks_are_whole_lines_and_messages_fit(lengths in prop::collection::vec(1_usize..3_000_000, 1..6), mut seed: u64) {
            let records: String = lengths.iter().map(|bytes| noise(*bytes, &mut seed) + "\n").collect();
            let messages = encode("s", records.as_bytes()).unwrap();
            prop_assert!(messages.iter().all(|one| one.payload.len() <= LONGEST && one.subject == "s"));
            let decoded = blocks(stored(messages));
            prop_assert!(decoded.iter().all(|block| block.ends_with(b"\n")));
            prop_assert_eq!(decoded.concat(), records.as_bytes());
        }

        /// A reader that starts in the middle of a block skips the rest of it: the reader before has the block.
        #[test]
        fn the_rest_of_a_block_is_passed_over(first in 1_usize..9, mut seed: u64) {
            let long = noise(5_000_000, &mut seed) + "\n";
            let mut messages = stored(encode("s", long.as_bytes()).unwrap());
            let count = messages.len();
            messages.extend(stored(encode("s", b"short\n").unwrap()));
            let decoded = blocks(messages.split_off(first.min(count)));
            prop_assert_eq!(decoded, vec![Bytes::from_static(b"short\n")]);
        }
    }

    #[test]
    fn a_block_is_complete_with_its_last_message() {
        let mut assembly = Assembly::default();
        let messages = stored(encode("s", noise(2_500_000, &mut 1).as_bytes()).unwrap());
        let last = messages.len() as u64;
        assert!(last > 1);
        for one in messages {
            let is_last = one.sequence == last;
            assert_eq!(assembly.take(one).is_some(), is_last);
            assert_eq!(assembly.is_incomplete(), !is_last);
        }
    }

    #[test]
    fn garbage_is_no_block() {
        assert!(decode(b"garbage").is_err());
    }
}
