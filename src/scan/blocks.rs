//! Blocks of 64 bytes, compared as vectors and reduced to bit masks.
//!
//! Only this module touches every byte; the layers above work with positions. The vectors come from [`wide`], which
//! maps them to SSE2 on x86-64, NEON on AArch64 and `simd128` in the sandbox.

use wide::i8x16;

/// The number of bytes in a block.
pub(crate) const BLOCK: usize = 64;

/// One bit per byte of a block; the first byte is the lowest bit.
pub(crate) type Mask = u64;

/// The block at `at`; `None` if fewer than 64 bytes are left.
#[inline(always)]
pub(crate) fn block(bytes: &[u8], at: usize) -> Option<&[u8; BLOCK]> {
    bytes.get(at..)?.first_chunk()
}

/// The last, partial block of `bytes`, from `at` on, padded with zeros. A zero neither ends a line nor is a JSON token.
#[cold]
pub(crate) fn last_block(bytes: &[u8], at: usize) -> [u8; BLOCK] {
    let mut padded = [0; BLOCK];
    for (to, from) in padded.iter_mut().zip(bytes.get(at..).unwrap_or_default()) {
        *to = *from;
    }
    padded
}

/// A vector with `byte` in every lane.
#[inline(always)]
pub(super) fn splat(byte: u8) -> i8x16 {
    i8x16::splat(byte.cast_signed())
}

/// A block as four vectors of sixteen signed bytes, or the result of a comparison: a byte that matches is all ones.
#[derive(Clone, Copy)]
pub(super) struct Lanes([i8x16; 4]);

impl Lanes {
    /// Loads a block.
    #[inline(always)]
    pub(super) fn of(block: &[u8; BLOCK]) -> Self {
        Self([lane::<0>(block), lane::<16>(block), lane::<32>(block), lane::<48>(block)])
    }

    #[inline(always)]
    pub(super) fn map(self, each: impl Fn(i8x16) -> i8x16) -> Self {
        Self(self.0.map(each))
    }

    /// The bytes equal to `byte`.
    #[inline(always)]
    pub(super) fn equal(self, byte: u8) -> Self {
        let byte = splat(byte);
        self.map(|lane| lane.simd_eq(byte))
    }

    /// The bytes greater than `byte`, as signed numbers.
    #[inline(always)]
    pub(super) fn above(self, byte: u8) -> Self {
        let byte = splat(byte);
        self.map(|lane| lane.simd_gt(byte))
    }

    /// The bitwise OR of the four vectors, to test whether anything is set.
    #[inline(always)]
    pub(super) fn union(self) -> i8x16 {
        let [a, b, c, d] = self.0;
        (a | b) | (c | d)
    }

    /// One bit per byte, taken from the byte's sign bit.
    #[inline(always)]
    pub(super) fn mask(self) -> Mask {
        let [a, b, c, d] = self.0;
        let bits = |lane: i8x16| u64::from(lane.to_bitmask());
        bits(a) | bits(b) << 16 | bits(c) << 32 | bits(d) << 48
    }
}

/// The sixteen bytes of a block from `AT` on.
#[inline(always)]
fn lane<const AT: usize>(block: &[u8; BLOCK]) -> i8x16 {
    let lane: &[u8; 16] = block.split_at(AT).1.first_chunk().unwrap_or(&[0; 16]);
    i8x16::new(lane.map(u8::cast_signed))
}

/// The positions of JSON's structural bytes in a block, including those inside strings.
#[derive(Clone, Copy)]
pub(crate) struct StructuralMasks {
    /// `"`.
    pub quote: Mask,
    /// `\`.
    pub backslash: Mask,
    /// `[` and `{`.
    pub open: Mask,
    /// `]` and `}`.
    pub close: Mask,
}

impl StructuralMasks {
    /// The masks of one block.
    #[inline(always)]
    pub(crate) fn of(block: &[u8; BLOCK]) -> Self {
        let lanes = Lanes::of(block);
        // `[` and `{` differ only in bit 5, and so do `]` and `}`.
        let folded = lanes.map(|lane| lane | splat(0x20));
        Self {
            quote: lanes.equal(b'"').mask(),
            backslash: lanes.equal(b'\\').mask(),
            open: folded.equal(b'{').mask(),
            close: folded.equal(b'}').mask(),
        }
    }
}

/// The bytes of a block that are escaped by one of its backslashes. `carry` is one if the block's first byte is escaped by
/// the block before, else zero; it is set for the next block.
#[inline(always)]
pub(super) fn escaped_by(backslash: Mask, carry: &mut Mask) -> Mask {
    const EVEN: Mask = 0x5555_5555_5555_5555;
    if backslash == 0 {
        return std::mem::take(carry);
    }
    let backslash = backslash & !*carry;
    let follows = backslash << 1 | *carry;
    let odd_starts = backslash & !EVEN & !follows;
    let (even_runs, overflow) = odd_starts.overflowing_add(backslash);
    *carry = Mask::from(overflow);
    (EVEN ^ (even_runs << 1)) & follows
}

/// The bits of `mask` below `bit`; all bits if `bit` is 64 or more.
#[inline(always)]
pub(crate) fn below(mask: Mask, bit: usize) -> Mask {
    if bit >= BLOCK { mask } else { mask & ((1 << bit) - 1) }
}

/// Whether `byte` is white space between JSON tokens.
#[inline(always)]
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The first position from `at` on that is not white space, or `end` if everything before it is.
#[inline(always)]
pub(crate) fn skip_space(bytes: &[u8], at: usize, end: usize) -> usize {
    let rest = bytes.get(at..end).unwrap_or_default();
    at + rest.iter().take_while(|byte| is_space(**byte)).count()
}
