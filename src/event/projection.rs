//! The values of a record that are of interest, read in one pass.
//!
//! An envelope or another spelling of the same record is a few [aliases](Alias): the names under which it has what the
//! record has. Paths are merged into a tree, and the JSON parser walks the record and the tree together: what no path leads to is
//! skipped, what a path ends at is kept. As in most readers, the last of several members of one name counts.

use std::borrow::Cow;
use std::fmt;

use hashbrown::HashMap;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{MOST_NESTED, aws, azure, ecs, gcp};
use crate::rule::{Path, Segment};

/// Where the values of one path are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(u16);

impl Slot {
    /// The slot of a path that is in every projection.
    pub(super) const fn fixed(number: u16) -> Self {
        Self(number)
    }

    /// The slot as a number, for hashing and for checkpoints.
    pub(crate) fn number(self) -> u16 {
        self.0
    }
}

/// The paths of interest.
#[derive(Debug)]
pub(crate) struct Projection {
    nodes: Vec<Node>,
    edges: usize,
    /// The path of each slot.
    paths: Vec<Box<str>>,
}

/// A place in records that paths lead through or end at.
#[derive(Debug, Default)]
struct Node {
    members: HashMap<Box<str>, Edge>,
    elements: Option<usize>,
    /// What a text that stands here holds.
    text: Holds,
    /// The paths that end here.
    slots: Vec<Slot>,
}

/// A member that is of interest. Several names may lead to one node.
#[derive(Clone, Copy, Debug)]
struct Edge {
    /// Tells it from all other edges.
    number: usize,
    node: usize,
}

/// What a text in a record may hold besides itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Holds {
    /// Nothing.
    #[default]
    Text,
    /// The value as JSON, where it begins like an object or a list.
    Json,
    /// Records of their own, as JSON.
    Records,
    /// Records of their own, in base64 and perhaps compressed. Only where the record is known to be such an envelope.
    Base64,
}

/// Another name for a place: what stands there is read as if it stood at the path.
pub(super) struct Alias {
    pub names: &'static [&'static str],
    pub path: &'static str,
}

const ROOT: usize = 0;

impl Default for Projection {
    fn default() -> Self {
        let mut projection = Self { nodes: vec![Node::default()], edges: 0, paths: Vec::new() };
        for fields in [aws::FIELDS, azure::FIELDS, gcp::FIELDS] {
            for path in fields.iter().filter_map(|field| Path::parse(field)) {
                projection.add(&path);
            }
        }
        for alias in [aws::ALIASES, azure::ALIASES, gcp::ALIASES, ecs::ALIASES].into_iter().flatten() {
            projection.add_alias(alias);
        }
        for (path, holds) in [aws::TEXTS, azure::TEXTS, gcp::TEXTS, ecs::TEXTS].into_iter().flatten() {
            let node = projection.node_at(path);
            if let Some(node) = projection.nodes.get_mut(node) {
                node.text = *holds;
            }
        }
        projection
    }
}

impl Projection {
    /// Adds a path and gives its slot, or the slot it already has. `None` where there are too many.
    pub(crate) fn add(&mut self, path: &Path) -> Option<Slot> {
        if let Some(slot) = self.slot(path.as_str()) {
            return Some(slot);
        }
        let slot = Slot(u16::try_from(self.paths.len()).ok()?);
        self.paths.push(path.as_str().into());
        let segments: Vec<_> = path.segments().collect();
        self.lead(ROOT, &segments, slot);
        Some(slot)
    }

    /// The slot of a path.
    pub(crate) fn slot(&self, path: &str) -> Option<Slot> {
        let number = self.paths.iter().position(|known| **known == *path)?;
        u16::try_from(number).ok().map(Slot)
    }

    /// All paths, in the order of their slots.
    pub(crate) fn paths(&self) -> &[Box<str>] {
        &self.paths
    }

    fn lead(&mut self, node: usize, segments: &[Segment<'_>], slot: Slot) {
        let Some((segment, rest)) = segments.split_first() else {
            if let Some(node) = self.nodes.get_mut(node) {
                node.slots.push(slot);
            }
            return;
        };
        let next = match segment {
            Segment::Member(name) => self.member(node, name),
            Segment::Elements => {
                let fresh = self.nodes.len();
                let Some(here) = self.nodes.get_mut(node) else { return };
                let next = *here.elements.get_or_insert(fresh);
                if next == fresh {
                    self.nodes.push(Node::default());
                }
                next
            }
        };
        self.lead(next, rest, slot);
        if *segment == Segment::Elements {
            // What stands where a list is due is taken for its only element.
            self.lead(node, rest, slot);
        }
    }

    /// The node that a member of a node leads to.
    fn member(&mut self, node: usize, name: &str) -> usize {
        let (fresh, number) = (self.nodes.len(), self.edges);
        let Some(here) = self.nodes.get_mut(node) else { return node };
        let edge = *here.members.entry(name.into()).or_insert(Edge { number, node: fresh });
        if edge.number == number {
            self.edges += 1;
            self.nodes.push(Node::default());
        }
        edge.node
    }

    /// The node at the end of a path; the record itself for the empty one.
    fn node_at(&mut self, path: &str) -> usize {
        let names = path.split('.').filter(|name| !name.is_empty());
        names.fold(ROOT, |node, name| self.member(node, name))
    }

    fn add_alias(&mut self, alias: &Alias) {
        let Some((name, before)) = alias.names.split_last() else { return };
        let node = self.node_at(alias.path);
        let from = before.iter().fold(ROOT, |node, name| self.member(node, name));
        let number = self.edges;
        self.edges += 1;
        if let Some(from) = self.nodes.get_mut(from) {
            from.members.insert((*name).into(), Edge { number, node });
        }
    }

    /// Reads a record. `envelope` says that it may hold records in base64.
    pub(crate) fn read<'a>(&self, record: &'a [u8], envelope: bool) -> Result<Values<'a>, serde_json::Error> {
        let mut values = Values { envelope, ..Values::default() };
        let mut json = serde_json::Deserializer::from_slice(record);
        Reader { nodes: &self.nodes, node: ROOT, values: &mut values }.deserialize(&mut json)?;
        json.end()?;
        Ok(values)
    }
}

