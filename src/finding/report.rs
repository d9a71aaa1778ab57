use std::net::IpAddr;

use serde::Serialize;

use super::Evidence;
use crate::chain::Attribution;
use crate::event::cloud_of;
use crate::rule::Exception;
use crate::vocab::{Attack, Confidence, Provider, Severity, Timestamp};

/// What a finding tells, whatever it is written as.
pub(super) struct Report<'a> {
    pub id: &'a str,
    pub rule: &'a str,
    pub version: u32,
    pub title: &'a str,
    pub description: &'a str,
    pub severity: Severity,
    pub confidence: Confidence,
    /// Why the confidence is not higher; empty where it is high.
    pub confidence_reason: &'a str,
    pub attack: &'a [Attack],
    /// The exception that suppresses it.
    pub exception: Option<&'a Exception>,
    pub provider: Provider,
    /// Who did it and where; of a chain its last event's.
    pub attribution: Attribution<'a>,
    /// When the first of its events happened.
    pub first_seen: Timestamp,
    /// When the last of its events happened.
    pub last_seen: Timestamp,
    /// Its events, each with the name of its step.
    pub events: Vec<(&'a str, &'a Evidence<'a>)>,
    /// What the rule lists of the values that its steps bind, each once, with its kind.
    pub resources: Vec<(&'a str, &'a str)>,
    /// The instances that were created.
    pub instances: Vec<&'a str>,
}

/// The bound name of the instances that a rule finds.
pub(super) const INSTANCE: &str = "instance";

impl<'a> Report<'a> {
    /// Where it came from, if that is told as an IP address.
    pub(super) fn source_address(&self) -> Option<&'a str> {
        let source = self.attribution.source;
        source.parse::<IpAddr>().is_ok().then_some(source)
    }

    /// What the published query for T1578.002 projects, under its names for the columns.
    pub(super) fn columns(&self) -> Columns<'_> {
        Columns {
            time_generated: self.last_seen.to_string(),
            cloud_provider: cloud_of(self.provider).label,
            actor: self.attribution.who(),
            source_ip: self.attribution.source,
            instance_identifier: self.instances.join(","),
            scope: self.attribution.scope(),
            account_scope: self.attribution.account,
            level: self.attribution.level,
        }
    }
}

/// The columns of the published query; see docs/query.md.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Columns<'a> {
    pub time_generated: String,
    pub cloud_provider: &'static str,
    pub actor: &'a str,
    #[serde(rename = "SourceIP")]
    pub source_ip: &'a str,
    pub instance_identifier: String,
    pub scope: &'a str,
    pub account_scope: &'a str,
    pub level: &'a str,
}
