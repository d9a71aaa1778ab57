//! The published samples, where they are there: what each file holds, checked by hand against the file.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use crate::common::run::{Both, rules};

/// How many findings of which rule.
type Found = &'static [(&'static str, usize)];

/// Records and findings by rule of each file. What is not named here holds no launch that went well and no chain.
///
/// Most files of panther-analysis wrap each record as `{"meta", "log"}`, as no pipeline does: they pass. The launches of
/// stratus-red-team were left out by whoever published them, those of traildiscover failed.
const TABLE: &[(&str, u32, Found)] = &[
    ("cloud-custodian/event-cloud-trail-create-volume.json", 1, &[]),
    ("cloud-custodian/event-cloud-trail-run-instance-creator-assumed.json", 1, &[("aws-instance-created", 1)]),
    ("cloud-custodian/event-cloud-trail-run-instance-creator.json", 1, &[("aws-instance-created", 1)]),
    ("cloud-custodian/event-cloud-trail-run-instances.json", 1, &[("aws-instance-created", 2)]),
    ("invictus-aws_dataset/218007301253_CloudTrail_us-east-1_20230710T1215Z_YxpR6PTmNBivhnJJ.json", 26, &[]),
    ("invictus-aws_dataset/218007301253_CloudTrail_us-east-1_20230710T1215Z_Z8x5aqgtcXn5NEG9.json", 117, &[]),
    ("invictus-aws_dataset/218007301253_CloudTrail_us-east-1_20230710T1220Z_WMiHxZgr5Hdd6UDc.json", 13, &[]),
    // No launch mounts a snapshot. The volume, its snapshot and the sharing of it at 12:11 are what was done on purpose.
    ("invictus-aws_dataset/ec2_events.ndjson", 26, &[("aws-instance-created", 2), ("aws-snapshot-staging-share", 1)]),
    ("panther-analysis/aws_ec2.ndjson", 14, &[]),
    ("panther-analysis/azure_activity.ndjson", 107, &[]),
    ("panther-analysis/gcp_compute.ndjson", 13, &[]),
    ("plaso/aws_cloudtrail.jsonl", 6, &[("aws-instance-created", 1)]),
    ("plaso/azure_activity_log.jsonl", 4, &[]),
    ("plaso/azure_application_gateway_access.json", 2, &[]),
    ("plaso/gcp_logging.jsonl", 11, &[("gcp-instance-created", 1)]),
    ("stratus-red-team/aws.credential-access.ec2-steal-instance-credentials.json", 45, &[]),
    ("stratus-red-team/aws.execution.ec2-user-data.json", 35, &[]),
    ("stratus-red-team/aws.exfiltration.ec2-share-ebs-snapshot.json", 1, &[]),
    ("streamalert/cloudtrail_snapshot_or_ami_made_public.json", 5, &[]),
    (
        "synthetic/218007301253_CloudTrail_us-east-1_20230710T1215Z_SYNTHETICAAAAAAA.json.gz",
        3,
        &[("aws-instance-created", 1), ("aws-snapshot-staging", 1)],
    ),
    ("synthetic/aws_unobserved_verbs.ndjson", 4, &[("aws-instances-requested", 1)]),
    ("synthetic/azure_PT1H.json", 9, &[("azure-instance-created", 1), ("azure-snapshot-staging", 1)]),
    (
        "synthetic/azure_eventhub_snapshot_chain.json",
        9,
        &[("azure-instance-created", 1), ("azure-snapshot-staging", 1)],
    ),
    ("synthetic/chain_volume_snapshot_run.ndjson", 3, &[("aws-instance-created", 1), ("aws-snapshot-staging", 1)]),
    ("synthetic/cwl_control_message.json", 1, &[]),
    ("synthetic/cwl_subscription_decoded.json", 3, &[("aws-instance-created", 1), ("aws-snapshot-staging", 1)]),
    ("synthetic/cwl_subscription_lambda.json", 1, &[("aws-instance-created", 1), ("aws-snapshot-staging", 1)]),
    ("synthetic/eventbridge_chain.ndjson", 3, &[("aws-instance-created", 1), ("aws-snapshot-staging", 1)]),
    ("synthetic/firehose_cwl.json", 1, &[("aws-instance-created", 1), ("aws-snapshot-staging", 1)]),
    // The first of two entries of an operation: how it ended is not said.
    ("synthetic/gcp_pubsub_push.json", 1, &[]),
    ("synthetic/gcp_snapshot_chain.ndjson", 7, &[("gcp-instance-created", 1), ("gcp-snapshot-staging", 1)]),
    ("synthetic/sentinel_awscloudtrail_rows.ndjson", 4, &[("aws-instance-created", 1), ("aws-snapshot-staging", 1)]),
    (
        "synthetic/sentinel_azureactivity_rows.ndjson",
        10,
        &[("azure-instance-created", 1), ("azure-snapshot-staging", 1)],
    ),
    ("synthetic/sqs_s3_and_sns_wrapped.json", 1, &[]),
];

