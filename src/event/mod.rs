//! One record, normalised: what rules match and findings report, the same for every cloud.

mod cloud;
mod clouds;
mod common;
mod embedded;
mod fields;
mod mappings;
mod path;
mod projection;
mod reader;
mod timestamp;
mod values;

use std::borrow::Cow;

use crate::scan::{ActionKey, LineShapes};
use crate::vocab::{CallOutcome, IdentityKey, Provider};

pub(crate) use cloud::Cloud;
pub(crate) use clouds::{CLOUDS, cloud_of};
pub(crate) use embedded::{MAX_DEPTH, decode};
pub(crate) use mappings::MAPPINGS;
pub use path::Path;
pub(crate) use projection::{Projection, Slot};
pub(crate) use timestamp::TimeProblem;
pub(crate) use values::{Inside, Values};

/// A record that a rule may match. Text is borrowed from the record where no escape stands in it.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    pub provider: Provider,
    /// The service that was called: AWS `eventSource`, Azure's resource provider in lower case, GCP `serviceName`.
    pub service: Cow<'a, str>,
    /// The call: AWS `eventName`, Azure's operation in lower case, GCP `methodName` without its version.
    pub action: Cow<'a, str>,
    /// How it ended.
    pub outcome: CallOutcome,
    /// When it happened, in ms since 1970, or why that cannot be said.
    pub time: Result<i64, TimeProblem>,
    /// The event's own id: AWS `eventID`, Azure correlation id with operation, resource and status, GCP `insertId` with
    /// the time. Absent in a record that was cut down.
    pub id: Option<Cow<'a, str>>,
    /// What the event is a part of, where several tell of one call: findings are made once for it.
    pub operation: Option<Cow<'a, str>>,
    /// Who did it.
    pub actor: Actor<'a>,
    /// The account the record belongs to: AWS `recipientAccountId`, else the caller's; Azure's subscription, GCP's
    /// project.
    pub account: Cow<'a, str>,
    /// The region: AWS `awsRegion`, Azure's location.
    pub region: Cow<'a, str>,
    /// Where in the account it happened: AWS region, Azure resource group, GCP zone.
    pub scope: Cow<'a, str>,
    /// Where it came from, an IP address or a service's name: AWS `sourceIPAddress`.
    pub source: Cow<'a, str>,
    /// How the cloud itself ranks it: Azure `level`, GCP `severity`.
    pub level: Cow<'a, str>,
    /// The values that rules bind.
    pub values: Values<'a>,
}

/// Who made a call. A field that the record does not have is empty.
#[derive(Debug, Default)]
pub(crate) struct Actor<'a> {
    /// The role of a session: AWS `userIdentity.sessionContext.sessionIssuer.arn`.
    pub role: Cow<'a, str>,
    /// AWS `userIdentity.arn`; Azure's caller, GCP's principal.
    pub caller: Cow<'a, str>,
    /// AWS `userIdentity.principalId`, with the session after a colon; Azure's object id, GCP's subject.
    pub principal_id: Cow<'a, str>,
    /// AWS `userIdentity.accessKeyId`.
    pub access_key: Cow<'a, str>,
    /// AWS `userIdentity.type`.
    pub kind: Cow<'a, str>,
    /// AWS `userIdentity.userName`.
    pub name: Cow<'a, str>,
    /// AWS `userIdentity.accountId`.
    pub account: Cow<'a, str>,
}

impl Actor<'_> {
    /// The identity that chains join by: the first of the keys that has a value. `None` joins nothing.
    pub(crate) fn identity(&self, keys: &[IdentityKey]) -> Option<(IdentityKey, &str)> {
        let value = |key: &IdentityKey| {
            let text = match key {
                IdentityKey::Role => &self.role,
                IdentityKey::Arn | IdentityKey::Session => &self.caller,
                IdentityKey::Principal => self.principal_id.split(':').next().unwrap_or_default(),
                IdentityKey::AccessKey => &self.access_key,
            };
            (!text.is_empty()).then_some((*key, text))
        };
        keys.iter().find_map(value)
    }
}

/// A record as it was read.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    /// `None` where it is none of the records that the engine knows, or lacks what every one of them has.
    pub event: Option<Event<'a>>,
    /// What holds records of its own. Where those are known, they are what the record tells.
    pub inside: Vec<Inside>,
}

/// Reads one record; `envelope` says that it may hold others in base64.
///
/// One pass over the bytes; only the values that [`Projection`] names are kept.
pub(crate) fn read<'a>(
    record: &'a [u8],
    envelope: bool,
    projection: &Projection,
) -> Result<Record<'a>, serde_json::Error> {
    let mut values = projection.read(record, envelope)?;
    let inside = values.take_inside();
    for (cloud, slots) in projection.clouds() {
        values = match (cloud.to_event)(values, slots) {
            Ok(event) => return Ok(Record { event: Some(event), inside }),
            Err(values) => values,
        };
    }
    Ok(Record { event: None, inside })
}

/// The keys by which the prefilter recognises records that may matter, of all clouds and schemas.
pub(crate) fn action_keys() -> Vec<ActionKey> {
    let marks = MAPPINGS.iter().flat_map(|mapping| mapping.marks);
    CLOUDS.iter().flat_map(|cloud| cloud.action_keys).chain(marks).copied().collect()
}

/// The containers and envelopes of all clouds.
pub(crate) fn line_shapes() -> impl Iterator<Item = LineShapes> {
    CLOUDS.iter().map(|cloud| cloud.line_shapes)
}

/// The part of a resource's name after `key`, up to the next slash.
fn resource_part<'a>(name: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = name.split_once(key)?;
    rest.split('/').next().filter(|part| !part.is_empty())
}
