//! One record, normalised: what rules match on and findings tell, the same for every cloud.

mod aws;
mod azure;
mod ecs;
mod fields;
pub(crate) mod gcp;
mod inside;
mod projection;
mod timestamp;

use std::borrow::Cow;

use crate::rule::{IdentityWay, Outcome, Provider};

pub(crate) use inside::{MOST_NESTED, open};
pub(crate) use projection::{Inside, Projection, Slot, Values};

/// A record that a rule may match. Text is borrowed from the record where no escape stands in it.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    pub provider: Provider,
    /// The service that was called: AWS `eventSource`, Azure's resource provider in lower case, GCP `serviceName`.
    pub service: Cow<'a, str>,
    /// The call: AWS `eventName`, Azure's operation in lower case, GCP `methodName` without its version.
    pub action: Cow<'a, str>,
    /// How it ended.
    pub outcome: Outcome,
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
    /// The role behind a session: AWS `userIdentity.sessionContext.sessionIssuer.arn`.
    pub role: Cow<'a, str>,
    /// AWS `userIdentity.arn`; Azure's caller, GCP's principal.
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
    let event = gcp::event(values).or_else(azure::event).or_else(aws::event).ok();
    Ok(Record { event, inside })
}

/// The time of a row of a table, for those that have none of their own.
fn row_time<'a>(values: &Values<'a>) -> Option<Cow<'a, str>> {
    azure::ROW_TIMES.into_iter().find_map(|slot| values.text(slot))
}

fn time(text: Option<Cow<'_, str>>) -> Result<i64, TimeProblem> {
    let text = text.ok_or(TimeProblem::Missing)?;
    timestamp::parse(&text).ok_or_else(|| TimeProblem::NotATime(text.into_owned()))
}

/// The part of a resource's name behind `key`, up to the next slash.
fn part<'a>(name: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = name.split_once(key)?;
    rest.split('/').next().filter(|part| !part.is_empty())
}
