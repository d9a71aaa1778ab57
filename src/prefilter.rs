//! The prefilter: says from the raw bytes, without parsing, that a record cannot matter.
//!
//! It is sound and not exact: whatever the full parse would match it lets through, and it may let through more. An
//! action is matched by a rule only as the value of the record's `eventName`, so a record can matter only if, in its
//! raw bytes,
//!
//! - the key `"eventName"` is followed by a colon (white space allowed) and a string that is one of the rules' actions,
//!   at whatever depth: a nested one costs a parse, never a match; what is not a string is let through; or
//! - an escape spells a letter of such a key or value (`\u0052unInstances`). Letters, digits and the signs in action
//!   names have no other escape in JSON, and `\u003c`, which encoders write for `<`, is not one of those.
//!
//! `fuzz/fuzz_targets/prefilter.rs` holds it against the full parse.

use crate::bytes::{self, BLOCK, LineMasks, below};

/// The key whose value is the action in an AWS CloudTrail record.
const KEY: &[u8] = b"\"eventName\"";
/// How many bytes of [`KEY`] stand before the pair that [`LineMasks`] looks for.
const KEY_BEFORE_PAIR: usize = 5;

/// A line, or one record in a container, as the prefilter sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Where it ends: its LF, or the end of what was to be looked at.
    pub end: usize,
    /// Whether it can matter.
    pub candidate: bool,
}

/// What the rules look for, compiled.
#[derive(Clone, Debug)]
pub(crate) struct Prefilter {
    /// The actions by their first byte: most records are told apart by it.
    actions: Vec<Vec<Box<[u8]>>>,
    /// Bytes that an escape might stand for.
    spelled: [bool; 128],
}

impl Prefilter {
    /// Compiles the actions of all rules.
    pub(crate) fn new<'a>(actions: impl Iterator<Item = &'a str>) -> Self {
        let mut prefilter = Self { actions: vec![Vec::new(); 256], spelled: [false; 128] };
        prefilter.spell(KEY);
        for action in actions {
            prefilter.spell(action.as_bytes());
            let first = action.as_bytes().first().copied().unwrap_or(b'"');
            if let Some(same_first) = prefilter.actions.get_mut(usize::from(first))
                && !same_first.iter().any(|known| **known == *action.as_bytes())
            {
                same_first.push(action.as_bytes().into());
            }
        }
        prefilter
    }

    fn spell(&mut self, text: &[u8]) {
        for byte in text {
            if let Some(spelled) = self.spelled.get_mut(usize::from(*byte)) {
                *spelled = true;
            }
        }
    }

    /// Looks at `batch` from `start` to the next LF or to `limit`, whichever comes first.
    ///
    /// Costs one pass over the bytes; what it finds is looked at once each.
    #[inline]
    pub(crate) fn scan(&self, batch: &[u8], start: usize, limit: usize) -> Seen {
        let mut candidate = false;
        let mut at = start;
        while at < limit {
            let masks = match bytes::window(batch, at) {
                Some(window) => LineMasks::of(window),
                None => LineMasks::of(&bytes::last_window(batch, at)),
            };
            let Some(masks) = masks else {
                at += BLOCK;
                continue;
            };
            let line_feed = below(masks.line_feed, limit - at).trailing_zeros() as usize;
            let end = (at + line_feed).min(limit);
            let mut markers = below(masks.marker, end - at);
            while markers != 0 && !candidate {
                candidate = self.may_match(batch, start, at + markers.trailing_zeros() as usize);
                markers &= markers - 1;
            }
            if line_feed < BLOCK {
                return Seen { end, candidate };
            }
            at += BLOCK;
        }
        Seen { end: limit, candidate }
    }

    /// Whether the pair at `at`, in the record that begins at `start`, stands for an action of interest.
    #[inline]
    fn may_match(&self, batch: &[u8], start: usize, at: usize) -> bool {
        if batch.get(at) == Some(&b'\\') {
            return self.escape_may_spell(batch.get(at + 2..at + 6));
        }
        let Some(key) = at.checked_sub(KEY_BEFORE_PAIR).filter(|key| *key >= start) else {
            return false;
        };
        let behind = key + KEY.len();
        if batch.get(key..behind) != Some(KEY) {
            return false;
        }
        let colon = bytes::skip_space(batch, behind, batch.len());
        if batch.get(colon) != Some(&b':') {
            return false;
        }
        let value = bytes::skip_space(batch, colon + 1, batch.len());
        if batch.get(value) != Some(&b'"') {
            // A number or the like: rare enough to let the parser say.
            return true;
        }
        let Some(value) = batch.get(value + 1..) else {
            return false;
        };
        let same_first = value.first().and_then(|first| self.actions.get(usize::from(*first)));
        same_first.is_some_and(|actions| {
            actions.iter().any(|action| value.starts_with(action) && value.get(action.len()) == Some(&b'"'))
        })
    }

    #[cold]
    fn escape_may_spell(&self, digits: Option<&[u8]>) -> bool {
        let Some(code) = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        else {
            return true;
        };
        self.spelled.get(code as usize).copied().unwrap_or(false)
    }
}
