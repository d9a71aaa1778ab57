use std::net::IpAddr;

use serde::Serialize;

use super::Evidence;
use crate::chain::Attribution;
use crate::event::cloud_of;
use crate::rule::{Exception, Rule};
use crate::vocab::{Attack, Confidence, Provider, Severity, Timestamp};

/// What every finding of a rule says of the rule.
#[derive(Clone, Copy)]
pub(super) struct RuleFacts<'a> {
    pub id: &'a str,
    pub version: u32,
    pub title: &'a str,
    pub description: &'a str,
    pub severity: Severity,
    pub confidence: Confidence,
    /// Why the confidence is not high; empty if it is.
    pub confidence_reason: &'a str,
    pub attack: &'a [Attack],
}

/// The content of a finding, independent of its format.
pub(super) struct Report<'a> {
    pub id: &'a str,
    pub rule: RuleFacts<'a>,
    /// The exception that suppresses the finding.
    pub exception: Option<&'a Exception>,
    pub provider: Provider,
    /// The caller and place; for a chain, those of the last event.
    pub attribution: Attribution<'a>,
    /// The time of the first event.
    pub first_seen: Timestamp,
    /// The time of the last event.
    pub last_seen: Timestamp,
    /// The events, each with the id of its step.
    pub events: Vec<(&'a str, &'a Evidence<'a>)>,
    /// The bound values that the rule lists as resources, each once, with its resource type.
    pub resources: Vec<(&'a str, &'a str)>,
    /// The number of resources that are not listed.
    pub omitted: usize,
    /// The created instances: the values bound to [`INSTANCE`].
    pub instances: Vec<&'a str>,
    /// For an update: the number of events that have completed the finding since it was reported.
    pub further: Option<u64>,
}

/// The bound name that rules use for instances.
pub(super) const INSTANCE: &str = "instance";

impl<'a> RuleFacts<'a> {
    pub(super) fn of(rule: &'a Rule) -> Self {
        Self {
            id: &rule.id,
            version: rule.version,
            title: &rule.title,
            description: &rule.description,
            severity: rule.severity,
            confidence: rule.confidence,
            confidence_reason: &rule.confidence_reason,
            attack: &rule.attack,
        }
    }
}

impl<'a> Report<'a> {
    /// The source of the call, if it is an IP address.
    pub(super) fn source_address(&self) -> Option<&'a str> {
        let source = self.attribution.source;
        source.parse::<IpAddr>().is_ok().then_some(source)
    }

    /// The columns that the published query for T1578.002 projects.
    pub(super) fn columns(&self) -> Columns<'_> {
        Columns {
            time_generated: self.last_seen.to_string(),
            cloud_provider: cloud_of(self.provider).label,
            actor: self.attribution.caller_or_identity(),
            source_ip: self.attribution.source,
            instance_identifier: self.instances.join(","),
            scope: self.attribution.scope(),
            account_scope: self.attribution.account,
            level: self.attribution.level,
        }
    }
}

/// The columns of the published query, under its names; see docs/query.md.
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
