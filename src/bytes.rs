//! Bytes, 64 at a time: which of them end a line, may start something of interest, or give JSON its shape.
//!
//! Everything above this module works with positions; only this module touches every byte. Its vectors come from
//! [`wide`], which maps them to SSE2 on x86-64, NEON on AArch64 and `simd128` in the sandbox.

use wide::i8x16;

/// How many bytes one step looks at.
pub(crate) const BLOCK: usize = 64;

/// One bit for each byte of a block, the first byte lowest.
pub(crate) type Mask = u64;

/// The block at `at`, or `None` where fewer than 64 bytes are left.
#[inline(always)]
pub(crate) fn block(bytes: &[u8], at: usize) -> Option<&[u8; BLOCK]> {
    bytes.get(at..)?.first_chunk()
}

/// The last block of `bytes`, filled up with zeros: zero is neither a line's end nor part of JSON's shape.
#[cold]
pub(crate) fn last_block(bytes: &[u8], at: usize) -> [u8; BLOCK] {
    let mut padded = [0; BLOCK];
    for (to, from) in padded.iter_mut().zip(bytes.get(at..).unwrap_or_default()) {
        *to = *from;
    }
    padded
}

/// A block as vectors of sixteen signed numbers.
#[inline(always)]
fn lanes(block: &[u8; BLOCK]) -> [i8x16; 4] {
    [lane::<0>(block), lane::<16>(block), lane::<32>(block), lane::<48>(block)]
}

#[inline(always)]
fn lane<const AT: usize>(block: &[u8; BLOCK]) -> i8x16 {
    let lane: &[u8; 16] = block.split_at(AT).1.first_chunk().unwrap_or(&[0; 16]);
    i8x16::new(lane.map(u8::cast_signed))
}

#[inline(always)]
fn is(lane: i8x16, byte: u8) -> i8x16 {
    lane.simd_eq(all(byte))
}

#[inline(always)]
fn all(byte: u8) -> i8x16 {
    i8x16::splat(byte.cast_signed())
}

/// The place, from `at` on, of the next byte that ends a line or where a [prefilter](crate::prefilter) has to look; the
/// length of `bytes` where there is none.
///
/// Nearly all time goes here. It is a function of its own, and asks each byte for little at first, so that all it needs
/// stays in registers: a compiler of WebAssembly does not manage that in a large one. Two blocks a turn share what a turn
/// costs.
#[inline(never)]
pub(crate) fn next_mark(bytes: &[u8], at: usize) -> usize {
    let mut rest = bytes.get(at..).unwrap_or_default();
    while let Some((first, behind)) = rest.split_first_chunk()
        && let Some((second, behind)) = behind.split_first_chunk()
    {
        let (rare_first, rare_second) = (lanes(first).map(rare), lanes(second).map(rare));
        let (in_first, in_second) = (any(rare_first), any(rare_second));
        if (in_first | in_second).any() {
            let at = bytes.len() - rest.len();
            if in_first.any()
                && let Some(mark) = first_mark(bytes, at, first, join(rare_first))
            {
                return mark;
            }
            if in_second.any()
                && let Some(mark) = first_mark(bytes, at + BLOCK, second, join(rare_second))
            {
                return mark;
            }
        }
        rest = behind;
    }
    let at = bytes.len() - rest.len();
    let in_rest = rest.chunks(BLOCK).enumerate().find_map(|(number, chunk)| {
        let block = last_block(chunk, 0);
        first_mark(bytes, at + number * BLOCK, &block, join(lanes(&block).map(rare)))
    });
    in_rest.unwrap_or(bytes.len())
}

/// Where sixteen bytes are of the few that every mark is one of: LF, `N`, the backslash and the underscore.
#[inline(always)]
fn rare(lane: i8x16) -> i8x16 {
    (is(lane, b'\n') | is(lane, b'N')) | (is(lane, b'\\') | is(lane, b'_'))
}

#[inline(always)]
fn any([a, b, c, d]: [i8x16; 4]) -> i8x16 {
    (a | b) | (c | d)
}

/// Where a block has more rare bytes than this, as in a text that holds JSON, most are told apart at once and not one by one.
const MANY: u32 = 3;

/// The first of the bytes of `mask`, in the `block` that stands at `at`, that is a mark.
#[inline]
fn first_mark(bytes: &[u8], at: usize, block: &[u8; BLOCK], mut mask: Mask) -> Option<usize> {
    if mask.count_ones() > MANY {
        mask &= may_be_marks(block);
    }
    while mask != 0 {
        let here = at + mask.trailing_zeros() as usize;
        if is_mark(bytes, here) {
            return Some(here);
        }
        mask &= mask - 1;
    }
    None
}

