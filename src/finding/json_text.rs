//! JSON that is written part by part, most of it as it stands in the code.

use crate::util::invariant::Invariant as _;

/// JSON text under construction. Parts that never change are written as they are; texts of records and rules are escaped.
#[derive(Debug, Default)]
pub(super) struct JsonText {
    text: String,
}

impl JsonText {
    /// An empty text with room for `bytes`.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes) }
    }

    /// Appends JSON, or a part of it, as it is.
    #[inline]
    pub(super) fn raw(&mut self, json: &str) -> &mut Self {
        self.text.push_str(json);
        self
    }

    /// Appends a number.
    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        self.text.push_str(&number.to_string());
        self
    }

    /// Appends a string.
    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        // Without a branch for each byte, so that the compiler makes vectors of it.
        let escaped = value.bytes().fold(false, |any, byte| any | (byte < 0x20) | (byte == b'"') | (byte == b'\\'));
        if escaped {
            self.text.push_str(&serde_json::to_string(value).invariant("a text is JSON"));
            return self;
        }
        self.raw("\"").raw(value).raw("\"")
    }

    /// Appends a member whose name is written as `,"name":`, unless its value is empty.
    pub(super) fn member(&mut self, name: &str, value: &str) -> &mut Self {
        if value.is_empty() {
            return self;
        }
        self.raw(name).text(value)
    }

    /// Appends an array.
    pub(super) fn list<T>(&mut self, items: impl Iterator<Item = T>, each: impl Fn(&mut Self, T)) -> &mut Self {
        self.raw("[");
        for (number, item) in items.enumerate() {
            self.raw(if number > 0 { "," } else { "" });
            each(self, item);
        }
        self.raw("]")
    }

    /// The text.
    pub(super) fn into_string(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_are_written_as_serde_json_writes_them(texts in prop::collection::vec("\\PC*|[\"\\\\\u{0}-\u{1f}\u{7f}é]{0,40}", 0..4)) {
            let mut json = JsonText::default();
            json.list(texts.iter(), |json, text| {
                json.text(text);
            });
            prop_assert_eq!(json.into_string(), serde_json::to_string(&texts).unwrap());
        }
    }
}
