//! The search for *anchors*: the few bytes that the [prefilter](super::prefilter) has to examine.
//!
//! Each action key has one byte that is rare in records, such as the `N` of `eventName` or the underscore of
//! `method_name`. The search compares every byte of a batch with these anchors, the line feed and the backslash, then
//! checks the two bytes adjacent to each hit. It never searches for byte pairs: a pair that spans two blocks would be
//! missed.

use wide::i8x16;

use super::blocks::{self, BLOCK, Lanes, Mask};

/// The maximum number of distinct anchor bytes for all keys together.
const MAX_BYTES: usize = 4;

/// Above this many hits in a block, as in a string that holds JSON, most are ruled out together instead of one by one.
const MANY_HITS: u32 = 3;

/// The anchor bytes of a set of keys, and the adjacent bytes that make an anchor a candidate.
#[derive(Clone, Debug)]
pub(crate) struct Anchors {
    /// The anchor bytes; unused entries repeat the first one.
    bytes: [u8; MAX_BYTES],
    /// The number of entries of `bytes` in use.
    used: usize,
    /// For each byte value: bit `i` is set if it may precede anchor `i`.
    before: [u8; 256],
    /// For each byte value: bit `i` is set if it is anchor `i`.
    anchor: [u8; 256],
    /// For each byte value: bit `i` is set if it may follow anchor `i`.
    after: [u8; 256],
    /// Whether every byte that may follow an anchor is a lower-case letter.
    lower_case_follows: bool,
}

/// Finds line feeds, backslashes and anchors in sixteen bytes.
trait Find: Copy {
    fn find(self, lane: i8x16) -> i8x16;
}

/// Anchors that are known when this is compiled.
#[derive(Clone, Copy)]
struct Constant<const A: u8, const B: u8>;

/// Any anchors.
#[derive(Clone, Copy)]
struct Variable<const N: usize>([i8x16; N]);

impl<const A: u8, const B: u8> Find for Constant<A, B> {
    #[inline(always)]
    fn find(self, lane: i8x16) -> i8x16 {
        let is = |byte| lane.simd_eq(blocks::splat(byte));
        (is(b'\n') | is(A)) | (is(b'\\') | is(B))
    }
}

impl<const N: usize> Find for Variable<N> {
    #[inline(always)]
    fn find(self, lane: i8x16) -> i8x16 {
        let ends = lane.simd_eq(blocks::splat(b'\n')) | lane.simd_eq(blocks::splat(b'\\'));
        self.0.into_iter().fold(ends, |found, anchor| found | lane.simd_eq(anchor))
    }
}

impl Anchors {
    /// Chooses an anchor for each name, and returns the anchors with the position of each in its name.
    ///
    /// `None` if the names need more than four distinct bytes, or if a name is shorter than three. The first letter of
    /// a name may be in either case, so it cannot be an anchor.
    pub(crate) fn choose(names: &[&str]) -> Option<(Self, Vec<usize>)> {
        let mut anchors = Self {
            bytes: [b'\n'; MAX_BYTES],
            used: 0,
            anchor: [0; 256],
            before: [0; 256],
            after: [0; 256],
            lower_case_follows: true,
        };
        let mut positions = Vec::new();
        for name in names {
            let position = anchors.position_in(name.as_bytes())?;
            anchors.add(name.as_bytes(), position)?;
            positions.push(position);
        }
        let [first, ..] = anchors.bytes;
        anchors.bytes.iter_mut().skip(anchors.used).for_each(|unused| *unused = first);
        Some((anchors, positions))
    }

    /// The position of the best anchor in a name: a byte that is already an anchor, since it adds no cost, or else the
    /// rarest. The first and the last byte do not qualify.
    ///
    /// `None` for a name shorter than three bytes.
    fn position_in(&self, name: &[u8]) -> Option<usize> {
        let inner = name.len().checked_sub(1).filter(|last| *last > 1)?;
        (1..inner).min_by_key(|at| {
            let byte = name.get(*at).copied().unwrap_or_default();
            (!self.known().contains(&byte), commonness(byte))
        })
    }

    /// The anchor bytes in use.
    fn known(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }

