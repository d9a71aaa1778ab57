//! Bytes as they are read, cut into batches of whole records.
//!
//! The component takes records that end with LF. Most inputs are like that. JSON that is spread over several lines, as
//! pretty-printers write it, is turned into it without moving a byte: inside a document each LF becomes a space in the
//! copy that the component gets, so that offsets hold in the bytes that were read.

use catena::ValueScanner;
use memchr::{memchr, memchr_iter, memrchr};

/// How an input is laid out, known from its first lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// Not known yet.
    Unknown,
    /// A record, or a container of records, in each line.
    Lines,
    /// JSON documents, each over several lines.
    Documents,
}

/// Whole records, as read and as the component takes them.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    /// The bytes as they were read.
    pub original: &'a [u8],
    /// The same with documents in one line each, where they were not.
    pub flattened: Option<Vec<u8>>,
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

impl Batch<'_> {
    /// What the component takes.
    pub fn bytes(&self) -> &[u8] {
        self.flattened.as_deref().unwrap_or(self.original)
    }
}

/// Cuts one input.
#[derive(Debug)]
pub struct Framer {
    layout: Layout,
    /// What has been read and not been given out: the beginning of a record.
    rest: Vec<u8>,
    /// How far into the rest a document has been looked through.
    scanner: Option<ValueScanner>,
    line: u64,
    offset: u64,
    longest: usize,
    /// Inside a record that is too long.
    skipping: bool,
}

impl Framer {
    /// A framer for an input whose records, or documents, have at most `longest` bytes.
    pub fn new(longest: usize) -> Self {
        Self { layout: Layout::Unknown, rest: Vec::new(), scanner: None, line: 1, offset: 0, longest, skipping: false }
    }

