//! Finds the end of a JSON value that may span several lines, and where a value that never ends gives way to the next.
//!
//! A value that was cut off, for example by a crash of its writer, must not swallow what follows. So a line that begins
//! with a bracket starts a new value unless JSON allows a value at that point of the current one.

use catena::JsonScanner;
use memchr::memchr_iter;
use serde::{Deserialize, Serialize};

/// First and largest number of bytes scanned at a time. Starts small because a value may end early in a large buffer.
const WINDOW: [usize; 2] = [128, 4 << 10];

/// Scan state of a value. Every call must pass the same bytes, possibly with more appended.
#[derive(Clone, Copy, Debug)]
pub struct Value {
    scanner: JsonScanner,
    /// Offset up to which lines have been checked.
    lines: usize,
    nesting: Nesting,
    /// Offset up to which the nesting is known.
    nested: usize,
}

/// Where a value ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Complete: the offset after its last bracket.
    Whole(usize),
    /// Damaged: the offset of the line on which another value begins.
    Damaged(usize),
    /// It does not end in these bytes.
    Open,
}

impl Value {
    /// A value that begins with the first byte, which is a bracket.
    pub fn new() -> Self {
        Self { scanner: JsonScanner::new(0), lines: 0, nesting: Nesting::default(), nested: 0 }
    }

    /// Finds its end, scanning on from the last call.
    pub fn end(&mut self, bytes: &[u8]) -> End {
        let [mut length, most] = WINDOW;
        loop {
            let window = (self.lines + length).min(bytes.len());
            length = (2 * length).min(most);
            let mut lines = memchr_iter(b'\n', &bytes[self.lines..window]).map(|at| self.lines + at + 1);
            let next = lines.find(|at| self.may_be_damaged(bytes, *at));
            // A scanner that has found the end cannot continue from there, so use a copy.
            let mut scanner = self.scanner;
            if let Some(end) = scanner.end(bytes, next.unwrap_or(window)) {
                return End::Whole(end);
            }
            self.scanner = scanner;
            match next {
                Some(next) if !self.may_hold(bytes, next) => return End::Damaged(next),
                Some(next) => self.lines = next,
                None if window < bytes.len() => self.lines = window,
                None => {
                    // A line that has just begun cannot be judged yet.
                    let indent = bytes.iter().rev().take(MAX_INDENT).take_while(|byte| matches!(byte, b' ' | b'\t'));
                    let line = bytes.len() - indent.count();
                    self.lines = self.lines.max(line.saturating_sub(1));
                    return End::Open;
                }
            }
        }
    }

    /// True if the line at `at` may start another value: it begins with a bracket. An indented bracket, as in nearly
    /// all pretty-printed JSON, counts only if the text before it cannot precede a value.
    fn may_be_damaged(&self, bytes: &[u8], at: usize) -> bool {
        let line = bytes.get(at..).unwrap_or_default();
        let indent = line.iter().take(MAX_INDENT).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let begins = matches!(line.get(indent), Some(b'{' | b'['));
        begins && (indent == 0 || !stands_before_value(bytes, at))
    }

    /// True if a value that begins at `at` can be part of this one.
    fn may_hold(&mut self, bytes: &[u8], at: usize) -> bool {
        if !stands_before_value(bytes, at) {
            return false;
        }
        bytes[self.nested..at].iter().for_each(|byte| self.nesting.step(*byte));
        self.nested = at;
        self.nesting.may_begin_value()
    }
}

/// Indentation is checked only up to this many bytes.
const MAX_INDENT: usize = 256;

/// True if the text before `at` can precede a value in JSON.
fn stands_before_value(bytes: &[u8], at: usize) -> bool {
    matches!(bytes[..at].trim_ascii_end().last(), Some(b'[' | b',' | b':'))
}

/// Levels deeper than this are only counted.
const MAX_LEVELS: u64 = 64;

/// The open brackets at some offset, tracked byte by byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nesting {
    depth: u64,
    /// One bit per level, the innermost in the lowest bit: set for an array.
    arrays: u64,
    in_string: bool,
    escaped: bool,
    /// The last byte that is not white space.
    last: u8,
    line_begins: bool,
}

impl Nesting {
    /// Advances by one byte.
    pub fn step(&mut self, byte: u8) {
        self.line_begins = byte == b'\n';
        if !byte.is_ascii_whitespace() {
            self.last = byte;
        }
        if self.in_string {
            let escaped = std::mem::take(&mut self.escaped);
            match byte {
                b'\\' => self.escaped = !escaped,
                b'"' => self.in_string = escaped,
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => {
                self.depth += 1;
                self.arrays = self.arrays << 1 | u64::from(byte == b'[');
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.arrays >>= 1;
            }
            _ => {}
        }
    }

    /// How many of `bytes` belong to the value, and whether it ends there.
    pub fn end(&mut self, bytes: &[u8]) -> (usize, bool) {
        for (at, byte) in bytes.iter().enumerate() {
            if self.line_begins && matches!(byte, b'{' | b'[') && !self.may_begin_value() {
                return (at, true);
            }
            self.step(*byte);
            if self.depth == 0 {
                return (at + 1, true);
            }
        }
        (bytes.len(), false)
    }

    fn may_begin_value(&self) -> bool {
        // There are only 64 bits: the bit of a deeper level may be lost by the time its inner levels close.
        let in_array = self.depth > MAX_LEVELS || self.arrays & 1 == 1;
        !self.in_string && matches!((self.last, in_array), (b'[' | b',', true) | (b':', false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_begins_with_a_bracket_starts_a_new_value_if_json_allows_none_there() {
        for (bytes, end) in [
            ("{\"a\":1}", End::Whole(7)),
            ("{\"a\":\n{}\n}", End::Whole(10)),
            ("{\"a\":{\"b\":1\n{\"a\":1}\n", End::Damaged(12)),
            ("{\"a\":1,\n{\"a\":1}\n", End::Damaged(8)),
            ("{\"a\":\"cut, \n{\"a\":1}\n", End::Damaged(12)),
            ("[\n{},\n{}\n,{}\n]", End::Whole(14)),
            ("{\"a\":[\n{},\n{}\n{}]}", End::Damaged(14)),
            ("{\"a\":[[],\n[\n[]]],\n{}", End::Damaged(18)),
            ("{\"a\":\"}\\\"\",\n", End::Open),
        ] {
            let bytes = bytes.as_bytes();
            assert_eq!(Value::new().end(bytes), end);
            let mut value = Value::new();
            let grown = (1..=bytes.len()).map(|length| value.end(&bytes[..length])).find(|end| *end != End::Open);
            assert_eq!(grown.unwrap_or(End::Open), end, "byte by byte");
            let mut nesting = Nesting::default();
            let expected = match end {
                End::Whole(end) | End::Damaged(end) => (end, true),
                End::Open => (bytes.len(), false),
            };
            assert_eq!(nesting.end(bytes), expected, "where the bytes are not kept");
        }
    }

    #[test]
    fn white_space_may_precede_the_bracket() {
        for (bytes, end) in [("{\"a\":1\n  {\"a\":1}\n", End::Damaged(7)), ("{\"a\":[\n  {},\n  {}]}", End::Whole(19))]
        {
            assert_eq!(Value::new().end(bytes.as_bytes()), end);
        }
    }
}
