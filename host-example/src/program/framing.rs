//! Bytes as they are read, cut into batches of whole records.
//!
//! The component takes records that end with LF. Most inputs are like that. JSON that is spread over several lines, as
//! pretty-printers write it, is turned into it without moving a byte: inside a document each LF becomes a space in the
//! copy that the component gets, so that offsets hold in the bytes that were read.

use bytes::Bytes;
use catena::ValueScanner;
use memchr::{memchr, memchr_iter, memrchr};
use serde::{Deserialize, Serialize};

/// How an input is laid out, known from its first lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Layout {
    /// Not known yet.
    #[default]
    Unknown,
    /// A record, or a container of records, in each line.
    Lines,
    /// JSON documents, each over several lines.
    Documents,
}

/// How far an input has been cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The first byte that has not been given out, counted in what the input holds decompressed.
    pub offset: u64,
    /// The line that it is on, counted from 1.
    pub line: u64,
    layout: Layout,
    /// Inside a record that is too long.
    skipping: bool,
}

impl Default for Position {
    fn default() -> Self {
        Self { offset: 0, line: 1, layout: Layout::Unknown, skipping: false }
    }
}

/// Whole records, as read and as the component takes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The bytes as they were read.
    pub original: Bytes,
    /// The same with documents in one line each, where they were not.
    pub flattened: Option<Bytes>,
    /// The line in the input that it begins on, counted from 1.
    pub line: u64,
    /// The offset in the input that it begins at.
    pub offset: u64,
    /// Whether the component takes it.
    pub kind: Kind,
}

/// What a batch holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Whole records.
    Records,
    /// A part of a record that is longer than allowed. The component must not get it.
    TooLong {
        /// Whether it is the first part.
        first: bool,
    },
}

impl Batch {
    /// What the component takes.
    pub fn bytes(&self) -> &Bytes {
        self.flattened.as_ref().unwrap_or(&self.original)
    }
}

/// Cuts one input.
#[derive(Debug)]
pub struct Framer {
    position: Position,
    /// What has been read and not been given out: the beginning of a record.
    rest: Vec<u8>,
    /// How far into the rest a document has been looked through.
    scanner: Option<ValueScanner>,
    longest: usize,
}

impl Framer {
    /// A framer for an input that is read from `position` on and whose records, or documents, have at most `longest`
    /// bytes.
    pub fn new(position: Position, longest: usize) -> Self {
        Self { position, rest: Vec::new(), scanner: None, longest }
    }

    /// Whether what has been read and not given out is one whole record, but perhaps for what ends its line, or nothing.
    pub fn rest_is_whole(&self) -> bool {
        let rest = self.rest.trim_ascii();
        rest.is_empty() || ValueScanner::new(0).end(rest, rest.len()) == Some(rest.len())
    }

    /// How far the input has been read.
    pub fn read(&self) -> u64 {
        self.position.offset + self.rest.len() as u64
    }

    /// How far the input has been given out.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Takes what was read, in which there are so many LFs, and gives out what it completes.
    ///
    /// Counting LFs takes a good part of the time that the component takes, so whoever reads does it.
    pub fn push<E>(
        &mut self,
        bytes: Bytes,
        line_feeds: u64,
        mut give: impl FnMut(Batch) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.position.layout == Layout::Unknown {
            // All of it counts as read once it is known how.
            let read = match std::mem::take(&mut self.rest) {
                rest if rest.is_empty() => bytes,
                rest => [&*rest, &*bytes].concat().into(),
            };
            self.position.layout = layout(&read, false);
            if self.position.layout == Layout::Unknown {
                self.rest = read.into();
                return Ok(());
            }
            let line_feeds = line_feeds_in(&read);
            return self.push(read, line_feeds, give);
        }
        match self.position.layout {
            Layout::Documents => {
                self.rest.extend_from_slice(&bytes);
                self.give_documents(false, &mut give)
            }
            _ => self.give_lines(bytes, line_feeds, &mut give),
        }
    }

    /// The input pauses: gives out a document that is whole but for what ends its line.
    pub fn pause<E>(&mut self, mut give: impl FnMut(Batch) -> Result<(), E>) -> Result<(), E> {
        match self.position.layout {
            Layout::Documents => self.give_documents(true, &mut give),
            _ => Ok(()),
        }
    }

    /// The input has ended: gives out what is left.
    pub fn finish<E>(&mut self, mut give: impl FnMut(Batch) -> Result<(), E>) -> Result<(), E> {
        if self.position.layout == Layout::Unknown {
            self.position.layout = layout(&self.rest, true);
            let read = std::mem::take(&mut self.rest);
            let line_feeds = line_feeds_in(&read);
            self.push(read.into(), line_feeds, &mut give)?;
        }
        self.pause(&mut give)?;
        let rest = std::mem::take(&mut self.rest);
        if rest.is_empty() {
            return Ok(());
        }
        let rest = Bytes::from(rest);
        let flattened = (self.position.layout == Layout::Documents).then(|| flatten(&rest, rest.len()));
        let kind = if self.position.skipping { Kind::TooLong { first: false } } else { Kind::Records };
        let line_feeds = line_feeds_in(&rest);
        self.give(rest, line_feeds, flattened, kind, &mut give)
    }