    /// Takes what was read and gives out what it completes.
    pub fn push<E>(&mut self, bytes: &[u8], mut give: impl FnMut(Batch<'_>) -> Result<(), E>) -> Result<(), E> {
        if self.layout == Layout::Unknown {
            self.rest.extend_from_slice(bytes);
            self.layout = layout(&self.rest, false);
            return match self.layout {
                Layout::Unknown => Ok(()),
                _ => {
                    let read = std::mem::take(&mut self.rest);
                    self.push(&read, give)
                }
            };
        }
        match self.layout {
            Layout::Documents => {
                self.rest.extend_from_slice(bytes);
                self.give_documents(false, &mut give)
            }
            _ => self.give_lines(bytes, &mut give),
        }
    }

    /// The input pauses: gives out a document that is whole but for what ends its line.
    pub fn pause<E>(&mut self, mut give: impl FnMut(Batch<'_>) -> Result<(), E>) -> Result<(), E> {
        match self.layout {
            Layout::Documents => self.give_documents(true, &mut give),
            _ => Ok(()),
        }
    }

    /// The input has ended: gives out what is left.
    pub fn finish<E>(&mut self, mut give: impl FnMut(Batch<'_>) -> Result<(), E>) -> Result<(), E> {
        if self.layout == Layout::Unknown {
            self.layout = layout(&self.rest, true);
            let read = std::mem::take(&mut self.rest);
            self.push(&read, &mut give)?;
        }
        self.pause(&mut give)?;
        let rest = std::mem::take(&mut self.rest);
        if rest.is_empty() {
            return Ok(());
        }
        let flattened = (self.layout == Layout::Documents).then(|| flatten(&rest, rest.len()));
        let kind = if self.skipping { Kind::TooLong { first: false } } else { Kind::Records };
        self.give(&rest, flattened, kind, &mut give)
    }

    fn give<E>(
        &mut self,
        original: &[u8],
        flattened: Option<Vec<u8>>,
        kind: Kind,
        give: &mut impl FnMut(Batch<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if original.is_empty() {
            return Ok(());
        }
        let batch = Batch { original, flattened, line: self.line, offset: self.offset, kind };
        give(batch)?;
        self.line += memchr_iter(b'\n', original).count() as u64;
        self.offset += original.len() as u64;
        Ok(())
    }

    fn give_lines<E>(&mut self, mut bytes: &[u8], give: &mut impl FnMut(Batch<'_>) -> Result<(), E>) -> Result<(), E> {
        if !self.rest.is_empty() || self.skipping {
            // The line that was begun is given out alone, so that the others need not be copied.
            let Some(end) = memchr(b'\n', bytes) else {
                self.rest.extend_from_slice(bytes);
                return self.give_if_too_long(give);
            };
            let (ending, after) = bytes.split_at(end + 1);
            self.rest.extend_from_slice(ending);
            bytes = after;
            let line = std::mem::take(&mut self.rest);
            let kind = match std::mem::take(&mut self.skipping) {
                true => Kind::TooLong { first: false },
                false if line.len() > self.longest => Kind::TooLong { first: true },
                false => Kind::Records,
            };
            self.give(&line, None, kind, give)?;
        }
        let whole = memrchr(b'\n', bytes).map_or(0, |at| at + 1);
        let (lines, rest) = bytes.split_at(whole);
        self.give(lines, None, Kind::Records, give)?;
        self.rest.extend_from_slice(rest);
        self.give_if_too_long(give)
    }

    fn give_if_too_long<E>(&mut self, give: &mut impl FnMut(Batch<'_>) -> Result<(), E>) -> Result<(), E> {
        if self.rest.len() <= self.longest && !(self.skipping && self.rest.len() > 1 << 20) {
            return Ok(());
        }
        let kind = Kind::TooLong { first: !std::mem::replace(&mut self.skipping, true) };
        let part = std::mem::take(&mut self.rest);
        self.give(&part, None, kind, give)
    }

    fn give_documents<E>(&mut self, paused: bool, give: &mut impl FnMut(Batch<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut read = std::mem::take(&mut self.rest);
        let mut from = 0;
        loop {
            let rest = &read[from..];
            let start = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let Some(first) = rest.get(start) else { break };
            if !matches!(first, b'{' | b'[') {
                // No document: what it is, the component says of its line.
                let Some(end) = memchr(b'\n', &rest[start..]) else { break };
                let end = start + end + 1;
                self.give(&rest[..end], Some(flatten(&rest[..end], end - 1)), Kind::Records, give)?;
                from += end;
                continue;
            }
            let scanner = self.scanner.insert(self.scanner.unwrap_or(ValueScanner::new(start)));
            let Some(end) = scanner.end(rest, rest.len()) else { break };
            // The LF behind a document ends its line.
            let line_end = end + rest[end..].iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count();
            let end = match rest.get(line_end) {
                Some(b'\n') => line_end + 1,
                None if !paused => break,
                _ => end,
            };
            self.scanner = None;
            let kind = if end > self.longest { Kind::TooLong { first: true } } else { Kind::Records };
            self.give(&rest[..end], Some(flatten(&rest[..end], end - 1)), kind, give)?;
            from += end;
        }
        self.rest = read.split_off(from);
        if self.rest.len() > self.longest {
            self.scanner = None;
            self.layout = Layout::Lines;
            return self.give_if_too_long(give);
        }
        Ok(())
    }
}

/// A copy of `bytes` in which the LFs before `end` are spaces.
fn flatten(bytes: &[u8], end: usize) -> Vec<u8> {
    let mut flattened = bytes.to_vec();
    for byte in flattened.iter_mut().take(end).filter(|byte| **byte == b'\n') {
        *byte = b' ';
    }
    flattened
}

/// Tells the layout of an input from its beginning; `whole` where there is no more of it.
///
/// A first line that is a whole JSON value makes it lines. One that is not makes it documents if it ends in the middle of
/// an object or array, as pretty-printers leave it, or if the second line goes on with it; else the line is damaged.
fn layout(bytes: &[u8], whole: bool) -> Layout {
    const MARK: &[u8] = b"\xEF\xBB\xBF";
    let skipped = if bytes.starts_with(MARK) { MARK.len() } else { 0 };
    let start = skipped + bytes[skipped..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let text = &bytes[start..];
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
        let mut framer = Framer::new(longest);
        let mut given = Vec::new();
        let mut take = |batch: Batch<'_>| {
            let (original, taken) = (batch.original.to_vec(), batch.bytes().to_vec());
            given.push(Given { original, taken, line: batch.line, offset: batch.offset });
            Ok::<_, Infallible>(())
        };
        for chunk in input.chunks(chunk) {
            let Ok(()) = framer.push(chunk, &mut take);
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

    #[test]
    fn a_damaged_first_line_does_not_make_lines_a_document() {
        let input = b"{\"a\":{\"b\":1\n{\"a\":1}\n{\"a\":2}\n";
        assert_eq!(frame(input, 1_000, 1_000)[0].taken, input);
    }
}
