//! The prefilter: rules out records that no rule can match, from their raw bytes and without parsing.
//!
//! It is sound but not exact: it passes every record that the full parse would match, and may pass others. Rules match
//! an action only as the value of one of the clouds' [keys](ActionKey), so a record is a candidate only if its raw
//! bytes contain one of these:
//!
//! - Such a key, a colon (white space allowed), and a string that equals an action of the rules in any case, at any
//!   depth: a nested one costs a parse, but never causes a match. The same inside a string that holds JSON, with
//!   backslashes in between. A value that is not a string also passes.
//! - An escape that spells a character of such a key or value (`\u0052unInstances`). Apart from `\/`, JSON has no other
//!   escape for letters, digits and the punctuation in action names. `\u003c`, which encoders write for `<`, does not
//!   count.
//! - The mark of another schema (ECS, OCSF), whose own keys are too common to search for.
//! - An envelope whose content is base64. The [sniffer](super::sniff) recognises envelopes.
//!
//! A record without any such key is searched once more, for [other spellings](super::spelling) of them.
//!
//! `fuzz/fuzz_targets/prefilter.rs` checks it against the full parse.

use memchr::memchr;

use super::actions::Actions;
use super::anchors::Anchors;
use super::gap::Gap;
use super::spelling::{self, Otherwise};
use super::word::{Word, first_eight, last_eight};

/// The longest version prefix of a GCP method, such as `v1` or `beta`, in bytes.
pub(crate) const MAX_VERSION: usize = 16;

/// A key whose presence makes a record a candidate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ActionKey {
    /// Its name, at least three bytes long. The first letter matches in either case, because tables capitalise it.
    pub name: &'static str,
    /// The value it must have.
    pub expected: ExpectedValue,
}

/// The value a key must have for the record to be a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExpectedValue {
    /// An action of a rule.
    Action,
    /// An action of a rule, optionally after an API version: `v1.compute.instances.insert`.
    VersionedAction,
    /// Any value: the key marks a schema whose other keys are too common to search for.
    SchemaMarker,
}

/// The result of scanning one line, or one record of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scanned {
    /// The position of its LF, or the limit of the scan.
    pub end: usize,
    /// Whether a rule may match it.
    pub candidate: bool,
    /// The first key found, by its place in the list that the prefilter was made from. A key in a text that holds JSON
    /// does not count, because a caller may have written that text.
    pub key: Option<u8>,
    /// A key in another spelling or in a text, if there is no other and the record is no candidate.
    pub other_key: Option<u8>,
}

/// What the bytes around an anchor are.
enum Found {
    /// No key, or one in a text.
    Nothing,
    /// The key at this place, with a value that no rule matches.
    Key(u8),
    /// A key whose value a rule may match, or an escape that may spell one.
    Candidate(Option<u8>),
}

/// The keys and actions to search for, compiled.
#[derive(Clone, Debug)]
pub(crate) struct Prefilter {
    anchors: Anchors,
    keys: Vec<Key>,
    actions: Actions,
    /// The places of the keys that the [names of actions](spelling::places) spell otherwise.
    pub(super) other_names: [Option<u8>; 6],
    /// The ASCII characters that occur in a key or its value. A `\u` escape for one of them makes the record a
    /// candidate.
    escapable: [bool; 128],
}

/// A key, split at its anchor byte.
#[derive(Clone, Copy, Debug)]
struct Key {
    anchor: u8,
    /// The bytes before the anchor. The first letter may be in either case.
    before: Word,
    /// The bytes after the anchor.
    after: Word,
    expected: ExpectedValue,
    /// Its place among the keys.
    place: u8,
}

