//! Invalid arguments, configurations and outputs are reported with the reason and a distinct exit code.

use crate::common::{file, records, run, stderr, stdout, summary};

#[test]
fn invalid_arguments_and_files_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = file(folder.path(), "bad.yaml", "mode: enrich\nrules: [\n");
    let setting = file(folder.path(), "setting.yaml", "mode: filter\nlimits:\n  pending: many\n");
    let nonsense = file(folder.path(), "nonsense.wasm", "not a component");
    for (arguments, code, expected) in [
        (vec!["run", "--mode", "loud"], 2, "invalid value 'loud' for '--mode <MODE>'".to_owned()),
        (vec!["run", "--config", "/nowhere.yaml"], 2, "cannot read /nowhere.yaml: No such file".to_owned()),
        (vec!["run", "--config", yaml.to_str().unwrap()], 2, format!("{}:2:8: unclosed bracket", yaml.display())),
        (
            vec!["run", "--config", setting.to_str().unwrap()],
            2,
            format!("{}:3:3: limits.pending: the text \"many\"", setting.display()),
        ),
        (
            vec!["run", "--component", nonsense.to_str().unwrap()],
            2,
            format!("{}: the component cannot be loaded", nonsense.display()),
        ),
        (vec!["run", "--mode=findings", "-o", "x"], 2, "--output cannot be used in mode findings".to_owned()),
        (vec!["run", "--findings", "-"], 2, "must go to different outputs".to_owned()),
        (vec!["run", "-o", "/nowhere/x"], 1, "cannot write /nowhere/x: No such file".to_owned()),
    ] {
        let output = run(&arguments, b"");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(&expected), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn findings_and_rejects_may_both_be_discarded() {
    let output = run(["run", "--mode=findings", "--findings=/dev/null", "--rejects=/dev/null"], b"nonsense\n");
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
}

/// Regression: a message that could not be written ended the run before it wrote any output.
#[test]
fn a_full_standard_error_loses_only_messages() {
    let folder = tempfile::tempdir().unwrap();
    let input = crate::common::file(folder.path(), "in.ndjson", crate::common::records().join("\n") + "\nnonsense\n");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = crate::common::catena(["run", "--summary"]).arg(input).stderr(full).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(crate::common::stdout(&output).lines().count(), 24);
}

#[test]
fn a_full_output_is_reported_by_name() {
    let input = records().join("\n").repeat(200);
    let output = run(["run", "--mode", "enrich", "-o", "/dev/full"], input.as_bytes());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cannot write /dev/full: No space left"), "{}", stderr(&output));
}

#[test]
fn the_argument_overrides_the_mode_in_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let config = file(folder.path(), "catena.yaml", "mode: filter\nannotation: detection\n");
    let config = config.to_str().unwrap();
    let input = records().join("\n");
    let filtered = run(["run", "-c", config, "--summary"], input.as_bytes());
    assert_eq!((&summary(&filtered)["passed"], &summary(&filtered)["dropped"]), (&3.into(), &20.into()));
    assert!(stdout(&filtered).lines().all(|line| line.contains(",\"detection\":{")));
    let enriched = run(["run", "-c", config, "--mode=enrich", "--summary"], input.as_bytes());
    assert_eq!(summary(&enriched)["passed"], 23);
}

#[test]
fn findings_without_a_destination_are_printed_as_text() {
    let output = run(["run", "-o", "/dev/null"], records().join("\n").as_bytes());
    let told = stderr(&output);
    for expected in [
        "HIGH  EBS volume created, snapshotted and mounted by a new instance",
        "  ATT&CK    T1578.002 Create Cloud Instance, T1578.001 Create Snapshot",
        "  actor     arn:aws:iam::111122223333:user/mallory from 198.51.100.",
        "  where     AWS 111122223333 us-east-1",
        "2026-01-05 10:00:00Z  volume    CreateVolume",
        "23 records in 1 input: 23 passed, 0 dropped, 0 rejected, 2 found",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
}

#[test]
fn help_lists_commands_and_exit_codes() {
    let help = stdout(&run(["--help"], b""));
    for expected in ["run", "inspect", "sample", "Exit codes", "141"] {
        assert!(help.contains(expected), "{expected}: {help}");
    }
}
