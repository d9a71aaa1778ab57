use std::borrow::Cow;

use super::projection::Slot;

/// The values read from a record, in byte order.
#[derive(Debug, Default)]
pub(crate) struct Values<'a> {
    pub(super) record: &'a str,
    pub(super) read: Buffers,
}

/// What a reader fills: the values of one record without the record itself. Emptied, it serves for the next record, so
/// that reading allocates nothing.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// The values.
    pub(super) found: Vec<Found>,
    /// Texts that do not stand in the record as they are.
    pub(super) decoded: Vec<String>,
    /// The content that holds embedded records.
    pub(super) embedded: Vec<EmbeddedRecords>,
    /// For each slot, its places in `found`.
    chains: Vec<Chain>,
    /// The reader's own; see there.
    pub(super) members: Vec<super::reader::Member>,
    /// The reader's own: the closing brackets of what is open in a value that no path leads to.
    pub(super) open: Vec<u8>,
}

/// Content of a record that holds embedded records, not yet decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EmbeddedRecords {
    /// Records as JSON.
    Json(Vec<u8>),
    /// The record that this one was made from.
    Original(Vec<u8>),
    /// Records in base64, possibly gzipped.
    Base64(String),
}

/// A non-empty value at a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    slot: Slot,
    value: Value,
    /// The next value of the slot, as an index; [`NONE`] if there is none.
    next: u32,
}

/// A value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    /// A string, or the text of a number or boolean.
    Text(Text),
    /// An object or an array.
    Composite,
}

/// The place of a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text {
    pub source: Source,
    pub start: u32,
    pub end: u32,
}

/// Where a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Record,
    /// In a text of [`Buffers::decoded`].
    Decoded(u32),
}

/// The values of one slot: its first and last, and its last text, as indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Chain {
    first: u32,
    last: u32,
    last_text: u32,
}

/// No index.
const NONE: u32 = u32::MAX;

const EMPTY: Chain = Chain { first: NONE, last: NONE, last_text: NONE };

impl Text {
    pub(super) fn new(source: Source, start: usize, end: usize) -> Self {
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self { source, start: place(start), end: place(end) }
    }
}

impl Buffers {
    /// Adds a value.
    #[inline(always)]
    pub(super) fn keep(&mut self, slot: Slot, value: Value) {
        self.found.push(Found { slot, value, next: NONE });
    }

    /// Keeps a text that does not stand in the record, and returns its place.
    pub(super) fn decode(&mut self, text: String) -> Text {
        let length = text.len();
        self.decoded.push(text);
        Text::new(Source::Decoded((self.decoded.len() - 1) as u32), 0, length)
    }

    /// Links the values of each slot.
    fn link(&mut self) {
        for at in 0..self.found.len() {
            self.link_one(at);
        }
    }

    #[inline(always)]
    fn link_one(&mut self, at: usize) {
        let Some(Found { slot, value, .. }) = self.found.get(at).copied() else { return };
        let (number, here) = (usize::from(slot.number()), at as u32);
        if number >= self.chains.len() {
            self.chains.resize(number + 1, EMPTY);
        }
        let Some(chain) = self.chains.get_mut(number) else { return };
        let before = std::mem::replace(&mut chain.last, here);
        if chain.first == NONE {
            chain.first = here;
        }
        if matches!(value, Value::Text(_)) {
            chain.last_text = here;
        }
        if let Some(before) = self.found.get_mut(before as usize) {
            before.next = here;
        }
    }

    /// Forgets the links.
    fn unlink(&mut self) {
        for Found { slot, next, .. } in &mut self.found {
            *next = NONE;
            if let Some(chain) = self.chains.get_mut(usize::from(slot.number())) {
                *chain = EMPTY;
            }
        }
    }

    /// Empties it.
    pub(super) fn clear(&mut self) {
        self.unlink();
        self.found.clear();
        self.decoded.clear();
        self.embedded.clear();
        self.members.clear();
        self.open.clear();
    }
}

