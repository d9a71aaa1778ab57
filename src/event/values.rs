use std::borrow::Cow;

use super::projection::Slot;

/// The values read from a record, in byte order.
#[derive(Debug, Default)]
pub(crate) struct Values<'a> {
    /// The values with their slots.
    pub(super) found: Vec<(Slot, Value<'a>)>,
    /// The content that holds embedded records.
    pub(super) embedded: Vec<EmbeddedRecords>,
    /// Whether the record may hold others in base64.
    pub(super) envelope: bool,
    /// Whether names are read in any spelling, and a list in place of a value as its values.
    pub(super) any_spelling: bool,
    /// How many embedded JSON texts enclose the one being read. Each may use the parser's full recursion depth, so
    /// their number is limited.
    pub(super) depth: usize,
}

/// Content of a record that holds embedded records, not yet decoded.
#[derive(Debug)]
pub(crate) enum EmbeddedRecords {
    /// Records as JSON.
    Json(Vec<u8>),
    /// The record that this one was made from.
    Original(Vec<u8>),
    /// Records in base64, possibly gzipped.
    Base64(String),
}

/// A non-empty value.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    /// A string, or the text of a number or boolean.
    Text(Cow<'a, str>),
    /// An object or an array.
    Composite,
}

impl Value<'_> {
    /// The value without borrowed text.
    pub(super) fn into_owned(self) -> Value<'static> {
        match self {
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::Composite => Value::Composite,
        }
    }
}

impl<'a> Values<'a> {
    /// The values without borrowed text.
    pub(super) fn into_owned(self) -> Values<'static> {
        let found = self.found.into_iter().map(|(slot, value)| (slot, value.into_owned())).collect();
        Values { found, embedded: self.embedded, ..Values::default() }
    }

    /// Takes the content that holds embedded records, and leaves none.
    pub(crate) fn take_embedded(&mut self) -> Vec<EmbeddedRecords> {
        std::mem::take(&mut self.embedded)
    }

    /// Replaces all values of a slot by one text.
    pub(super) fn set(&mut self, slot: Slot, text: impl Into<Cow<'a, str>>) {
        self.found.retain(|(found, _)| *found != slot);
        self.found.push((slot, Value::Text(text.into())));
    }

    /// Replaces every text for which `rewrite` returns a new one.
    pub(super) fn rewrite(&mut self, rewrite: impl Fn(&str) -> Option<String>) {
        for (_, value) in &mut self.found {
            if let Value::Text(text) = value
                && let Some(other) = rewrite(text)
            {
                *text = Cow::Owned(other);
            }
        }
    }

    /// The text of a slot, the last if there are several; `None` if it is absent or empty.
    pub(crate) fn text(&self, slot: Slot) -> Option<Cow<'a, str>> {
        self.found.iter().rev().find_map(|(found, value)| match value {
            Value::Text(text) if *found == slot => Some(text.clone()),
            _ => None,
        })
    }

    /// All texts of a slot. Never includes an empty text, so absent and empty values equal nothing.
    pub(crate) fn all(&self, slot: Slot) -> impl Iterator<Item = &str> {
        self.found.iter().filter_map(move |(found, value)| match value {
            Value::Text(text) if *found == slot => Some(&**text),
            _ => None,
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

    /// Whether a slot has a non-empty value.
    pub(crate) fn exists(&self, slot: Slot) -> bool {
        self.found.iter().any(|(found, _)| *found == slot)
    }
}
