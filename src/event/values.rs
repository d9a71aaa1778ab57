use std::borrow::Cow;

use super::projection::Slot;

/// What was read from a record, in the order of its bytes.
#[derive(Debug, Default)]
pub(crate) struct Values<'a> {
    pub(super) found: Vec<(Slot, Value<'a>)>,
    /// What holds records of its own.
    pub(super) inside: Vec<Inside>,
    pub(super) envelope: bool,
    /// How deep the text that is read stands in other texts: each has the parser's whole stack before it.
    pub(super) depth: usize,
}

/// Bytes of a record that hold records of their own.
#[derive(Debug)]
pub(crate) enum Inside {
    /// Records as JSON.
    Json(Vec<u8>),
    /// Records in base64, perhaps compressed.
    Base64(String),
}

/// A value that is not empty.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Text(Cow<'a, str>),
    /// An object or a list.
    Composite,
}

impl Value<'_> {
    pub(super) fn into_owned(self) -> Value<'static> {
        match self {
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::Composite => Value::Composite,
        }
    }
}

impl<'a> Values<'a> {
    /// Takes out what holds records of its own.
    pub(crate) fn take_inside(&mut self) -> Vec<Inside> {
        std::mem::take(&mut self.inside)
    }

    /// Puts a text in the place of what a slot has.
    pub(super) fn set(&mut self, slot: Slot, text: impl Into<Cow<'a, str>>) {
        self.found.retain(|(found, _)| *found != slot);
        self.found.push((slot, Value::Text(text.into())));
    }

    /// Rewrites every text for which `rewrite` has another.
    pub(super) fn rewrite(&mut self, rewrite: impl Fn(&str) -> Option<String>) {
        for (_, value) in &mut self.found {
            if let Value::Text(text) = value
                && let Some(other) = rewrite(text)
            {
                *text = Cow::Owned(other);
            }
        }
    }

    /// The text of a slot, the last one if there are several; `None` where it is absent or empty.
    pub(crate) fn text(&self, slot: Slot) -> Option<Cow<'a, str>> {
        self.found.iter().rev().find_map(|(found, value)| match value {
            Value::Text(text) if *found == slot => Some(text.clone()),
            _ => None,
        })
    }

    /// All texts of a slot. Never an empty one: what is absent or empty is equal to nothing.
    pub(crate) fn all(&self, slot: Slot) -> impl Iterator<Item = &str> {
        self.found.iter().filter_map(move |(found, value)| match value {
            Value::Text(text) if *found == slot => Some(&**text),
            _ => None,
        })
    }

    /// The different texts of some slots, sorted.
    pub(crate) fn distinct(&self, slots: &[Slot]) -> Vec<&str> {
        // There may be many thousand: too many for `sorted`.
        let mut texts: Vec<_> = slots.iter().flat_map(|slot| self.all(*slot)).collect();
        texts.sort_unstable();
        texts.dedup();
        texts
    }

    /// Whether there is anything at a slot that is not empty.
    pub(crate) fn exists(&self, slot: Slot) -> bool {
        self.found.iter().any(|(found, _)| *found == slot)
    }
}
