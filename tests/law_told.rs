//! L11: whatever a limit costs is reported as a finding, at most one an hour for each kind.

use std::collections::BTreeMap;

use crate::common::any_rule::{records, rule};
use crate::common::run::{Both, open};
use proptest::prelude::*;
use serde_json::{Value, json};

/// The findings by id, each with its rule and the number of times it was emitted.
fn found(config: &Value, records: &[Value]) -> BTreeMap<String, (String, usize)> {
    let batch: String = records.iter().map(|record| format!("{record}\n")).collect();
    let mut found = BTreeMap::new();
    for finding in Both::open(&config.to_string()).process(batch.as_bytes()).findings {
        found.entry(finding.id).or_insert((finding.rule, 0)).1 += 1;
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { max_global_rejects: 100_000, ..crate::common::cases(300) })]

    #[test]
    fn a_finding_that_a_limit_cost_is_reported(
        rule in rule(),
        records in records(60).prop_shuffle(),
        limits in (1..8usize, 1..8usize, 1..20usize, 0..3usize),
    ) {
        let (pending, own, ids, candidates) = limits;
        let limits = json!({"pending": pending, "pending_per_identity": own, "event_ids": ids, "max_candidates": candidates});
        let config = |limits: Value| json!({"built_in_rules": false, "rules": [rule], "limits": limits});
        prop_assume!(open(&config(json!({})).to_string()).is_ok());
        let (all, limited) = (found(&config(json!({})), &records), found(&config(limits), &records));
        let missing = all.keys().any(|id| !limited.contains_key(id));
        let reports: Vec<_> = limited.values().filter(|(rule, _)| rule == "state-pressure").collect();
        prop_assert!(!missing || !reports.is_empty());
        // The records span a quarter of an hour, in two hours of the clock at most, and there are five kinds of limits.
        prop_assert!(reports.iter().map(|(_, times)| times).sum::<usize>() <= 10);
    }
}

/// Regression: 1.5 million identities raised 451,424 reports.
#[test]
fn a_limit_is_reported_once_an_hour_however_many_identities_reach_it() {
    let record = |at: usize| {
        format!(
            "{{\"eventID\":\"{at}\",\"eventTime\":\"2026-01-05T10:{:02}:00Z\",\"eventSource\":\"ec2.amazonaws.com\",\
             \"eventName\":\"CreateVolume\",\"userIdentity\":{{\"arn\":\"a{}\"}},\"responseElements\":{{\"volumeId\":\"v{at}\"}}}}\n",
            at % 60,
            at / 4
        )
    };
    let batch: String = (0..8_000).map(record).collect();
    let mut both = Both::open(r#"{"limits":{"pending_per_identity":2}}"#);
    let findings = both.process(batch.as_bytes()).findings;
    assert_eq!(findings.len(), 1);
    assert!(findings[0].body.contains("limits.pending_per_identity") && both.metric("evicted:identity") == 4_000);
}
