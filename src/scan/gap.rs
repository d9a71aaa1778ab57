//! What may be between a name and its value, in JSON and in a text that holds JSON.

use super::blocks;

/// The longest gap between a key and its value that is skipped, in bytes; beyond it, the parser decides.
const MAX_GAP: usize = 64;

/// Skips the gaps within a member: white space, its escapes, and the backslashes of a string that holds JSON.
#[derive(Clone, Copy)]
pub(super) struct Gap<'a> {
    rest: &'a [u8],
    /// How many more bytes may be skipped.
    left: usize,
}

impl<'a> Gap<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest, left: MAX_GAP }
    }

    /// The bytes after what was passed.
    pub(super) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// Whether `bytes` begin with a gap that is too long to skip, so that what follows it is unknown.
    pub(super) fn is_too_long(bytes: &[u8]) -> bool {
        let start = bytes.get(..MAX_GAP).unwrap_or_default();
        !start.is_empty() && start.iter().all(|byte| blocks::is_space(*byte) || b"\\nrt".contains(byte))
    }

    /// Moves past `byte`, if only a gap precedes it.
    pub(super) fn pass(mut self, byte: u8) -> Option<Self> {
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
                first if blocks::is_space(*first) => {}
                _ => return None,
            }
        }
    }
}
