use serde::Serialize;

use super::inputs::Inputs;
use crate::chain::Chains;
use crate::emit::{Outcome, Reason};
use crate::finding::STATE_PRESSURE;
use crate::rule::{ExceptionAction, ExceptionPlan, Rules};

/// A counter or gauge.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// What is measured; [`METRICS`] has its unit and meaning.
    pub name: &'static str,
    /// Names and values that split the metric, such as `rule` and `aws-instance-created`.
    pub labels: Vec<(&'static str, String)>,
    /// The current value of a gauge. A counter only increases, also across [`resume`](crate::Correlator::resume).
    pub value: u64,
}

impl Metric {
    /// Whether it only increases.
    ///
    /// ```
    /// let metrics = catena::Correlator::new(catena::Config::default())?.metrics();
    /// assert_eq!(metrics[0].kind(), catena::MetricKind::Counter);
    /// # Ok::<(), catena::Error>(())
    /// ```
    pub fn kind(&self) -> MetricKind {
        METRICS.iter().find(|known| known.name == self.name).map_or(MetricKind::Counter, |known| known.kind)
    }
}

/// Whether a metric only increases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricKind {
    /// It only increases.
    Counter,
    /// It rises and falls.
    Gauge,
}

/// What a metric measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MetricInfo {
    /// The name of the metrics.
    pub name: &'static str,
    /// Whether they only increase.
    pub kind: MetricKind,
    /// What is counted.
    pub unit: &'static str,
    /// The names of the labels.
    pub labels: &'static [&'static str],
    /// The meaning, as one sentence.
    pub help: &'static str,
}

/// Every metric.
pub const METRICS: &[MetricInfo] = {
    const fn of(
        kind: MetricKind,
        name: &'static str,
        unit: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> MetricInfo {
        MetricInfo { name, kind, unit, labels, help }
    }
    use MetricKind::{Counter, Gauge};
    &[
        of(Counter, "records", "records", &[], "Records processed."),
        of(Counter, "matched", "records", &[], "Records that match a rule."),
        of(Counter, "dropped", "records", &[], "Records that were read and left the stream, as the mode asks."),
        of(Counter, "findings", "findings", &["rule"], "Findings by rule."),
        of(Counter, "suppressed", "findings", &[], "Findings tagged by an exception."),
        of(Counter, "excepted", "findings", &[], "Findings dropped by an exception."),
        of(Counter, "rejected", "records", &["reason"], "Rejected records by reason."),
        of(Counter, "input", "records", &["cloud", "form"], "Records by cloud and form. Records in others count each."),
        of(Counter, "unrecognised", "records", &["kind"], "Records that are no event of a known cloud and hold none."),
        of(Counter, "duplicates", "events", &[], "Events that had been seen before."),
        of(Counter, "late", "events", &[], "Events older than the watermark when they arrived."),
        of(Counter, "future", "events", &[], "Events dated too far ahead of the host's clock."),
        of(Counter, "unidentified", "events", &[], "Steps of chains without an identity."),
        of(Counter, "evicted", "events", &["limit"], "Pending events evicted because of a limit."),
        of(Counter, "forgotten-event-ids", "event ids", &[], "Event ids forgotten early because of a limit."),
        of(Counter, "searches-cut", "searches", &[], "Searches for the findings of one rule that stopped at a limit."),
        of(Counter, "further-evidence", "events", &[], "Events that completed a finding that had been reported."),
        of(Counter, "withheld", "findings", &[], "Findings withheld because of the bound on the output."),
        of(
            Gauge,
            "reset",
            "rules",
            &["rule"],
            "1 for a rule whose pending events were discarded, because it has changed.",
        ),
        of(Gauge, "pending", "events", &[], "Pending events."),
        of(Gauge, "identities", "identities", &[], "Identities with pending events."),
        of(Gauge, "event-ids", "event ids", &[], "Event ids that are remembered."),
        of(Gauge, "state-bytes", "bytes", &[], "Approximate memory of the state."),
        of(
            Gauge,
            "watermark",
            "ms since 1970",
            &[],
            "Event time up to which events are expected to have arrived; 0 before the first.",
        ),
    ]
};

/// Counters of records and findings. They only increase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub records: u64,
    pub matched: u64,
    pub dropped: u64,
    pub findings: u64,
    /// Findings emitted as suppressed.
    pub suppressed: u64,
    /// Findings not emitted because an exception drops them.
    pub excepted: u64,
    /// Rejections by reason, in the order of [`Reason::ALL`].
    pub rejected: [u64; Reason::ALL.len()],
    /// What the input consists of.
    pub inputs: Inputs,
    /// Findings by rule, in the order of [`Rules::rules`].
    pub by_rule: Vec<u64>,
}

