//! Bytes as they are read, cut into batches of whole records.
//!
//! The component takes records that end with LF. Most inputs are like that, and their lines are given out as they come. What
//! is not, is looked at value by value: JSON over several lines, as pretty-printers write it, and values with nothing in
//! between. JSON over several lines is turned into one without moving a byte: inside of it each LF becomes a space in the
//! copy that the component gets, so that offsets hold in the bytes that were read.

mod lines;
mod value;

use std::ops::Range;

use bytes::Bytes;
use memchr::{memchr, memrchr};
use serde::{Deserialize, Serialize};

pub use lines::{Lines, line_feeds_in};
use lines::{ends_a_record, odd_from, two_values};
use value::{End, Nesting, Value};

/// How far an input has been cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The first byte that has not been given out, counted in what the input holds decompressed.
    pub offset: u64,
    /// The line that it is on, counted from 1.
    pub line: u64,
    /// What is too long, where the byte is inside of it.
    inside: Option<TooLong>,
}

/// What is longer than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum TooLong {
    /// A line that is no JSON object or array.
    Line,
    /// An object or array.
    Value(Nesting),
}

impl Position {
    /// The place so many bytes on, between records.
    pub fn after(self, bytes: usize, line_feeds: u64) -> Self {
        Self { offset: self.offset + bytes as u64, line: self.line + line_feeds, inside: None }
    }
}

impl Default for Position {
    fn default() -> Self {
        Self { offset: 0, line: 1, inside: None }
    }
}

/// Whole records, as read and as the component takes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The bytes as they were read.
    pub original: Bytes,
    /// The same with JSON over several lines in one line each, where there is some.
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

/// A line of so many bytes is taken for one record if nothing in it says otherwise: a file of CloudTrail is one line of some
/// MB.
const LONG: usize = 64 << 10;

/// Cuts one input.
#[derive(Debug)]
pub struct Framer {
    position: Position,
    /// What has been read and not been given out: the beginning of a value or line.
    rest: Vec<u8>,
    /// How far the rest has been looked through, if it has been.
    value: Option<Value>,
    /// Whether lines that are not odd are taken for records: the last line was one. The rest is a part of one line then.
    trusting: bool,
    longest: usize,
}

impl Framer {
    /// A framer for an input that is read from `position` on and whose records have at most `longest` bytes.
    pub fn new(position: Position, longest: usize) -> Self {
        Self { position, rest: Vec::new(), value: None, trusting: false, longest }
    }

    /// Whether there is nothing that has been read and not been given out.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// How far the input has been read.
    pub fn read(&self) -> u64 {
        self.position.offset + self.rest.len() as u64
    }

