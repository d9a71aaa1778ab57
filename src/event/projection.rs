//! The projection of a record onto the paths of interest, in one pass.
//!
//! An envelope, or another schema for the same record, is expressed as a few [aliases](Alias): alternative locations of
//! the record's members. All paths are merged into a tree, and the [reader](super::reader) walks the record and the tree together.
//! It skips values that no path leads to and keeps values at which a path ends. As in most JSON parsers, the last of
//! duplicate members wins.

use std::borrow::Cow;

use hashbrown::HashMap;

use super::cloud::{Alias, Embedded};
use super::common::{COMMON_FIELDS, Common};
use super::edges::{Edges, Name};
use super::path::{Path, Segment};
use super::{CLOUDS, Cloud, MAPPINGS, Values};
use crate::util::spelling::letters;

/// Identifies one path of a [`Projection`], and the values at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(u16);

impl Slot {
    /// The slot of a field that does not exist. No value is stored under it.
    const NONE: Self = Self(u16::MAX);

    /// The slot as a number, for hashing and for checkpoints.
    pub(crate) fn number(self) -> u16 {
        self.0
    }
}

/// The paths of interest, merged into a tree.
#[derive(Debug)]
pub(crate) struct Projection {
    /// The nodes of the tree; the first is [`ROOT`].
    pub(super) nodes: Vec<Node>,
    /// The number of edges, which is also the number of the next one.
    edges: u32,
    /// The slots of each cloud's fields, in the order of [`CLOUDS`].
    fields: Vec<Vec<Slot>>,
    /// The slots of the common fields.
    common: Vec<Slot>,
    /// The path of each slot, and the slot of each path.
    paths: Vec<Box<str>>,
    by_path: HashMap<Box<str>, Slot>,
}

/// A location in records that a path leads through or ends at.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// The edges to members, by name; in lower case if case is ignored.
    members: Edges,
    /// The same edges by the [letters] of their names, for records whose exporter spells names in its own way. The first
    /// of several that share their letters.
    by_letters: HashMap<Box<str>, Edge>,
    /// Whether the case of its members' names is ignored, as the cloud itself does; see [`Cloud::names_ignore_case`].
    ignore_case: bool,
    /// The node of an array's elements, as an index.
    pub elements: Option<usize>,
    /// The content embedded in text at this location.
    pub embedded: Embedded,
    /// The slot of the path that ends here, and those of others that do.
    pub slot: Option<Slot>,
    pub more_slots: Vec<Slot>,
}

impl Node {
    /// The edge to a member, by its name in a record.
    #[inline(always)]
    pub(super) fn edge(&self, name: Name<'_>) -> Option<Edge> {
        if self.ignore_case {
            return self.members.get(Name::of(&name.bytes().to_ascii_lowercase()));
        }
        self.members.get(name)
    }

    /// The edge to the member with this name or, in any spelling, with the same letters.
    pub(super) fn edge_of(&self, name: &str, any_spelling: bool) -> Option<Edge> {
        let by_letters = || self.by_letters.get(&*letters(name)).copied();
        self.edge(Name::of(name.as_bytes())).or_else(|| any_spelling.then(by_letters).flatten())
    }

    /// Adds an edge to a member.
    fn connect(&mut self, name: &str, edge: Edge) {
        self.by_letters.entry(letters(name).into()).or_insert(edge);
        let name = if self.ignore_case { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) };
        self.members.insert(&name, edge);
    }
}

/// The edge to a member of interest. Several edges may lead to one node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    /// Unique among all edges.
    pub number: u32,
    /// The node it leads to, as an index.
    pub node: u32,
}

/// The index of the node of the record itself.
pub(super) const ROOT: usize = 0;

impl Default for Projection {
    fn default() -> Self {
        let (fields, common) = (Vec::new(), Vec::new());
        let (nodes, paths, by_path) = (vec![Node::default()], Vec::new(), HashMap::new());
        let mut projection = Self { nodes, edges: 0, fields, common, paths, by_path };
        for path in CLOUDS.iter().flat_map(|cloud| cloud.names_ignore_case) {
            let node = projection.node_at(path);
            if let Some(node) = projection.nodes.get_mut(node) {
                node.ignore_case = true;
            }
        }
        for cloud in CLOUDS {
            let slots = projection.add_fields(cloud.fields);
            projection.fields.push(slots);
        }
        projection.common = projection.add_fields(COMMON_FIELDS);
        let aliases = CLOUDS.iter().map(|cloud| cloud.aliases).chain(MAPPINGS.iter().map(|mapping| mapping.aliases));
        for alias in aliases.flatten() {
            projection.add_alias(alias);
        }
        let embedded = CLOUDS.iter().map(|cloud| cloud.embedded).chain(MAPPINGS.iter().map(|mapping| mapping.embedded));
        for (path, embedded) in embedded.flatten() {
            let node = projection.node_at(path);
            if let Some(node) = projection.nodes.get_mut(node) {
                node.embedded = *embedded;
            }
        }
        projection
    }
}

