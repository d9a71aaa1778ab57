//! Bytes, 64 at a time: which of them end a line, may start something of interest, or give JSON its shape.
//!
//! Everything above this module works with positions; only this module touches every byte. Its vectors come from
//! [`wide`], which maps them to SSE2 on x86-64, NEON on AArch64 and `simd128` in the sandbox.

use wide::u8x16;

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

/// Sixteen bytes of a window, from `AT` on.
#[inline(always)]
fn lane<const AT: usize>(window: &Window) -> u8x16 {
    let lane = window.split_at(AT).1.first_chunk();
    u8x16::new(*lane.unwrap_or(&[0; 16]))
}

#[inline(always)]
fn is(lane: u8x16, byte: u8) -> u8x16 {
    lane.simd_eq(u8x16::splat(byte))
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
    /// Looks at one block; `None`, by far the commonest answer, says that both masks are empty.
    #[inline(always)]
    pub(crate) fn of(window: &Window) -> Option<Self> {
        let lanes = [
            Self::lane::<0, 1>(window),
            Self::lane::<16, 17>(window),
            Self::lane::<32, 33>(window),
            Self::lane::<48, 49>(window),
        ];
        let [a, b, c, d] = lanes;
        let any = ((a.0 | a.1) | (b.0 | b.1)) | ((c.0 | c.1) | (d.0 | d.1));
        if !any.any() {
            return None;
        }
        Some(Self { line_feed: join([a.0, b.0, c.0, d.0]), marker: join([a.1, b.1, c.1, d.1]) })
    }

    #[inline(always)]
    fn lane<const AT: usize, const NEXT: usize>(window: &Window) -> (u8x16, u8x16) {
        let (this, next) = (lane::<AT>(window), lane::<NEXT>(window));
        // `d`, `n` and `t` are the same but for these bits; so are `f`, `l`, `v`, `|` and `~`.
        let name = is(this & u8x16::splat(!0x1A), b'd') & is(next, b'N');
        // Lower-case letters have the high bits 011; so have `{`, `|`, `}`, `~` and the grave accent.
        let lower_case = is(next & u8x16::splat(0xE0), b'a' & 0xE0);
        let escape_or_joint = (is(this, b'\\') | is(this, b'_')) & lower_case;
        (is(this, b'\n'), name | escape_or_joint)
    }
}

#[inline(always)]
fn join([a, b, c, d]: [u8x16; 4]) -> Mask {
    let bits = |lane: u8x16| u64::from(lane.to_bitmask());
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
        let lanes = [lane::<0>(window), lane::<16>(window), lane::<32>(window), lane::<48>(window)];
        // `[` and `{`, `]` and `}` differ in one bit.
        let folded = lanes.map(|lane| lane | u8x16::splat(0x20));
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
