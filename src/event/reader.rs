//! Walks the JSON of a record and the tree of paths together: keeps values at which a path ends, and checks the others.
//!
//! It accepts what serde_json accepts, and keeps what a visitor of serde_json would keep; a fuzz target and a property
//! test hold it to that. It takes a third of the instructions, because it finds the end of a string without looking at each byte,
//! and copies no text that stands in the record as it is.

use std::borrow::Cow;

use memchr::memchr;
use serde::de::{Error as _, IgnoredAny};

use super::cloud::Embedded;
use super::edges::Name;
use super::embedded::MAX_DEPTH;
use super::projection::{Edge, Node, Projection, ROOT};
use super::repair::unescape;
use super::values::{Buffers, EmbeddedRecords, Source, Value, Values};
use crate::scan::{Strings, is_space};

/// How deep the values that paths lead through may be nested. serde_json's limit; values that no path leads to may be
/// nested as deep as they are long.
const MAX_LEVELS: usize = 127;

/// How a record is read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading {
    /// It may hold records in base64.
    pub envelope: bool,
    /// Names are read in any spelling, and a list in place of a value as its values.
    pub any_spelling: bool,
}

/// A member that was read: the number of its edge, and the range of its values in [`Buffers::found`], so that a
/// duplicate member replaces them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    edge: u32,
    from: u32,
    to: u32,
}

impl Projection {
    /// Parses a record into empty `buffers`. Bytes that are not UTF-8, and escapes of lone surrogates, are read as U+FFFD.
    ///
    /// # Errors
    ///
    /// If the bytes are not exactly one well-formed JSON value.
    pub(super) fn read<'a>(
        &self,
        record: &'a [u8],
        reading: Reading,
        mut buffers: Buffers,
    ) -> Result<Values<'a>, serde_json::Error> {
        buffers.make_room(self.paths().len());
        let read = match std::str::from_utf8(record) {
            Ok(text) => self.read_text(text, Source::RECORD, reading, &mut buffers).map(|()| text),
            Err(_) => {
                let source = buffers.decode(String::new()).source();
                let text = String::from_utf8_lossy(record).into_owned();
                let read = self.read_text(&text, source, reading, &mut buffers);
                if let Some(decoded) = buffers.decoded.first_mut() {
                    *decoded = text;
                }
                read.map(|()| "")
            }
        };
        match read {
            Ok(text) => Ok(Values::new(text, buffers)),
            Err(why) => Err(explain(record, why)),
        }
    }

    fn read_text(
        &self,
        text: &str,
        source: Source,
        reading: Reading,
        buffers: &mut Buffers,
    ) -> Result<(), &'static str> {
        let nodes = &*self.nodes;
        let root = nodes.get(ROOT).ok_or(MALFORMED)?;
        let mut reader = Reader::new(nodes, text, source, reading, buffers);
        reader.document(root).ok_or(reader.why)
    }
}

const MALFORMED: &str = "it is not JSON";

/// The error of a record that was refused: where it is malformed, in the words of serde_json, or why it cannot be read.
#[cold]
fn explain(record: &[u8], why: &'static str) -> serde_json::Error {
    match serde_json::from_slice::<IgnoredAny>(record) {
        Err(error) => error,
        Ok(_) => serde_json::Error::custom(why),
    }
}

/// Reads one text.
pub(super) struct Reader<'r> {
    nodes: &'r [Node],
    pub(super) text: &'r str,
    source: Source,
    pub(super) strings: Strings<'r>,
    reading: Reading,
    /// How many embedded texts enclose this one. Each may be nested to the full depth, so their number is limited.
    depth: usize,
    /// Why it is refused, if it is.
    why: &'static str,
    pub(super) out: &'r mut Buffers,
}

impl<'r> Reader<'r> {
    fn new(nodes: &'r [Node], text: &'r str, source: Source, reading: Reading, out: &'r mut Buffers) -> Self {
        let strings = Strings::new(text.as_bytes());
        Self { nodes, text, source, strings, reading, depth: 0, why: MALFORMED, out }
    }

    /// Reads the value that is all of the text. `None` if it is refused.
    fn document(&mut self, node: &'r Node) -> Option<()> {
        let (at, first) = self.token(0)?;
        let behind = self.value(node, at, first, 0)?;
        self.token(behind).is_none().then_some(())
    }

    #[inline(always)]
    pub(super) fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    /// The next byte from `at` on that is not white space, with its offset.
    #[inline(always)]
    pub(super) fn token(&self, at: usize) -> Option<(usize, u8)> {
        match self.byte(at)? {
            byte if byte > b' ' => Some((at, byte)),
            _ => self.token_after_space(at),
        }
    }

    #[cold]
    #[inline(never)]
    fn token_after_space(&self, mut at: usize) -> Option<(usize, u8)> {
        while is_space(self.byte(at)?) {
            at += 1;
        }
        Some((at, self.byte(at)?))
    }

    /// The value after a member's name, which ends with the quote at `quote`.
    #[inline(always)]
    pub(super) fn after_name(&self, quote: usize) -> Option<(usize, u8)> {
        let (colon, byte) = self.token(quote + 1)?;
        if byte == b':' { self.token(colon + 1) } else { None }
    }

