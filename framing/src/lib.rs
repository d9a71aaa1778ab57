//! Cuts bytes as they are read into batches of whole records.
//!
//! The component takes records that end with LF. Most inputs consist of such lines, which are emitted as they are.
//! Anything else is scanned value by value: multi-line JSON, as pretty-printers write it, and values with no separator.
//! Multi-line JSON is flattened to one line without moving a byte: the copy for the component has a space for each LF
//! inside a value, so its offsets are those of the original.

#![deny(unsafe_code, missing_docs)]

mod encoding;
mod files;
mod lines;
mod value;

use std::ops::Range;

use bytes::Bytes;
use memchr::{memchr, memrchr};
use serde::{Deserialize, Serialize};

pub use encoding::{Encoding, may_be_marked};
pub use files::{is_cloudtrail_metadata, is_digest, is_record_file};
pub use lines::{Lines, line_feeds_in};
use lines::{ends_a_record, odd_from, two_values};
use value::{End, Nesting, Value};

/// How far an input has been framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Offset of the first byte that has not been emitted, in the decompressed input.
    pub offset: u64,
    /// Line of that byte, counted from 1.
    pub line: u64,
    /// Set if that byte is inside a record that is too long.
    inside: Option<TooLong>,
}

/// The kind of a record that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum TooLong {
    /// A line that is not a JSON object or array.
    Line,
    /// An object or array.
    Value(Nesting),
}

impl Position {
    /// The position `bytes` bytes and `line_feeds` lines further on, between records.
    pub fn after(self, bytes: usize, line_feeds: u64) -> Self {
        Self { offset: self.offset + bytes as u64, line: self.line + line_feeds, inside: None }
    }
}

impl Default for Position {
    fn default() -> Self {
        Self { offset: 0, line: 1, inside: None }
    }
}

/// Whole records, both as read and as the component takes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The bytes as read.
    pub original: Bytes,
    /// The same bytes with each multi-line value on one line; `None` if there is no such value.
    pub flattened: Option<Bytes>,
    /// Line of the input on which the batch begins, counted from 1.
    pub line: u64,
    /// Offset in the decompressed input at which the batch begins, in bytes.
    pub offset: u64,
    /// Whether the component may take it.
    pub kind: Kind,
}

/// Contents of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Whole records.
    Records,
    /// Part of a record that exceeds the limit. Must not be passed to the component.
    TooLong {
        /// True for the first part of the record.
        first: bool,
    },
}

impl Batch {
    /// The bytes for the component.
    pub fn bytes(&self) -> &Bytes {
        self.flattened.as_ref().unwrap_or(&self.original)
    }
}

/// An unfinished line longer than this many bytes is taken for one record unless something in it is odd: a CloudTrail
/// file is a single line of several MB.
const LONG: usize = 64 << 10;

/// Cuts one input into batches.
#[derive(Debug)]
pub struct Framer {
    position: Position,
    /// Bytes that were read but not emitted: the beginning of a value or line.
    rest: Vec<u8>,
    /// Scan state of `rest`, if it has been scanned.
    value: Option<Value>,
    /// True if lines that are not odd are taken for records without a scan, because the last line was a record. `rest`
    /// is then part of a single line.
    trusts_lines: bool,
    longest: usize,
}

impl Framer {
    /// Creates a framer for an input that is read from `position` on. Records have at most `longest` bytes.
    pub fn new(position: Position, longest: usize) -> Self {
        Self { position, rest: Vec::new(), value: None, trusts_lines: false, longest }
    }

    /// True if everything that was read has been emitted.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Offset up to which the input has been read, in bytes.
    pub fn read(&self) -> u64 {
        self.position.offset + self.rest.len() as u64
    }

    /// Position up to which the input has been emitted.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Takes the next `bytes` of the input, described by `lines`, and emits the records that they complete.
    ///
    /// # Errors
    ///
    /// Those of `give`.
    pub fn push<E>(
        &mut self,
        mut bytes: Bytes,
        mut lines: Lines,
        mut give: impl FnMut(Batch) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.position.inside.is_some() {
            self.skip(&mut bytes, &mut give)?;
            lines = Lines::of(&bytes);
        }
        if self.rest.is_empty() {
            return self.cut(bytes, Some(lines), false, &mut give);
        }
        let seam = [&self.rest[self.rest.len().saturating_sub(2)..], &bytes[..bytes.len().min(2)]].concat();
        let two_values = two_values(&seam).is_some();
        let end = memchr(b'\n', &bytes);
        if !self.trusts_lines || two_values || lines.odd.is_some_and(|odd| end.is_none_or(|end| odd <= end)) {
            self.trusts_lines = false;
            self.rest.extend_from_slice(&bytes);
            let rest = std::mem::take(&mut self.rest);
            return self.cut(rest.into(), None, false, &mut give);
        }
        let line = bytes.split_to(end.map_or(bytes.len(), |end| end + 1));
        self.rest.extend_from_slice(&line);
        if end.is_none() {
            return self.give_if_too_long(&mut give);
        }
        // Emit the unfinished line on its own, so that the other lines need not be copied.
        let first = Bytes::from(std::mem::take(&mut self.rest));
        if ends_a_record(&first, first.len() - 1) {
            self.value = None;
            self.give_value(first, None, &mut give)?;
        } else {
            self.trusts_lines = false;
            self.cut(first, None, false, &mut give)?;
        }
        if self.rest.is_empty() {
            return self.cut(bytes, Some(lines.after(line.len())), false, &mut give);
        }
        self.rest.extend_from_slice(&bytes);
        let rest = std::mem::take(&mut self.rest);
        self.cut(rest.into(), None, false, &mut give)
    }

