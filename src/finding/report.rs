use std::net::IpAddr;

use serde::Serialize;

use super::Evidence;
use crate::chain::Context;
use crate::rule::{Attack, Confidence, Exception, Provider, Severity};

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
    pub context: Context<'a>,
    /// When the first and the last of its events happened, in ms since 1970.
    pub times: (i64, i64),
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
        let source = self.context.source;
        source.parse::<IpAddr>().is_ok().then_some(source)
    }

    /// What the published query for T1578.002 projects, under its names for the columns.
    pub(super) fn columns(&self) -> Columns<'_> {
        Columns {
            time_generated: instant(self.times.1),
            cloud_provider: provider_name(self.provider),
            actor: self.context.who(),
            source_ip: self.context.source,
            instance_identifier: self.instances.join(","),
            scope: self.context.scope(),
            account_scope: self.context.account,
            level: self.context.level,
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

/// A cloud as people write it.
pub(super) fn provider_name(provider: Provider) -> &'static str {
    match provider {
        Provider::Aws => "AWS",
        Provider::Azure => "Azure",
        Provider::Gcp => "GCP",
    }
}

/// A time in ms since 1970 as RFC 3339 has it.
pub(super) fn instant(time: i64) -> String {
    let nanos = i128::from(time) * 1_000_000;
    let Ok(at) = time::OffsetDateTime::from_unix_timestamp_nanos(nanos) else { return String::new() };
    let (date, month) = (at.date(), u8::from(at.month()));
    format!(
        "{:04}-{month:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        date.year(),
        date.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.millisecond()
    )
}