    /// How far the input has been given out.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Takes what was read, of whose lines `lines` is known, and gives out what it completes.
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
        if !self.trusting || two_values || lines.odd.is_some_and(|odd| end.is_none_or(|end| odd <= end)) {
            self.trusting = false;
            self.rest.extend_from_slice(&bytes);
            let rest = std::mem::take(&mut self.rest);
            return self.cut(rest.into(), None, false, &mut give);
        }
        let line = bytes.split_to(end.map_or(bytes.len(), |end| end + 1));
        self.rest.extend_from_slice(&line);
        if end.is_none() {
            return self.give_if_too_long(&mut give);
        }
        // The line that was begun is given out alone, so that the others need not be copied.
        let first = Bytes::from(std::mem::take(&mut self.rest));
        if ends_a_record(&first, first.len() - 1) {
            self.value = None;
            self.give_value(first, None, &mut give)?;
        } else {
            self.trusting = false;
            self.cut(first, None, false, &mut give)?;
        }
        if self.rest.is_empty() {
            return self.cut(bytes, Some(lines.after(line.len())), false, &mut give);
        }
        self.rest.extend_from_slice(&bytes);
        let rest = std::mem::take(&mut self.rest);
        self.cut(rest.into(), None, false, &mut give)
    }

    /// The input pauses: gives out what is whole but for what ends its line.
    pub fn pause<E>(&mut self, mut give: impl FnMut(Batch) -> Result<(), E>) -> Result<(), E> {
        if self.rest.is_empty() {
            return Ok(());
        }
        let trusting = std::mem::take(&mut self.trusting);
        let rest = std::mem::take(&mut self.rest);
        self.cut(rest.into(), None, true, &mut give)?;
        self.trusting |= trusting;
        Ok(())
    }

    /// The input has ended: gives out what is left.
    pub fn finish<E>(&mut self, mut give: impl FnMut(Batch) -> Result<(), E>) -> Result<(), E> {
        if !self.trusting {
            self.pause(&mut give)?;
        }
        let rest = Bytes::from(std::mem::take(&mut self.rest));
        self.value = None;
        let all = 0..rest.len();
        self.give_value(rest, Some(all), &mut give)
    }

    /// Cuts `bytes`, which begin with the beginning of a value or line, into batches. What is not whole is kept.
    fn cut<E>(
        &mut self,
        bytes: Bytes,
        lines: Option<Lines>,
        paused: bool,
        give: &mut impl FnMut(Batch) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut known = self.value.take();
        let mut odd = lines.map(|lines| lines.odd);
        // What goes out together, and the values over several lines in it.
        let mut batch = 0..0;
        let mut flat = Vec::new();
        while batch.end < bytes.len() {
            let at = batch.end;
            if self.trusting {
                let odd = odd.take().unwrap_or_else(|| odd_from(&bytes, at));
                let trusted = odd.unwrap_or(bytes.len());
                batch.end = memrchr(b'\n', &bytes[at..trusted]).map_or(at, |end| at + end + 1);
                if odd.is_none() {
                    break;
                }
                self.trusting = false;
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
                    self.trusting = is_one && matches!(lines.first(), Some(b'{' | b'['));
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
                    // Once it had to be looked through it is, to its end.
                    self.trusting = lines.is_some() && text.len() > LONG && memchr(b'\n', text).is_none();
                    return self.keep(bytes, at, give);
                }
            }
        }
        let end = batch.end;
        match lines {
            // All LFs are in it.
            Some(lines) if batch.start == 0 && flat.is_empty() => {
                self.give_batch(bytes.slice(batch), lines.line_feeds, None, Kind::Records, give)?;
            }
            _ => self.give(&bytes, batch, &mut flat, give)?,
        }
        self.keep(bytes, end, give)
    }

    /// Keeps what is behind `at` for later.
    fn keep<E>(&mut self, bytes: Bytes, at: usize, give: &mut impl FnMut(Batch) -> Result<(), E>) -> Result<(), E> {
        let rest = bytes.slice(at..);
        // Where nobody else has them, they need not be copied.
        drop(bytes);
        self.rest = rest.into();
        self.give_if_too_long(give)
    }

    /// Gives out a part of `bytes`, with what is `flat` in one line each.
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

    /// Gives out one value or line, of which LFs in `flat` do not end it.
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

    /// Gives out the rest if no record may be as long.
    fn give_if_too_long<E>(&mut self, give: &mut impl FnMut(Batch) -> Result<(), E>) -> Result<(), E> {
        if self.rest.len() <= self.longest {
            return Ok(());
        }
        let part = std::mem::take(&mut self.rest);
        self.value = None;
        self.trusting = false;
        self.position.inside = Some(match part.first() {
            Some(b'{' | b'[') => {
                let mut nesting = Nesting::default();
                match nesting.end(&part) {
                    (_, false) => TooLong::Value(nesting),
                    // What is behind it in its line goes with it.
                    (_, true) => TooLong::Line,
                }
            }
            _ => TooLong::Line,
        });
        let line_feeds = line_feeds_in(&part);
        self.give_batch(part.into(), line_feeds, None, Kind::TooLong { first: true }, give)
    }

    /// Gives out what `bytes` have of what is too long.
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

/// What comes next in an input.
enum Next {
    /// What the LF at its end, or the end of white space, ends.
    Line(usize),
    /// A value that nothing ends, because another one follows or the input pauses.
    Value(usize),
    /// Something that is not whole.
    Open,
}

/// What `text` begins with, an object or array.
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
        // What is wrong with it, the component says.
        Some(_) => memchr(b'\n', &text[behind..]).map_or(Next::Open, |end| Next::Line(behind + end + 1)),
    }
}

/// The byte order mark, which some writers begin with.
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// Where what is no byte order mark and no white space begins, from `at` on.
fn start_of_text(bytes: &[u8], at: usize) -> usize {
    let text = bytes[at..].trim_ascii_start();
    let text = text.strip_prefix(MARK).map_or(text, <[u8]>::trim_ascii_start);
    bytes.len() - text.len()
}

/// A copy of `bytes` in which the LFs in these parts are spaces; `None` where there are none.
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