    /// Emits the values that are complete except for their line end. To be called when the input pauses.
    ///
    /// # Errors
    ///
    /// Those of `give`.
    pub fn pause<E>(&mut self, mut give: impl FnMut(Batch) -> Result<(), E>) -> Result<(), E> {
        if self.rest.is_empty() {
            return Ok(());
        }
        let trusts_lines = std::mem::take(&mut self.trusts_lines);
        let rest = std::mem::take(&mut self.rest);
        self.cut(rest.into(), None, true, &mut give)?;
        self.trusts_lines |= trusts_lines;
        Ok(())
    }

    /// Emits everything that is left. To be called when the input has ended.
    ///
    /// # Errors
    ///
    /// Those of `give`.
    pub fn finish<E>(&mut self, mut give: impl FnMut(Batch) -> Result<(), E>) -> Result<(), E> {
        if !self.trusts_lines {
            self.pause(&mut give)?;
        }
        let rest = Bytes::from(std::mem::take(&mut self.rest));
        self.value = None;
        let all = 0..rest.len();
        self.give_value(rest, Some(all), &mut give)
    }

    /// Cuts `bytes`, which begin with a value or line, into batches. Keeps an incomplete value or line for later.
    fn cut<E>(
        &mut self,
        bytes: Bytes,
        lines: Option<Lines>,
        paused: bool,
        give: &mut impl FnMut(Batch) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut known = self.value.take();
        let mut odd = lines.map(|lines| lines.odd);
        // The range to emit next, and the multi-line values in it.
        let mut batch = 0..0;
        let mut flat = Vec::new();
        while batch.end < bytes.len() {
            let at = batch.end;
            if self.trusts_lines {
                let odd = odd.take().unwrap_or_else(|| odd_from(&bytes, at));
                let trusted = odd.unwrap_or(bytes.len());
                batch.end = memrchr(b'\n', &bytes[at..trusted]).map_or(at, |end| at + end + 1);
                if odd.is_none() {
                    break;
                }
                self.trusts_lines = false;
                continue;
            }
            odd = None;
            let at = start_of_text(&bytes, at);
            let text = &bytes[at..];
            let mut value = if at == 0 { known.take() } else { None }.unwrap_or_else(Value::new);
            let next = match text.first() {
                None => Next::Line(0),
                Some(b'{' | b'[') => next(text, &mut value, paused),
                Some(_) => memchr(b'\n', text).map_or(Next::Open, |end| Next::Line(end + 1)),
            };
            match next {
                Next::Line(length) | Next::Value(length) if length > self.longest => {
                    self.give(&bytes, batch.start..at, &mut flat, give)?;
                    self.give_value(bytes.slice(at..at + length), None, give)?;
                    batch = at + length..at + length;
                }
                Next::Line(length) => {
                    batch.end = at + length;
                    let lines = &bytes[at..batch.end];
                    let is_one = line_feeds_in(lines) <= 1;
                    if !is_one {
                        flat.push(at..batch.end - 1);
                    }
                    self.trusts_lines = is_one && matches!(lines.first(), Some(b'{' | b'['));
                }
                Next::Value(length) => {
                    batch.end = at + length;
                    flat.push(at..batch.end);
                    self.give(&bytes, batch.clone(), &mut flat, give)?;
                    batch = batch.end..batch.end;
                }
                Next::Open => {
                    self.give(&bytes, batch.start..at, &mut flat, give)?;
                    self.value = Some(value);
                    // Once a value had to be scanned, it is scanned to its end.
                    self.trusts_lines = lines.is_some() && text.len() > LONG && memchr(b'\n', text).is_none();
                    return self.keep(bytes, at, give);
                }
            }
        }
        let end = batch.end;
        match lines {
            // The batch contains all LFs, so there is no need to count them.
            Some(lines) if batch.start == 0 && flat.is_empty() => {
                self.give_batch(bytes.slice(batch), lines.line_feeds, None, Kind::Records, give)?;
            }
            _ => self.give(&bytes, batch, &mut flat, give)?,
        }
        self.keep(bytes, end, give)
    }

    /// Keeps the bytes from `at` on for later.
    fn keep<E>(&mut self, bytes: Bytes, at: usize, give: &mut impl FnMut(Batch) -> Result<(), E>) -> Result<(), E> {
        let rest = bytes.slice(at..);
        // If nothing else shares the buffer, no copy is needed.
        drop(bytes);
        self.rest = rest.into();
        self.give_if_too_long(give)
    }