    fn give<E>(
        &mut self,
        original: Bytes,
        line_feeds: u64,
        flattened: Option<Bytes>,
        kind: Kind,
        give: &mut impl FnMut(Batch) -> Result<(), E>,
    ) -> Result<(), E> {
        if original.is_empty() {
            return Ok(());
        }
        let Position { line, offset, .. } = self.position;
        self.position.line += line_feeds;
        self.position.offset += original.len() as u64;
        give(Batch { original, flattened, line, offset, kind })
    }

    fn give_lines<E>(
        &mut self,
        mut bytes: Bytes,
        mut line_feeds: u64,
        give: &mut impl FnMut(Batch) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.rest.is_empty() || self.position.skipping {
            // The line that was begun is given out alone, so that the others need not be copied.
            let Some(end) = memchr(b'\n', &bytes) else {
                self.rest.extend_from_slice(&bytes);
                return self.give_if_too_long(give);
            };
            self.rest.extend_from_slice(&bytes.split_to(end + 1));
            let line = std::mem::take(&mut self.rest);
            let kind = match std::mem::take(&mut self.position.skipping) {
                true => Kind::TooLong { first: false },
                false if line.len() > self.longest => Kind::TooLong { first: true },
                false => Kind::Records,
            };
            line_feeds = line_feeds.saturating_sub(1);
            let of_line = line_feeds_in(&line);
            self.give(line.into(), of_line, None, kind, give)?;
        }
        let whole = memrchr(b'\n', &bytes).map_or(0, |at| at + 1);
        let lines = bytes.split_to(whole);
        self.rest.extend_from_slice(&bytes);
        self.give(lines, line_feeds, None, Kind::Records, give)?;
        self.give_if_too_long(give)
    }

    fn give_if_too_long<E>(&mut self, give: &mut impl FnMut(Batch) -> Result<(), E>) -> Result<(), E> {
        if self.rest.len() <= self.longest && !(self.position.skipping && self.rest.len() > 1 << 20) {
            return Ok(());
        }
        let kind = Kind::TooLong { first: !std::mem::replace(&mut self.position.skipping, true) };
        let part = std::mem::take(&mut self.rest);
        // What was taken for a document may have some.
        let line_feeds = line_feeds_in(&part);
        self.give(part.into(), line_feeds, None, kind, give)
    }

    fn give_document<E>(
        &mut self,
        document: Bytes,
        kind: Kind,
        give: &mut impl FnMut(Batch) -> Result<(), E>,
    ) -> Result<(), E> {
        let flattened = flatten(&document, document.len() - 1);
        let line_feeds = line_feeds_in(&document);
        self.give(document, line_feeds, Some(flattened), kind, give)
    }

    fn give_documents<E>(&mut self, paused: bool, give: &mut impl FnMut(Batch) -> Result<(), E>) -> Result<(), E> {
        let mut rest = Bytes::from(std::mem::take(&mut self.rest));
        loop {
            let start = start_of_text(&rest);
            let Some(first) = rest.get(start) else { break };
            if !matches!(first, b'{' | b'[') {
                // No document: what it is, the component says of its line.
                let Some(end) = memchr(b'\n', &rest[start..]) else { break };
                let end = start + end + 1;
                self.give_document(rest.split_to(end), Kind::Records, give)?;
                continue;
            }
            let scanner = self.scanner.insert(self.scanner.unwrap_or(ValueScanner::new(start)));
            let Some(end) = scanner.end(&rest, rest.len()) else { break };
            // The LF behind a document ends its line.
            let line_end = end + rest[end..].iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count();
            let end = match rest.get(line_end) {
                Some(b'\n') => line_end + 1,
                None if !paused => break,
                _ => end,
            };
            self.scanner = None;
            let kind = if end > self.longest { Kind::TooLong { first: true } } else { Kind::Records };
            self.give_document(rest.split_to(end), kind, give)?;
        }
        self.rest = rest.into();
        if self.rest.len() > self.longest {
            self.scanner = None;
            self.position.layout = Layout::Lines;
            return self.give_if_too_long(give);
        }
        Ok(())
    }
}

