//! Up to eight bytes as one number, so that the prefilter compares them in one operation.

/// The bit that turns a letter into lower case, for each of eight bytes.
pub(super) const CASE: u64 = 0x2020_2020_2020_2020;

/// Up to eight bytes of a key as a number: comparing them is one operation and no call. Longer parts are compared as
/// far as their eight bytes next to the anchor, which lets more through and never less.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    bytes: u64,
    mask: u64,
    /// The bit that turns the first letter into lower case, if it may be in either.
    fold: u64,
    /// The length of the whole part.
    pub(super) length: usize,
}

impl Word {
    /// The bytes before an anchor.
    pub(super) fn before(part: &[u8]) -> Self {
        let word = Self::new(last_eight(part), part.len());
        let is_letter = part.first().is_some_and(u8::is_ascii_alphabetic);
        let fold = if is_letter && part.len() <= 8 { 0x20 << (8 * (part.len() - 1)) } else { 0 };
        Self { bytes: word.bytes | fold, fold, ..word }
    }

    /// The bytes after an anchor.
    pub(super) fn after(part: &[u8]) -> Self {
        Self::new(first_eight(part), part.len())
    }

    pub(super) fn new(bytes: u64, length: usize) -> Self {
        let mask = if length < 8 { (1 << (8 * length)) - 1 } else { u64::MAX };
        Self { bytes, mask, fold: 0, length }
    }

    /// The word without the bytes beyond its length.
    pub(super) fn masked(self) -> Self {
        Self { bytes: self.bytes & self.mask, ..self }
    }

    #[inline(always)]
    pub(super) fn is(self, bytes: u64) -> bool {
        (bytes | self.fold) & self.mask == self.bytes
    }
}

/// Whether one of eight bytes is a backslash (Warren, "Hacker's Delight", 6-1).
#[inline(always)]
pub(super) fn has_backslash(bytes: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let zero_where = bytes ^ (ONES * u64::from(b'\\'));
    zero_where.wrapping_sub(ONES) & !zero_where & (ONES << 7) != 0
}

/// The first eight bytes, the first one lowest; zeros if there are fewer.
#[inline(always)]
pub(super) fn first_eight(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(eight) => u64::from_le_bytes(*eight),
        None => bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// The last eight bytes, the last one lowest; zeros if there are fewer.
#[inline(always)]
pub(super) fn last_eight(bytes: &[u8]) -> u64 {
    match bytes.last_chunk() {
        Some(eight) => u64::from_be_bytes(*eight),
        None => bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}
