//! What the [reader](super::reader) is held to: the same walk as a visitor of serde_json. For tests and fuzzing only.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::cloud::Embedded;
use super::embedded::MAX_DEPTH;
use super::projection::{Edge, Node, Projection, ROOT, Slot};
use super::reader::{Reading, without_mark};
use super::repair::repair;
use super::values::{Buffers, EmbeddedRecords};

/// What a record holds: the values with their slots, `None` for an object or an array, and embedded records.
#[derive(Debug, Default)]
struct Read {
    found: Vec<(Slot, Option<String>)>,
    embedded: Vec<EmbeddedRecords>,
    reading: Reading,
    depth: usize,
}

/// Panics if the reader refuses what serde_json accepts, accepts what it refuses, or keeps other values.
pub(crate) fn check(projection: &Projection, record: &[u8]) {
    for (envelope, any_spelling) in [(false, false), (true, false), (true, true)] {
        let reading = Reading { envelope, any_spelling };
        let expected = read_repaired(projection, record, reading).map(|read| (read.found, read.embedded)).ok();
        let values = projection.read(record, reading, Buffers::default()).ok();
        let found = values.map(|mut values| {
            let embedded = values.take_embedded();
            (values.in_order(), embedded)
        });
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(record));
    }
}

/// Reads a record, after a repair if there is something to repair.
fn read_repaired(projection: &Projection, record: &[u8], reading: Reading) -> Result<Read, serde_json::Error> {
    read(projection, record, reading).or_else(|error| match repair(record) {
        Some(repaired) => read(projection, &repaired, reading),
        None => Err(error),
    })
}

fn read(projection: &Projection, record: &[u8], reading: Reading) -> Result<Read, serde_json::Error> {
    let mut values = Read { reading, ..Read::default() };
    let mut json = serde_json::Deserializer::from_slice(record);
    Reader { nodes: &projection.nodes, node: ROOT, values: &mut values }.deserialize(&mut json)?;
    json.end()?;
    Ok(values)
}

/// Deserializes the value at one node.
struct Reader<'r> {
    nodes: &'r [Node],
    node: usize,
    values: &'r mut Read,
}

impl Reader<'_> {
    /// The node that is being read.
    fn node(&self) -> Option<&Node> {
        self.nodes.get(self.node)
    }

    /// A reader for another node.
    fn at(&mut self, node: usize) -> Reader<'_> {
        Reader { nodes: self.nodes, node, values: self.values }
    }

    /// Keeps a text, unless it is empty.
    fn keep(&mut self, text: &str) {
        if !text.is_empty() {
            self.keep_found(Some(text));
        }
    }

    /// Keeps a string, or the content that is embedded in it.
    fn keep_text(&mut self, text: &str) {
        let like_json = || matches!(without_mark(text).as_bytes().first(), Some(b'{' | b'['));
        match self.node().map(|node| node.embedded).unwrap_or_default() {
            Embedded::Json if like_json() => self.read_embedded_json(text),
            Embedded::Records if like_json() => {
                self.values.embedded.push(EmbeddedRecords::Json(text.as_bytes().to_vec()))
            }
            Embedded::Original if like_json() => {
                self.values.embedded.push(EmbeddedRecords::Original(text.as_bytes().to_vec()))
            }
            Embedded::Base64 if self.values.reading.envelope => {
                self.values.embedded.push(EmbeddedRecords::Base64(text.to_owned()))
            }
            _ => self.keep(text),
        }
    }

    /// Parses a string as embedded JSON. If it is truncated or nested too deep, only its presence is kept.
    fn read_embedded_json(&mut self, text: &str) {
        if self.values.depth == MAX_DEPTH {
            return self.keep_found(None);
        }
        let text = without_mark(text).as_bytes();
        let values = self.read_text(text).or_else(|| self.read_text(&repair(text)?));
        let Some(Read { found, embedded, .. }) = values else { return self.keep_found(None) };
        self.values.found.extend(found);
        self.values.embedded.extend(embedded);
    }

    /// The values of a text that holds JSON.
    fn read_text(&self, text: &[u8]) -> Option<Read> {
        let Read { depth, reading, .. } = *self.values;
        let reading = Reading { envelope: false, ..reading };
        let mut values = Read { depth: depth + 1, reading, ..Read::default() };
        let mut json = serde_json::Deserializer::from_slice(text);
        Reader { nodes: self.nodes, node: self.node, values: &mut values }.deserialize(&mut json).ok()?;
        json.end().ok()?;
        Some(values)
    }

    /// Keeps a value under every slot of the node.
    fn keep_found(&mut self, value: Option<&str>) {
        let Some(node) = self.nodes.get(self.node) else { return };
        self.values
            .found
            .extend(node.slot.iter().chain(&node.more_slots).map(|slot| (*slot, value.map(str::to_owned))));
    }
}

