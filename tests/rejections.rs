//! An unreadable record is rejected with its position and reason, and does not affect the records around it.

use crate::common::chain;
use crate::common::run::Both;
use catena::Reason;

/// The reason and the bytes of each rejection in a batch, and the number of findings.
fn rejections(batch: &[u8]) -> (Vec<(Reason, Vec<u8>)>, usize) {
    let outcome = Both::open("{}").process(batch);
    let bytes = |rejection: &catena::Rejection| batch[rejection.start as usize..rejection.end as usize].to_vec();
    let rejections = outcome.rejections.iter().map(|rejection| (rejection.reason, bytes(rejection))).collect();
    (rejections, outcome.findings.len())
}

#[test]
fn each_kind_of_bad_line_is_rejected_with_its_reason_and_position() {
    let instance = chain(60, 120)[2].line();
    let no_time = instance.replace("eventTime", "eventTimes");
    let bad_time = instance.replace("2026-01-05T", "yesterday ");
    let broken = instance.replace("\"eventID\"", "eventID");
    for (bad, reason) in [
        (b"nonsense".as_slice(), Reason::NotAnObject),
        (b"\"text\"", Reason::NotAnObject),
        (b"{\"eventName\":\"RunInstances\",\"eve", Reason::Truncated),
        (b"{", Reason::Truncated),
        (broken.as_bytes(), Reason::MalformedJson),
        (no_time.as_bytes(), Reason::NoEventTime),
        (bad_time.as_bytes(), Reason::BadEventTime),
    ] {
        let batch = [instance.as_bytes(), b"\n  ", bad, b" \r\n", chain(60, 120)[0].line().as_bytes()].concat();
        let (rejected, found) = rejections(&batch);
        assert_eq!(rejected, [(reason, bad.to_vec())]);
        assert_eq!(found, 1);
    }
}

#[test]
fn a_malformed_record_that_cannot_match_is_not_rejected() {
    assert_eq!(rejections(b"{\"eventName\":\"DescribeInstances\",}\n{\"a\" 1}\n"), (vec![], 0));
}

/// Regression: the prefilter ignored the first letter of a key, so it took `browser_identity` for `user_identity`, and
/// a valid record with a truncated message for a truncated one.
#[test]
fn a_key_that_ends_like_an_action_key_does_not_make_a_record_a_candidate() {
    for key in ["browser_identity", "glass_uid"] {
        assert_eq!(rejections(format!("{{\"{key}\":1,x}}\n").as_bytes()), (vec![], 0), "{key}");
    }
    for key in ["user_identity", "User_identity", "class_uid"] {
        let line = format!("{{\"{key}\":1,x}}");
        let expected = vec![(Reason::MalformedJson, line.clone().into_bytes())];
        assert_eq!(rejections(line.as_bytes()).0, expected, "{key}");
    }
}

#[test]
fn a_bad_record_in_a_container_is_rejected_alone() {
    let [volume, snapshot, instance] = chain(60, 120).map(|event| event.line());
    let bad = r#"{"eventName":"CreateVolume",}"#;
    let batch = format!(r#"{{"Records":[{volume},{bad},{snapshot},null,{instance}]}}"#);
    let (rejected, found) = rejections(batch.as_bytes());
    assert_eq!(rejected, [(Reason::MalformedJson, bad.into()), (Reason::NotAnObject, b"null".to_vec())]);
    assert_eq!(found, 2);
}

#[test]
fn a_truncated_container_keeps_the_records_before_the_cut() {
    let [volume, snapshot, instance] = chain(60, 120).map(|event| event.line());
    let rest = &instance[..instance.len() / 2];
    for (rest, left) in [(rest, rest), ("", ""), (",", "")] {
        let batch = format!(
            r#"{{"Records":[{volume},{snapshot},{instance}{}{rest}"#,
            if rest == "," || rest.is_empty() { "" } else { "," }
        );
        let (rejected, found) = rejections(batch.as_bytes());
        assert_eq!(rejected, [(Reason::ContainerTruncated, left.as_bytes().to_vec())]);
        assert_eq!(found, 2);
    }
}

#[test]
fn deep_nesting_in_an_unused_member_is_not_rejected() {
    let [volume, snapshot, instance] = chain(60, 120).map(|event| event.line());
    let deep = format!(r#"{{"deep":{}{},"#, "[{\"a\":".repeat(10_000), "}]".repeat(10_000)).replace(":}", ":1}");
    let batch = [volume.replacen('{', &deep, 1), snapshot, instance].join("\n");
    assert_eq!(rejections(batch.as_bytes()), (vec![], 2));
    let container = format!("{{\"Records\":[{}]}}", batch.replace('\n', ","));
    assert_eq!(rejections(container.as_bytes()), (vec![], 2));
}

#[test]
fn integers_beyond_2_to_the_53_stay_exact() {
    let [volume, snapshot, instance] = chain(60, 120).map(|event| event.line());
    let numbered = |line: String| line.replace("\"vol-1\"", "9007199254740993");
    let other = |line: String| line.replace("\"vol-1\"", "9007199254740992");
    let batch = [numbered(volume.clone()), numbered(snapshot.clone()), instance.clone()].join("\n");
    assert_eq!(rejections(batch.as_bytes()), (vec![], 2));
    let batch = [numbered(volume), other(snapshot), instance].join("\n");
    let found = Both::open("{}").process(batch.as_bytes()).findings;
    assert!(found.iter().all(|finding| finding.rule != "aws-snapshot-staging"));
}