    /// Emits the range `part` of `bytes`, with each range in `flat` flattened to one line.
    fn give<E>(
        &mut self,
        bytes: &Bytes,
        part: Range<usize>,
        flat: &mut Vec<Range<usize>>,
        give: &mut impl FnMut(Batch) -> Result<(), E>,
    ) -> Result<(), E> {
        let original = bytes.slice(part.clone());
        let within = flat.drain(..).map(|value| value.start - part.start..value.end - part.start);
        let flattened = flatten(&original, within);
        let line_feeds = line_feeds_in(&original);
        self.give_batch(original, line_feeds, flattened, Kind::Records, give)
    }

    /// Emits one value or line. LFs inside `flat` do not end it.
    fn give_value<E>(
        &mut self,
        value: Bytes,
        flat: Option<Range<usize>>,
        give: &mut impl FnMut(Batch) -> Result<(), E>,
    ) -> Result<(), E> {
        let kind = if value.len() > self.longest { Kind::TooLong { first: true } } else { Kind::Records };
        let flattened = flatten(&value, flat.into_iter());
        let line_feeds = line_feeds_in(&value);
        self.give_batch(value, line_feeds, flattened, kind, give)
    }

    fn give_batch<E>(
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

    /// Emits the rest if it exceeds the longest record.
    fn give_if_too_long<E>(&mut self, give: &mut impl FnMut(Batch) -> Result<(), E>) -> Result<(), E> {
        if self.rest.len() <= self.longest {
            return Ok(());
        }
        let part = std::mem::take(&mut self.rest);
        self.value = None;
        self.trusts_lines = false;
        self.position.inside = Some(match part.first() {
            Some(b'{' | b'[') => {
                let mut nesting = Nesting::default();
                match nesting.end(&part) {
                    (_, false) => TooLong::Value(nesting),
                    // Whatever follows it on its line is skipped with it.
                    (_, true) => TooLong::Line,
                }
            }
            _ => TooLong::Line,
        });
        let line_feeds = line_feeds_in(&part);
        self.give_batch(part.into(), line_feeds, None, Kind::TooLong { first: true }, give)
    }

    /// Emits the part of `bytes` that belongs to a record that is too long.
    fn skip<E>(&mut self, bytes: &mut Bytes, give: &mut impl FnMut(Batch) -> Result<(), E>) -> Result<(), E> {
        let (length, ends) = match &mut self.position.inside {
            None => (0, true),
            Some(TooLong::Value(nesting)) => nesting.end(bytes),
            Some(TooLong::Line) => memchr(b'\n', bytes).map_or((bytes.len(), false), |end| (end + 1, true)),
        };
        if ends {
            self.position.inside = None;
        }
        let part = bytes.split_to(length);
        let line_feeds = line_feeds_in(&part);
        self.give_batch(part, line_feeds, None, Kind::TooLong { first: false }, give)
    }
}

/// The next item of an input, with its length in bytes.
enum Next {
    /// Text that includes its final LF; zero bytes if only white space is left.
    Line(usize),
    /// A value without an LF, because another value follows or the input pauses.
    Value(usize),
    /// Incomplete text.
    Open,
}

/// The item at the start of `text`, which is an object or array.
fn next(text: &[u8], value: &mut Value, paused: bool) -> Next {
    let end = match value.end(text) {
        End::Whole(end) => end,
        End::Damaged(end) => return Next::Line(end),
        End::Open => return Next::Open,
    };
    let behind = end + text[end..].iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count();
    match text.get(behind) {
        Some(b'\n') => Next::Line(behind + 1),
        Some(b'{' | b'[') => Next::Value(end),
        None if paused => Next::Value(end),
        None => Next::Open,
        // The component reports what is wrong with it.
        Some(_) => memchr(b'\n', &text[behind..]).map_or(Next::Open, |end| Next::Line(behind + end + 1)),
    }
}

/// The byte order mark that some writers put first.
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// Offset of the first byte, from `at` on, after white space and a byte order mark.
fn start_of_text(bytes: &[u8], at: usize) -> usize {
    let text = bytes[at..].trim_ascii_start();
    let text = text.strip_prefix(MARK).map_or(text, <[u8]>::trim_ascii_start);
    bytes.len() - text.len()
}

/// A copy of `bytes` in which the LFs in `parts` are replaced by spaces; `None` if there are no such LFs.
fn flatten(bytes: &Bytes, parts: impl Iterator<Item = Range<usize>>) -> Option<Bytes> {
    let mut flattened: Option<Vec<u8>> = None;
    for part in parts {
        if memchr(b'\n', &bytes[part.clone()]).is_some() {
            let bytes = flattened.get_or_insert_with(|| bytes.to_vec());
            bytes[part].iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
        }
    }
    flattened.map(Bytes::from)
}

#[cfg(test)]
mod tests;