impl<'a> DeserializeSeed<'a> for Reader<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'a>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Reader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(mut self, value: bool) -> Result<(), E> {
        self.keep(if value { "true" } else { "false" });
        Ok(())
    }

    fn visit_i64<E>(mut self, value: i64) -> Result<(), E> {
        self.keep(&value.to_string());
        Ok(())
    }

    fn visit_u64<E>(mut self, value: u64) -> Result<(), E> {
        self.keep(&value.to_string());
        Ok(())
    }

    fn visit_f64<E>(mut self, value: f64) -> Result<(), E> {
        self.keep(&value.to_string());
        Ok(())
    }

    fn visit_str<E>(mut self, value: &str) -> Result<(), E> {
        self.keep_text(value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut list: A) -> Result<(), A::Error> {
        let here = self.values.reading.any_spelling.then_some(self.node);
        let elements = self.node().and_then(|node| node.elements).or(here);
        let mut empty = true;
        while match elements {
            Some(elements) => list.next_element_seed(self.at(elements))?.is_some(),
            None => list.next_element::<IgnoredAny>()?.is_some(),
        } {
            empty = false;
        }
        if !empty {
            self.keep_found(None);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
        // For each member, by edge number: the range of its values in `found`, so that a duplicate member replaces
        // them.
        let mut read: Vec<(u32, usize, usize)> = Vec::new();
        let mut empty = true;
        let (nodes, any_spelling) = (self.nodes, self.values.reading.any_spelling);
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
            map.next_value_seed(self.at(node as usize))?;
            read.push((member, start, self.values.found.len()));
        }
        if !empty {
            self.keep_found(None);
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
        self.nodes.get(node)?.edge_of(name, self.any_spelling)
    }

    /// The edge at the end of the names that a flat record joins with dots: `userIdentity.arn`.
    fn edge_of_joined(&self, names: &str) -> Option<Edge> {
        let (first, rest) = names.split_once('.')?;
        rest.split('.').try_fold(self.edge(self.node, first)?, |edge, name| self.edge(edge.node as usize, name))
    }
}

impl<'a> DeserializeSeed<'a> for MemberName<'_> {
    type Value = Option<Edge>;

    fn deserialize<D: serde::Deserializer<'a>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for MemberName<'_> {
    type Value = Option<Edge>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_borrowed_str<E>(self, name: &'a str) -> Result<Self::Value, E> {
        Ok(self.edge(self.node, name).or_else(|| self.edge_of_joined(name)))
    }

    /// A name with escapes, which is not read in any spelling.
    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Self { any_spelling: false, ..self }.visit_borrowed_str(name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    /// JSON with the names and forms that the reader treats in a way of their own, as text, so that it may have duplicate
    /// members and odd numbers.
    fn json() -> impl Strategy<Value = String> {
        let scalar = prop_oneof![
            select(&[
                "null",
                "true",
                "false",
                "0",
                "-0",
                "7",
                "-12",
                "123456789012345678",
                "1234567890123456789",
                "18446744073709551616",
                "1.5",
                "-1e3",
                "1E+2",
                "1e999",
                "-1e-999",
                r#""""#,
                r#""x""#,
                r#""true""#,
                r#""\ud83d\ude00""#,
                r#""\ud83d\ud83d""#,
                r#""\udc00x""#,
                r#""\u0041\n\"\/""#,
                r#""ü""#,
                r#""a\\""#,
                r#""{\"eventName\":1}""#,
                r#"" {\"x\":{\"arn\":\"y\"}}""#,
                r#""\ufeff[1,{\"volumeId\":\"v\"}]""#,
                r#""{\"a\":""#,
                r#""{\"responseElements\":\"{\\\"volumeId\\\":1}\"}""#,
                "\"\u{b}{}\"",
            ])
            .prop_map(str::to_owned),
            "\"[a-z]{0,80}\"",
        ];
        scalar.prop_recursive(5, 60, 6, |inner| {
            let name = select(&[
                "eventName",
                "eventSource",
                "userIdentity",
                "arn",
                "responseElements",
                "requestParameters",
                "volumeId",
                "detail",
                "data",
                "message",
                "body",
                "properties",
                "requestbody",
                "REQUESTBODY",
                "event",
                "original",
                "userIdentity.arn",
                "event.id",
                "a.b",
                "x",
                "",
                "items",
                "instancesSet",
                "instanceId",
                "tags",
                "EVENT_NAME",
                "event\\u004eame",
                "\\ud800",
                "aws",
                "cloudtrail",
                "user_identity",
                "sessionContext",
                "sessionIssuer",
            ]);
            let space = select(&["", "", "", "", " ", "\n\t", "\r"]);
            let members = prop::collection::vec((name, space.clone(), inner.clone()), 0..7);
            prop_oneof![
                members.prop_map(|members| {
                    let member = |(name, space, value): &(&str, &str, String)| {
                        format!("{space}\"{name}\"{space}:{value}{space}")
                    };
                    format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
                }),
                (space, prop::collection::vec(inner.clone(), 0..5))
                    .prop_map(|(space, values)| format!("[{space}{}]", values.join(","))),
                // Text that holds JSON.
                inner.prop_map(|json| serde_json::Value::String(json).to_string()),
            ]
        })
    }

    /// A projection with the paths of every built-in rule.
    fn projection() -> Projection {
        let mut projection = Projection::default();
        for path in [
            "responseElements.volumeId",
            "requestParameters.instancesSet.items[].instanceId",
            "properties.requestbody.x[]",
            "x",
            "tags[][].x",
        ] {
            projection.add(&crate::Path::parse(path).unwrap()).unwrap();
        }
        projection
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]
        #[test]
        fn the_reader_keeps_what_a_visitor_of_serde_json_keeps(json in json()) {
            check(&projection(), json.as_bytes());
        }

        #[test]
        fn the_reader_accepts_what_serde_json_accepts(
            json in json(),
            edits in prop::collection::vec((any::<prop::sample::Index>(), 0..3_u8, select(&b"\"\\{}[]:,0-.eE+tn u\x00\x1f\x80\xffa"[..])), 1..4),
        ) {
            let mut bytes = json.into_bytes();
            for (at, kind, byte) in edits {
                let at = at.index(bytes.len() + 1);
                match kind {
                    0 => bytes.insert(at, byte),
                    1 if at < bytes.len() => bytes[at] = byte,
                    _ if at < bytes.len() => drop(bytes.remove(at)),
                    _ => bytes.push(byte),
                }
            }
            check(&projection(), &bytes);
        }
    }

    #[test]
    fn depth_is_limited_where_a_path_leads_and_nowhere_else() {
        for (before, open, close, levels) in [
            (r#"{"x":"#, "[", "]", [100, 125, 126, 127, 128, 5_000]),
            (r#"{"unknown":"#, "[", "]", [1, 126, 127, 128, 5_000, 100_000]),
            (r#"{"unknown":[1,"#, r#"{"a":"#, "}", [1, 126, 127, 128, 5_000, 100_000]),
            (r#"{"tags":[["#, r#"{"x":"#, "}", [1, 124, 125, 126, 127, 128]),
        ] {
            let after: String = before
                .bytes()
                .rev()
                .filter_map(|byte| match byte {
                    b'{' => Some('}'),
                    b'[' => Some(']'),
                    _ => None,
                })
                .collect();
            for levels in levels {
                check(
                    &projection(),
                    format!("{before}{}1{}{after}", open.repeat(levels), close.repeat(levels)).as_bytes(),
                );
            }
        }
    }
}
