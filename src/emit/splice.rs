use std::ops::Range;

/// Bytes `start..end` of the batch give way to `text`.
///
/// Splices come in ascending order and do not overlap. Bytes that no splice covers go out as they came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splice {
    /// The first byte that gives way.
    pub start: u32,
    /// Behind the last byte that gives way; `start` where nothing does.
    pub end: u32,
    /// What comes in their place.
    pub text: String,
}

/// Puts splices together, in order of place; neighbouring deletions become one.
#[derive(Debug, Default)]
pub(crate) struct Splices {
    list: Vec<Splice>,
}

impl Splices {
    /// Takes bytes out.
    pub(crate) fn delete(&mut self, bytes: Range<usize>) {
        let (start, end) = (offset(bytes.start), offset(bytes.end));
        match self.list.last_mut() {
            _ if start >= end => {}
            Some(last) if last.end == start && last.text.is_empty() => last.end = end,
            _ => self.list.push(Splice { start, end, text: String::new() }),
        }
    }

    /// Puts text in.
    pub(crate) fn insert(&mut self, at: usize, text: String) {
        self.list.push(Splice { start: offset(at), end: offset(at), text });
    }

    pub(crate) fn into_list(self) -> Vec<Splice> {
        self.list
    }
}

/// An offset in a batch. Batches are refused where it could not hold one.
pub(crate) fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