impl<'a> Values<'a> {
    /// The values that were read from `record`.
    pub(super) fn new(record: &'a str, mut read: Buffers) -> Self {
        read.link();
        Self { record, read }
    }

    /// The buffers, emptied for the next record.
    pub(crate) fn into_buffers(mut self) -> Buffers {
        self.read.clear();
        self.read
    }

    /// Takes the content that holds embedded records, and leaves none.
    pub(crate) fn take_embedded(&mut self) -> Vec<EmbeddedRecords> {
        std::mem::take(&mut self.read.embedded)
    }

    fn chain(&self, slot: Slot) -> Chain {
        self.read.chains.get(usize::from(slot.number())).copied().unwrap_or(EMPTY)
    }

    fn str_of(&self, text: Text) -> &str {
        let all = match text.source {
            Source::Record => self.record,
            Source::Decoded(number) => self.read.decoded.get(number as usize).map_or("", String::as_str),
        };
        all.get(text.start as usize..text.end as usize).unwrap_or_default()
    }

    /// Replaces all values of a slot by one text.
    pub(super) fn set(&mut self, slot: Slot, text: impl Into<String>) {
        self.read.unlink();
        self.read.found.retain(|found| found.slot != slot);
        let text = self.read.decode(text.into());
        self.read.keep(slot, Value::Text(text));
        self.read.link();
    }

    /// Replaces every text for which `rewrite` returns a new one.
    pub(super) fn rewrite(&mut self, rewrite: impl Fn(&str) -> Option<String>) {
        for at in 0..self.read.found.len() {
            let Some(Found { value: Value::Text(text), .. }) = self.read.found.get(at).copied() else { continue };
            let Some(other) = rewrite(self.str_of(text)) else { continue };
            let other = self.read.decode(other);
            if let Some(found) = self.read.found.get_mut(at) {
                found.value = Value::Text(other);
            }
        }
    }

    /// The text of a slot, the last if there are several; `None` if it is absent or empty.
    #[inline]
    pub(crate) fn text(&self, slot: Slot) -> Option<Cow<'a, str>> {
        let found = self.read.found.get(self.chain(slot).last_text as usize)?;
        match found.value {
            Value::Text(Text { source: Source::Record, start, end }) => {
                self.record.get(start as usize..end as usize).map(Cow::Borrowed)
            }
            Value::Text(text) => Some(Cow::Owned(self.str_of(text).to_owned())),
            Value::Composite => None,
        }
    }

    /// All texts of a slot. Never includes an empty text, so absent and empty values equal nothing.
    pub(crate) fn all(&self, slot: Slot) -> impl Iterator<Item = &str> {
        let found = |at: u32| self.read.found.get(at as usize);
        let values = std::iter::successors(found(self.chain(slot).first), move |value| found(value.next));
        values.filter_map(|found| match found.value {
            Value::Text(text) => Some(self.str_of(text)),
            Value::Composite => None,
        })
    }

    /// The distinct texts of the slots, sorted.
    pub(crate) fn distinct(&self, slots: &[Slot]) -> Vec<&str> {
        // There may be thousands, too many for `sorted`.
        let mut texts: Vec<_> = slots.iter().flat_map(|slot| self.all(*slot)).collect();
        texts.sort_unstable();
        texts.dedup();
        texts
    }

    /// All values in byte order with their slots; `None` for an object or an array.
    #[cfg(any(test, fuzzing))]
    pub(super) fn in_order(&self) -> Vec<(Slot, Option<String>)> {
        let text = |value| match value {
            Value::Text(text) => Some(self.str_of(text).to_owned()),
            Value::Composite => None,
        };
        self.read.found.iter().map(|found| (found.slot, text(found.value))).collect()
    }

    /// Whether a slot has a non-empty value.
    #[inline]
    pub(crate) fn exists(&self, slot: Slot) -> bool {
        self.chain(slot).first != NONE
    }
}
