//! The prefilter: says from the raw bytes, without parsing, that a record cannot matter.
//!
//! It is sound and not exact: whatever the full parse would match it lets through, and it may let through more. An
//! action is matched by a rule only as the value of `eventName`, `operationName`, `methodName` or what stands for them in
//! another envelope, so a record can matter only if, in its raw bytes,
//!
//! - such a key is followed by a colon (white space allowed) and a string that is one of the rules' actions, in any case
//!   and at whatever depth: a nested one costs a parse, never a match. The same within a text that holds JSON, where
//!   backslashes stand between. What is not a string is let through; or
//! - an escape spells a letter of such a key or value (`\u0052unInstances`). Letters, digits and the signs in action
//!   names have no other escape in JSON but for `\/`, and `\u003c`, which encoders write for `<`, is not one of those; or
//! - it is a document of another schema (ECS, OCSF), whose keys say little; or
//! - it is an envelope whose content cannot be seen: base64. Those are told by their first member, see `batch`.
//!
//! `fuzz/fuzz_targets/prefilter.rs` holds it against the full parse.

use memchr::memchr;

use crate::bytes;
use crate::event::gcp::LONGEST_VERSION;

/// What stands before `Name` in keys whose value is the action. The first letter is left out: it is a capital in rows of
/// tables.
const BEFORE_NAME: [&[u8]; 3] = [b"vent", b"peration", b"ethod"];

/// The longest that what stands between a key and its value may be; behind that the parser says.
const LONGEST_GAP: usize = 64;

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
        prefilter.spell(b"\"\\:{/._");
        // Every letter and digit: versions in front of methods have them, and no encoder escapes them.
        let alphanumeric: Vec<u8> = (0..128).filter(u8::is_ascii_alphanumeric).collect();
        prefilter.spell(&alphanumeric);
        for action in actions {
            prefilter.spell(action.as_bytes());
            let first = action.as_bytes().first().copied().unwrap_or(b'"').to_ascii_lowercase();
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
        let batch = batch.get(..limit).unwrap_or(batch);
        let mut at = start;
        loop {
            let mark = bytes::next_mark(batch, at);
            if matches!(batch.get(mark), Some(b'\n') | None) {
                return Seen { end: mark, candidate: false };
            }
            at = mark + 1;
            if self.may_match(batch, start, mark) {
                let rest = batch.get(at..).unwrap_or_default();
                let end = memchr(b'\n', rest).map_or(batch.len(), |length| at + length);
                return Seen { end, candidate: true };
            }
        }
    }

    /// Whether the mark at `at`, in the record that begins at `start`, stands for an action of interest.
    #[inline]
    fn may_match(&self, batch: &[u8], start: usize, at: usize) -> bool {
        let (Some(before), Some(behind)) = (batch.get(start..at), batch.get(at + 1..)) else {
            return false;
        };
        match batch.get(at) {
            Some(b'N') => self.camel_case_may_match(before, behind),
            Some(b'_') => self.snake_case_may_match(before, behind),
            _ => self.escape_may_spell(behind.get(1..5)),
        }
    }

    /// Whether an `N`, between `before` and `behind`, stands in a key whose value is an action of interest.
    #[inline]
    fn camel_case_may_match(&self, before: &[u8], behind: &[u8]) -> bool {
        let Some(value) = behind.strip_prefix(b"ame").filter(|_| BEFORE_NAME.iter().any(|name| before.ends_with(name)))
        else {
            return false;
        };
        // By far the commonest form. Only methods have versions.
        match value.strip_prefix(b"\":\"") {
            Some(text) if !before.ends_with(b"ethod") => self.is_action_without_version(text),
            Some(text) => self.is_action(text),
            None => self.value_may_match(value.strip_prefix(b"Value").unwrap_or(value)),
        }
    }

    /// Whether an underscore, between `before` and `behind`, stands in a key of another schema.
    fn snake_case_may_match(&self, before: &[u8], behind: &[u8]) -> bool {
        if let Some(value) = behind.strip_prefix(b"name") {
            return BEFORE_NAME.iter().any(|name| before.ends_with(name)) && self.value_may_match(value);
        }
        (behind.starts_with(b"uid") && before.ends_with(b"class"))
            || (behind.starts_with(b"identity") && before.ends_with(b"user"))
    }

    /// Whether what stands behind a key's last letter is an action of interest, whatever stands between.
    #[inline(never)]
    fn value_may_match(&self, behind: &[u8]) -> bool {
        let text = Gap::new(behind).pass(b'"').and_then(|gap| gap.pass(b':'));
        let Some(text) = text else {
            // Not the end of the key, or too far to see.
            return matches!(behind.first(), Some(b'"' | b'\\'));
        };
        match text.pass(b'"') {
            Some(text) => self.is_action(text.rest),
            // An object that has the action in a member, as Azure's REST interface gives it, or nothing of use.
            None => true,
        }
    }

    fn is_action(&self, text: &[u8]) -> bool {
        if self.is_action_without_version(text) {
            return true;
        }
        let start = text.get(..LONGEST_VERSION + 1).unwrap_or(text);
        // Only methods of GCP have one.
        let dot = start.iter().position(|byte| matches!(byte, b'.' | b'"')).filter(|at| start.get(*at) == Some(&b'.'));
        dot.and_then(|dot| text.get(dot + 1..)).is_some_and(|text| self.is_action_without_version(text))
    }

    #[inline]
    fn is_action_without_version(&self, text: &[u8]) -> bool {
        // A slash may have a backslash before it.
        let first = text.iter().find(|byte| **byte != b'\\').map_or(0, u8::to_ascii_lowercase);
        let same_first = self.actions.get(usize::from(first));
        same_first.is_some_and(|actions| actions.iter().any(|action| is_text(text, action)))
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

/// Whether a string that goes on with `text` is `action`, in any case and with any backslashes between.
#[inline]
fn is_text(text: &[u8], action: &[u8]) -> bool {
    let same = text.iter().zip(action).take_while(|(byte, other)| byte.eq_ignore_ascii_case(other)).count();
    match text.get(same) {
        Some(b'"') => same == action.len(),
        Some(b'\\') => is_text_with_backslashes(text, action),
        _ => false,
    }
}

#[cold]
fn is_text_with_backslashes(text: &[u8], action: &[u8]) -> bool {
    let mut text = text.iter().filter(|byte| **byte != b'\\');
    action.iter().all(|byte| text.next().is_some_and(|other| other.eq_ignore_ascii_case(byte)))
        && text.next() == Some(&b'"')
}

/// What stands between the parts of a member: white space, its escapes, and the backslashes of a text that holds JSON.
#[derive(Clone, Copy)]
struct Gap<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Gap<'a> {
    fn new(rest: &'a [u8]) -> Self {
        Self { rest, left: LONGEST_GAP }
    }

    /// What stands behind `byte`, where nothing but a gap stands before it.
    fn pass(mut self, byte: u8) -> Option<Self> {
        loop {
            let (first, rest) = self.rest.split_first()?;
            self.left = self.left.checked_sub(1)?;
            self.rest = rest;
            match first {
                first if *first == byte => return Some(self),
                b'\\' => {
                    self.rest =
                        rest.strip_prefix(b"n").or(rest.strip_prefix(b"r")).or(rest.strip_prefix(b"t")).unwrap_or(rest);
                }
                first if bytes::is_space(*first) => {}
                _ => return None,
            }
        }
    }
}
