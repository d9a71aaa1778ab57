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
    by_slot: Vec<Places>,
    /// Whether values were removed, so that the places are wrong.
    pub(super) stale: bool,
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

/// A value: the place of a text, which is a string or the text of a number or boolean, or [`Value::COMPOSITE`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Value {
    source: Source,
    start: u32,
    end: u32,
}

/// Where a text stands: in the record, or in one of [`Buffers::decoded`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source(u32);

impl Source {
    pub(super) const RECORD: Self = Self(0);
    const COMPOSITE: Self = Self(u32::MAX);

    /// The text at this index of [`Buffers::decoded`].
    fn decoded(index: usize) -> Self {
        Self(place(index + 1))
    }
}

/// The values of one slot: its first and last, and its last text, as indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Places {
    first: u32,
    last: u32,
    last_text: u32,
}

/// The most values whose buffers serve for the next record.
const MAX_KEPT: usize = 1 << 16;

/// No index.
const NONE: u32 = u32::MAX;

const EMPTY: Places = Places { first: NONE, last: NONE, last_text: NONE };

fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

impl Value {
    /// An object or an array.
    pub(super) const COMPOSITE: Self = Self { source: Source::COMPOSITE, start: 0, end: 0 };

    /// The text at these bytes of a source.
    #[inline(always)]
    pub(super) fn text(source: Source, start: usize, end: usize) -> Self {
        Self { source, start: place(start), end: place(end) }
    }

    pub(super) fn source(self) -> Source {
        self.source
    }

    fn is_text(self) -> bool {
        self.source != Source::COMPOSITE
    }
}

impl Buffers {
    /// Makes room for values of as many slots.
    pub(super) fn make_room(&mut self, slots: usize) {
        if self.by_slot.len() < slots {
            self.by_slot.resize(slots, EMPTY);
        }
    }

    /// Adds a value.
    #[inline(always)]
    pub(super) fn keep(&mut self, slot: Slot, value: Value) {
        let here = place(self.found.len());
        self.found.push(Found { slot, value, next: NONE });
        self.link(slot, value, here);
    }

    /// Links the value at this index to the one before it at its slot.
    #[inline(always)]
    fn link(&mut self, slot: Slot, value: Value, here: u32) {
        let Some(places) = self.by_slot.get_mut(usize::from(slot.number())) else { return };
        let before = std::mem::replace(&mut places.last, here);
        if value.is_text() {
            places.last_text = here;
        }
        if before == NONE {
            places.first = here;
        } else if let Some(before) = self.found.get_mut(before as usize) {
            before.next = here;
        }
    }

    /// Links all values anew, after some were removed.
    #[cold]
    fn link_again(&mut self) {
        self.stale = false;
        self.by_slot.fill(EMPTY);
        for at in 0..self.found.len() {
            let Some(found) = self.found.get_mut(at) else { return };
            found.next = NONE;
            let (slot, value) = (found.slot, found.value);
            self.link(slot, value, place(at));
        }
    }

    /// Keeps a text that does not stand in the record, and returns its place.
    pub(super) fn decode(&mut self, text: String) -> Value {
        let value = Value::text(Source::decoded(self.decoded.len()), 0, text.len());
        self.decoded.push(text);
        value
    }

    /// Empties it.
    pub(super) fn clear(&mut self) {
        for found in &self.found {
            if let Some(places) = self.by_slot.get_mut(usize::from(found.slot.number())) {
                *places = EMPTY;
            }
        }
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
        if read.stale {
            read.link_again();
        }
        Self { record, read }
    }

    /// The buffers, emptied for the next record. Those of an unusually large one are freed.
    pub(crate) fn into_buffers(mut self) -> Buffers {
        if self.read.found.capacity() > MAX_KEPT {
            return Buffers::default();
        }
        self.read.clear();
        self.read
    }

    /// Takes the content that holds embedded records, and leaves none.
    pub(crate) fn take_embedded(&mut self) -> Vec<EmbeddedRecords> {
        std::mem::take(&mut self.read.embedded)
    }

    fn places(&self, slot: Slot) -> Places {
        self.read.by_slot.get(usize::from(slot.number())).copied().unwrap_or(EMPTY)
    }

    /// The text that a value is; `None` for an object or an array.
    #[inline]
    fn str_of(&self, value: Value) -> Option<&str> {
        let all = match value.source {
            Source::RECORD => self.record,
            Source(number) => self.read.decoded.get(number as usize - 1)?,
        };
        all.get(value.start as usize..value.end as usize)
    }

    /// Replaces all values of a slot by one text.
    pub(super) fn set(&mut self, slot: Slot, text: impl Into<String>) {
        if self.exists(slot) {
            self.read.found.retain(|found| found.slot != slot);
            self.read.link_again();
        }
        let text = self.read.decode(text.into());
        self.read.keep(slot, text);
    }

    /// Replaces every text for which `rewrite` returns a new one.
    pub(super) fn rewrite(&mut self, rewrite: impl Fn(&str) -> Option<String>) {
        for at in 0..self.read.found.len() {
            let text = self.read.found.get(at).and_then(|found| self.str_of(found.value));
            let Some(other) = text.and_then(&rewrite) else { continue };
            let other = self.read.decode(other);
            if let Some(found) = self.read.found.get_mut(at) {
                found.value = other;
            }
        }
    }

    /// The text of a slot, the last if there are several; `None` if it is absent or empty.
    #[inline]
    pub(crate) fn text(&self, slot: Slot) -> Option<Cow<'a, str>> {
        let value = self.read.found.get(self.places(slot).last_text as usize)?.value;
        match value.source {
            Source::RECORD => self.record.get(value.start as usize..value.end as usize).map(Cow::Borrowed),
            _ => self.str_of(value).map(|text| Cow::Owned(text.to_owned())),
        }
    }

    /// All texts of a slot. Never includes an empty text, so absent and empty values equal nothing.
    pub(crate) fn all(&self, slot: Slot) -> impl Iterator<Item = &str> {
        let found = |at: u32| self.read.found.get(at as usize);
        let values = std::iter::successors(found(self.places(slot).first), move |value| found(value.next));
        values.filter_map(|found| self.str_of(found.value))
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
        let text = |value| self.str_of(value).map(str::to_owned);
        self.read.found.iter().map(|found| (found.slot, text(found.value))).collect()
    }

    /// Whether a slot has a non-empty value.
    #[inline]
    pub(crate) fn exists(&self, slot: Slot) -> bool {
        self.places(slot).first != NONE
    }
}
