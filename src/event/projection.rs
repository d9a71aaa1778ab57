//! The values of a record that are of interest, read in one pass.
//!
//! Paths are merged into a tree, and the JSON parser walks the record and the tree together: what no path leads to is
//! skipped, what a path ends at is kept. As in most readers, the last of several members of one name counts.

use std::borrow::Cow;
use std::fmt;

use hashbrown::HashMap;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::aws;
use crate::rule::{Path, Segment};
use crate::sorted;

/// Where the values of one path are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(u16);

impl Slot {
    pub(super) fn field(field: u16) -> Self {
        Self(field)
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
    /// The path of each slot.
    paths: Vec<Box<str>>,
}

/// A place in records that paths lead through or end at.
#[derive(Debug, Default)]
struct Node {
    members: HashMap<Box<str>, usize>,
    elements: Option<usize>,
    /// The paths that end here.
    slots: Vec<Slot>,
}

const ROOT: usize = 0;

impl Default for Projection {
    fn default() -> Self {
        let mut projection = Self { nodes: vec![Node::default()], paths: Vec::new() };
        for path in aws::FIELDS.iter().filter_map(|field| Path::parse(field)) {
            projection.add(&path);
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
        let fresh = self.nodes.len();
        let Some(here) = self.nodes.get_mut(node) else { return };
        let next = match segment {
            Segment::Member(name) => *here.members.entry((*name).into()).or_insert(fresh),
            Segment::Elements => *here.elements.get_or_insert(fresh),
        };
        if next == fresh {
            self.nodes.push(Node::default());
        }
        self.lead(next, rest, slot);
        if *segment == Segment::Elements {
            // What stands where a list is due is taken for its only element.
            self.lead(node, rest, slot);
        }
    }

    /// Reads a record.
    pub(crate) fn read<'a>(&self, record: &'a [u8]) -> Result<Values<'a>, serde_json::Error> {
        let mut values = Values { found: Vec::new() };
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
}

/// A value that is not empty.
#[derive(Clone, Debug)]
enum Found<'a> {
    Text(Cow<'a, str>),
    /// An object or a list.
    Composite,
}

impl<'a> Values<'a> {
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
        sorted::collect(slots.iter().flat_map(|slot| self.all(*slot)))
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
        self.keep(Cow::Borrowed(value));
        Ok(())
    }

    fn visit_str<E>(mut self, value: &str) -> Result<(), E> {
        self.keep(Cow::Owned(value.to_owned()));
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
            let Some(member) = member else {
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
            map.next_value_seed(self.at(member))?;
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
    type Value = Option<usize>;

    fn deserialize<D: serde::Deserializer<'a>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for MemberName<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.and_then(|node| node.members.get(name).copied()))
    }
}
