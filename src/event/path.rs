use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::util::text_form;

/// The path to a value in a record: member names joined by dots, with `[]` after a name for every element of an array.
///
/// `responseElements.instancesSet.items[].instanceId` refers to the ids of all instances. If the value before `[]` is
/// an object or a scalar instead of an array, it is treated as the only element, because collectors collapse arrays of
/// one (Wazuh does, wazuh/wazuh#36209). Names are case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    text: String,
}

/// One segment of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Segment<'a> {
    /// The member with this name.
    Member(&'a str),
    /// Every element of an array.
    Elements,
}

impl Path {
    /// Parses a path in the syntax of rules. `None` if it is malformed: a name that is empty, or that contains white
    /// space or a bracket other than a final `[]`.
    ///
    /// ```
    /// use catena::Path;
    ///
    /// assert!(Path::parse("responseElements.instancesSet.items[].instanceId").is_some());
    /// assert!(Path::parse("a..b").is_none());
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let well_formed = !text.is_empty()
            && text.split('.').all(|part| {
                let name = part.trim_end_matches("[]");
                !name.is_empty() && !name.contains(['[', ']']) && !name.contains(char::is_whitespace)
            });
        well_formed.then(|| Self { text: text.to_owned() })
    }

    /// The path as text, as it was written.
    ///
    /// ```
    /// assert_eq!(catena::Path::parse("a.b[]").unwrap().as_str(), "a.b[]");
    /// ```
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The segments of the path, in order. A name with `[]` is a member followed by its elements.
    pub(crate) fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        self.text.split('.').flat_map(|part| {
            let name = part.trim_end_matches("[]");
            let arrays = (part.len() - name.len()) / 2;
            std::iter::once(Segment::Member(name)).chain(std::iter::repeat_n(Segment::Elements, arrays))
        })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Path {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "member names joined by dots, with `[]` for every element, such as a.items[].id";
        text_form::deserialize(deserializer, expected, Self::parse)
    }
}