/// The slots of one cloud's fields.
#[derive(Clone, Copy)]
pub(crate) struct FieldSlots<'p> {
    fields: &'p [Slot],
    common: &'p [Slot],
}

impl<'p> FieldSlots<'p> {
    /// The slot of a field.
    pub(super) fn of(self, field: impl Into<usize>) -> Slot {
        self.fields.get(field.into()).copied().unwrap_or(Slot::NONE)
    }

    /// The members that a record of any cloud may have.
    pub(super) fn common<'v, 'a>(self, values: &'v Values<'a>) -> Common<'v, 'a>
    where
        'p: 'v,
    {
        Common::new(values, FieldSlots { fields: self.common, common: self.common })
    }
}

impl Projection {
    /// Adds the paths of fields and returns their slots, in the same order.
    fn add_fields(&mut self, paths: &[&str]) -> Vec<Slot> {
        let slot = |path: &&str| Path::parse(path).and_then(|path| self.add(&path)).unwrap_or(Slot::NONE);
        let slots: Vec<_> = paths.iter().map(slot).collect();
        debug_assert!(!slots.contains(&Slot::NONE), "every field has a valid path, and all of them fit into slots");
        slots
    }

    /// All clouds with the slots of their fields, in the order in which they are tried on a record.
    pub(super) fn clouds(&self) -> impl Iterator<Item = (&'static Cloud, FieldSlots<'_>)> {
        let slots = self.fields.iter().map(|fields| FieldSlots { fields, common: &self.common });
        CLOUDS.into_iter().zip(slots)
    }

    /// Adds a path, unless it is known, and returns its slot. `None` if there are more than 65,535 paths.
    pub(crate) fn add(&mut self, path: &Path) -> Option<Slot> {
        if let Some(slot) = self.slot(path.as_str()) {
            return Some(slot);
        }
        let slot = Some(Slot(u16::try_from(self.paths.len()).ok()?)).filter(|slot| *slot != Slot::NONE)?;
        self.paths.push(path.as_str().into());
        self.by_path.insert(path.as_str().into(), slot);
        let segments: Vec<_> = path.segments().collect();
        self.lead(ROOT, &segments, slot);
        Some(slot)
    }

    /// The slot of a path; `None` if the path is not part of the projection.
    pub(crate) fn slot(&self, path: &str) -> Option<Slot> {
        self.by_path.get(path).copied()
    }

    /// All paths, in the order of their slots.
    pub(crate) fn paths(&self) -> &[Box<str>] {
        &self.paths
    }

    /// Adds a path of `segments`, from `node` on, that ends in `slot`.
    fn lead(&mut self, node: usize, segments: &[Segment<'_>], slot: Slot) {
        let Some((segment, rest)) = segments.split_first() else {
            match self.nodes.get_mut(node) {
                Some(node) if node.slot.is_some() => node.more_slots.push(slot),
                Some(node) => node.slot = Some(slot),
                None => {}
            }
            return;
        };
        let next = match segment {
            Segment::Member(name) => self.member(node, name),
            Segment::Elements => {
                let fresh = self.nodes.len();
                let Some(here) = self.nodes.get_mut(node) else { return };
                let next = *here.elements.get_or_insert(fresh);
                let ignore_case = here.ignore_case;
                if next == fresh {
                    self.nodes.push(Node { ignore_case, ..Node::default() });
                }
                next
            }
        };
        self.lead(next, rest, slot);
        if *segment == Segment::Elements {
            // A value in place of an array is treated as its only element.
            self.lead(node, rest, slot);
        }
    }

    /// The node of a member of `node`, which is added if it does not exist.
    fn member(&mut self, node: usize, name: &str) -> usize {
        let fresh = self.nodes.len();
        let Some(here) = self.nodes.get_mut(node) else { return node };
        if let Some(edge) = here.edge(Name::of(name.as_bytes())) {
            return edge.node as usize;
        }
        let ignore_case = here.ignore_case;
        here.connect(name, Edge { number: self.edges, node: fresh as u32 });
        self.edges += 1;
        self.nodes.push(Node { ignore_case, ..Node::default() });
        fresh
    }

    /// The node at the end of a path without `[]`, which is added if it does not exist; [`ROOT`] for the empty path.
    fn node_at(&mut self, path: &str) -> usize {
        let names = path.split('.').filter(|name| !name.is_empty());
        names.fold(ROOT, |node, name| self.member(node, name))
    }

    /// Makes the last of the alias's names lead to the node of its path.
    fn add_alias(&mut self, alias: &Alias) {
        let Some((name, before)) = alias.names.split_last() else { return };
        let node = self.node_at(alias.path);
        let from = before.iter().fold(ROOT, |node, name| self.member(node, name));
        let number = self.edges;
        self.edges += 1;
        if let Some(from) = self.nodes.get_mut(from) {
            from.connect(name, Edge { number, node: node as u32 });
        }
    }
}
