//! What whoever reads an input says of its lines: most are one record each, which need not be looked at again.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use memchr::{memchr_iter, memmem};

/// What is known of the lines in some bytes.
///
/// Telling it takes a good part of the time that the component takes, so it is told on the threads that read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// How many LFs there are.
    pub line_feeds: u64,
    /// The first place that says of its line that it may be something else than one record, or nothing.
    pub odd: Option<usize>,
}

/// Where a value may end and another one begin in one line.
static TWO_VALUES: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"}{"));

impl Lines {
    /// Looks at all of `bytes`, once.
    pub fn of(bytes: &[u8]) -> Self {
        let (mut line_feeds, mut odd) = (0, None);
        for at in memchr_iter(b'\n', bytes) {
            line_feeds += 1;
            if odd.is_none() && !ends_a_record(bytes, at) {
                odd = Some(at);
            }
        }
        let two = TWO_VALUES.find(&bytes[..odd.unwrap_or(bytes.len())]);
        Self { line_feeds, odd: two.or(odd) }
    }

    /// The same of what is behind the first line, which has so many bytes and is not odd.
    pub fn behind(self, first: usize) -> Self {
        Self { line_feeds: self.line_feeds - 1, odd: self.odd.and_then(|odd| odd.checked_sub(first)) }
    }
}

/// The first odd place from `at` on. The bytes behind its line are not looked at.
pub fn odd_from(bytes: &[u8], at: usize) -> Option<usize> {
    let mut start = at;
    for line_feed in memchr_iter(b'\n', &bytes[at..]).map(|found| at + found) {
        if let Some(two) = TWO_VALUES.find(&bytes[start..line_feed]) {
            return Some(start + two);
        }
        if !ends_a_record(bytes, line_feed) {
            return Some(line_feed);
        }
        start = line_feed + 1;
    }
    memmem::find(&bytes[start..], b"}{").map(|two| start + two)
}

/// How many LFs there are.
pub fn line_feeds_in(bytes: &[u8]) -> u64 {
    memchr_iter(b'\n', bytes).count() as u64
}

/// Whether the line that ends with the LF at `at` ends as one record does, or is empty, as far as these bytes say.
pub fn ends_a_record(bytes: &[u8], at: usize) -> bool {
    let line = &bytes[..at];
    matches!(line.strip_suffix(b"\r").unwrap_or(line).last(), Some(b'}' | b']' | b'\n') | None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_end_like_records_are_not_odd_and_all_others_are() {
        for (bytes, odd) in [
            ("", None),
            ("{\"a\":1}\n{\"a\":2}\r\n\n[]\n{\"a\"", None),
            ("{\n\"a\":1\n}\n", Some(1)),
            ("{\"a\":1}\nnonsense\n{}\n", Some(16)),
            ("{\"a\":1}\n{\"a\":1}{\"a\":2}\n", Some(14)),
            ("{\"a\":1}\n{\"a\":1}{\"a\":2}", Some(14)),
            ("\n{}\n", None),
            ("\r\n{}\n{", None),
        ] {
            let bytes = bytes.as_bytes();
            assert_eq!(Lines::of(bytes), Lines { line_feeds: line_feeds_in(bytes), odd });
            assert_eq!(odd_from(bytes, 0), odd);
        }
    }
}
