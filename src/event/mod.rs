//! One record, normalised: what rules match on and findings tell, the same for every cloud.

mod aws;
mod projection;
mod timestamp;

use std::borrow::Cow;

use crate::rule::{IdentityWay, Outcome, Provider};

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
    /// The role behind a session: AWS `userIdentity.sessionContext.sessionIssuer.arn`.
    pub role: Cow<'a, str>,
    /// AWS `userIdentity.arn`.
    pub arn: Cow<'a, str>,
    /// AWS `userIdentity.principalId`; behind a colon stands the session.
    pub principal: Cow<'a, str>,
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
    /// What chains are joined by: the first of the ways that is there. `None` joins nothing.
    pub(crate) fn identity(&self, ways: &[IdentityWay]) -> Option<(IdentityWay, &str)> {
        let told = |way: &IdentityWay| {
            let text = match way {
                IdentityWay::Role => &self.role,
                IdentityWay::Arn | IdentityWay::Session => &self.arn,
                IdentityWay::Principal => self.principal.split(':').next().unwrap_or_default(),
                IdentityWay::AccessKey => &self.access_key,
            };
            (!text.is_empty()).then_some((*way, text))
        };
        ways.iter().find_map(told)
    }
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
