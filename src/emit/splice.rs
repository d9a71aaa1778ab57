use std::ops::Range;

/// Replaces bytes `start..end` of the batch with `text`.
///
/// Splices are in ascending order and do not overlap. Bytes outside of them pass unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splice {
    /// The offset of the first replaced byte.
    pub start: u32,
    /// The offset after the last replaced byte; equal to `start` for an insertion.
    pub end: u32,
    /// The replacement; empty for a deletion.
    pub text: String,
}

/// A list of splices, built in ascending order. Adjacent deletions are merged.
#[derive(Debug, Default)]
pub(crate) struct Splices {
    list: Vec<Splice>,
}

impl Splices {
    /// Appends a deletion. Does nothing for an empty range.
    pub(crate) fn delete(&mut self, bytes: Range<usize>) {
        let (start, end) = (offset(bytes.start), offset(bytes.end));
        match self.list.last_mut() {
            _ if start >= end => {}
            Some(last) if last.end == start && last.text.is_empty() => last.end = end,
            _ => self.list.push(Splice { start, end, text: String::new() }),
        }
    }

    /// Appends an insertion of `text` before the byte at `at`.
    pub(crate) fn insert(&mut self, at: usize, text: String) {
        self.list.push(Splice { start: offset(at), end: offset(at), text });
    }

    pub(crate) fn into_list(self) -> Vec<Splice> {
        self.list
    }
}

/// A batch offset as `u32`. It always fits, because longer batches are refused.
pub(crate) fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