    /// Keeps a value under every slot of the node.
    #[inline(always)]
    fn keep(&mut self, node: &Node, value: Value) {
        if let Some(slot) = node.slot {
            self.out.keep(slot, value);
            node.more_slots.iter().for_each(|slot| self.out.keep(*slot, value));
        }
    }

    /// Reads the value at `at`, which begins with `first`. `levels` is the number of objects and arrays around it. Returns
    /// the offset after it.
    #[inline(always)]
    fn value(&mut self, node: &'r Node, at: usize, first: u8, levels: usize) -> Option<usize> {
        // Most values are strings.
        if first == b'"' {
            return self.string(node, at);
        }
        match first {
            b'{' => self.object(node, at, levels),
            b'[' => self.array(node, at, levels),
            b't' | b'f' => {
                let end = self.word(at, first)?;
                self.keep(node, Value::text(self.source, at, end));
                Some(end)
            }
            b'n' => self.word(at, first),
            _ => self.number(node, at),
        }
    }

    #[inline(always)]
    fn string(&mut self, node: &'r Node, at: usize) -> Option<usize> {
        let end = self.strings.end(at)?;
        if end.special || node.embedded != Embedded::Nothing {
            self.special_text(node, at, end.quote, end.special)?;
        } else if end.quote > at + 1 {
            self.keep(node, Value::text(self.source, at + 1, end.quote));
        }
        Some(end.quote + 1)
    }

    #[inline(never)]
    fn object(&mut self, node: &'r Node, open: usize, levels: usize) -> Option<usize> {
        self.enter(levels)?;
        let (mut at, mut byte) = self.token(open + 1)?;
        if byte == b'}' {
            return Some(at + 1);
        }
        let before = self.out.members.len();
        let mut seen = [0_u64; 4];
        loop {
            if byte != b'"' {
                return None;
            }
            let end = self.strings.end(at)?;
            let edge = self.edge(node, at, end.quote, end.special)?;
            let (value, first) = self.after_name(end.quote)?;
            let behind = match edge {
                None => self.skip(value, first)?,
                Some(Edge { number, node }) => {
                    let (word, bit) = (number as usize / 64 % 4, 1 << (number % 64));
                    if seen.get(word).is_some_and(|word| word & bit != 0) {
                        self.forget(before, number);
                    }
                    if let Some(word) = seen.get_mut(word) {
                        *word |= bit;
                    }
                    let from = self.out.found.len() as u32;
                    let behind = self.value(self.nodes.get(node as usize)?, value, first, levels + 1)?;
                    self.out.members.push(Member { edge: number, from, to: self.out.found.len() as u32 });
                    behind
                }
            };
            (at, byte) = self.token(behind)?;
            match byte {
                b',' => (at, byte) = self.token(at + 1)?,
                b'}' => break,
                _ => return None,
            }
        }
        self.out.members.truncate(before);
        self.keep(node, Value::COMPOSITE);
        Some(at + 1)
    }

    #[inline(never)]
    fn array(&mut self, node: &'r Node, open: usize, levels: usize) -> Option<usize> {
        self.enter(levels)?;
        let (mut at, mut first) = self.token(open + 1)?;
        if first == b']' {
            return Some(at + 1);
        }
        let elements = node.elements.and_then(|elements| self.nodes.get(elements));
        let elements = elements.or(self.reading.any_spelling.then_some(node));
        loop {
            let behind = match elements {
                Some(elements) => self.value(elements, at, first, levels + 1)?,
                None => self.skip(at, first)?,
            };
            (at, first) = self.token(behind)?;
            match first {
                b',' => (at, first) = self.token(at + 1)?,
                b']' => break,
                _ => return None,
            }
        }
        self.keep(node, Value::COMPOSITE);
        Some(at + 1)
    }

    #[inline(always)]
    fn enter(&mut self, levels: usize) -> Option<()> {
        if levels < MAX_LEVELS {
            return Some(());
        }
        self.why = "it is nested more than 127 levels deep";
        None
    }

    /// Removes the values of the member with this edge of the current object, if there is one. As in most JSON parsers,
    /// the last of duplicate members wins.
    #[cold]
    fn forget(&mut self, before: usize, edge: u32) {
        let Buffers { members, found, .. } = &mut *self.out;
        let mut own = (before..).zip(members.iter().skip(before));
        let Some((place, Member { from, to, .. })) = own.find(|(_, member)| member.edge == edge) else { return };
        let (from, to) = (*from, *to);
        members.remove(place);
        found.drain(from as usize..to as usize);
        for later in members.iter_mut().skip(before).filter(|member| member.from >= to) {
            later.from -= to - from;
            later.to -= to - from;
        }
        self.out.stale = true;
    }

