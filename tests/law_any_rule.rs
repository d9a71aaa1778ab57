//! L1 to L4 and L6 to L9 for arbitrary rules: for any rule, order, duplicates, batches, checkpoints and shards, the
//! findings match the oracle, and the prefilter does not change the outcome.

use crate::common::any_rule::{check, records, rule};
use crate::common::run::Both;
use catena::Rule;
use proptest::prelude::*;
use serde_json::{Value, json};

fn batch(records: &[Value]) -> Vec<u8> {
    records.iter().flat_map(|record| format!("{record}\n").into_bytes()).collect()
}

/// The rule and a configuration with it alone, or `None` if the rule is invalid.
fn configured(rule: &Value) -> Option<(Rule, String)> {
    let config = json!({"built_in_rules": false, "rules": [rule]}).to_string();
    crate::common::run::open(&config).ok()?;
    Some((serde_json::from_value(rule.clone()).unwrap(), config))
}

proptest! {
    #![proptest_config(ProptestConfig { max_global_rejects: 100_000, ..crate::common::cases(400) })]

    #[test]
    fn findings_match_the_oracle_despite_disorder_duplicates_and_restarts(
        rule in rule(),
        (records, arriving) in records(9).prop_flat_map(|records| {
            let again = prop::collection::vec(prop::sample::select(records.clone()), 0..4);
            let all = again.prop_map({ let records = records.clone(); move |again| [records.clone(), again].concat() });
            (Just(records), all.prop_shuffle())
        }),
        cuts in prop::collection::btree_set(0..12usize, 0..3),
    ) {
        let Some((rule, config)) = configured(&rule) else { return Err(TestCaseError::reject("no rule")) };
        let mut both = Both::open(&config);
        let (mut found, mut from) = (Vec::new(), 0);
        for to in cuts.into_iter().filter(|cut| *cut < arriving.len()).chain([arriving.len()]) {
            found.extend(both.process(&batch(&arriving[from..to])).findings);
            both = Both::resume(&config, &both.checkpoint());
            from = to;
        }
        check(&rule, &records, &found);
    }

    #[test]
    fn sharded_findings_match_the_oracle(rule in rule(), records in records(9), partitions in 1..5u32) {
        let Some((rule, config)) = configured(&rule) else { return Err(TestCaseError::reject("no rule")) };
        let found = crate::common::sharded::several(&config, &batch(&records), partitions).0.findings;
        check(&rule, &records, &found);
    }

    #[test]
    fn the_prefilter_changes_nothing(rule in rule(), records in records(9)) {
        let Some((_, config)) = configured(&rule) else { return Err(TestCaseError::reject("no rule")) };
        let without = config.replacen('{', "{\"prefilter\":false,", 1);
        prop_assert_eq!(Both::open(&config).process(&batch(&records)), Both::open(&without).process(&batch(&records)));
    }
}
