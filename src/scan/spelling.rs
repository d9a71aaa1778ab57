//! Actions under another spelling of their key, and base64: what the [prefilter](super::prefilter) looks for in a record
//! that has none of the keys as the clouds spell them.
//!
//! Exports fold the case of names (`eventname`), separate words (`EVENT_NAME`), join the names of nested members
//! (`detail.eventName`), or put the record into a text. The search is several times slower than that for the keys, so only
//! records without any key pay for it.

use memchr::memchr_iter;

use super::gap::Gap;
use super::prefilter::{ActionKey, Prefilter};
use crate::util::spelling::reversed_letters;

/// The names of members that hold an action, in any schema: their letters, last first, and the key that has them.
///
/// `eventName`, `operationName`, its table column and `methodName` of the clouds; `event.action` of ECS and
/// `api.operation` of OCSF, which are no keys, because many documents have such members.
const NAMES: [(&[u8], Option<&str>); 6] = [
    (b"emantneve", Some("eventName")),
    (b"emannoitarepo", Some("operationName")),
    (b"eulavemannoitarepo", Some("operationNameValue")),
    (b"emandohtem", Some("methodName")),
    (b"noitca", None),
    (b"noitarepo", None),
];

/// The same for the marks of ECS and OCSF: `user_identity`, `resource_name` and `class_uid`.
const MARKS: [&[u8]; 3] = [b"ytitnediresu", b"emanecruoser", b"diussalc"];

/// How texts in base64 begin that hold a JSON object or a list of them, with or without white space after the first bracket or
/// a byte order mark before it, or a gzip stream.
const BASE64: [&[u8]; 7] = [b"ey", b"ew", b"W3", b"Ww", b"Wy", b"77u/", b"H4sI"];

/// What a record without any of the keys has instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Otherwise {
    /// Nothing that tells of a cloud.
    Nothing,
    /// The key at this place, in another spelling or in a text, with a value that no rule matches.
    Key(u8),
    /// An action of the rules under another spelling of a key, or a text that begins like records in base64.
    Candidate,
}

/// The place among `keys` of the key that each of the [`NAMES`] spells.
pub(super) fn places(keys: &[ActionKey]) -> [Option<u8>; NAMES.len()] {
    let place = |name: &str| (0..).zip(keys).find(|(_, key)| key.name == name).map(|(place, _)| place);
    NAMES.map(|(_, key)| key.and_then(place))
}

impl Prefilter {
    /// What a record has that has none of the keys as the clouds spell them.
    pub(super) fn in_other_spelling(&self, record: &[u8]) -> Otherwise {
        let mut otherwise = Otherwise::Nothing;
        let mut names_action = false;
        for quote in memchr_iter(b'"', record) {
            let (before, after) = record.split_at_checked(quote).unwrap_or_default();
            let after = after.get(1..).unwrap_or_default();
            if begins_like_base64(after) {
                return Otherwise::Candidate;
            }
            let Some(name) = action_name(before) else { continue };
            match self.value_may_be_action(after) {
                None => {}
                Some(true) => return Otherwise::Candidate,
                Some(false) => match self.other_names.get(name).copied().flatten() {
                    Some(place) if otherwise == Otherwise::Nothing => otherwise = Otherwise::Key(place),
                    Some(_) => {}
                    None => names_action = true,
                },
            }
        }
        // Only the parser knows whether such a record is an event.
        let has_mark = || memchr_iter(b'"', record).any(|quote| record.get(..quote).is_some_and(ends_with_mark));
        if names_action && otherwise == Otherwise::Nothing && has_mark() { Otherwise::Candidate } else { otherwise }
    }

    /// Whether what follows a name's closing quote is a colon and may be an action of a rule. `None` if it is no colon.
    fn value_may_be_action(&self, after: &[u8]) -> Option<bool> {
        let Some(value) = Gap::new(after).pass(b':') else { return Gap::is_too_long(after).then_some(true) };
        Some(match value.pass(b'"') {
            Some(text) => self.is_versioned_action(text.rest()),
            // An object or a list may hold the action; other values are none.
            None => value.pass(b'{').is_some() || value.pass(b'[').is_some() || Gap::is_too_long(value.rest()),
        })
    }
}

/// Which of the [`NAMES`] the text before a quote ends with. In a text that holds JSON, the quote is escaped.
fn action_name(before: &[u8]) -> Option<usize> {
    let mut letters = reversed_letters(before);
    if !matches!(letters.next(), Some(b'e' | b'n')) {
        return None;
    }
    NAMES.iter().position(|(known, _)| ends_with_letters(before, known))
}

/// Whether the text before a quote ends with one of the [`MARKS`].
fn ends_with_mark(before: &[u8]) -> bool {
    MARKS.iter().any(|mark| ends_with_letters(before, mark))
}

fn ends_with_letters(name: &[u8], reversed: &[u8]) -> bool {
    reversed_letters(name).take(reversed.len()).eq(reversed.iter().copied())
}

/// Whether a text begins like records in base64.
fn begins_like_base64(text: &[u8]) -> bool {
    BASE64.iter().any(|start| text.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::action_keys;

    #[test]
    fn every_key_and_mark_has_its_letters_here() {
        let names = NAMES.iter().map(|(name, _)| *name);
        let known: Vec<Vec<u8>> = names.chain(MARKS).map(|name| name.iter().rev().copied().collect()).collect();
        for key in action_keys() {
            let letters = crate::util::spelling::letters(key.name).into_owned().into_bytes();
            assert!(known.contains(&letters), "{} is missing", key.name);
        }
        assert!(places(&action_keys()).iter().zip(NAMES).all(|(place, (_, key))| place.is_some() == key.is_some()));
    }
}
