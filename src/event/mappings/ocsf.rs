//! OCSF, as Amazon Security Lake writes audit records (class 6003, API Activity; ocsf/examples, mappings of CloudTrail for
//! OCSF 1.1.0 and 1.5.0).
//!
//! If an event holds the original record in `raw_data`, that is used; otherwise these members are read as the record's.

use super::super::cloud::{Alias, Embedded, Mapping, alias};
use crate::scan::{ActionKey, ExpectedValue};

/// The OCSF mapping.
pub(super) static OCSF: Mapping = Mapping {
    aliases: ALIASES,
    embedded: &[("raw_data", Embedded::Original)],
    markers: &[ActionKey { name: "class_uid", expected: ExpectedValue::SchemaMarker }],
};

const ALIASES: &[Alias] = &[
    alias(&["api", "request", "data"], "requestParameters"),
    alias(&["api", "response", "data"], "responseElements"),
    alias(&["api", "response", "error"], "errorCode"),
    alias(&["metadata", "uid"], "eventID"),
    alias(&["metadata", "event_code"], "eventType"),
    alias(&["metadata", "product", "feature", "name"], "eventCategory"),
    alias(&["unmapped", "addendum"], "addendum"),
    alias(&["actor", "user", "account", "uid"], "userIdentity.accountId"),
    alias(&["actor", "user", "type"], "userIdentity.type"),
    alias(&["actor", "user", "name"], "userIdentity.userName"),
    alias(&["actor", "user", "credential_uid"], "userIdentity.accessKeyId"),
    alias(&["actor", "session", "issuer"], "userIdentity.sessionContext.sessionIssuer.arn"),
    alias(&["actor", "invoked_by"], "userIdentity.invokedBy"),
    alias(&["src_endpoint", "ip"], "sourceIPAddress"),
    alias(&["src_endpoint", "domain"], "sourceIPAddress"),
    alias(&["cloud", "account", "uid"], "recipientAccountId"),
    alias(&["http_request", "user_agent"], "userAgent"),
];
