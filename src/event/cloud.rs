//! The description of a cloud: everything the engine knows about it, as one value.

use super::projection::FieldSlots;
use super::{Event, Values};
use crate::scan::{ActionKey, ContainerMembers};
use crate::vocab::Provider;

/// One cloud: its names, its record format, and how its records become events.
///
/// Projection, prefilter, sniffer, rule compilation and findings iterate over [`CLOUDS`](super::CLOUDS) and never name
/// a particular cloud.
pub(crate) struct Cloud {
    /// The cloud's id.
    pub provider: Provider,
    /// The display name.
    pub label: &'static str,
    /// The paths that every event is built from, in the order of the cloud's `Field`.
    pub fields: &'static [&'static str],
    /// Alternative locations of the same members, in envelopes, tables and SDK output.
    pub aliases: &'static [Alias],
    /// Paths of members whose text has embedded content, and the kind of content.
    pub embedded: &'static [(&'static str, Embedded)],
    /// Paths of objects whose members, at any depth, the cloud itself reads ignoring case. Callers choose the case.
    pub names_ignore_case: &'static [&'static str],
    /// The keys whose value is the action.
    pub action_keys: &'static [ActionKey],
    /// The containers and envelopes that carry the cloud's records.
    pub containers: ContainerMembers,
    /// Whether actions are compared ignoring case.
    pub actions_ignore_case: bool,
    /// Whether several records may report one call, so that findings are reported once per call.
    pub multi_record_operations: bool,
    /// Whether an account is a project and its scope a zone. ECS has separate fields for these.
    pub accounts_are_projects: bool,
    /// The Microsoft Sentinel entity type for the cloud's resource ids, if there is one.
    pub sentinel_resource_entity: Option<&'static str>,
    /// Builds an event from a record's values, if the record is from this cloud.
    pub recognise: for<'a> fn(Values<'a>, FieldSlots<'_>) -> Recognition<'a>,
}

/// What a cloud makes of a record.
#[allow(clippy::large_enum_variant, reason = "one is made for a record, and taken apart at once")]
pub(crate) enum Recognition<'a> {
    /// The call that the record tells of.
    Call(Event<'a>),
    /// The record is the cloud's and tells of no call of its own: it repeats one, or sums up many.
    NoCall,
    /// The record is not from this cloud. Its values.
    Unknown(Values<'a>),
}

/// Another schema's locations for the members of the clouds' records.
pub(crate) struct Mapping {
    /// The schema's locations for members of the clouds' records.
    pub aliases: &'static [Alias],
    /// Paths of members whose text has embedded content, and the kind of content.
    pub embedded: &'static [(&'static str, Embedded)],
    /// The keys that identify a document of this schema.
    pub markers: &'static [ActionKey],
}

/// An alternative location: the value at `names` is read as if it were at `path`.
pub(crate) struct Alias {
    /// The member names that lead to the alternative location, outermost first.
    pub names: &'static [&'static str],
    /// The path in the cloud's own format, as dot-separated member names; empty for the record itself.
    pub path: &'static str,
}

/// An alias: the nested members `names`, outermost first, are read as `path`.
pub(super) const fn alias(names: &'static [&'static str], path: &'static str) -> Alias {
    Alias { names, path }
}

/// The content that may be embedded in a text member of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Embedded {
    /// None: the text is a plain value.
    #[default]
    Nothing,
    /// The member's value as JSON, if the text begins like an object or an array.
    Json,
    /// Complete records as JSON, if the text begins like an object or an array. Not read in an event that names its caller, because
    /// there it may be a caller's text.
    Records,
    /// The record that this one was made from, as JSON.
    Original,
    /// Complete records in base64, possibly gzipped. Decoded only if the record was recognised as an envelope.
    Base64,
}
