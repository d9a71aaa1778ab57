//! The commands in the documents are valid: each `catena run` of README, operating.md, sending.md and listening.md is checked as it stands,
//! with its paths in a folder of the test. Other commands of the program are run.

use std::process::Command;

use crate::common::{certificates, file};

const DOCUMENTS: [(&str, &str); 4] = [
    ("README.md", include_str!("../../README.md")),
    ("operating.md", include_str!("../../docs/operating.md")),
    ("sending.md", include_str!("../../docs/sending.md")),
    ("listening.md", include_str!("../../docs/listening.md")),
];

/// The indented commands of a document, with continued lines joined.
fn commands(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().filter_map(|line| line.strip_prefix("    "));
    let commands =
        lines.map(|line| line.split('#').next().unwrap_or_default().trim().replace("target/release/catena", "catena"));
    commands.filter(|line| line.contains("catena run ") && !line.contains("--help")).collect()
}

#[test]
fn every_documented_run_is_valid() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    certificates::write(folder.path());
    for name in ["etc/server.pem", "etc/server.key", "etc/ca.pem", "etc/token"] {
        let from = folder.path().join(name.trim_start_matches("etc/"));
        let text = std::fs::read(from).unwrap_or_else(|_| b"token".to_vec());
        file(folder.path(), name, text);
    }
    for name in ["logs/a.json", "trail/a.json", "state/x", "audit.ndjson"] {
        file(folder.path(), name, "{}\n");
    }
    let place = folder.path().display().to_string();
    let program = env!("CARGO_BIN_EXE_catena");
    let mut count = 0;
    for (name, text) in DOCUMENTS {
        for command in commands(text) {
            count += 1;
            let here = command
                .replace("/var/lib/catena", &place)
                .replace("/var/log/cloudtrail/", &format!("{place}/logs"))
                .replace("/var/log/cloudtrail", &format!("{place}/logs"))
                .replace("/etc/catena", &format!("{place}/etc"))
                .replace("tail -F ", "cat ")
                .replace("| shipper", "| cat")
                .replace("catena run", &format!("{program} run --check"));
            let mut shell = Command::new("bash");
            shell.args(["-c", &format!("set -o pipefail; {here}")]).current_dir(folder.path());
            let output = shell.output().expect("it runs");
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && told.contains("ok: mode "), "{name}: {command}: {told}");
        }
    }
    assert!(count >= 8, "{count}");
}

/// Every other document, for its commands that are not `catena run`.
const MORE: [&str; 4] = [
    include_str!("../../docs/rules.md"),
    include_str!("../../docs/configuration.md"),
    include_str!("../../docs/query.md"),
    include_str!("../../CONTRIBUTING.md"),
];

#[test]
fn every_other_documented_command_works() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    for rule in ["my-rule.yaml", "trail-deleted.yaml", "key-role-trail.yaml"] {
        file(
            folder.path(),
            rule,
            include_str!("../../rules/aws-snapshot-staging.yaml").replace("aws-snapshot", "my-snapshot"),
        );
    }
    let mut ran = Vec::new();
    for text in DOCUMENTS.iter().map(|(_, text)| *text).chain(MORE) {
        let indented = text.lines().filter_map(|line| line.strip_prefix("    "));
        let quoted = text.split('`').skip(1).step_by(2);
        for command in indented.chain(quoted) {
            let command =
                command.split('#').next().unwrap_or_default().trim().replace("target/release/catena", "catena");
            // Not those with a placeholder, nor what takes minutes.
            let is_short = !command.contains('[') && !command.contains("FILE") && !command.starts_with("catena bench");
            // The name of a command that takes a file.
            let is_name = ["check", "test", "explain"].iter().any(|name| command == format!("catena rules {name}"));
            if is_name
                || !command.starts_with("catena ")
                || command.contains("catena run")
                || !is_short
                || ran.contains(&command)
            {
                continue;
            }
            let here =
                command.replacen("catena", env!("CARGO_BIN_EXE_catena"), 1).replace("sample", "sample --records 100");
            let output = Command::new("bash").args(["-c", &here]).current_dir(folder.path()).output().expect("it runs");
            // Nothing is running that could be asked.
            let expected = i32::from(command.starts_with("catena health"));
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(expected), "{command}: {told}");
            ran.push(command);
        }
    }
    assert!(ran.len() >= 10, "{ran:?}");
}
