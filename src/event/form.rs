//! The forms that records come in, for the counts that say what an input consists of.

/// How a record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As the cloud writes it.
    Record,
    /// As a row of a Microsoft Sentinel table.
    Table,
    /// In the Elastic Common Schema, without the original record.
    Ecs,
    /// In OCSF, without the original record.
    Ocsf,
    /// With the names in another spelling, as exports write them.
    Respelled,
}

impl Form {
    /// Every form, in the order of its number. New ones are added at the end: checkpoints hold their counts in this order.
    pub(crate) const ALL: [Self; 5] = [Self::Record, Self::Table, Self::Ecs, Self::Ocsf, Self::Respelled];

    /// The form's name in metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Table => "table",
            Self::Ecs => "ecs",
            Self::Ocsf => "ocsf",
            Self::Respelled => "respelled",
        }
    }
}
