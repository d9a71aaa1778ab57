use super::inputs::Inputs;
use crate::chain::Chains;
use crate::emit::{Outcome, Reason};
use crate::rule::{ExceptionAction, ExceptionPlan, Rules};

/// A counter or gauge.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Lower-case words joined by hyphens, then a colon and a label if the metric is split: `rejected:truncated`. The
    /// name of a gauge begins with `now:`.
    pub name: String,
    /// The current value of a gauge. A counter only increases, also across [`resume`](crate::Correlator::resume).
    pub value: u64,
}

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
            ("findings", self.findings),
            ("suppressed", self.suppressed),
            ("excepted", self.excepted),
            ("duplicates", counts.duplicates),
            ("late", counts.late),
            ("future", counts.future),
            ("unidentified", counts.unidentified),
            ("evicted:identity", counts.evicted_identity),
            ("evicted:total", counts.evicted_total),
            ("forgotten-event-ids", counts.forgotten_ids),
            ("searches-cut", counts.searches_cut),
            ("further-evidence", counts.further_evidence),
            ("withheld", counts.withheld),
            ("now:pending", chains.pending() as u64),
            ("now:identities", chains.identities() as u64),
            ("now:event-ids", chains.event_ids() as u64),
            ("now:state-bytes", chains.bytes() as u64),
            ("now:watermark", watermark.unwrap_or_default()),
        ];
        let plain = plain.into_iter().map(|(name, value)| (name.to_owned(), value));
        let rejected = self.rejected.iter().zip(Reason::ALL);
        let rejected = rejected.map(|(value, reason)| (format!("rejected:{reason}"), *value));
        let by_rule = self.by_rule.iter().zip(&rules.rules);
        let by_rule = by_rule.map(|(value, rule)| (format!("findings:{}", rule.rule.id), *value));
        let reset = reset.iter().map(|rule| (format!("reset:{rule}"), 1));
        let named = plain.chain(rejected).chain(by_rule).chain(reset).map(|(name, value)| Metric { name, value });
        named.chain(self.inputs.metrics()).collect()
    }
}
