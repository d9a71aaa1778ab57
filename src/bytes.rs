//! Bytes, 64 at a time: which of them end a line, may start something of interest, or give JSON its shape.
//!
//! Everything above this module works with positions; only this module touches every byte. Its vectors come from
//! [`wide`], which maps them to SSE2 on x86-64, NEON on AArch64 and `simd128` in the sandbox.

use wide::i8x16;

/// How many bytes one step looks at.
pub(crate) const BLOCK: usize = 64;

/// A block and the byte behind it, so that a pair that begins on the last byte is seen.
type Window = [u8; BLOCK + 1];

/// One bit for each byte of a block, the first byte lowest.
pub(crate) type Mask = u64;

/// The window at `at`, or `None` where fewer than 65 bytes are left.
#[inline(always)]
pub(crate) fn window(bytes: &[u8], at: usize) -> Option<&Window> {
    bytes.get(at..)?.first_chunk()
}

/// The last window of `bytes`, filled up with zeros: zero is neither a line's end nor part of JSON's shape.
#[cold]
pub(crate) fn last_window(bytes: &[u8], at: usize) -> Window {
    let mut padded = [0; BLOCK + 1];
    for (to, from) in padded.iter_mut().zip(bytes.get(at..).unwrap_or_default()) {
        *to = *from;
    }
    padded
}

