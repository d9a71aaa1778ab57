//! One record, normalised: what rules match on and findings tell, the same for every cloud.

mod aws;
mod projection;
mod timestamp;

use std::borrow::Cow;

use crate::rule::{Outcome, Provider};

pub(crate) use projection::{Projection, Slot, Values};

/// A record that a rule may match. Text is borrowed from the record where no escape stands in it.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    pub provider: Provider,
    /// The service that was called: AWS `eventSource`.
    pub service: Cow<'a, str>,
    /// The call: AWS `eventName`.
    pub action: Cow<'a, str>,
    /// How it ended.
    pub outcome: Outcome,
    /// When it happened, in ms since 1970, or why that cannot be said.
    pub time: Result<i64, TimeProblem>,
    /// The event's own id: AWS `eventID`. Absent in a record that was cut down.
    pub id: Option<Cow<'a, str>>,
    /// Who did it.
    pub actor: Actor<'a>,
    /// The account the record belongs to: AWS `recipientAccountId`, else the caller's.
    pub account: Cow<'a, str>,
    /// The region: AWS `awsRegion`.
    pub region: Cow<'a, str>,
    /// Where it came from, an IP address or a service's name: AWS `sourceIPAddress`.
    pub source: Cow<'a, str>,
    /// The values that rules bind.
    pub values: Values<'a>,
}

/// Who made a call. A field that the record does not have is empty.
#[derive(Debug, Default)]
pub(crate) struct Actor<'a> {
    /// What chains are joined by; `None` joins nothing.
    pub identity: Option<Cow<'a, str>>,
    /// AWS `userIdentity.type`.
    pub kind: Cow<'a, str>,
    /// AWS `userIdentity.userName`.
    pub name: Cow<'a, str>,
    /// AWS `userIdentity.accountId`.
    pub account: Cow<'a, str>,
}

/// Why an event has no time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TimeProblem {
    Missing,
    NotATime(String),
}

/// Why a record could not be turned into an event.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It is none of the records that the engine knows, or lacks what every one of them has.
    Unknown,
    /// It is no JSON.
    Malformed(serde_json::Error),
}

/// Reads one record.
///
/// One pass over the bytes; only the values that [`Projection`] names are kept.
pub(crate) fn read<'a>(record: &'a [u8], projection: &Projection) -> Result<Event<'a>, Unread> {
    let values = projection.read(record).map_err(Unread::Malformed)?;
    aws::event(values).ok_or(Unread::Unknown)
}