    /// Makes the byte at `position` of `name` an anchor. `None` if that is one anchor byte too many.
    fn add(&mut self, name: &[u8], position: usize) -> Option<()> {
        let byte = *name.get(position)?;
        let place = match self.known().iter().position(|known| *known == byte) {
            Some(place) => place,
            None => {
                *self.bytes.get_mut(self.used)? = byte;
                self.used += 1;
                self.used - 1
            }
        };
        let before = *name.get(position.checked_sub(1)?)?;
        let after = *name.get(position + 1)?;
        // The first letter of a key may be in either case.
        let cases =
            if position == 1 { [before.to_ascii_lowercase(), before.to_ascii_uppercase()] } else { [before; 2] };
        for before in cases {
            *self.before.get_mut(usize::from(before))? |= 1 << place;
        }
        *self.after.get_mut(usize::from(after))? |= 1 << place;
        *self.anchor.get_mut(usize::from(byte))? |= 1 << place;
        self.lower_case_follows &= after.is_ascii_lowercase();
        Some(())
    }

    /// The position, from `at` on, of the next byte that ends a line, may be the anchor of a key, or begins a `\u`
    /// escape; the length of `bytes` if there is none.
    ///
    /// Nearly all of the engine's time is spent here, so each byte is compared with few others, all kept in registers.
    #[inline]
    pub(crate) fn next_candidate(&self, bytes: &[u8], at: usize) -> usize {
        match (self.used, self.bytes) {
            // What the keys of all clouds need. As constants they take no register: a fifth faster in the sandbox.
            (2, [b'N', b'_', ..]) => self.next_candidate_of(Constant::<b'N', b'_'>, bytes, at),
            (..=2, [a, b, ..]) => self.next_candidate_of(Variable([a, b].map(blocks::splat)), bytes, at),
            (_, anchors) => self.next_candidate_of(Variable(anchors.map(blocks::splat)), bytes, at),
        }
    }

    /// [`next_candidate`](Self::next_candidate) for one way to find anchors.
    ///
    /// A separate function so that its constants stay in registers: WebAssembly compilers do not manage that in a large
    /// function. Each iteration handles two blocks, to share the loop overhead.
    #[inline(never)]
    fn next_candidate_of(&self, anchors: impl Find, bytes: &[u8], at: usize) -> usize {
        let rare = |block: &[u8; BLOCK]| Lanes::of(block).map(|lane| anchors.find(lane));
        let mut rest = bytes.get(at..).unwrap_or_default();
        while let Some((first, after)) = rest.split_first_chunk()
            && let Some((second, after)) = after.split_first_chunk()
        {
            let (rare_first, rare_second) = (rare(first), rare(second));
            let (in_first, in_second) = (rare_first.union(), rare_second.union());
            if (in_first | in_second).any() {
                let at = bytes.len() - rest.len();
                if in_first.any()
                    && let Some(candidate) = self.first_candidate(bytes, at, first, rare_first.mask())
                {
                    return candidate;
                }
                if in_second.any()
                    && let Some(candidate) = self.first_candidate(bytes, at + BLOCK, second, rare_second.mask())
                {
                    return candidate;
                }
            }
            rest = after;
        }
        let at = bytes.len() - rest.len();
        let in_rest = rest.chunks(BLOCK).enumerate().find_map(|(number, chunk)| {
            let block = blocks::last_block(chunk, 0);
            self.first_candidate(bytes, at + number * BLOCK, &block, rare(&block).mask())
        });
        in_rest.unwrap_or(bytes.len())
    }

    /// The position of the first candidate among the hits in `mask`, which belong to the `block` at `at`.
    #[inline]
    fn first_candidate(&self, bytes: &[u8], at: usize, block: &[u8; BLOCK], mut mask: Mask) -> Option<usize> {
        if mask.count_ones() > MANY_HITS && self.lower_case_follows {
            mask &= before_lower_case(block);
        }
        while mask != 0 {
            let here = at + mask.trailing_zeros() as usize;
            if self.is_candidate(bytes, here) {
                return Some(here);
            }
            mask &= mask - 1;
        }
        None
    }

