//! L3: a correlator resumed from a checkpoint behaves exactly like the one that wrote it, wherever the stream is split.

use crate::common::run::Both;
use crate::common::{events, lines};
use proptest::prelude::*;

proptest! {
    #![proptest_config(crate::common::cases(150))]

    #[test]
    fn resuming_changes_nothing(
        (events, split) in events(1..30, 7_200).prop_flat_map(|events| { let count = events.len(); (Just(events), 0..=count) })
    ) {
        let (before, after) = events.split_at(split);
        let mut whole = Both::open("{}");
        whole.process(&lines(before));
        let checkpoint = whole.checkpoint();
        let mut resumed = Both::resume("{}", &checkpoint);
        prop_assert_eq!(&resumed.checkpoint(), &checkpoint);
        prop_assert_eq!(resumed.process(&lines(after)), whole.process(&lines(after)));
        prop_assert_eq!(resumed.checkpoint(), whole.checkpoint());
    }

    #[test]
    fn resuming_changes_nothing_when_the_state_is_full(events in events(20..40, 1_800), split in 0..20usize) {
        let config = r#"{"limits":{"pending":6,"pending_per_identity":4,"event_ids":10}}"#;
        let (before, after) = events.split_at(split);
        let mut whole = Both::open(config);
        whole.process(&lines(before));
        let mut resumed = Both::resume(config, &whole.checkpoint());
        prop_assert_eq!(resumed.process(&lines(after)), whole.process(&lines(after)));
        prop_assert_eq!(resumed.checkpoint(), whole.checkpoint());
    }
}