impl Prefilter {
    /// Compiles the keys of all clouds and the actions of all rules. `None` if the keys need too many distinct anchors,
    /// or a key is shorter than three bytes.
    pub(crate) fn new<'a>(keys: &[ActionKey], actions: impl Iterator<Item = &'a str>) -> Option<Self> {
        let names: Vec<_> = keys.iter().map(|key| key.name).collect();
        let (anchors, positions) = Anchors::choose(&names)?;
        let split = |(place, (key, position)): (u8, (&ActionKey, usize))| {
            let name = key.name.as_bytes();
            let (before, rest) = name.split_at_checked(position)?;
            let (anchor, after) = rest.split_first()?;
            let (before, after) = (Word::before(before), Word::after(after));
            Some(Key { anchor: *anchor, before, after, expected: key.expected, place })
        };
        let other_names = spelling::places(keys);
        let keys = (0..).zip(keys.iter().zip(positions)).map(split).collect::<Option<_>>()?;
        let mut prefilter = Self { anchors, keys, actions: Actions::default(), other_names, escapable: [false; 128] };
        prefilter.add_escapable(b"\"\\:{/._");
        // All letters and digits: version prefixes contain them, and encoders do not escape them.
        let alphanumeric: Vec<u8> = (0..128).filter(u8::is_ascii_alphanumeric).collect();
        prefilter.add_escapable(&alphanumeric);
        for name in names {
            prefilter.add_escapable(name.as_bytes());
        }
        let actions: Vec<_> = actions.map(str::as_bytes).collect();
        actions.iter().for_each(|action| prefilter.add_escapable(action));
        prefilter.actions = Actions::new(actions.into_iter());
        Some(prefilter)
    }

    /// Adds the characters of `text` to `escapable`.
    fn add_escapable(&mut self, text: &[u8]) {
        for byte in text {
            if let Some(escapable) = self.escapable.get_mut(usize::from(*byte)) {
                *escapable = true;
            }
        }
    }

    /// Scans `batch` from `start` to the next LF or to `limit`, whichever comes first.
    ///
    /// Costs one pass over the bytes, plus a check of each anchor found; a second pass if there is no key.
    #[inline]
    pub(crate) fn scan(&self, batch: &[u8], start: usize, limit: usize) -> Scanned {
        let batch = batch.get(..limit).unwrap_or(batch);
        let mut at = start;
        let mut key = None;
        loop {
            let found = self.anchors.next_candidate(batch, at);
            if matches!(batch.get(found), Some(b'\n') | None) {
                let otherwise = if key.is_none() { self.otherwise(batch, start, found) } else { Otherwise::Nothing };
                let other_key = if let Otherwise::Key(place) = otherwise { Some(place) } else { None };
                return Scanned { end: found, candidate: otherwise == Otherwise::Candidate, key, other_key };
            }
            at = found + 1;
            match self.at_anchor(batch, start, found) {
                Found::Nothing => {}
                Found::Key(place) => key = key.or(Some(place)),
                Found::Candidate(place) => {
                    let rest = batch.get(at..).unwrap_or_default();
                    let end = memchr(b'\n', rest).map_or(batch.len(), |length| at + length);
                    return Scanned { end, candidate: true, key: key.or(place), other_key: None };
                }
            }
        }
    }

    /// [`in_other_spelling`](Self::in_other_spelling) for bytes of a batch.
    #[cold]
    fn otherwise(&self, batch: &[u8], start: usize, end: usize) -> Otherwise {
        batch.get(start..end).map_or(Otherwise::Nothing, |record| self.in_other_spelling(record))
    }

    /// What the anchor at `at` belongs to, in the record that begins at `start`.
    #[inline]
    fn at_anchor(&self, batch: &[u8], start: usize, at: usize) -> Found {
        let (Some(before), Some(after), Some(anchor)) = (batch.get(start..at), batch.get(at + 1..), batch.get(at))
        else {
            return Found::Nothing;
        };
        if *anchor == b'\\' {
            return if self.escape_may_spell(after.get(1..5)) { Found::Candidate(None) } else { Found::Nothing };
        }
        let (word_before, word_after) = (last_eight(before), first_eight(after));
        for key in &self.keys {
            if key.after.is(word_after) && key.before.is(word_before) && key.anchor == *anchor {
                if self.value_may_match(*key, after) {
                    return Found::Candidate(Some(key.place));
                }
                // No other key has the same name.
                if is_whole_name(*key, before, after) {
                    return Found::Key(key.place);
                }
            }
        }
        Found::Nothing
    }

    /// Whether a rule may match the value of `key`. `after` begins with the bytes of the key after its anchor.
    #[inline]
    fn value_may_match(&self, key: Key, after: &[u8]) -> bool {
        let value = after.get(key.after.length..).unwrap_or_default();
        match (key.expected, value.strip_prefix(b"\":\"")) {
            (ExpectedValue::SchemaMarker, _) => true,
            // By far the most common form.
            (ExpectedValue::Action, Some(text)) => self.is_action(text),
            (ExpectedValue::VersionedAction, Some(text)) => self.is_versioned_action(text),
            (expected, None) => self.value_after_gap_may_match(expected, value),
        }
    }

    /// The same if the value does not follow directly: whether the value after a key's last letter, across white space
    /// and backslashes, may be an action of a rule.
    #[inline(never)]
    fn value_after_gap_may_match(&self, expected: ExpectedValue, after: &[u8]) -> bool {
        let text = Gap::new(after).pass(b'"').and_then(|gap| gap.pass(b':'));
        let Some(text) = text else {
            // A longer key does not match. If the key ends here, no colon was found or the gap is too long: pass.
            return matches!(after.first(), Some(b'"' | b'\\'));
        };
        match text.pass(b'"') {
            Some(text) if expected == ExpectedValue::VersionedAction => self.is_versioned_action(text.rest()),
            Some(text) => self.is_action(text.rest()),
            // An object that holds the action in a member, as in Azure's REST API, or an irrelevant value: the parser
            // decides.
            None => true,
        }
    }

    /// Whether a string whose content begins with `text` is an action of a rule, optionally after an API version.
    pub(super) fn is_versioned_action(&self, text: &[u8]) -> bool {
        if self.is_action(text) {
            return true;
        }
        let start = text.get(..MAX_VERSION + 1).unwrap_or(text);
        let dot = start.iter().position(|byte| matches!(byte, b'.' | b'"')).filter(|at| start.get(*at) == Some(&b'.'));
        dot.and_then(|dot| text.get(dot + 1..)).is_some_and(|text| self.is_action(text))
    }

    /// Whether a string whose content begins with `text` is an action of a rule.
    #[inline]
    fn is_action(&self, text: &[u8]) -> bool {
        self.actions.contains(text)
    }

    /// Whether a `\u` escape with these four digits spells a character of a key or its value. Malformed escapes pass.
    #[cold]
    fn escape_may_spell(&self, digits: Option<&[u8]>) -> bool {
        let Some(code) = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        else {
            return true;
        };
        self.escapable.get(code as usize).copied().unwrap_or(false)
    }
}

/// Whether a key is the whole name of a member, which is not in a text that holds JSON: between two quotes, the first of
/// which is not escaped. The next byte after the name's end is known to be a quote.
#[inline]
fn is_whole_name(key: Key, before: &[u8], after: &[u8]) -> bool {
    let Some(quote) = before.len().checked_sub(key.before.length + 1) else { return false };
    before.get(quote) == Some(&b'"')
        && after.get(key.after.length) == Some(&b'"')
        && quote.checked_sub(1).and_then(|escape| before.get(escape)) != Some(&b'\\')
}
