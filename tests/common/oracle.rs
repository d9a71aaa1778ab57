//! A brute-force oracle for `aws-snapshot-staging` and `aws-instance-created`.

use std::collections::BTreeSet;

use catena::Finding;

use super::{Call, Event, WINDOW};

/// The findings of the two rules that the oracle models.
pub fn known(findings: Vec<Finding>) -> Vec<Finding> {
    let known = ["aws-instance-created", "aws-snapshot-staging"];
    findings.into_iter().filter(|finding| known.contains(&finding.rule.as_str())).collect()
}

/// The event ids of each expected finding: every chain and every single-event detection.
pub fn findings(events: &[Event]) -> BTreeSet<Vec<String>> {
    let mut seen = BTreeSet::new();
    let events: Vec<_> = events.iter().filter(|event| !event.failed && seen.insert(event.id)).collect();
    let mut found = BTreeSet::new();
    for instance in &events {
        let Call::RunInstances { snapshots } = &instance.call else { continue };
        found.insert(vec![format!("e{}", instance.id)]);
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
                    found.insert([volume, snapshot, instance].map(|event| format!("e{}", event.id)).to_vec());
                }
            }
        }
    }
    found
}
