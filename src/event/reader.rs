//! Walks the JSON of a record and the tree of paths together: skips values that no path leads to, and keeps values at
//! which a path ends.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::cloud::Embedded;
use super::embedded::MAX_DEPTH;
use super::projection::{Edge, Node, Projection, ROOT};
use super::repair::repair;
use super::values::{EmbeddedRecords, Value, Values};

impl Projection {
    /// [`read`](Self::read), after a repair if there is something to repair.
    pub(super) fn read_repaired<'a>(
        &self,
        record: &'a [u8],
        envelope: bool,
        any_spelling: bool,
    ) -> Result<Values<'a>, serde_json::Error> {
        self.read(record, envelope, any_spelling).or_else(|error| match repair(record) {
            Some(repaired) => self.read(&repaired, envelope, any_spelling).map(Values::into_owned),
            None => Err(error),
        })
    }

    /// Parses a record. `envelope` says whether it may hold records in base64, and `any_spelling` whether names are read in
    /// any spelling.
    ///
    /// # Errors
    ///
    /// If the bytes are not exactly one well-formed JSON value.
    fn read<'a>(&self, record: &'a [u8], envelope: bool, any_spelling: bool) -> Result<Values<'a>, serde_json::Error> {
        let mut values = Values { envelope, any_spelling, ..Values::default() };
        let mut json = serde_json::Deserializer::from_slice(record);
        Reader { nodes: &self.nodes, node: ROOT, values: &mut values }.deserialize(&mut json)?;
        json.end()?;
        Ok(values)
    }
}

/// Deserializes the value at one node.
struct Reader<'r, 'a> {
    nodes: &'r [Node],
    node: usize,
    values: &'r mut Values<'a>,
}

impl<'a> Reader<'_, 'a> {
    /// The node that is being read.
    fn node(&self) -> Option<&Node> {
        self.nodes.get(self.node)
    }

    /// A reader for another node.
    fn at(&mut self, node: usize) -> Reader<'_, 'a> {
        Reader { nodes: self.nodes, node, values: self.values }
    }

    /// Keeps a text, unless it is empty.
    fn keep(&mut self, text: Cow<'a, str>) {
        if !text.is_empty() {
            self.keep_found(&Value::Text(text));
        }
    }

    /// Keeps a string, or the content that is embedded in it.
    fn keep_text(&mut self, text: Cow<'a, str>) {
        let like_json = || matches!(without_mark(&text).as_bytes().first(), Some(b'{' | b'['));
        match self.node().map(|node| node.embedded).unwrap_or_default() {
            Embedded::Json if like_json() => self.read_embedded_json(&text),
            Embedded::Records if like_json() => {
                self.values.embedded.push(EmbeddedRecords::Json(text.into_owned().into_bytes()))
            }
            Embedded::Original if like_json() => {
                self.values.embedded.push(EmbeddedRecords::Original(text.into_owned().into_bytes()))
            }
            Embedded::Base64 if self.values.envelope => {
                self.values.embedded.push(EmbeddedRecords::Base64(text.into_owned()))
            }
            _ => self.keep(text),
        }
    }

    /// Parses a string as embedded JSON. If it is truncated or nested too deep, only its presence is kept.
    fn read_embedded_json(&mut self, text: &str) {
        if self.values.depth == MAX_DEPTH {
            return self.keep_found(&Value::Composite);
        }
        let text = without_mark(text).as_bytes();
        let values = self.read_text(text).or_else(|| self.read_text(&repair(text)?));
        let Some(Values { found, embedded, .. }) = values else { return self.keep_found(&Value::Composite) };
        self.values.found.extend(found);
        self.values.embedded.extend(embedded);
    }

    /// The values of a text that holds JSON.
    fn read_text(&self, text: &[u8]) -> Option<Values<'static>> {
        let Values { depth, any_spelling, .. } = *self.values;
        let mut values = Values { depth: depth + 1, any_spelling, ..Values::default() };
        let mut json = serde_json::Deserializer::from_slice(text);
        Reader { nodes: self.nodes, node: self.node, values: &mut values }.deserialize(&mut json).ok()?;
        json.end().ok()?;
        Some(values.into_owned())
    }

    /// Keeps a value under every slot of the node.
    fn keep_found(&mut self, value: &Value<'a>) {
        let Some(node) = self.nodes.get(self.node) else { return };
        self.values.found.extend(node.slots.iter().map(|slot| (*slot, value.clone())));
    }
}

