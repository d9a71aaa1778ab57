//! Files in every format yield their known findings: one by one, in one stream, replayed, and in any record order.

use catena_synthetic::files;

use crate::common::run::{Both, rules};

/// Prepares a file as a host does: decompresses it, and puts a multi-line document on one line.
fn batch(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let bytes = match bytes.starts_with(&[0x1F, 0x8B]) {
        true => {
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(bytes), &mut plain).unwrap();
            &plain
        }
        false => bytes,
    };
    match serde_json::from_slice::<serde_json::Value>(bytes) {
        Ok(document) => document.to_string().into_bytes(),
        Err(_) => bytes.to_vec(),
    }
}

#[test]
fn every_file_yields_its_known_records_and_findings() {
    for file in files() {
        let outcome = Both::open("{}").process(&batch(&file.bytes));
        assert_eq!(outcome.rejections, [], "{}", file.name);
        let mut found = rules(&outcome.findings);
        found.sort_unstable();
        assert_eq!((outcome.records, &*found), (file.records, file.rules), "{}", file.name);
    }
}

#[test]
fn all_files_in_one_stream_yield_each_finding_once() {
    let mut both = Both::open("{}");
    let mut all = std::collections::BTreeSet::new();
    for file in files() {
        all.extend(both.process(&batch(&file.bytes)).findings.into_iter().map(|finding| (finding.rule, finding.id)));
    }
    // The chain and the launch of each of the three clouds.
    assert_eq!(all.len(), 6, "{all:?}");
    for file in files() {
        assert_eq!(both.process(&batch(&file.bytes)).findings, [], "{}: a replay should yield no finding", file.name);
    }
}

#[test]
fn a_chain_is_one_finding_in_any_order_of_its_records() {
    let lines = catena_synthetic::chain("mallory", crate::common::START, 5);
    let mut ids = std::collections::BTreeSet::new();
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let batch = order.map(|at| &*lines[at]).join("\n");
        let found = Both::open("{}").process(batch.as_bytes()).findings;
        let found: Vec<_> = found.into_iter().filter(|finding| finding.rule == "aws-snapshot-staging").collect();
        assert_eq!(found.len(), 1);
        ids.insert(found[0].id.clone());
    }
    assert_eq!(ids.len(), 1);
}
