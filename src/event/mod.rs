//! Normalised records: the events that rules match and findings report, in one form for all clouds.

mod cloud;
mod clouds;
mod common;
mod edges;
mod embedded;
mod fields;
mod form;
mod mappings;
#[cfg(any(test, fuzzing))]
pub(crate) mod oracle;
mod path;
mod projection;
mod reader;
mod repair;
mod skip;
mod timestamp;
mod values;

use std::borrow::Cow;

use crate::scan::{ActionKey, ContainerMembers};
use crate::vocab::{CallOutcome, IdentityKey, Provider};

pub(crate) use cloud::Cloud;
use cloud::Recognition;
pub(crate) use clouds::{CLOUDS, cloud_of};
pub(crate) use embedded::{MAX_DEPTH, decode, embedded_in_string, inflatable};
pub(crate) use form::Form;
pub(crate) use mappings::MAPPINGS;
pub use path::Path;
pub(crate) use path::Segment;
pub(crate) use projection::{Projection, Slot};
use reader::Reading;
pub(crate) use timestamp::TimeProblem;
pub(crate) use values::{Buffers, EmbeddedRecords, Values};

/// A record that a rule may match. Text without escapes is borrowed from the record.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    /// The cloud the record comes from.
    pub provider: Provider,
    /// How the record is written.
    pub form: Form,
    /// The service that was called: AWS `eventSource`, Azure's resource provider in lower case, GCP `serviceName`.
    pub service: Cow<'a, str>,
    /// The action that was called: AWS `eventName`, Azure's operation in lower case, GCP `methodName` without its
    /// version.
    pub action: Cow<'a, str>,
    /// How the call ended.
    pub outcome: CallOutcome,
    /// The event time in milliseconds since 1970, or why there is none.
    pub time: Result<i64, TimeProblem>,
    /// The event's id: AWS `eventID`; Azure correlation id with operation, resource, status and time; GCP `insertId`
    /// with the time. `None` if the record lacks it, as stripped-down records do.
    pub id: Option<Cow<'a, str>>,
    /// The operation that the event belongs to, if several events may report one call: findings are reported once per
    /// operation. Set for successful Azure calls only.
    pub operation: Option<Cow<'a, str>>,
    /// The caller.
    pub actor: Actor<'a>,
    /// The account the record belongs to: AWS `recipientAccountId`, or else the caller's account; Azure's subscription;
    /// GCP's project.
    pub account: Cow<'a, str>,
    /// The region: AWS `awsRegion`, Azure's location, GCP's zone without its suffix.
    pub region: Cow<'a, str>,
    /// The scope within the account: AWS region, Azure resource group, GCP zone.
    pub scope: Cow<'a, str>,
    /// The source of the call, an IP address or a service name: AWS `sourceIPAddress`, Azure's caller address, GCP
    /// `callerIp`.
    pub source: Cow<'a, str>,
    /// The caller's user agent: AWS `userAgent`, GCP `callerSuppliedUserAgent`; empty for Azure.
    pub user_agent: Cow<'a, str>,
    /// The severity that the cloud assigns: Azure `level`, GCP `severity`; empty for AWS.
    pub level: Cow<'a, str>,
    /// The values that rules refer to by path.
    pub values: Values<'a>,
}

/// The caller. A field that the record lacks is empty.
#[derive(Debug, Default)]
pub(crate) struct Actor<'a> {
    /// The role of a session: AWS `userIdentity.sessionContext.sessionIssuer.arn`.
    pub role: Cow<'a, str>,
    /// AWS `userIdentity.arn`, Azure's caller in lower case, GCP's principal.
    pub caller: Cow<'a, str>,
    /// AWS `userIdentity.principalId`, with the session name after a colon; Azure's object id; GCP's subject.
    pub principal_id: Cow<'a, str>,
    /// AWS `userIdentity.accessKeyId`, Azure's application id.
    pub access_key: Cow<'a, str>,
    /// AWS `userIdentity.type`, Azure's principal type.
    pub kind: Cow<'a, str>,
    /// AWS `userIdentity.userName`, Azure's caller, GCP's principal.
    pub name: Cow<'a, str>,
    /// AWS `userIdentity.accountId`.
    pub account: Cow<'a, str>,
}

impl Actor<'_> {
    /// The identity that chains join on: the first of `keys` that has a value, with that value. An event without an
    /// identity (`None`) joins no chain.
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

