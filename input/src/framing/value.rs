//! Where a JSON value ends that may lie over several lines, and where one that does not end makes way for the next.
//!
//! What was cut, as by a crash of whoever wrote it, must not take what is behind it along. So a line that begins with a
//! bracket is a new value's unless JSON allows one at that place of the value before.

use catena::JsonScanner;
use memchr::memchr_iter;
use serde::{Deserialize, Serialize};

/// So many bytes are looked at in one go, at first and at most: a value may end after a few of many.
const WINDOW: [usize; 2] = [128, 4 << 10];

/// How far a value has been looked through. All calls get the same bytes, which may have grown.
#[derive(Clone, Copy, Debug)]
pub struct Value {
    scanner: JsonScanner,
    /// How far lines have been looked at.
    lines: usize,
    nesting: Nesting,
    /// How far the nesting is known.
    nested: usize,
}

/// Where a value ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Behind its last bracket.
    Whole(usize),
    /// It is damaged: there begins the line of another one.
    Damaged(usize),
    /// It does not end in these bytes.
    Open,
}

impl Value {
    /// A value that begins with the first byte, a bracket.
    pub fn new() -> Self {
        Self { scanner: JsonScanner::new(0), lines: 0, nesting: Nesting::default(), nested: 0 }
    }

    /// Where it ends.
    pub fn end(&mut self, bytes: &[u8]) -> End {
        let [mut length, most] = WINDOW;
        loop {
            let window = (self.lines + length).min(bytes.len());
            length = (2 * length).min(most);
            let mut lines = memchr_iter(b'\n', &bytes[self.lines..window]).map(|at| self.lines + at + 1);
            let next = lines.find(|at| self.may_be_damaged(bytes, *at));
            // A scanner that has found an end cannot go on from it.
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
                    // Of a line that has just begun it is not known yet what it is.
                    let indent = bytes.iter().rev().take(MAX_INDENT).take_while(|byte| matches!(byte, b' ' | b'\t'));
                    let line = bytes.len() - indent.count();
                    self.lines = self.lines.max(line.saturating_sub(1));
                    return End::Open;
                }
            }
        }
    }

    /// Whether the line that begins at `at` may be another value's: it begins with a bracket. Where white space is before
    /// that, as in nearly all documents, only what cannot stand before a value tells.
    fn may_be_damaged(&self, bytes: &[u8], at: usize) -> bool {
        let line = bytes.get(at..).unwrap_or_default();
        let indent = line.iter().take(MAX_INDENT).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let begins = matches!(line.get(indent), Some(b'{' | b'['));
        begins && (indent == 0 || !stands_before_value(bytes, at))
    }

    /// Whether a value that begins at `at` can be a part of it.
    fn may_hold(&mut self, bytes: &[u8], at: usize) -> bool {
        if !stands_before_value(bytes, at) {
            return false;
        }
        bytes[self.nested..at].iter().for_each(|byte| self.nesting.step(*byte));
        self.nested = at;
        self.nesting.may_begin_value()
    }
}

/// Deeper indentation than this is not looked through.
const MAX_INDENT: usize = 256;

/// Whether what stands before `at` can stand before a value.
fn stands_before_value(bytes: &[u8], at: usize) -> bool {
    matches!(bytes[..at].trim_ascii_end().last(), Some(b'[' | b',' | b':'))
}

/// Deeper levels than this are only counted.
const MAX_LEVELS: u64 = 64;

/// The brackets that are open at some place, found byte by byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nesting {
    depth: u64,
    /// One bit for each level, the innermost the lowest: whether it is an array.
    arrays: u64,
    in_string: bool,
    escaped: bool,
    /// The last byte that is no white space.
    last: u8,
    line_begins: bool,
}

impl Nesting {
    /// Takes in what comes next.
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

    /// How many of these bytes belong to the value, and whether it ends there.
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
        // The bits of deeper levels are gone when those come to their end.
        let in_array = self.depth > MAX_LEVELS || self.arrays & 1 == 1;
        !self.in_string && matches!((self.last, in_array), (b'[' | b',', true) | (b':', false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_begins_with_a_bracket_is_another_value_where_json_allows_none() {
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
    fn white_space_may_stand_before_the_bracket() {
        for (bytes, end) in [("{\"a\":1\n  {\"a\":1}\n", End::Damaged(7)), ("{\"a\":[\n  {},\n  {}]}", End::Whole(19))]
        {
            assert_eq!(Value::new().end(bytes.as_bytes()), end);
        }
    }
}
