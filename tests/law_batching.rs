//! L4: splitting the same bytes into batches at any record boundary changes nothing.

use crate::common::run::Both;
use crate::common::{events, lines};
use proptest::prelude::*;

proptest! {
    #![proptest_config(crate::common::cases(150))]

    #[test]
    fn splitting_into_batches_changes_nothing(
        events in events(1..30, 3_600),
        cuts in prop::collection::btree_set(0..30usize, 0..6),
        mode in prop::sample::select(vec!["enrich", "filter", "findings"]),
    ) {
        let config = format!(r#"{{"mode":"{mode}"}}"#);
        let batch = lines(&events);
        let mut whole = Both::open(&config);
        let outcome = whole.process(&batch);
        let output = outcome.apply(&batch);
        let mut cut = Both::open(&config);
        let (mut pieces, mut findings, mut from, mut bytes) = (Vec::new(), Vec::new(), 0, 0);
        for to in cuts.into_iter().filter(|cut| *cut < events.len()).chain([events.len()]) {
            let batch = lines(&events[from..to]);
            let outcome = cut.process(&batch);
            pieces.extend(outcome.apply(&batch));
            // A finding's record is where it is in its batch.
            findings.extend(outcome.findings.into_iter().map(|mut finding| {
                (finding.start, finding.end) = (finding.start + bytes, finding.end + bytes);
                finding
            }));
            (from, bytes) = (to, bytes + batch.len() as u32);
        }
        prop_assert_eq!(String::from_utf8(pieces), String::from_utf8(output));
        prop_assert_eq!(findings, outcome.findings);
        prop_assert_eq!(cut.checkpoint(), whole.checkpoint());
    }
}
