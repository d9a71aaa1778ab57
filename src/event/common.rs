//! Members that tables and other schemas add to the records of any cloud.

use std::borrow::Cow;

use super::fields::fields;
use super::projection::FieldSlots;
use super::{Form, Values};

fields! {
    TableTime = "TimeGenerated",
    DocumentTime = "@timestamp",
    SchemaTime = "time",
    EcsTime = "ts",
    EcsKind = "event.kind",
    OcsfClass = "class_uid",
}

/// The paths of the fields above, for the projection.
pub(super) const COMMON_FIELDS: &[&str] = FIELDS;

/// Access to the members that a record of any cloud may have in addition to the cloud's own.
#[derive(Clone, Copy)]
pub(crate) struct Common<'v, 'a> {
    values: &'v Values<'a>,
    slots: FieldSlots<'v>,
}

impl<'v, 'a> Common<'v, 'a> {
    /// The common members of one record. `slots` holds the slots of [`COMMON_FIELDS`].
    pub(super) fn new(values: &'v Values<'a>, slots: FieldSlots<'v>) -> Self {
        Self { values, slots }
    }

    /// The time of the table row or document, as text. For records without a time of their own.
    pub(super) fn time(self) -> Option<Cow<'a, str>> {
        let times = [Field::TableTime, Field::DocumentTime, Field::SchemaTime, Field::EcsTime];
        times.into_iter().find_map(|field| self.values.text(self.slots.of(field)))
    }

    /// How the record is written, if its names are spelled as the cloud or schema spells them.
    pub(super) fn form(self) -> Form {
        let forms = [(Field::TableTime, Form::Table), (Field::OcsfClass, Form::Ocsf), (Field::EcsKind, Form::Ecs)];
        let of = forms.into_iter().find(|(field, _)| self.values.exists(self.slots.of(*field)));
        of.map_or(Form::Record, |(_, form)| form)
    }

    /// Whether the record is a row of a Microsoft Sentinel table.
    pub(super) fn is_table_row(self) -> bool {
        self.values.exists(self.slots.of(Field::TableTime))
    }
}