/// A text without white space and byte order marks at its beginning.
fn without_mark(text: &str) -> &str {
    text.trim_start_matches(|letter: char| letter.is_whitespace() || letter == '\u{FEFF}')
}

impl<'a> DeserializeSeed<'a> for Reader<'_, 'a> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'a>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Reader<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(mut self, value: bool) -> Result<(), E> {
        self.keep(Cow::Borrowed(if value { "true" } else { "false" }));
        Ok(())
    }

    fn visit_i64<E>(mut self, value: i64) -> Result<(), E> {
        self.keep(Cow::Owned(value.to_string()));
        Ok(())
    }

    fn visit_u64<E>(mut self, value: u64) -> Result<(), E> {
        self.keep(Cow::Owned(value.to_string()));
        Ok(())
    }

    fn visit_f64<E>(mut self, value: f64) -> Result<(), E> {
        self.keep(Cow::Owned(value.to_string()));
        Ok(())
    }

    fn visit_borrowed_str<E>(mut self, value: &'a str) -> Result<(), E> {
        self.keep_text(Cow::Borrowed(value));
        Ok(())
    }

    fn visit_str<E>(mut self, value: &str) -> Result<(), E> {
        self.keep_text(Cow::Owned(value.to_owned()));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut list: A) -> Result<(), A::Error> {
        let here = self.values.any_spelling.then_some(self.node);
        let elements = self.node().and_then(|node| node.elements).or(here);
        let mut empty = true;
        while match elements {
            Some(elements) => list.next_element_seed(self.at(elements))?.is_some(),
            None => list.next_element::<IgnoredAny>()?.is_some(),
        } {
            empty = false;
        }
        if !empty {
            self.keep_found(&Value::Composite);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
        // For each member, by edge number: the range of its values in `found`, so that a duplicate member replaces
        // them.
        let mut read: Vec<(usize, usize, usize)> = Vec::new();
        let mut empty = true;
        let (nodes, any_spelling) = (self.nodes, self.values.any_spelling);
        while let Some(member) = map.next_key_seed(MemberName { nodes, node: self.node, any_spelling })? {
            empty = false;
            let Some(Edge { number: member, node }) = member else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let mut start = self.values.found.len();
            if let Some(at) = read.iter().position(|(known, ..)| *known == member) {
                let (_, from, to) = read.remove(at);
                if from > to || to > start {
                    return Err(A::Error::custom("members out of order"));
                }
                self.values.found.drain(from..to);
                let gone = to - from;
                start -= gone;
                for (_, later_from, later_to) in read.iter_mut().filter(|(_, later, _)| *later >= to) {
                    *later_from -= gone;
                    *later_to -= gone;
                }
            }
            map.next_value_seed(self.at(node))?;
            read.push((member, start, self.values.found.len()));
        }
        if !empty {
            self.keep_found(&Value::Composite);
        }
        Ok(())
    }
}

/// Deserializes a member name into the edge it leads along, if any.
struct MemberName<'r> {
    nodes: &'r [Node],
    node: usize,
    any_spelling: bool,
}

impl MemberName<'_> {
    fn edge(&self, node: usize, name: &str) -> Option<Edge> {
        let node = self.nodes.get(node)?;
        node.edge(name).or_else(|| self.any_spelling.then(|| node.edge_by_letters(name)).flatten())
    }

    /// The edge at the end of the names that a flat record joins with dots: `userIdentity.arn`.
    fn edge_of_joined(&self, names: &str) -> Option<Edge> {
        let (first, rest) = names.split_once('.')?;
        rest.split('.').try_fold(self.edge(self.node, first)?, |edge, name| self.edge(edge.node, name))
    }
}

impl<'a> DeserializeSeed<'a> for MemberName<'_> {
    type Value = Option<Edge>;

    fn deserialize<D: serde::Deserializer<'a>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for MemberName<'_> {
    type Value = Option<Edge>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.edge(self.node, name).or_else(|| self.edge_of_joined(name)))
    }
}
