//! AWS CloudTrail records (AWS CloudTrail user guide, "CloudTrail record contents").

use std::borrow::Cow;

use super::{Actor, Event, TimeProblem, Values, projection::Slot, timestamp};
use crate::rule::{Outcome, Provider};

macro_rules! fields {
    ($($name:ident = $path:literal),+ $(,)?) => {
        /// The members that every CloudTrail event is made from.
        #[derive(Clone, Copy)]
        #[repr(u16)]
        enum Field { $($name),+ }

        /// Their paths; a field's place is its slot.
        pub(super) const FIELDS: &[&str] = &[$($path),+];
    };
}

fields! {
    EventName = "eventName",
    EventSource = "eventSource",
    EventTime = "eventTime",
    EventId = "eventID",
    ErrorCode = "errorCode",
    AwsRegion = "awsRegion",
    RecipientAccountId = "recipientAccountId",
    SourceIpAddress = "sourceIPAddress",
    IdentityArn = "userIdentity.arn",
    IdentityRole = "userIdentity.sessionContext.sessionIssuer.arn",
    IdentityPrincipal = "userIdentity.principalId",
    IdentityAccessKey = "userIdentity.accessKeyId",
    IdentityType = "userIdentity.type",
    IdentityUserName = "userIdentity.userName",
    IdentityAccountId = "userIdentity.accountId",
}

/// Makes an event of a record's values; `None` where it is no CloudTrail record.
pub(super) fn event(values: Values<'_>) -> Option<Event<'_>> {
    let text = |field: Field| values.text(Slot::field(field as u16));
    let or_empty = |field: Field| text(field).unwrap_or(Cow::Borrowed(""));
    let time = match text(Field::EventTime) {
        None => Err(TimeProblem::Missing),
        Some(time) => timestamp::parse(&time).ok_or_else(|| TimeProblem::NotATime(time.into_owned())),
    };
    // A dry run that would have succeeded has the error code Client.DryRunOperation.
    let outcome = if text(Field::ErrorCode).is_some() { Outcome::Failure } else { Outcome::Success };
    let identity_account = or_empty(Field::IdentityAccountId);
    Some(Event {
        provider: Provider::Aws,
        service: text(Field::EventSource)?,
        action: text(Field::EventName)?,
        outcome,
        time,
        id: text(Field::EventId),
        account: text(Field::RecipientAccountId).unwrap_or_else(|| identity_account.clone()),
        actor: Actor {
            role: or_empty(Field::IdentityRole),
            arn: or_empty(Field::IdentityArn),
            principal: or_empty(Field::IdentityPrincipal),
            access_key: or_empty(Field::IdentityAccessKey),
            kind: or_empty(Field::IdentityType),
            name: or_empty(Field::IdentityUserName),
            account: identity_account,
        },
        region: or_empty(Field::AwsRegion),
        source: or_empty(Field::SourceIpAddress),
        values,
    })
}