/// The batch that a host makes of a file: decompressed, a document of several lines on one.
fn batch(file: &Path) -> Vec<u8> {
    let bytes = fs::read(file).expect("a sample is readable");
    let bytes = if bytes.starts_with(&[0x1F, 0x8B]) {
        let mut decompressed = Vec::new();
        flate2::read::GzDecoder::new(&*bytes).read_to_end(&mut decompressed).expect("is gzip");
        decompressed
    } else {
        bytes
    };
    match serde_json::from_slice::<serde_json::Value>(&bytes) {
        Ok(document) if bytes.iter().filter(|byte| **byte == b'\n').count() > 1 => document.to_string().into_bytes(),
        _ => bytes,
    }
}

fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is readable") {
        let path = entry.expect("an entry is readable").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension != "md")
            && path.file_name().is_none_or(|name| name != "_README.json")
        {
            found.push(path);
        }
    }
}

#[test]
fn every_file_holds_what_the_table_says() {
    let Some(samples) = crate::common::samples() else { return };
    let mut all = Vec::new();
    files(&samples, &mut all);
    assert!(all.len() > 50);
    for file in all {
        let name = file.strip_prefix(&samples).unwrap().to_str().unwrap();
        let outcome = Both::open("{}").process(&batch(&file));
        assert_eq!(outcome.rejections, [], "{name}");
        let mut found = BTreeMap::new();
        for rule in rules(&outcome.findings) {
            *found.entry(rule).or_insert(0) += 1;
        }
        let (records, expected) = match TABLE.iter().find(|(known, ..)| *known == name) {
            Some((_, records, expected)) => (*records, *expected),
            // One record of one call each.
            None => (1, &[][..]),
        };
        let expected: BTreeMap<_, _> = expected.iter().copied().collect();
        assert_eq!((outcome.records, found), (records, expected), "{name}");
    }
}

#[test]
fn the_synthetic_chain_is_found_in_any_order_and_once() {
    let Some(samples) = crate::common::samples() else { return };
    let text = fs::read_to_string(samples.join("synthetic/chain_volume_snapshot_run.ndjson")).expect("is readable");
    let lines: Vec<_> = text.lines().collect();
    let mut ids = std::collections::BTreeSet::new();
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let batch = order.map(|at| lines[at]).join("\n") + "\n";
        let mut both = Both::open("{}");
        let chains = |found: Vec<catena::Finding>| {
            found.into_iter().filter(|f| f.rule == "aws-snapshot-staging").collect::<Vec<_>>()
        };
        let found = chains(both.process(batch.as_bytes()).findings);
        assert_eq!(found.len(), 1);
        ids.insert(found[0].id.clone());
        assert_eq!(both.process(batch.as_bytes()).findings, [], "repeating the file changes nothing");
    }
    assert_eq!(ids.len(), 1);
}