    /// The edge of the member whose name stands between two quotes. The outer `None`: it is not a string.
    #[inline(always)]
    fn edge(&self, node: &Node, open: usize, quote: usize, special: bool) -> Option<Option<Edge>> {
        if special || self.reading.any_spelling {
            let string = self.text.as_bytes().get(open..=quote)?;
            // The prefilter compares the letters of raw bytes, so those of a name with escapes are not compared.
            let any_spelling = self.reading.any_spelling && memchr(b'\\', string).is_none();
            return Some(self.edge_of(node, &unescape(string)?, any_spelling));
        }
        let name = Name::of(self.text.as_bytes().get(open + 1..quote)?);
        match node.edge(name) {
            None if name.may_have_a_dot() => Some(self.edge_of_joined(node, self.text.get(open + 1..quote)?, false)),
            edge => Some(edge),
        }
    }

    #[cold]
    #[inline(never)]
    fn edge_of(&self, node: &Node, name: &str, any_spelling: bool) -> Option<Edge> {
        node.edge_of(name, any_spelling).or_else(|| self.edge_of_joined(node, name, any_spelling))
    }

    /// The edge at the end of the names that a flat record joins with dots: `userIdentity.arn`.
    #[cold]
    #[inline(never)]
    fn edge_of_joined(&self, node: &Node, names: &str, any_spelling: bool) -> Option<Edge> {
        let (first, rest) = names.split_once('.')?;
        let first = node.edge_of(first, any_spelling)?;
        rest.split('.').try_fold(first, |edge, name| self.nodes.get(edge.node as usize)?.edge_of(name, any_spelling))
    }

    /// Keeps a string with escapes, or one that may hold embedded content. `None` if it is not a string.
    #[inline(never)]
    fn special_text(&mut self, node: &'r Node, open: usize, quote: usize, special: bool) -> Option<()> {
        let text = match special {
            true => Cow::Owned(unescape(self.text.as_bytes().get(open..=quote)?)?),
            false => Cow::Borrowed(self.text.get(open + 1..quote)?),
        };
        let like_json = || matches!(without_mark(&text).as_bytes().first(), Some(b'{' | b'['));
        match node.embedded {
            Embedded::Json if like_json() => self.embedded_json(node, without_mark(&text)),
            Embedded::Records if like_json() => self.embedded(EmbeddedRecords::Json(text.into_owned().into_bytes())),
            Embedded::Original if like_json() => {
                self.embedded(EmbeddedRecords::Original(text.into_owned().into_bytes()))
            }
            Embedded::Base64 if self.reading.envelope => self.embedded(EmbeddedRecords::Base64(text.into_owned())),
            _ if text.is_empty() => {}
            _ => {
                let text = match text {
                    Cow::Borrowed(_) => Value::text(self.source, open + 1, quote),
                    Cow::Owned(text) => self.out.decode(text),
                };
                self.keep(node, text);
            }
        }
        Some(())
    }

    fn embedded(&mut self, records: EmbeddedRecords) {
        self.out.embedded.push(records);
    }

    /// Reads a string as embedded JSON. If it is truncated or nested too deep, only its presence is kept.
    fn embedded_json(&mut self, node: &'r Node, text: &str) {
        if self.depth == MAX_DEPTH {
            return self.keep(node, Value::COMPOSITE);
        }
        let out = &mut *self.out;
        let before = (out.found.len(), out.embedded.len(), out.members.len(), out.open.len(), out.decoded.len());
        let text = text.to_owned();
        let source = out.decode(String::new()).source();
        let reading = Reading { envelope: false, ..self.reading };
        let mut reader = Reader { depth: self.depth + 1, ..Reader::new(self.nodes, &text, source, reading, out) };
        match reader.document(node) {
            Some(()) => {
                if let Some(decoded) = self.out.decoded.get_mut(before.4) {
                    *decoded = text;
                }
            }
            None => {
                let out = &mut *self.out;
                out.found.truncate(before.0);
                out.embedded.truncate(before.1);
                out.members.truncate(before.2);
                out.open.truncate(before.3);
                out.decoded.truncate(before.4);
                out.stale = true;
                self.keep(node, Value::COMPOSITE);
            }
        }
    }

    /// Reads a number, and keeps its text as Rust writes the number that it is.
    fn number(&mut self, node: &Node, at: usize) -> Option<usize> {
        let end = self.end_of_number(at)?;
        let text = self.text.get(at..end)?;
        let digits = text.strip_prefix('-').unwrap_or(text);
        let as_it_is = digits.len() <= 18 && text != "-0" && digits.bytes().all(|byte| byte.is_ascii_digit());
        let text = match as_it_is {
            true => Value::text(self.source, at, end),
            false => self.other_number(text)?,
        };
        self.keep(node, text);
        Some(end)
    }

    #[cold]
    #[inline(never)]
    fn other_number(&mut self, text: &str) -> Option<Value> {
        self.why = "a number is out of range";
        let number: serde_json::Number = serde_json::from_str(text).ok()?;
        self.why = MALFORMED;
        let integer =
            number.as_u64().map(|number| number.to_string()).or(number.as_i64().map(|number| number.to_string()));
        Some(self.out.decode(integer.or(number.as_f64().map(|number| number.to_string()))?))
    }
}

/// A text without white space and byte order marks at its beginning.
pub(super) fn without_mark(text: &str) -> &str {
    text.trim_start_matches(|letter: char| letter.is_whitespace() || letter == '\u{FEFF}')
}