/// A parsed record.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    /// What the record is.
    pub kind: RecordKind<'a>,
    /// The content that holds embedded records. If any of these is recognised, they supersede the record's own event.
    pub embedded: Vec<EmbeddedRecords>,
}

/// What a record is.
#[allow(clippy::large_enum_variant, reason = "one is made for a record, and taken apart at once")]
#[derive(Debug)]
pub(crate) enum RecordKind<'a> {
    /// It tells of a call.
    Call(Event<'a>),
    /// A cloud's record that tells of no call of its own: it repeats one, or sums up many.
    NoCall(Provider),
    /// No cloud recognises it, or it lacks a required member.
    Unknown,
}

impl RecordKind<'_> {
    /// Whether it is a call whose caller is known. The summary of a call around its record does not name the caller.
    pub(crate) fn has_caller(&self) -> bool {
        matches!(self, Self::Call(event) if !event.actor.caller.is_empty())
    }
}

/// Parses one record. `envelope` says whether it may hold others in base64; `any_spelling`, whether names are read in any
/// spelling if no cloud recognises the record otherwise.
///
/// Text that is not Unicode is read as U+FFFD. Costs one pass over the bytes, or two; only the values on paths of the
/// [`Projection`] are kept, in `buffers`, which are returned empty.
///
/// # Errors
///
/// If the bytes are not exactly one well-formed JSON value.
pub(crate) fn read<'a>(
    record: &'a [u8],
    envelope: bool,
    any_spelling: bool,
    projection: &Projection,
    buffers: &mut Buffers,
) -> Result<Record<'a>, serde_json::Error> {
    let reading = Reading { envelope, any_spelling: false };
    let mut values = projection.read(record, reading, std::mem::take(buffers))?;
    let mut embedded = values.take_embedded();
    let mut kind = recognise(values, projection, buffers);
    if any_spelling && matches!(kind, RecordKind::Unknown) {
        let reading = Reading { envelope, any_spelling };
        let values = projection.read(record, reading, std::mem::take(buffers))?;
        kind = recognise(values, projection, buffers);
        if let RecordKind::Call(event) = &mut kind {
            event.form = Form::Respelled;
        }
    }
    if kind.has_caller() {
        embedded.retain(|records| matches!(records, EmbeddedRecords::Original(_)));
    }
    Ok(Record { kind, embedded })
}

/// What the values of a record make it. Those that make no event are put back into `buffers`.
fn recognise<'a>(mut values: Values<'a>, projection: &Projection, buffers: &mut Buffers) -> RecordKind<'a> {
    for (cloud, slots) in projection.clouds() {
        values = match (cloud.recognise)(values, slots) {
            Recognition::Call(event) => return RecordKind::Call(event),
            Recognition::NoCall => return RecordKind::NoCall(cloud.provider),
            Recognition::Unknown(values) => values,
        };
    }
    *buffers = values.into_buffers();
    RecordKind::Unknown
}

/// The keys by which the prefilter recognises candidates, of all clouds and mappings.
pub(crate) fn action_keys() -> Vec<ActionKey> {
    let markers = MAPPINGS.iter().flat_map(|mapping| mapping.markers);
    // The last cloud is the most frequent one: its keys are compared first.
    CLOUDS.iter().rev().flat_map(|cloud| cloud.action_keys).chain(markers).copied().collect()
}

/// The cloud of each of the [`action_keys`]; `None` for the marker of a mapping.
pub(crate) fn providers_of_keys() -> impl Iterator<Item = Option<Provider>> {
    let of_cloud = |cloud: &&Cloud| std::iter::repeat_n(Some(cloud.provider), cloud.action_keys.len());
    let markers = MAPPINGS.iter().flat_map(|mapping| mapping.markers).map(|_| None);
    CLOUDS.iter().rev().flat_map(of_cloud).chain(markers)
}

/// The members that identify the containers and envelopes of all clouds.
pub(crate) fn containers() -> impl Iterator<Item = ContainerMembers> {
    CLOUDS.iter().map(|cloud| cloud.containers)
}

/// The part of a resource name after `key`, up to the next slash. `None` if it is absent or empty.
fn resource_part<'a>(name: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = name.split_once(key)?;
    rest.split('/').next().filter(|part| !part.is_empty())
}
