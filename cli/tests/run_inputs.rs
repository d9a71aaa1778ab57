//! Which files are read, and how files and records that cannot be read are reported.

use crate::common::{catena, file, gzip, records, rules, run, stderr, summary};

fn lines() -> String {
    records().join("\n") + "\n"
}

#[test]
fn folders_are_searched_and_other_files_are_skipped_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    file(
        root,
        "CloudTrail/us-east-1/2026/01/05/1_CloudTrail_us-east-1_20260105T1000Z_a.json.gz",
        gzip(lines().as_bytes()),
    );
    file(root, "CloudTrail/eu-west-1/2026/01/05/1_CloudTrail_eu-west-1_20260105T1000Z_b.json", lines());
    file(root, "CloudTrail-Digest/us-east-1/1_CloudTrail-Digest_us-east-1_20260105T1000Z.json.gz", gzip(b"{}"));
    file(root, "CloudTrail-Insight/us-east-1/1_CloudTrail-Insight_us-east-1.json.gz", gzip(b"{\"Records\":[]}"));
    file(root, "renamed.json", r#"{"awsAccountId":"1","digestStartTime":"2026-01-05T10:00:00Z","logFiles":[]}"#);
    file(root, "README.md", "not a record\n");
    file(root, ".hidden.json", "not a record\n");
    let output = run(["run".as_ref(), "--mode=findings".as_ref(), "--summary".as_ref(), root.as_os_str()], b"");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(rules(&output), ["aws-instance-created", "aws-snapshot-staging"], "the second copy repeats the first");
    let summary = summary(&output);
    assert_eq!((&summary["files"], &summary["skipped"], &summary["records"]), (&2.into(), &5.into(), &46.into()));
}

#[test]
fn a_missing_file_is_reported_and_the_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let good = file(folder.path(), "good.ndjson", lines());
    let missing = folder.path().join("missing.ndjson");
    let output = run(["run".as_ref(), "--mode=findings".as_ref(), missing.as_os_str(), good.as_os_str()], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains(&format!("cannot read {}: No such file", missing.display())),
        "{}",
        stderr(&output)
    );
    assert_eq!(rules(&output).len(), 2);
}

#[test]
fn a_truncated_gzip_file_is_reported_and_read_as_far_as_possible() {
    let folder = tempfile::tempdir().unwrap();
    let whole = gzip(lines().as_bytes());
    let cut = file(folder.path(), "cut.json.gz", &whole[..whole.len() - 12]);
    let output = run(["run".as_ref(), "--mode=findings".as_ref(), "--summary".as_ref(), cut.as_os_str()], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&format!("cannot read {}", cut.display())), "{}", stderr(&output));
    assert_eq!(rules(&output).len(), 2);
}

#[test]
fn rejections_name_file_line_and_cause_and_can_be_kept() {
    let folder = tempfile::tempdir().unwrap();
    let input = file(folder.path(), "input.ndjson", format!("\n{}nonsense\n", lines()));
    let output = run(["run".as_ref(), "--mode=findings".as_ref(), input.as_os_str()], b"");
    let expected = format!("{}:25: rejected: expected a JSON object (not-an-object)", input.display());
    assert!(stderr(&output).contains(&expected), "{}", stderr(&output));

    let rejects = folder.path().join("rejects.ndjson");
    let output = catena(["run", "--mode=filter", "-q", "--rejects"]).arg(&rejects).arg(&input).output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(rejects).unwrap()).unwrap();
    assert_eq!(
        (&kept["line"], &kept["offset"], &kept["code"]),
        (&25.into(), &(lines().len() + 1).into(), &"not-an-object".into())
    );
    assert_eq!((&kept["record"], &kept["input"]), (&"nonsense".into(), &input.display().to_string().into()));
}

#[test]
fn a_record_that_is_too_long_is_rejected_and_passed_on_unparsed() {
    let long = format!("{{\"note\":\"{}\"}}\n", "x".repeat(100_000));
    let input = format!("{long}{}{long}{long}", lines());
    for batch in ["1000", "20000"] {
        let output = run(["run", "--summary", "--max-record-bytes=20000", "--batch-bytes", batch], input.as_bytes());
        let summary = summary(&output);
        assert_eq!(
            (&summary["records"], &summary["rejected"], &summary["findings"]),
            (&26.into(), &3.into(), &2.into())
        );
        assert!(
            stderr(&output).contains("standard input:1: rejected: the record is longer than --max-record-bytes 20000")
        );
        assert!(stderr(&output).contains("standard input:25: rejected: the record is longer"), "{}", stderr(&output));
        assert_eq!(crate::common::without_annotations(&output.stdout), input.as_bytes());
    }
}

#[test]
fn compression_does_not_change_the_findings() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = std::collections::BTreeSet::new();
    for known in catena_synthetic::files().into_iter().filter(|file| file.name.starts_with("trail")) {
        let path = file(folder.path(), known.name, &known.bytes);
        let output = run(["run".as_ref(), "--mode=findings".as_ref(), path.as_os_str()], b"");
        let findings = crate::common::without_places(&output.stdout);
        let mut found: Vec<_> = findings.lines().map(str::to_owned).collect();
        found.sort();
        assert_eq!(found.len(), 2, "{}", known.name);
        all.insert(found);
    }
    assert_eq!(all.len(), 1);
}

/// Regression: any file whose first record mentioned a member of digests was skipped, and callers choose their user
/// agent.
#[test]
fn a_record_that_mentions_a_digest_member_is_not_taken_for_a_digest() {
    let folder = tempfile::tempdir().unwrap();
    let text = lines().replacen(
        "\"eventVersion\"",
        "\"userAgent\":\"digestStartTime\",\"x\":{\"digestStartTime\":1},\"eventVersion\"",
        1,
    );
    let input = file(folder.path(), "in.json", text);
    let output = catena(["run", "--summary", "--mode", "findings"]).arg(input).output().unwrap();
    let summary = summary(&output);
    assert_eq!((&summary["skipped"], summary["records"].as_u64()), (&0.into(), Some(lines().lines().count() as u64)));
}
