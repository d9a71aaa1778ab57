//! L10: within the limits, adding any events takes no finding away, for any rule and any order of arrival.

use std::collections::BTreeSet;

use crate::common::any_rule::{records, rule};
use crate::common::run::{Both, open};
use proptest::prelude::*;
use serde_json::{Value, json};

fn ids(config: &str, records: &[Value]) -> BTreeSet<String> {
    let batch: String = records.iter().map(|record| format!("{record}\n")).collect();
    let findings = Both::open(config).process(batch.as_bytes()).findings;
    assert!(findings.iter().all(|finding| finding.rule != "state-pressure"), "no limit should be reached");
    findings.into_iter().map(|finding| finding.id).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { max_global_rejects: 100_000, ..crate::common::cases(300) })]

    #[test]
    fn more_events_take_no_finding_away(
        rule in rule(),
        (records, all) in (records(9), records(30)).prop_flat_map(|(records, mut more)| {
            more.iter_mut().for_each(|record| record["eventID"] = format!("more-{}", record["eventID"]).into());
            (Just(records.clone()), Just([records, more].concat()).prop_shuffle())
        }),
    ) {
        let config = json!({"built_in_rules": false, "rules": [rule]}).to_string();
        prop_assume!(open(&config).is_ok());
        let (few, many) = (ids(&config, &records), ids(&config, &all));
        prop_assert!(few.is_subset(&many), "{few:?} in {many:?}");
    }
}