impl Counters {
    pub(crate) fn new(rules: &Rules) -> Self {
        Self { by_rule: vec![0; rules.rules.len()], ..Self::default() }
    }

    /// Adds the counts of an outcome.
    pub(crate) fn add(&mut self, outcome: &Outcome, rules: &Rules) {
        self.records += u64::from(outcome.records);
        self.matched += u64::from(outcome.matched);
        self.dropped += u64::from(outcome.dropped);
        self.findings += outcome.findings.len() as u64;
        for finding in &outcome.findings {
            if let Some(count) = rules.rule(&finding.rule).and_then(|rule| self.by_rule.get_mut(rule)) {
                *count += 1;
            }
        }
        for rejection in &outcome.rejections {
            for (count, _) in
                self.rejected.iter_mut().zip(Reason::ALL).filter(|(_, reason)| *reason == rejection.reason)
            {
                *count += 1;
            }
        }
    }

    /// Counts a finding that an exception, if any, tags or drops.
    pub(crate) fn count_exception(&mut self, exception: Option<&ExceptionPlan>) {
        match exception.map(|exception| exception.exception.action) {
            None => {}
            Some(ExceptionAction::Tag) => self.suppressed += 1,
            Some(ExceptionAction::Drop) => self.excepted += 1,
        }
    }

    /// All metrics. `reset` lists the rules whose state was not restored from a checkpoint.
    pub(crate) fn metrics(&self, chains: &Chains, rules: &Rules, reset: &[String]) -> Vec<Metric> {
        let counts = &chains.counts;
        let watermark = chains.watermark.time().and_then(|watermark| u64::try_from(watermark).ok());
        let plain = [
            ("records", self.records),
            ("matched", self.matched),
            ("dropped", self.dropped),
            ("suppressed", self.suppressed),
            ("excepted", self.excepted),
            ("duplicates", counts.duplicates),
            ("late", counts.late),
            ("future", counts.future),
            ("unidentified", counts.unidentified),
            ("forgotten-event-ids", counts.forgotten_ids),
            ("searches-cut", counts.searches_cut),
            ("further-evidence", counts.further_evidence),
            ("withheld", counts.withheld),
            ("pending", chains.pending() as u64),
            ("identities", chains.identities() as u64),
            ("event-ids", chains.event_ids() as u64),
            ("state-bytes", chains.bytes() as u64),
            ("watermark", watermark.unwrap_or_default()),
        ];
        let plain = plain.into_iter().map(|(name, value)| Metric { name, labels: Vec::new(), value });
        let labelled = |name, label, of: String, value| Metric { name, labels: vec![(label, of)], value };
        let evicted = [("identity", counts.evicted_identity), ("total", counts.evicted_total)];
        let evicted = evicted.into_iter().map(|(limit, value)| labelled("evicted", "limit", limit.to_owned(), value));
        let rejected = self.rejected.iter().zip(Reason::ALL);
        let rejected = rejected.map(|(value, reason)| labelled("rejected", "reason", reason.to_string(), *value));
        let by_rule = self.by_rule.iter().zip(&rules.rules);
        let by_rule = by_rule.map(|(value, rule)| labelled("findings", "rule", rule.rule.id.clone(), *value));
        let of_rules: u64 = self.by_rule.iter().sum();
        let pressure = labelled("findings", "rule", STATE_PRESSURE.to_owned(), self.findings.saturating_sub(of_rules));
        let reset = reset.iter().map(|rule| labelled("reset", "rule", rule.clone(), 1));
        let named = plain.chain(evicted).chain(rejected).chain(by_rule).chain([pressure]).chain(reset);
        named.chain(self.inputs.metrics()).collect()
    }
}
