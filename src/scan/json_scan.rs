//! Finds the end of a JSON value without parsing it.

use super::blocks::{self, BLOCK, Mask, StructuralMasks, below, escaped_by};

/// Finds the end of one JSON object or array by matching brackets outside strings.
///
/// Nothing else is checked: the delimited value may still be malformed. The scan can be resumed when more bytes arrive,
/// so a document that arrives in parts is scanned only once. Blocks of 64 bytes are reduced to bit masks, and a prefix
/// XOR over the quotes tells whether a byte is inside a string (the method of Langdale and Lemire, "Parsing Gigabytes
/// of JSON per Second", 2019).
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
    /// The start of the next block.
    at: usize,
    /// The number of brackets open before `at`.
    depth: u64,
    /// All ones if the block begins inside a string, else zero.
    in_string: Mask,
    /// One if the block's first byte is escaped, else zero.
    escaped: Mask,
}

impl JsonScanner {
    /// A scanner for the value whose opening bracket is at offset `start`.
    ///
    /// ```
    /// let mut scanner = catena::JsonScanner::new(2);
    /// assert_eq!(scanner.end(b"x {}", 4), Some(4));
    /// ```
    pub fn new(start: usize) -> Self {
        Self { at: start, depth: 0, in_string: 0, escaped: 0 }
    }

    /// The offset just past the value's closing bracket, or `None` if the value does not end before `limit`.
    ///
    /// On a repeated call, `bytes` must begin with the bytes of the previous call; more may follow them.
    ///
    /// ```
    /// let mut scanner = catena::JsonScanner::new(0);
    /// assert_eq!(scanner.end(br#"{"a":"#, 5), None);
    /// assert_eq!(scanner.end(br#"{"a":{}}"#, 8), Some(8));
    /// ```
    #[inline]
    pub fn end(&mut self, bytes: &[u8], limit: usize) -> Option<usize> {
        let limit = limit.min(bytes.len());
        while self.at + BLOCK <= limit {
            let end = blocks::block(bytes, self.at).and_then(|block| self.step(StructuralMasks::of(block), BLOCK));
            if let Some(end) = end {
                return Some(self.at + end);
            }
            self.at += BLOCK;
        }
        // A partial block is scanned on a copy, and again once it is complete.
        let mut rest = *self;
        let masks = StructuralMasks::of(&blocks::last_block(bytes, self.at));
        rest.step(masks, limit.saturating_sub(self.at)).map(|end| self.at + end)
    }

    /// Scans the first `length` bytes of a block. Returns the offset in the block just past the closing bracket.
    #[inline(always)]
    fn step(&mut self, masks: StructuralMasks, length: usize) -> Option<usize> {
        let quote = below(masks.quote, length) & !escaped_by(below(masks.backslash, length), &mut self.escaped);
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
}

/// Sets each bit to the parity of itself and all lower bits.
#[inline(always)]
fn prefix_xor(mut mask: Mask) -> Mask {
    for shift in [1, 2, 4, 8, 16, 32] {
        mask ^= mask << shift;
    }
    mask
}
