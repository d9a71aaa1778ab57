//! JSON's shape: where a value ends, found without parsing it.

use super::blocks::{self, BLOCK, Mask, ShapeMasks, below};

/// Finds the end of one JSON object or array by its brackets, strings respected.
///
/// It checks nothing else: what it delimits may still be malformed. It can be resumed when more bytes have come, so a
/// document that arrives in pieces is looked at once. Blocks of 64 bytes are turned into bit masks; whether a byte is in
/// a string is a prefix sum over the quotes (the method of Langdale and Lemire, "Parsing Gigabytes of JSON per Second",
/// 2019).
///
/// # Example
///
/// ```
/// use catena::JsonScanner;
///
/// let bytes = br#"{"a":"}","b":[1]} {"c":2}"#;
/// assert_eq!(JsonScanner::new(0).end(bytes, bytes.len()), Some(17));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct JsonScanner {
    at: usize,
    depth: u64,
    /// All ones where the block begins inside a string.
    in_string: Mask,
    /// One where the block's first byte is escaped.
    escaped: Mask,
}

impl JsonScanner {
    /// A scanner for the value that begins at `start`, with its opening bracket.
    pub fn new(start: usize) -> Self {
        Self { at: start, depth: 0, in_string: 0, escaped: 0 }
    }

    /// The offset just behind the value's closing bracket, or `None` where the value does not end before `limit`.
    ///
    /// `bytes` must begin with the bytes of the calls before, and may have grown.
    #[inline]
    pub fn end(&mut self, bytes: &[u8], limit: usize) -> Option<usize> {
        let limit = limit.min(bytes.len());
        while self.at + BLOCK <= limit {
            let end = blocks::block(bytes, self.at).and_then(|block| self.step(ShapeMasks::of(block), BLOCK));
            if let Some(end) = end {
                return Some(self.at + end);
            }
            self.at += BLOCK;
        }
        // What is left of a block is looked at again once it is whole.
        let mut rest = *self;
        let masks = ShapeMasks::of(&blocks::last_block(bytes, self.at));
        rest.step(masks, limit.saturating_sub(self.at)).map(|end| self.at + end)
    }

    #[inline(always)]
    fn step(&mut self, masks: ShapeMasks, length: usize) -> Option<usize> {
        let quote = below(masks.quote, length) & !self.escaped_by(below(masks.backslash, length));
        let in_string = prefix_xor(quote) ^ self.in_string;
        self.in_string = if in_string >> (BLOCK - 1) == 1 { Mask::MAX } else { 0 };
        let mut open = below(masks.open, length) & !in_string;
        let mut close = below(masks.close, length) & !in_string;
        let (opened, closed) = (u64::from(open.count_ones()), u64::from(close.count_ones()));
        if self.depth > closed {
            self.depth = self.depth + opened - closed;
            return None;
        }
        while close != 0 {
            let first = close.trailing_zeros() as usize;
            let before = below(open, first);
            self.depth += u64::from(before.count_ones());
            open &= !before;
            self.depth = self.depth.saturating_sub(1);
            if self.depth == 0 {
                return Some(first + 1);
            }
            close &= close - 1;
        }
        self.depth += u64::from(open.count_ones());
        None
    }

    /// The bytes of the block that a backslash escapes.
    #[inline(always)]
    fn escaped_by(&mut self, backslash: Mask) -> Mask {
        const EVEN: Mask = 0x5555_5555_5555_5555;
        if backslash == 0 {
            return std::mem::take(&mut self.escaped);
        }
        let backslash = backslash & !self.escaped;
        let follows = backslash << 1 | self.escaped;
        let odd_starts = backslash & !EVEN & !follows;
        let (even_runs, overflow) = odd_starts.overflowing_add(backslash);
        self.escaped = Mask::from(overflow);
        (EVEN ^ (even_runs << 1)) & follows
    }
}

/// Each bit becomes the parity of itself and the bits below it.
#[inline(always)]
fn prefix_xor(mut mask: Mask) -> Mask {
    for shift in [1, 2, 4, 8, 16, 32] {
        mask ^= mask << shift;
    }
    mask
}
