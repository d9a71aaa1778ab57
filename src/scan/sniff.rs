//! Determines the shape of a line from its first members: one record, a container of many, or an envelope that holds
//! its records encoded.
//!
//! Nearly every line is one record, and the first letter of its first member is enough to tell.

use std::ops::Range;

use memchr::memchr;

use super::blocks::skip_space;
use super::json_scan::JsonScanner;

/// The shape of a line, or of an element of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineKind {
    /// One record, as far as its first members show.
    Record,
    /// A container. The list of its records begins at this position, just past its `[`.
    Container(usize),
    /// A record that may hold others in base64.
    Envelope,
}

/// The names of the members that identify containers and envelopes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ContainerMembers {
    /// Members that hold a container's list of records.
    pub lists: &'static [&'static str],
    /// Members that may precede such a list.
    pub before_lists: &'static [&'static str],
    /// First members of records that hold others in base64.
    pub envelopes: &'static [&'static str],
}

/// The number of members that are searched for a container's list.
const MAX_MEMBERS: usize = 16;

/// Determines the shape of a line from its first members.
#[derive(Debug)]
pub(crate) struct Sniffer {
    members: Vec<ContainerMembers>,
    /// For each byte value: whether a known name begins with it. This rules out nearly every line.
    first_letters: [bool; 256],
}

impl Sniffer {
    /// A sniffer that recognises all these members.
    pub(crate) fn new(members: impl Iterator<Item = ContainerMembers>) -> Self {
        let mut sniffer = Self { members: members.collect(), first_letters: [false; 256] };
        for ContainerMembers { lists, before_lists, envelopes } in &sniffer.members {
            for name in lists.iter().chain(*before_lists).chain(*envelopes) {
                let first = name.as_bytes().first().copied().unwrap_or_default();
                if let Some(known) = sniffer.first_letters.get_mut(usize::from(first)) {
                    *known = true;
                }
            }
        }
        sniffer
    }

    /// The shape of the value that begins at `first` and ends with the line or at `limit`, whichever comes first.
    #[inline]
    pub(crate) fn kind(&self, batch: &[u8], first: usize, limit: usize) -> LineKind {
        match batch.get(first) {
            Some(b'[') => LineKind::Container(first + 1),
            Some(b'{') => {
                let mut at = first + 1;
                while matches!(batch.get(at), Some(b' ' | b'\t' | b'\r')) {
                    at += 1;
                }
                let letter = batch.get(at + 1).copied().unwrap_or_default();
                match self.first_letters.get(usize::from(letter)) {
                    Some(true) => self.object(batch, at, limit),
                    _ => LineKind::Record,
                }
            }
            _ => LineKind::Record,
        }
    }

    /// The shape of an object whose first member is at `at`.
    #[cold]
    #[inline(never)]
    fn object(&self, batch: &[u8], at: usize, limit: usize) -> LineKind {
        let first = member_name(batch, at).and_then(|name| batch.get(name)).unwrap_or_default();
        if self.is_member(first, |members| members.envelopes) {
            return LineKind::Envelope;
        }
        if !self.is_member(first, |members| members.before_lists) && !self.is_member(first, |members| members.lists) {
            return LineKind::Record;
        }
        // The next line belongs to another record.
        let rest = batch.get(at..limit).unwrap_or_default();
        let line_end = memchr(b'\n', rest).map_or(limit, |length| at + length);
        batch.get(..line_end).and_then(|line| self.list(line, at)).map_or(LineKind::Record, LineKind::Container)
    }

    /// Whether `name` is in one of the lists that `of` selects.
    fn is_member(&self, name: &[u8], of: impl Fn(&ContainerMembers) -> &'static [&'static str]) -> bool {
        self.members.iter().any(|members| of(members).iter().any(|known| known.as_bytes() == name))
    }

    /// The position just past the `[` of the record list, if the list is among the first [`MAX_MEMBERS`] members. `at`
    /// is the position of the first member, and the object ends with `line`.
    fn list(&self, line: &[u8], at: usize) -> Option<usize> {
        let mut at = at;
        for _ in 0..MAX_MEMBERS {
            let name = member_name(line, at)?;
            let colon = skip_space(line, name.end + 1, line.len());
            if line.get(colon) != Some(&b':') {
                return None;
            }
            let value = skip_space(line, colon + 1, line.len());
            if self.is_member(line.get(name)?, |members| members.lists) {
                return (line.get(value) == Some(&b'[')).then_some(value + 1);
            }
            let comma = skip_space(line, end_of_value(line, value)?, line.len());
            if line.get(comma) != Some(&b',') {
                return None;
            }
            at = skip_space(line, comma + 1, line.len());
        }
        None
    }
}

/// The range of the member name whose opening quote is at `at`. Names with escapes, or of 64 bytes and more, are not
/// recognised.
fn member_name(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let rest = bytes.get(at..)?.strip_prefix(b"\"")?;
    let length = rest.iter().take(64).position(|byte| *byte == b'"')?;
    Some(at + 1..at + 1 + length)
}

/// The end of the value that begins at `at`, if it is complete.
fn end_of_value(line: &[u8], at: usize) -> Option<usize> {
    match line.get(at)? {
        b'{' | b'[' => JsonScanner::new(at).end(line, line.len()),
        b'"' => end_of_string(line, at, line.len()),
        _ => line.get(at..)?.iter().position(|byte| matches!(byte, b',' | b'}')).map(|length| at + length),
    }
}

/// The position just past the string whose opening quote is at `at`, if it ends before `limit` and on the same line.
pub(crate) fn end_of_string(batch: &[u8], at: usize, limit: usize) -> Option<usize> {
    let mut closing = at + 1;
    loop {
        match batch.get(closing).filter(|_| closing < limit)? {
            b'"' => return Some(closing + 1),
            b'\n' => return None,
            b'\\' => closing += 2,
            _ => closing += 1,
        }
    }
}
