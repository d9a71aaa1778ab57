//! What the reading threads find out about lines. Most lines are exactly one record and need no further scan.

use memchr::memchr_iter;

/// Facts about the lines in a piece of input.
///
/// Computing them takes a sizeable fraction of the component's own time, so the reading threads do it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// Number of LFs.
    pub line_feeds: u64,
    /// Offset of the first evidence that a line may be something other than one record or empty.
    pub odd: Option<usize>,
}

/// Bytes checked at a time.
const BLOCK: usize = 4 << 10;

impl Lines {
    /// Scans all of `bytes` once.
    pub fn of(bytes: &[u8]) -> Self {
        let (mut line_feeds, mut odd) = (0, None);
        for at in memchr_iter(b'\n', bytes) {
            line_feeds += 1;
            if odd.is_none() && !ends_a_record(bytes, at) {
                odd = Some(at);
            }
        }
        let two = two_values(&bytes[..odd.unwrap_or(bytes.len())]);
        Self { line_feeds, odd: two.or(odd) }
    }

    /// The same for the bytes after the first line, which is `first` bytes long and not odd.
    pub fn after(self, first: usize) -> Self {
        Self { line_feeds: self.line_feeds - 1, odd: self.odd.and_then(|odd| odd.checked_sub(first)) }
    }
}

/// Offset of the first odd place from `at` on. Stops at the end of its line.
pub fn odd_from(bytes: &[u8], at: usize) -> Option<usize> {
    let mut start = at;
    for line_feed in memchr_iter(b'\n', &bytes[at..]).map(|found| at + found) {
        if let Some(two) = two_values(&bytes[start..line_feed]) {
            return Some(start + two);
        }
        if !ends_a_record(bytes, line_feed) {
            return Some(line_feed);
        }
        start = line_feed + 1;
    }
    two_values(&bytes[start..]).map(|two| start + two)
}

/// Where one value may end and another begin on the same line: a closing bracket followed by an opening bracket, or by
/// white space that does not end the line.
pub fn two_values(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(block) = bytes.get(at..).filter(|block| block.len() > 1) {
        let block = &block[..block.len().min(BLOCK + 2)];
        let (first, second) = (block, &block[1..]);
        let third = block.get(2..).unwrap_or_default();
        // Branch-free, so that it is vectorised.
        let pairs = first.iter().zip(second).zip(third);
        let found = pairs.fold(false, |found, ((first, second), third)| found | is_between(*first, *second, *third));
        if found {
            let triples = block.windows(3).position(|three| is_between(three[0], three[1], three[2]));
            return triples.map(|found| at + found);
        }
        if block.len() < BLOCK + 2 {
            let last = block.len() - 2;
            return is_between(block[last], block[last + 1], b'\n').then_some(at + last);
        }
        at += BLOCK;
    }
    None
}

/// True if a value may end with `first` and another one may follow on the same line.
fn is_between(first: u8, second: u8, third: u8) -> bool {
    // Braces and square brackets differ in one bit.
    let closes = first | 0x20 == b'}';
    let opens = second | 0x20 == b'{';
    let blank = (second == b' ') | (second == b'\t') | ((second == b'\r') & (third != b'\n'));
    closes & (opens | blank)
}

/// Counts the LFs in `bytes`.
pub fn line_feeds_in(bytes: &[u8]) -> u64 {
    memchr_iter(b'\n', bytes).count() as u64
}

/// True if the line that ends with the LF at `at` is empty or ends like a record, as far as `bytes` shows.
pub fn ends_a_record(bytes: &[u8], at: usize) -> bool {
    let line = &bytes[..at];
    matches!(line.strip_suffix(b"\r").unwrap_or(line).last(), Some(b'}' | b']' | b'\n') | None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn two_values_are_found_anywhere(before in 0..9_000usize, pair in "[}\\]][{\\[ \t]", behind in 0..9_000usize) {
            let bytes = ["x".repeat(before), pair, "x".repeat(behind)].concat();
            prop_assert_eq!(two_values(bytes.as_bytes()), Some(before));
            prop_assert_eq!(two_values(&bytes.as_bytes()[before + 1..]), None);
        }
    }

    #[test]
    fn only_lines_that_do_not_end_like_records_are_odd() {
        for (bytes, odd) in [
            ("", None),
            ("{\"a\":1}\n{\"a\":2}\r\n\n[]\n{\"a\"", None),
            ("{\n\"a\":1\n}\n", Some(1)),
            ("{\"a\":1}\nnonsense\n{}\n", Some(16)),
            ("{\"a\":1}\n{\"a\":1}{\"a\":2}\n", Some(14)),
            ("{\"a\":1}\n{\"a\":1}{\"a\":2}", Some(14)),
            ("{\"a\":1}\n{\"a\":1} {\"a\":2}", Some(14)),
            ("{\"a\":1}\n[1][2]\n", Some(10)),
            ("{\"a\":1}\r{}\n", Some(6)),
            ("{\"a\":1} ", Some(6)),
            ("{\"a\":1}\r", None),
            ("\n{}\n", None),
            ("\r\n{}\n{", None),
        ] {
            let bytes = bytes.as_bytes();
            assert_eq!(Lines::of(bytes), Lines { line_feeds: line_feeds_in(bytes), odd });
            assert_eq!(odd_from(bytes, 0), odd);
        }
    }
}
