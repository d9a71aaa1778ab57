//! The actions that rules name, and whether a text is one of them.

use hashbrown::HashMap;
use memchr::memchr2;

use super::word::{CASE, Word, first_eight, has_backslash, last_eight};

/// The actions of all rules, however many: most texts are ruled out by their first eight bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Actions {
    /// The beginnings of the actions of eight bytes or more, as a Bloom filter.
    starts: Vec<u64>,
    /// These actions.
    long: HashMap<LongKey, Vec<Box<[u8]>>>,
    /// The shorter actions, by their first byte with the bit of lower case set.
    short: Vec<Vec<ShortAction>>,
    /// All actions.
    all: Vec<Box<[u8]>>,
    /// The length of the longest action.
    longest: usize,
}

/// An action of less than eight bytes.
#[derive(Clone, Debug)]
struct ShortAction {
    text: Box<[u8]>,
    /// Its bytes, each with [`CASE`] set.
    start: Word,
}

/// Words in the filter.
const WORDS: usize = 64;

/// The word of the filter, and the bit in it, that a beginning has.
#[inline(always)]
fn place(start: u64) -> (usize, u64) {
    let mixed = start.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 52;
    ((mixed / 64) as usize % WORDS, 1 << (mixed % 64))
}

/// What a long action is found by: its first and last eight bytes, with [`CASE`] set, and its length.
type LongKey = (u64, u64, usize);

fn key(text: &[u8]) -> LongKey {
    (first_eight(text) | CASE, last_eight(text) | CASE, text.len())
}

impl Actions {
    #[cold]
    pub(super) fn new<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut actions = Self { starts: vec![0; WORDS], short: vec![Vec::new(); 256], ..Self::default() };
        for text in texts {
            actions.longest = actions.longest.max(text.len());
            actions.all.push(text.into());
            if text.len() >= size_of::<u64>() {
                let (word, bit) = place(first_eight(text) | CASE);
                if let Some(word) = actions.starts.get_mut(word) {
                    *word |= bit;
                }
                actions.long.entry(key(text)).or_default().push(text.into());
            } else {
                let first = text.first().copied().unwrap_or(b'"') | 0x20;
                let start = Word::new(first_eight(text) | CASE, text.len()).masked();
                if let Some(short) = actions.short.get_mut(usize::from(first)) {
                    short.push(ShortAction { text: text.into(), start });
                }
            }
        }
        actions
    }

    /// Whether a string whose content begins with `text` is an action, ignoring case and backslashes.
    #[inline]
    pub(super) fn contains(&self, text: &[u8]) -> bool {
        let start = first_eight(text);
        if has_backslash(start) {
            return self.contains_escaped(text);
        }
        let folded = start | CASE;
        let short = self.short.get((folded & 0xFF) as usize).map_or(&[][..], Vec::as_slice);
        if short.iter().any(|action| action.start.is(folded) && is_text(text, &action.text)) {
            return true;
        }
        let (word, bit) = place(folded);
        self.starts.get(word).is_some_and(|word| word & bit != 0) && self.contains_long(text)
    }

    /// [`contains`](Self::contains) for a text that begins like an action of eight bytes or more.
    #[inline(never)]
    fn contains_long(&self, text: &[u8]) -> bool {
        let near = text.get(..=self.longest).unwrap_or(text);
        let Some(end) = memchr2(b'"', b'\\', near) else { return false };
        if text.get(end) == Some(&b'\\') {
            return self.contains_escaped(text);
        }
        let text = text.get(..end).unwrap_or_default();
        let alike = self.long.get(&key(text)).map_or(&[][..], Vec::as_slice);
        alike.iter().any(|action| action.eq_ignore_ascii_case(text))
    }

    /// [`contains`](Self::contains) for a text with a backslash: before a slash, or in a text that holds JSON.
    #[cold]
    fn contains_escaped(&self, text: &[u8]) -> bool {
        self.all.iter().any(|action| is_text(text, action))
    }
}

/// Whether the string whose content begins with `text` equals `action`, ignoring case and backslashes.
#[inline]
fn is_text(text: &[u8], action: &[u8]) -> bool {
    let same = text.iter().zip(action).take_while(|(byte, other)| byte.eq_ignore_ascii_case(other)).count();
    match text.get(same) {
        Some(b'"') => same == action.len(),
        Some(b'\\') => is_text_with_backslashes(text, action),
        _ => false,
    }
}

/// [`is_text`] for a string with backslashes.
#[cold]
fn is_text_with_backslashes(text: &[u8], action: &[u8]) -> bool {
    let mut text = text.iter().filter(|byte| **byte != b'\\');
    action.iter().all(|byte| text.next().is_some_and(|other| other.eq_ignore_ascii_case(byte)))
        && text.next() == Some(&b'"')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_text_is_an_action_if_it_is_one_of_them(
            actions in prop::collection::vec("[aA]{1,3}|Create[A-C]{0,4}|Create[A-C]{0,3}Template[AB]|a/b/[a-c]{5}", 0..12),
            texts in prop::collection::vec("[aA]{1,3}|[cC]reate[a-cA-C]{0,4}|Create[A-C]{0,3}Template[AB]|a\\\\/b\\\\/[a-c]{5}|a/b/[a-c]{5}", 0..12),
            after in "[a\"\\\\]{0,9}",
        ) {
            let compiled = Actions::new(actions.iter().map(String::as_bytes));
            for text in &texts {
                let plain = text.replace('\\', "");
                let expected = actions.iter().any(|action| action.eq_ignore_ascii_case(&plain));
                prop_assert_eq!(compiled.contains(format!("{text}\"{after}").as_bytes()), expected, "{}", text);
            }
        }
    }
}
