//! Checkpoints of every format version ever written are still read.
//!
//! After incrementing the version, run `CATENA_WRITE_GOLDEN=1 cargo test --release --test all checkpoint_golden` once.
//! It writes the file of the current version.

use std::path::Path;

use crate::common::{chain, lines};

/// A rule for this test alone. The built-in rules may change, and their state is then rightly discarded.
const CONFIG: &str = r#"{"built_in_rules":false,"rules":[{"id":"golden","version":1,"title":"t","severity":"low","within":"15m","steps":[
    {"id":"volume","provider":"aws","service":"ec2.amazonaws.com","actions":["CreateVolume"],"bind":{"volume":"responseElements.volumeId"}},
    {"id":"snapshot","provider":"aws","service":"ec2.amazonaws.com","actions":["CreateSnapshot"],"bind":{"volume":"requestParameters.volumeId","snapshot":"responseElements.snapshotId"}},
    {"id":"instance","provider":"aws","service":"ec2.amazonaws.com","actions":["RunInstances"],"bind":{"snapshot":"requestParameters.blockDeviceMapping.items[].ebs.snapshotId"}}]}]}"#;

/// The format versions, each with a file in `tests/golden`.
const VERSIONS: [u16; 4] = [1, 2, 3, 4];

#[test]
fn every_version_is_read_and_its_pending_chain_completes() {
    let [volume, snapshot, instance] = chain(60, 120);
    for version in VERSIONS {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/checkpoint-{version}.bin"));
        if std::env::var_os("CATENA_WRITE_GOLDEN").is_some() && Some(&version) == VERSIONS.last() {
            let mut correlator = crate::common::run::open(CONFIG).unwrap();
            correlator.process(&lines(&[volume.clone(), snapshot.clone()]), crate::common::NOW).unwrap();
            std::fs::write(&file, correlator.checkpoint()).unwrap();
        }
        let checkpoint = std::fs::read(&file).unwrap();
        let mut resumed = crate::common::run::resume(CONFIG, &checkpoint).unwrap();
        assert!(resumed.reset_rules().is_empty(), "version {version}: the rule's fingerprint should be unchanged");
        let outcome = resumed.process(&lines(&[volume.clone(), instance.clone()]), crate::common::NOW).unwrap();
        assert_eq!(outcome.findings.len(), 1, "version {version}");
        let duplicates = resumed.metrics().into_iter().find(|metric| metric.name == "duplicates").unwrap();
        assert_eq!(duplicates.value, 1, "version {version}: the volume should be a duplicate");
    }
}