/// The byte order mark, which some writers begin with.
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// Where what is no byte order mark and no white space begins.
fn start_of_text(bytes: &[u8]) -> usize {
    let skipped = if bytes.starts_with(MARK) { MARK.len() } else { 0 };
    skipped + bytes[skipped..].iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// How many LFs there are.
pub fn line_feeds_in(bytes: &[u8]) -> u64 {
    memchr_iter(b'\n', bytes).count() as u64
}

/// A copy of `bytes` in which the LFs before `end` are spaces.
fn flatten(bytes: &[u8], end: usize) -> Bytes {
    let mut flattened = bytes.to_vec();
    for byte in flattened.iter_mut().take(end).filter(|byte| **byte == b'\n') {
        *byte = b' ';
    }
    flattened.into()
}

/// Tells the layout of an input from its beginning; `whole` where there is no more of it.
///
/// A first line that is a whole JSON value makes it lines. One that is not makes it documents if it ends in the middle of
/// an object or array, as pretty-printers leave it, or if the second line goes on with it; else the line is damaged.
fn layout(bytes: &[u8], whole: bool) -> Layout {
    let text = &bytes[start_of_text(bytes)..];
    let Some(line_end) = memchr(b'\n', text) else {
        // One line that is long, or short and not yet ended.
        return if whole || text.len() > 64 << 10 { Layout::Lines } else { Layout::Unknown };
    };
    if !matches!(text.first(), Some(b'{' | b'[')) {
        return Layout::Lines;
    }
    if ValueScanner::new(0).end(text, line_end).is_some() {
        return Layout::Lines;
    }
    let first_line = text[..line_end].trim_ascii_end();
    if first_line.ends_with(b"{")
        || first_line.ends_with(b"[")
        || first_line.ends_with(b",")
        || first_line.ends_with(b":")
    {
        return Layout::Documents;
    }
    match text.get(line_end + 1) {
        Some(b' ' | b'\t' | b'"' | b']' | b'}') => Layout::Documents,
        None if !whole => Layout::Unknown,
        _ => Layout::Lines,
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// A batch as it was given out.
    struct Given {
        original: Vec<u8>,
        taken: Vec<u8>,
        line: u64,
        offset: u64,
    }

    /// What a framer gives out of `input`, read in chunks of `chunk` bytes.
    fn frame(input: &[u8], chunk: usize, longest: usize) -> Vec<Given> {
        let mut framer = Framer::new(Position::default(), longest);
        let mut given = Vec::new();
        let mut take = |batch: Batch| {
            let (original, taken) = (batch.original.to_vec(), batch.bytes().to_vec());
            given.push(Given { original, taken, line: batch.line, offset: batch.offset });
            Ok::<_, Infallible>(())
        };
        for chunk in input.chunks(chunk) {
            let Ok(()) = framer.push(Bytes::copy_from_slice(chunk), line_feeds_in(chunk), &mut take);
        }
        let Ok(()) = framer.finish(&mut take);
        given
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_or_moved_whatever_the_chunks(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "{\"a\":1}\n", "{\n  \"a\": \"}\\\"\"\n}\n", "[\n{},\n[]]", "\n", " ", "{", "}", "\"", "nonsense\n", "\u{FEFF}", "{\"long\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}\n",
            ]), 0..20),
            chunk in 1..50usize,
            longest in 10..200usize,
        ) {
            let input = pieces.concat();
            let given = frame(input.as_bytes(), chunk, longest);
            let mut offset = 0;
            for Given { original, taken, line, offset: at } in &given {
                prop_assert_eq!(*at, offset);
                prop_assert_eq!(*line, 1 + memchr_iter(b'\n', &input.as_bytes()[..offset as usize]).count() as u64);
                prop_assert_eq!(original.len(), taken.len());
                offset += original.len() as u64;
            }
            let read: Vec<u8> = given.into_iter().flat_map(|given| given.original).collect();
            prop_assert_eq!(String::from_utf8(read).unwrap(), input);
        }
    }

    #[test]
    fn documents_become_lines_of_the_same_length() {
        let input = b"{\n \"a\": [1,\n2]\n}\n{\n}";
        for chunk in [1, 2, 7, 100] {
            let taken: Vec<_> = frame(input, chunk, 100).into_iter().map(|given| given.taken).collect();
            assert_eq!(taken, [b"{  \"a\": [1, 2] }\n".to_vec(), b"{ }".to_vec()], "chunks of {chunk}");
        }
    }

    /// The mark made each line of a document one of its own.
    #[test]
    fn a_document_may_begin_with_a_byte_order_mark() {
        let input = "\u{FEFF}{\n\"a\": 1\n}\n{\n}\n".as_bytes();
        let taken: Vec<_> = frame(input, 100, 100).into_iter().map(|given| given.taken).collect();
        assert_eq!(taken, ["\u{FEFF}{ \"a\": 1 }\n".as_bytes(), b"{ }\n"]);
    }

    #[test]
    fn a_damaged_first_line_does_not_make_lines_a_document() {
        let input = b"{\"a\":{\"b\":1\n{\"a\":1}\n{\"a\":2}\n";
        assert_eq!(frame(input, 1_000, 1_000)[0].taken, input);
    }
}
