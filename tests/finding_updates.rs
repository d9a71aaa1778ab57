//! Further evidence of a finding is counted, and emitted as updates with the same id if that is configured.

use crate::common::run::Both;
use crate::common::{Event, chain, lines};
use serde_json::Value;

/// The chain at 10:00, and a launch from its snapshot in each of the next five minutes.
fn launches() -> Vec<u8> {
    let [volume, snapshot, instance] = chain(10, 20);
    let again = (1..=5).map(|minute| Event { id: 10 + minute, time: 60 * u64::from(minute), ..instance.clone() });
    let events: Vec<_> = [volume, snapshot, instance.clone()].into_iter().chain(again).collect();
    lines(&events)
}

fn of_chain(config: &str) -> (Vec<catena::Finding>, u64) {
    let mut both = Both::open(config);
    let mut findings = Vec::new();
    for line in launches().split_inclusive(|byte| *byte == b'\n') {
        findings.extend(both.process(line).findings);
        // Nothing of it may be lost by a restart.
        both = Both::resume(config, &both.checkpoint());
    }
    findings.retain(|finding| finding.rule == "aws-snapshot-staging");
    (findings, both.metric("further-evidence"))
}

#[test]
fn further_evidence_is_counted() {
    let (findings, further) = of_chain("{}");
    assert_eq!((findings.len(), further), (1, 5));
}

#[test]
fn updates_have_the_same_id_and_come_as_often_as_configured() {
    let (findings, further) = of_chain(r#"{"finding_updates":"2m"}"#);
    assert_eq!(further, 5);
    // At 10:00:20, and from then on at the first launch two minutes later.
    let seen: Vec<_> = findings
        .iter()
        .map(|finding| {
            assert_eq!(finding.id, findings[0].id);
            let body: Value = serde_json::from_str(&finding.body).unwrap();
            (body["activity_name"].as_str().unwrap().to_owned(), body["type_uid"].clone(), body["count"].clone())
        })
        .collect();
    let update = |count: u64| ("Update".to_owned(), 200_402.into(), count.into());
    assert_eq!(seen, [("Create".to_owned(), 200_401.into(), Value::Null), update(4), update(6)]);
}

#[test]
fn every_format_says_how_many_events_there_are() {
    for (format, place) in [("ecs", "/labels/events_count"), ("sentinel", "/EventsCount")] {
        let (findings, _) = of_chain(&format!(r#"{{"finding_updates":"2m","findings":"{format}"}}"#));
        let counts: Vec<_> = findings
            .iter()
            .map(|finding| {
                let body: Value = serde_json::from_str(&finding.body).unwrap();
                body.pointer(place).map(|count| count.to_string().trim_matches('"').to_owned())
            })
            .collect();
        assert_eq!(counts, [None, Some("4".to_owned()), Some("6".to_owned())], "{format}");
    }
}
