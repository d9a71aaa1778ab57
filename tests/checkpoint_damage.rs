//! A checkpoint that is truncated or altered anywhere is refused with a reason, and never restored in part.

use std::sync::LazyLock;

use crate::common::{chain, lines};
use catena::Error;

/// One rule alone: it compiles in microseconds, and thousands of checkpoints are tried.
static ONE_RULE: LazyLock<String> = LazyLock::new(|| {
    let others = catena::built_in().unwrap().into_iter().map(|rule| rule.id).filter(|id| id != "aws-snapshot-staging");
    serde_json::json!({"disabled_rules": others.collect::<Vec<_>>()}).to_string()
});

fn checkpoint() -> Vec<u8> {
    let mut correlator = crate::common::run::open(&ONE_RULE).unwrap();
    correlator.process(&lines(&chain(60, 120)), crate::common::NOW).unwrap();
    correlator.checkpoint()
}

fn refused(checkpoint: &[u8]) -> bool {
    matches!(crate::common::run::resume(&ONE_RULE, checkpoint), Err(Error::InvalidCheckpoint(why)) if !why.is_empty())
}

#[test]
fn a_truncated_checkpoint_is_refused() {
    let checkpoint = checkpoint();
    for length in 0..checkpoint.len() {
        assert!(refused(&checkpoint[..length]), "truncated to {length} bytes");
    }
    assert!(crate::common::run::resume(&ONE_RULE, &checkpoint).is_ok());
}

#[test]
fn a_checkpoint_with_a_flipped_bit_is_refused() {
    let checkpoint = checkpoint();
    for at in 0..checkpoint.len() * 8 {
        let mut flipped = checkpoint.clone();
        flipped[at / 8] ^= 1 << (at % 8);
        assert!(refused(&flipped), "bit {at}");
    }
}

#[test]
fn the_state_of_unchanged_rules_survives_when_other_rules_change() {
    let [volume, snapshot, instance] = chain(60, 120);
    let mut before = crate::common::run::open("{}").unwrap();
    before.process(&lines(&[volume, snapshot]), crate::common::NOW).unwrap();
    let more = r#"{"rules":[{"id":"a-launch","version":1,"title":"t","severity":"low","steps":[
        {"id":"one","provider":"aws","service":"ec2.amazonaws.com","actions":["RunInstances"],"bind":{"type":"requestParameters.instanceType"}}]}]}"#;
    let mut after = crate::common::run::resume(more, &before.checkpoint()).unwrap();
    let found = after.process(&lines(std::slice::from_ref(&instance)), crate::common::NOW).unwrap().findings;
    let rules: Vec<_> = found.iter().map(|finding| finding.rule.as_str()).collect();
    assert_eq!(rules, ["aws-instance-created", "aws-snapshot-staging", "a-launch"]);
    let mut without = crate::common::run::resume(r#"{"built_in_rules":false}"#, &before.checkpoint()).unwrap();
    assert_eq!(crate::common::run::value_of(&without.metrics(), "reset:aws-snapshot-staging"), 1);
    assert_eq!(without.process(&lines(&[instance]), crate::common::NOW).unwrap().findings, []);
}

fn number(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A checkpoint with a valid checksum, of `rules` rules that nobody has with `steps` steps each, and then `rest`.
fn made_up(rules: u64, steps: u64, rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"CATENA\x03\x00".to_vec();
    // Counters, no rejections, credit, no findings by rule; the hash key, no watermark, counts, no paths.
    bytes.extend([0; 6 + 1 + 1 + 1]);
    bytes.extend([0; 16]);
    bytes.extend([1]);
    bytes.extend([0; 10 + 1]);
    bytes.extend(number(rules));
    for at in 0..rules {
        bytes.extend(u128::from(at).to_le_bytes());
        bytes.extend(number(0));
        bytes.extend(number(steps));
    }
    // No exceptions and no buckets.
    bytes.extend([0, 0]);
    bytes.extend(rest);
    let mut hasher = siphasher::sip::SipHasher13::new();
    std::hash::Hasher::write(&mut hasher, &bytes);
    bytes.extend(std::hash::Hasher::finish(&hasher).to_le_bytes());
    bytes
}

/// Regression: 46 KB of rules with 65,535 steps each took gigabytes, and 50 MB of calls took minutes.
#[test]
fn a_made_up_checkpoint_costs_no_more_than_its_length() {
    // No identities, attributions, calls and events; nothing lost, reported or tallied.
    let nothing = [&[0; 4][..], &[0; 5], &[0, 0]].concat();
    assert!(crate::common::run::resume("{}", &made_up(2_500, 65_535, &nothing)).is_ok());
    let calls = 1_000_000;
    let mut rest = vec![0, 0];
    rest.extend(number(calls));
    for call in 0..calls {
        let action = format!("A{call}");
        rest.extend([0]);
        rest.extend(number(action.len() as u64));
        rest.extend(action.as_bytes());
        rest.extend([1, 0, 0]);
    }
    rest.extend(&nothing[3..]);
    assert!(crate::common::run::resume("{}", &made_up(1, 1, &rest)).is_ok());
}