/// Sixteen bytes from `AT` on, as signed numbers.
#[inline(always)]
fn lane<const AT: usize, const LENGTH: usize>(bytes: &[u8; LENGTH]) -> i8x16 {
    let lane: &[u8; 16] = bytes.split_at(AT).1.first_chunk().unwrap_or(&[0; 16]);
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

/// Line ends, and the places where a [prefilter](crate::prefilter) has to look.
#[derive(Clone, Copy)]
pub(crate) struct LineMasks {
    /// Bytes that are LF.
    pub line_feed: Mask,
    /// First bytes of the pairs `tN`, `nN` and `dN` (as in `eventName`, `operationName`, `methodName`; five other letters
    /// before an `N` are taken along), and backslashes (`\u` is an escape that can spell anything) and underscores before
    /// lower-case letters.
    pub marker: Mask,
}

impl LineMasks {
    /// Looks at one block.
    #[inline(always)]
    pub(crate) fn of(window: &Window) -> Self {
        let [a, b, c, d] = [
            line_lanes::<0, 1, { BLOCK + 1 }>(window),
            line_lanes::<16, 17, { BLOCK + 1 }>(window),
            line_lanes::<32, 33, { BLOCK + 1 }>(window),
            line_lanes::<48, 49, { BLOCK + 1 }>(window),
        ];
        Self { line_feed: join([a.0, b.0, c.0, d.0]), marker: join([a.1, b.1, c.1, d.1]) }
    }
}

/// Where sixteen bytes end a line, and where they are markers.
#[inline(always)]
fn line_lanes<const AT: usize, const NEXT: usize, const LENGTH: usize>(bytes: &[u8; LENGTH]) -> (i8x16, i8x16) {
    let (this, next) = (lane::<AT, LENGTH>(bytes), lane::<NEXT, LENGTH>(bytes));
    // `d`, `n` and `t` are the same but for these bits; so are `f`, `l`, `v`, `|` and `~`.
    let name = is(this & all(!0x1A), b'd') & is(next, b'N');
    // The backslash and the underscore are the same but for these bits; so are `]` and `^`. Lower-case letters come behind
    // the underscore; so do five signs. As signed numbers all others are smaller.
    let underscore = all(b'_');
    let escape_or_joint = (this | all(3)).simd_eq(underscore) & next.simd_gt(underscore);
    (is(this, b'\n'), name | escape_or_joint)
}

/// How many bytes [`skip`] looks at in one step.
const STRIDE: usize = 2 * BLOCK;

/// Looks, block by block from `at` on, for one that holds something: its place, and what it holds. `None` where too little
/// is left to tell: from that place on. `bytes` may be looked at to their end.
///
/// Nearly all time goes here. It is a function of its own, and asks each byte for little at first, so that all it needs
/// stays in registers: a compiler of WebAssembly does not manage that in a large one.
#[inline(never)]
pub(crate) fn skip(bytes: &[u8], at: usize) -> (usize, Option<LineMasks>) {
    let mut rest = bytes.get(at..).unwrap_or_default();
    let length = rest.len();
    while let Some(stride) = rest.first_chunk::<{ STRIDE + 1 }>() {
        let first = rare::<0>(stride) | rare::<16>(stride) | rare::<32>(stride) | rare::<48>(stride);
        let second = rare::<64>(stride) | rare::<80>(stride) | rare::<96>(stride) | rare::<112>(stride);
        // A pair that begins on a block's last byte has its `N` in the next one.
        if (first | second).any() || stride.last() == Some(&b'N') {
            let at = at + (length - rest.len());
            if let Some(masks) = held(stride, 0) {
                return (at, Some(masks));
            }
            if let Some(masks) = held(stride, BLOCK) {
                return (at + BLOCK, Some(masks));
            }
        }
        rest = rest.get(STRIDE..).unwrap_or_default();
    }
    (at + (length - rest.len()), None)
}

/// Where sixteen bytes are of the few that everything in [`LineMasks`] has one of.
#[inline(always)]
fn rare<const AT: usize>(bytes: &[u8; STRIDE + 1]) -> i8x16 {
    let lane = lane::<AT, { STRIDE + 1 }>(bytes);
    (is(lane, b'\n') | is(lane, b'N')) | (is(lane, b'\\') | is(lane, b'_'))
}

/// What the block at `at` holds, if it is anything.
#[inline(never)]
fn held(stride: &[u8; STRIDE + 1], at: usize) -> Option<LineMasks> {
    let masks = LineMasks::of(window(stride, at)?);
    (masks.line_feed | masks.marker != 0).then_some(masks)
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
    pub(crate) fn of(window: &Window) -> Self {
        let lanes = [
            lane::<0, { BLOCK + 1 }>(window),
            lane::<16, { BLOCK + 1 }>(window),
            lane::<32, { BLOCK + 1 }>(window),
            lane::<48, { BLOCK + 1 }>(window),
        ];
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

    /// Byte by byte, from `at` on: where the first block with a line's end or a marker begins.
    fn first_block_with_something(bytes: &[u8], at: usize) -> Option<usize> {
        let holds = |at: usize| {
            let pair = |first: fn(u8) -> bool, second: fn(u8) -> bool| {
                first(bytes[at]) && bytes.get(at + 1).is_some_and(|byte| second(*byte))
            };
            bytes[at] == b'\n'
                || pair(|byte| matches!(byte, b't' | b'n' | b'd'), |byte| byte == b'N')
                || pair(|byte| matches!(byte, b'\\' | b'_'), |byte| byte.is_ascii_lowercase())
        };
        (at..bytes.len()).find(|at| holds(*at)).map(|found| at + (found - at) / BLOCK * BLOCK)
    }

    /// What is rare and what is not, with long runs of the latter, so that pairs stand alone on either side of a block's end.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        let run = (0..200_usize).prop_map(|length| vec![b'a'; length]);
        let rare =
            prop::sample::select(vec!["tN", "nN", "dN", "N", "t", "\n", "\\u", "_n", "_", "\\", "_N", "aN", "\\\\"]);
        let rare = rare.prop_map(|text| text.as_bytes().to_vec());
        prop::collection::vec(prop_oneof![run, rare], 0..6).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn nothing_is_skipped_that_holds_something(bytes in text(), at in 0..80_usize) {
            let at = at.min(bytes.len());
            let (found, masks) = skip(&bytes, at);
            prop_assert_eq!((found - at) % BLOCK, 0);
            prop_assert!(masks.is_none_or(|masks| masks.line_feed | masks.marker != 0));
            match first_block_with_something(&bytes, at) {
                Some(expected) => prop_assert!(found <= expected),
                None => prop_assert!(masks.is_some() || bytes.len() - found <= STRIDE),
            }
        }
    }
}