/// The rare bytes of a block that may be marks: line ends, and what stands before a lower-case letter.
#[inline(never)]
fn may_be_marks(block: &[u8; BLOCK]) -> Mask {
    let lanes = lanes(block);
    let line_feed = join(lanes.map(|lane| is(lane, b'\n')));
    // As signed numbers only those letters and five signs are greater.
    let letter = join(lanes.map(|lane| lane.simd_gt(all(b'_'))));
    line_feed | letter >> 1 | 1 << (BLOCK - 1)
}

/// Whether the byte at `at` ends a line, is the `N` of `eventName`, `operationName`, `methodName` or others alike,
/// a backslash that begins an escape which can spell anything, or the underscore of `event_name` and other keys of another
/// schema.
#[inline]
fn is_mark(bytes: &[u8], at: usize) -> bool {
    match bytes.get(at) {
        Some(b'\n') => true,
        Some(b'N') => {
            let before = at.checked_sub(1).and_then(|before| bytes.get(before));
            matches!(before, Some(b't' | b'n' | b'd')) && bytes.get(at + 1) == Some(&b'a')
        }
        Some(b'\\') => bytes.get(at + 1) == Some(&b'u'),
        Some(b'_') => matches!(bytes.get(at + 1), Some(b'n' | b'u' | b'i')),
        _ => false,
    }
}

#[inline(always)]
fn join([a, b, c, d]: [i8x16; 4]) -> Mask {
    let bits = |lane: i8x16| u64::from(lane.to_bitmask());
    bits(a) | bits(b) << 16 | bits(c) << 32 | bits(d) << 48
}

/// The bytes that give JSON its shape, whether inside a string or not.
#[derive(Clone, Copy)]
pub(crate) struct ShapeMasks {
    pub quote: Mask,
    pub backslash: Mask,
    pub open: Mask,
    pub close: Mask,
}

impl ShapeMasks {
    /// Looks at one block.
    #[inline(always)]
    pub(crate) fn of(block: &[u8; BLOCK]) -> Self {
        let lanes = lanes(block);
        // `[` and `{`, `]` and `}` differ in one bit.
        let folded = lanes.map(|lane| lane | all(0x20));
        Self {
            quote: join(lanes.map(|lane| is(lane, b'"'))),
            backslash: join(lanes.map(|lane| is(lane, b'\\'))),
            open: join(folded.map(|lane| is(lane, b'{'))),
            close: join(folded.map(|lane| is(lane, b'}'))),
        }
    }
}

/// The bits of `mask` below `bit` (all of them where `bit` is 64 or more).
#[inline(always)]
pub(crate) fn below(mask: Mask, bit: usize) -> Mask {
    if bit >= BLOCK { mask } else { mask & ((1 << bit) - 1) }
}

/// Whether JSON takes `byte` for white space between tokens.
#[inline(always)]
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The first place at or behind `at`, and before `end`, that is no white space.
#[inline(always)]
pub(crate) fn skip_space(bytes: &[u8], at: usize, end: usize) -> usize {
    let rest = bytes.get(at..end).unwrap_or_default();
    at + rest.iter().take_while(|byte| is_space(**byte)).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is rare and what is not, with long runs of the latter, so that pairs stand alone on either side of a block's end.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        let run = (0..200_usize).prop_map(|length| vec![b'x'; length]);
        let pairs =
            ["tNa", "nNa", "dNa", "N", "tN", "t", "\n", "\\u", "_n", "_u", "_i", "_", "\\", "_N", "aN", "\\\\", "]J^"];
        let pair = prop::sample::select(pairs.to_vec()).prop_map(|text| text.as_bytes().to_vec());
        prop::collection::vec(prop_oneof![run, pair], 0..6).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn no_mark_is_passed_by(bytes in text(), at in 0..80_usize) {
            let at = at.min(bytes.len());
            // What may be a mark, and how many bytes before it matter.
            let marks: [(&[u8], usize); 8] =
                [(b"\n", 0), (b"tNa", 1), (b"nNa", 1), (b"dNa", 1), (b"\\u", 0), (b"_n", 0), (b"_u", 0), (b"_i", 0)];
            let is_mark = |at: usize| {
                marks.iter().any(|(mark, before)| at >= *before && bytes[at - before..].starts_with(mark))
            };
            let first = (at..bytes.len()).find(|at| is_mark(*at));
            prop_assert_eq!(next_mark(&bytes, at), first.unwrap_or(bytes.len()));
        }
    }
}
