use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::util::text_form;

/// The way to a value in a record: member names joined by dots, `[]` behind a name for every element of an array.
///
/// `responseElements.instancesSet.items[].instanceId` names the ids of all instances. Where `[]` meets an object or a
/// scalar instead of an array, that is taken for its only element: collectors collapse lists of one (Wazuh does,
/// wazuh/wazuh#36209). Names are case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    text: String,
}

/// One step on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Segment<'a> {
    /// The member of this name.
    Member(&'a str),
    /// Every element.
    Elements,
}

impl Path {
    /// Reads a path as rules write it.
    pub fn parse(text: &str) -> Option<Self> {
        let well_formed = !text.is_empty()
            && text.split('.').all(|part| {
                let name = part.trim_end_matches("[]");
                !name.is_empty() && !name.contains(['[', ']']) && !name.contains(char::is_whitespace)
            });
        well_formed.then(|| Self { text: text.to_owned() })
    }

    /// The path as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

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
        let expected = "member names joined by dots, `[]` for every element, such as a.items[].id";
        text_form::deserialize(deserializer, expected, Self::parse)
    }
}
