//! `catena sample` produces the stream of the demonstration.

use crate::common::{rules, run, stdout, summary};

#[test]
fn the_hidden_chain_is_found_once() {
    let sample = run(["sample", "--records", "2000", "--doubled", "10"], b"");
    let again = run(["sample", "--records", "2000", "--doubled", "10"], b"");
    assert_eq!(sample.stdout, again.stdout);
    let times: Vec<_> = stdout(&sample)
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["eventTime"].to_string())
        .collect();
    assert!(!times.is_sorted(), "the order is disturbed");
    let found = run(["run", "--mode=findings", "--summary"], &sample.stdout);
    assert_eq!(rules(&found), ["aws-instance-created", "aws-snapshot-staging"]);
    assert_eq!(summary(&found)["records"], 2_203);
}
