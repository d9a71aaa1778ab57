//! A brute-force oracle for `aws-snapshot-staging` and `aws-instance-created`.

use std::collections::{BTreeMap, BTreeSet};

use catena::Finding;
use serde_json::Value;

use super::run::event_ids;
use super::{Call, Event, START, WINDOW};

/// What makes two findings one: for a detection its event; for a chain the identity, the snapshot and the day.
type Subject = Vec<String>;

/// The expected findings: for each subject, the event ids of every chain, and of every single-event detection.
pub fn findings(events: &[Event]) -> BTreeMap<Subject, BTreeSet<Vec<String>>> {
    let mut seen = BTreeSet::new();
    let events: Vec<_> = events.iter().filter(|event| !event.failed && seen.insert(event.id)).collect();
    let mut found = BTreeMap::<_, BTreeSet<_>>::new();
    for instance in &events {
        let Call::RunInstances { snapshots } = &instance.call else { continue };
        let id = vec![format!("e{}", instance.id)];
        found.entry(id.clone()).or_default().insert(id);
        for snapshot in &events {
            let Call::CreateSnapshot { volume: Some(of), snapshot: Some(made) } = snapshot.call else { continue };
            for volume in &events {
                let Call::CreateVolume { volume: Some(created) } = volume.call else { continue };
                let linked = created == of && snapshots.contains(&made);
                let one = volume.identity.is_some()
                    && volume.identity == snapshot.identity
                    && snapshot.identity == instance.identity;
                let in_order = volume.time <= snapshot.time && snapshot.time <= instance.time;
                if linked && one && in_order && instance.time - volume.time <= WINDOW {
                    let chain = [volume, snapshot, instance].map(|event| format!("e{}", event.id)).to_vec();
                    let identity = format!("arn:aws:iam::1:user/{}", instance.identity.unwrap());
                    let day = (START + instance.time) / 86_400;
                    found.entry(vec![identity, made.to_owned(), day.to_string()]).or_default().insert(chain);
                }
            }
        }
    }
    found
}

/// Checks that the findings of the two rules are those expected: one for each subject, each with a chain of it.
pub fn check(found: &[Finding], expected: &BTreeMap<Subject, BTreeSet<Vec<String>>>) {
    let mut subjects = BTreeSet::new();
    let known = ["aws-instance-created", "aws-snapshot-staging"];
    for finding in found.iter().filter(|finding| known.contains(&finding.rule.as_str())) {
        let body: Value = serde_json::from_str(&finding.body).unwrap();
        let events = event_ids(finding);
        let subject = if finding.rule == known[0] {
            events.clone()
        } else {
            let resources = body["resources"].as_array().unwrap();
            let snapshot = resources.iter().find(|resource| resource["type"] == "AWS::EC2::Snapshot").unwrap();
            let day = finding.last_seen.as_millis() / 86_400_000;
            [&body["unmapped"]["identity"], &snapshot["uid"]]
                .map(|text| text.as_str().unwrap().to_owned())
                .into_iter()
                .chain([day.to_string()])
                .collect()
        };
        let chains = expected.get(&subject).unwrap_or_else(|| panic!("unexpected: {subject:?} by {events:?}"));
        assert!(chains.contains(&events), "{events:?} is no chain of {subject:?}");
        assert!(subjects.insert(subject), "a finding was emitted twice");
    }
    assert_eq!(subjects, expected.keys().cloned().collect());
    let ids: BTreeSet<_> = found.iter().map(|finding| &finding.id).collect();
    assert_eq!(ids.len(), found.len(), "an id was emitted twice");
}