    /// Whether the byte at `at` ends a line, begins a `\u` escape, which can spell any letter, or is the anchor of a
    /// key according to the adjacent bytes.
    #[inline]
    fn is_candidate(&self, bytes: &[u8], at: usize) -> bool {
        let Some(byte) = bytes.get(at) else { return false };
        match byte {
            b'\n' => true,
            b'\\' => bytes.get(at + 1) == Some(&b'u'),
            _ => {
                let of = |table: &[u8; 256], byte: Option<&u8>| {
                    byte.map_or(0, |byte| table.get(usize::from(*byte)).copied().unwrap_or(0))
                };
                let before = at.checked_sub(1).and_then(|before| bytes.get(before));
                of(&self.after, bytes.get(at + 1)) & of(&self.before, before) & of(&self.anchor, Some(byte)) != 0
            }
        }
    }
}

/// The bytes of a block that precede a lower-case letter, and its line feeds. The last byte is always included, because
/// the byte after it is outside the block.
#[inline(never)]
fn before_lower_case(block: &[u8; BLOCK]) -> Mask {
    let lanes = Lanes::of(block);
    // As signed bytes, only the lower-case letters and six other bytes (`` ` ``, `{`, `|`, `}`, `~`, DEL) exceed `_`.
    lanes.equal(b'\n').mask() | lanes.above(b'_').mask() >> 1 | 1 << (BLOCK - 1)
}

/// A rough rank of a byte by its frequency in audit records; the rarest bytes rank lowest.
fn commonness(byte: u8) -> usize {
    match byte {
        b'_' => 0,
        b'A'..=b'Z' | b'0'..=b'9' => 1,
        _ => 2 + b"qjzxkwvbyfghumpdclsnoriate".iter().position(|letter| *letter == byte).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Anchors and near misses between long runs of filler, so that anchors occur on both sides of a block boundary.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        let run = (0..200_usize).prop_map(|length| vec![b'x'; length]);
        let parts = [
            "tNa", "nNa", "dNa", "N", "tN", "t", "\n", "\\u", "d_n", "s_u", "r_i", "_", "\\", "_N", "aN", "\\\\",
            "]J^", "eVe", "EVe", "V", "_n",
        ];
        let part = prop::sample::select(parts.to_vec()).prop_map(|text| text.as_bytes().to_vec());
        prop::collection::vec(prop_oneof![run, part], 0..6).prop_map(|parts| parts.concat())
    }

    fn names() -> impl Strategy<Value = Vec<&'static str>> {
        let all = vec![
            "eventName",
            "operationName",
            "methodName",
            "method_name",
            "class_uid",
            "user_identity",
            "eVent",
            "action",
        ];
        prop::sample::subsequence(all, 0..=8)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn no_candidate_is_missed(bytes in text(), at in 0..80_usize, names in names()) {
            let at = at.min(bytes.len());
            let (anchors, positions) = Anchors::choose(&names).unwrap();
            let is_candidate = |at: usize| {
                bytes[at] == b'\n' || bytes[at..].starts_with(b"\\u") || names.iter().zip(&positions).any(|(name, position)| {
                    let around = &name.as_bytes()[position - 1..=position + 1];
                    let there = at.checked_sub(1).and_then(|before| bytes.get(before..at + 2));
                    there.is_some_and(|there| match position {
                        1 => there[0].eq_ignore_ascii_case(&around[0]) && there[1..] == around[1..],
                        _ => there == around,
                    })
                })
            };
            // An anchor may also match on bytes adjacent to it in another key: more candidates, never fewer.
            let found = anchors.next_candidate(&bytes, at);
            let first = (at..bytes.len()).find(|at| is_candidate(*at)).unwrap_or(bytes.len());
            prop_assert!(found <= first, "{found} {first}");
            prop_assert!(found == bytes.len() || anchors.is_candidate(&bytes, found));
        }
    }

    #[test]
    fn keys_in_camel_case_and_snake_case_share_two_anchors() {
        let names = ["eventName", "operationNameValue", "methodName", "method_name", "class_uid", "user_identity"];
        let (anchors, positions) = Anchors::choose(&names).unwrap();
        assert_eq!(anchors.known(), b"N_");
        assert_eq!(positions, [5, 9, 6, 6, 5, 4]);
    }

    #[test]
    fn more_keys_than_anchors_can_serve_are_refused() {
        assert!(Anchors::choose(&["aqqa", "ajja", "azza", "axxa", "akka"]).is_none());
        assert!(Anchors::choose(&["ab"]).is_none(), "a two-byte name has no inner byte");
    }
}