/// What was read from a record, in the order of its bytes.
#[derive(Debug, Default)]
pub(crate) struct Values<'a> {
    found: Vec<(Slot, Found<'a>)>,
    /// What holds records of its own.
    inside: Vec<Inside>,
    envelope: bool,
    /// How deep the text that is read stands in other texts: each has the parser's whole stack before it.
    depth: usize,
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
enum Found<'a> {
    Text(Cow<'a, str>),
    /// An object or a list.
    Composite,
}

impl Found<'_> {
    fn into_owned(self) -> Found<'static> {
        match self {
            Self::Text(text) => Found::Text(Cow::Owned(text.into_owned())),
            Self::Composite => Found::Composite,
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
        self.found.push((slot, Found::Text(text.into())));
    }

    /// Rewrites every text for which `rewrite` has another.
    pub(super) fn rewrite(&mut self, rewrite: impl Fn(&str) -> Option<String>) {
        for (_, value) in &mut self.found {
            if let Found::Text(text) = value
                && let Some(other) = rewrite(text)
            {
                *text = Cow::Owned(other);
            }
        }
    }

    /// The text of a slot, the last one if there are several; `None` where it is absent or empty.
    pub(crate) fn text(&self, slot: Slot) -> Option<Cow<'a, str>> {
        self.found.iter().rev().find_map(|(found, value)| match value {
            Found::Text(text) if *found == slot => Some(text.clone()),
            _ => None,
        })
    }

    /// All texts of a slot. Never an empty one: what is absent or empty is equal to nothing.
    pub(crate) fn all(&self, slot: Slot) -> impl Iterator<Item = &str> {
        self.found.iter().filter_map(move |(found, value)| match value {
            Found::Text(text) if *found == slot => Some(&**text),
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

/// Reads the value at one node.
struct Reader<'r, 'a> {
    nodes: &'r [Node],
    node: usize,
    values: &'r mut Values<'a>,
}

impl<'a> Reader<'_, 'a> {
    fn node(&self) -> Option<&Node> {
        self.nodes.get(self.node)
    }

    fn at(&mut self, node: usize) -> Reader<'_, 'a> {
        Reader { nodes: self.nodes, node, values: self.values }
    }

    fn keep(&mut self, text: Cow<'a, str>) {
        if !text.is_empty() {
            self.keep_found(&Found::Text(text));
        }
    }

    /// Keeps a text, or what it holds.
    fn keep_text(&mut self, text: Cow<'a, str>) {
        let like_json = || matches!(text.trim_start().as_bytes().first(), Some(b'{' | b'['));
        match self.node().map(|node| node.text).unwrap_or_default() {
            Holds::Json if like_json() => self.read_inside(&text),
            Holds::Records if like_json() => self.values.inside.push(Inside::Json(text.into_owned().into_bytes())),
            Holds::Base64 if self.values.envelope => self.values.inside.push(Inside::Base64(text.into_owned())),
            _ => self.keep(text),
        }
    }

    /// Reads a text as the JSON that it holds. Of one that is cut short, or too deep in others, only that it was there is
    /// kept.
    fn read_inside(&mut self, text: &str) {
        if self.values.depth == MOST_NESTED {
            return self.keep_found(&Found::Composite);
        }
        let mut values = Values { depth: self.values.depth + 1, ..Values::default() };
        let mut json = serde_json::Deserializer::from_str(text);
        let read = Reader { nodes: self.nodes, node: self.node, values: &mut values }.deserialize(&mut json);
        if read.and_then(|()| json.end()).is_err() {
            return self.keep_found(&Found::Composite);
        }
        self.values.found.extend(values.found.into_iter().map(|(slot, found)| (slot, found.into_owned())));
        self.values.inside.extend(values.inside);
    }

    fn keep_found(&mut self, value: &Found<'a>) {
        let Some(node) = self.nodes.get(self.node) else { return };
        self.values.found.extend(node.slots.iter().map(|slot| (*slot, value.clone())));
    }
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
        let elements = self.node().and_then(|node| node.elements);
        let mut empty = true;
        while match elements {
            Some(elements) => list.next_element_seed(self.at(elements))?.is_some(),
            None => list.next_element::<IgnoredAny>()?.is_some(),
        } {
            empty = false;
        }
        if !empty {
            self.keep_found(&Found::Composite);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
        // What each member's values began and ended at, in case its name comes again.
        let mut read: Vec<(usize, usize, usize)> = Vec::new();
        let mut empty = true;
        while let Some(member) = map.next_key_seed(MemberName(self.node()))? {
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
            self.keep_found(&Found::Composite);
        }
        Ok(())
    }
}

/// Reads a member's name and gives the node it leads to, if any.
struct MemberName<'r>(Option<&'r Node>);

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
        Ok(self.0.and_then(|node| node.members.get(name).copied()))
    }
}
