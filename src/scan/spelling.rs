//! Actions under another spelling of their key, and base64: what the [prefilter](super::prefilter) looks for in a record
//! that has none of the keys as the clouds spell them.
//!
//! Exports fold the case of names (`eventname`), separate words (`EVENT_NAME`), or join the names of nested members
//! (`detail.eventName`). Their records are rare, and the search is several times slower than that for the keys, so only
//! records without any key pay for it.

use memchr::memchr_iter;

use super::gap::Gap;
use super::prefilter::Prefilter;
use crate::util::spelling::reversed_letters;

/// The names of members that hold an action, in any schema: their letters, last first.
///
/// `eventName`, `operationName`, its table column and `methodName` of the clouds; `event.action` of ECS and
/// `api.operation` of OCSF.
const NAMES: [&[u8]; 6] =
    [b"emantneve", b"emannoitarepo", b"eulavemannoitarepo", b"emandohtem", b"noitca", b"noitarepo"];

/// How texts in base64 begin that hold a JSON object or a list of them, with or without white space after the first bracket or
/// a byte order mark before it, or a gzip stream.
const BASE64: [&[u8]; 7] = [b"ey", b"ew", b"W3", b"Ww", b"Wy", b"77u/", b"H4sI"];

impl Prefilter {
    /// Whether a record without any of the keys may match a rule: it names an action of the rules under another spelling of
    /// a key, or has a text that begins like records in base64.
    pub(super) fn may_match_otherwise_spelled(&self, record: &[u8]) -> bool {
        memchr_iter(b'"', record).any(|quote| {
            let (before, after) = record.split_at_checked(quote).unwrap_or_default();
            let after = after.get(1..).unwrap_or_default();
            is_action_name(before) && self.value_may_be_action(after) || begins_like_base64(after)
        })
    }

    /// Whether a name's closing quote is followed by a colon and what may be an action of a rule.
    fn value_may_be_action(&self, after: &[u8]) -> bool {
        let Some(value) = Gap::new(after).pass(b':') else { return Gap::is_too_long(after) };
        match value.pass(b'"') {
            Some(text) => self.is_versioned_action(text.rest()),
            // An object or a list may hold the action; other values are none.
            None => value.pass(b'{').is_some() || value.pass(b'[').is_some() || Gap::is_too_long(value.rest()),
        }
    }
}

/// Whether the text before a quote ends with a name of a member that holds an action.
fn is_action_name(before: &[u8]) -> bool {
    // A quote in a text that holds JSON is escaped.
    let name = before.iter().rposition(|byte| *byte != b'\\').and_then(|last| before.get(..=last)).unwrap_or_default();
    if !matches!(name.last(), Some(b'e' | b'E' | b'n' | b'N')) {
        return false;
    }
    NAMES.iter().any(|known| reversed_letters(name).take(known.len()).eq(known.iter().copied()))
}

/// Whether a text begins like records in base64.
fn begins_like_base64(text: &[u8]) -> bool {
    BASE64.iter().any(|start| text.starts_with(start))
}
