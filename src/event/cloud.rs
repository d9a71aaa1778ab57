//! What the engine knows of a cloud, as one value.

use super::projection::FieldSlots;
use super::{Event, Values};
use crate::scan::{ActionKey, LineShapes};
use crate::vocab::Provider;

/// One cloud: its names, its records, and how they become events.
///
/// Projection, prefilter, sniffing, rule compilation and findings iterate over [`CLOUDS`](super::CLOUDS) and name no cloud.
pub(crate) struct Cloud {
    pub provider: Provider,
    /// The name that people write.
    pub label: &'static str,
    /// The paths that every event is made from, in the order of the cloud's `Field`.
    pub fields: &'static [&'static str],
    /// Other names of the same members: envelopes, tables, SDKs.
    pub aliases: &'static [Alias],
    /// Members whose text holds something that is read as well.
    pub embedded: &'static [(&'static str, Embedded)],
    /// The keys whose value is the action.
    pub action_keys: &'static [ActionKey],
    /// The containers and envelopes that carry the cloud's records.
    pub line_shapes: LineShapes,
    /// Whether actions are equal in any case.
    pub actions_ignore_case: bool,
    /// Whether several records may report one call, so that a finding is made once for the call.
    pub multi_record_operations: bool,
    /// Whether an account is a project that has zones, as ECS names them apart.
    pub accounts_are_projects: bool,
    /// The type of Microsoft Sentinel's entity for the cloud's resource ids, if it has one.
    pub sentinel_resource_entity: Option<&'static str>,
    /// Makes an event of a record's values; gives them back if the record is not one of this cloud's.
    pub to_event: for<'a> fn(Values<'a>, FieldSlots<'_>) -> Result<Event<'a>, Values<'a>>,
}

/// Another schema's names for the members of a cloud's records.
pub(crate) struct Mapping {
    pub aliases: &'static [Alias],
    pub embedded: &'static [(&'static str, Embedded)],
    /// The keys that mark a document of this schema.
    pub marks: &'static [ActionKey],
}

/// Another name for a place: what is there is read as if it were at `path`.
pub(crate) struct Alias {
    pub names: &'static [&'static str],
    pub path: &'static str,
}

/// The members `names`, one inside the other, are read as `path`.
pub(super) const fn alias(names: &'static [&'static str], path: &'static str) -> Alias {
    Alias { names, path }
}

/// What a text in a record may hold besides itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Embedded {
    /// Nothing.
    #[default]
    Nothing,
    /// The value as JSON, if it begins like an object or a list.
    Json,
    /// Records of their own, as JSON.
    Records,
    /// Records of their own, in base64 and perhaps compressed. Only if the record is known to be such an envelope.
    Base64,
}
