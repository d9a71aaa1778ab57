//! A run with `--state` resumes after any kind of exit as if it had never stopped.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use crate::common::{catena, file, gzip, records, stderr, summary};
use catena_synthetic::{Random, Stream};

/// A temporary folder with inputs and outputs, and the arguments common to its runs.
struct Case {
    folder: tempfile::TempDir,
    arguments: Vec<String>,
}

impl Case {
    fn new(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        Self { folder, arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The arguments of a run that writes to files with the given prefix.
    fn run(&self, prefix: &str, inputs: &[PathBuf], state: bool) -> Vec<String> {
        let path = |name: &str| self.path(&format!("{prefix}-{name}")).display().to_string();
        let mut arguments =
            vec!["run".to_owned(), "--findings".into(), path("findings"), "--rejects".into(), path("rejects")];
        arguments.extend(["--output".to_owned(), path("output")]);
        if state {
            arguments.extend(["--state".to_owned(), path("state"), "--save-every".into(), "1ms".into()]);
        }
        arguments.extend(self.arguments.iter().cloned());
        arguments.extend(inputs.iter().map(|input| input.display().to_string()));
        arguments
    }

    fn written(&self, prefix: &str) -> [Vec<u8>; 3] {
        ["output", "findings", "rejects"]
            .map(|name| fs::read(self.path(&format!("{prefix}-{name}"))).unwrap_or_default())
            .map(|written| crate::common::without_places(&written).into_bytes())
    }

    #[track_caller]
    fn assert_same(&self, expected: &str, got: &str) {
        for ((expected, got), name) in
            self.written(expected).iter().zip(self.written(got)).zip(["output", "findings", "rejects"])
        {
            assert!(*expected == got, "{name}: {} bytes, expected {}", got.len(), expected.len());
        }
    }

    fn to_end(&self, prefix: &str, inputs: &[PathBuf], state: bool) -> std::process::Output {
        let output = catena(self.run(prefix, inputs, state)).arg("--unrecognised=ignore").output().expect("it runs");
        assert!(output.status.success(), "{}", stderr(&output));
        output
    }
}

/// Records of which some match steps, some are invalid, and some form chains.
fn stream(records: usize) -> Vec<u8> {
    let stream = Stream { records, of_interest_per_10_000: 200, chains: records / 500, ..Stream::default() };
    let mut lines = stream.lines();
    for at in (0..lines.len()).step_by(97) {
        lines[at] = format!("{{\"eventName\":\"RunInstances\",\"cut\":{at}");
    }
    (lines.join("\n") + "\n").into_bytes()
}

fn start(arguments: &[String]) -> Child {
    catena(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
}

/// Kills runs at random moments, then lets the last one finish.
fn with_kills(case: &Case, inputs: &[PathBuf], kills: usize) {
    let mut random = Random::new(7);
    let (mut killed, mut ended) = (0, 0);
    while killed < kills {
        let mut child = start(&case.run("killed", inputs, true));
        thread::sleep(Duration::from_micros(3_000 + random.below(30_000)));
        child.kill().expect("it can be killed");
        match child.wait().expect("it has ended").code() {
            None => killed += 1,
            // Finished: start over, to kill at other moments.
            Some(code) => {
                assert_eq!(code, 0);
                case.assert_same("whole", "killed");
                for name in ["output", "findings", "rejects"] {
                    let _ = fs::remove_file(case.path(&format!("killed-{name}")));
                }
                fs::remove_dir_all(case.path("killed-state")).expect("there is a state");
                ended += 1;
            }
        }
    }
    case.to_end("killed", inputs, true);
    case.assert_same("whole", "killed");
    println!("{killed} kills, {} runs to the end", ended + 1);
}

#[test]
fn two_hundred_kills_do_not_change_the_output() {
    let case = Case::new(&["--batch-bytes", "65536"]);
    let input = file(case.folder.path(), "in.ndjson", stream(20_000));
    case.to_end("whole", std::slice::from_ref(&input), false);
    assert!(case.written("whole").iter().all(|written| !written.is_empty()));
    with_kills(&case, &[input], 200);
}

#[test]
fn kills_with_compressed_inputs_do_not_change_the_output() {
    let case = Case::new(&["--mode", "filter", "--batch-bytes", "65536"]);
    let all = stream(8_000);
    let lines: Vec<_> = all.split_inclusive(|byte| *byte == b'\n').collect();
    let part = |at: usize| lines[at * lines.len() / 4..(at + 1) * lines.len() / 4].concat();
    let zipped = |name: &str, at| file(case.folder.path(), name, gzip(&part(at)));
    let zstd = file(case.folder.path(), "c.zst", zstd::encode_all(&*part(2), 3).expect("is compressed"));
    // Multi-line documents, one of them a container, and lines with CRLF.
    let pretty = |text: &[u8]| {
        let value: serde_json::Value = serde_json::from_slice(text).expect("is JSON");
        serde_json::to_string_pretty(&value).expect("is text") + "\n"
    };
    let whole: Vec<_> = part(3)
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| line.ends_with(b"}\n"))
        .map(<[u8]>::to_vec)
        .collect();
    let documents: String = whole
        .iter()
        .filter(|line| serde_json::from_slice::<serde_json::Value>(line).is_ok())
        .map(|line| pretty(line))
        .collect();
    let container = pretty(format!("{{\"Records\":[{}]}}", crate::common::records().join(",")).as_bytes());
    let windows = String::from_utf8(part(3)).expect("is text").replace('\n', "\r\n");
    let inputs = [
        zipped("a.gz", 0),
        zipped("b.gz", 1),
        zstd,
        file(case.folder.path(), "d.json", part(3)),
        file(case.folder.path(), "e.json", container + &documents),
        file(case.folder.path(), "f.json", format!("\u{FEFF}{windows}")),
    ];
    case.to_end("whole", &inputs, false);
    with_kills(&case, &inputs, 20);
}

/// Findings are ordered by shard, and shards depend on the batch boundaries.
#[test]
fn kills_with_several_jobs_change_only_the_order_of_findings() {
    let case = Case::new(&["--batch-bytes", "65536", "--jobs", "3"]);
    let input = file(case.folder.path(), "in.ndjson", stream(20_000));
    case.to_end("whole", std::slice::from_ref(&input), false);
    let mut random = Random::new(3);
    for _ in 0..20 {
        let mut child = start(&case.run("killed", std::slice::from_ref(&input), true));
        thread::sleep(Duration::from_micros(5_000 + random.below(30_000)));
        child.kill().expect("it can be killed");
        child.wait().expect("it has ended");
    }
    case.to_end("killed", &[input], true);
    let sorted = |bytes: &[u8]| {
        let mut lines: Vec<_> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        lines.sort();
        lines
    };
    let ([output, findings, rejects], [got, found, rejected]) = (case.written("whole"), case.written("killed"));
    assert!(output == got && rejects == rejected, "the stream keeps its order");
    assert_eq!(sorted(&findings), sorted(&found));
}

#[test]
fn only_new_data_is_read_by_the_next_run() {
    let case = Case::new(&["--summary"]);
    let lines = records();
    let input = file(case.folder.path(), "in.ndjson", lines[..10].join("\n") + "\n");
    let count = |output: &std::process::Output| summary(output)["records"].as_u64();
    assert_eq!(count(&case.to_end("run", std::slice::from_ref(&input), true)), Some(10));
    assert_eq!(count(&case.to_end("run", std::slice::from_ref(&input), true)), Some(10), "nothing is new");
    let mut growing = OpenOptions::new().append(true).open(&input).expect("it opens");
    let half = lines[10].len() / 2;
    write!(growing, "{}", &lines[10][..half]).expect("it grows");
    let output = case.to_end("run", std::slice::from_ref(&input), true);
    assert_eq!(count(&output), Some(10), "half a record is left to the next run");
    assert!(stderr(&output).contains("ends in the middle of a record"), "{}", stderr(&output));
    writeln!(growing, "{}\n{}", &lines[10][half..], lines[11..].join("\n")).expect("it grows");
    assert_eq!(count(&case.to_end("run", std::slice::from_ref(&input), true)), Some(23));
    case.to_end("whole", &[input], false);
    case.assert_same("whole", "run");
}

/// Regression: the positions of files that a run had not reached yet were lost with each save.
#[test]
fn a_file_that_a_killed_run_did_not_reach_is_not_read_again() {
    let case = Case::new(&["--batch-bytes", "65536"]);
    let first = file(case.folder.path(), "a.json", stream(100));
    let second = file(case.folder.path(), "b.json", "{\"second\":1}\n");
    let inputs = [first.clone(), second];
    case.to_end("run", &inputs, true);
    OpenOptions::new()
        .append(true)
        .open(&first)
        .and_then(|mut file| file.write_all(&stream(40_000)))
        .expect("it grows");
    for _ in 0..5 {
        let mut child = start(&case.run("run", &inputs, true));
        thread::sleep(Duration::from_millis(40));
        child.kill().expect("it can be killed");
        child.wait().expect("it has ended");
    }
    case.to_end("run", &inputs, true);
    let output = fs::read_to_string(case.path("run-output")).expect("it is text");
    assert_eq!(output.matches("{\"second\":1}").count(), 1);
    assert_eq!(
        crate::common::without_annotations(output.as_bytes()).len(),
        fs::read(first).expect("it is there").len() + 13
    );
}

/// A file is identified by its first bytes; the bytes of a partial record that is read again count once.
#[test]
fn a_short_file_keeps_its_identity_while_it_grows() {
    let case = Case::new(&["--summary"]);
    let input = file(case.folder.path(), "in.ndjson", "{\"a\":1}\n{\"b\"");
    case.to_end("run", std::slice::from_ref(&input), true);
    for more in [":2}\n", "{\"c\":3}\n{", "}\n"] {
        OpenOptions::new()
            .append(true)
            .open(&input)
            .and_then(|mut file| file.write_all(more.as_bytes()))
            .expect("it grows");
        case.to_end("run", std::slice::from_ref(&input), true);
    }
    assert_eq!(fs::read(case.path("run-output")).expect("it is there"), fs::read(&input).expect("it is there"));
}

/// Regression: records appended to a file between the last read and its rotation were lost.
#[test]
fn a_file_rotated_while_another_is_read_is_read_to_its_end() {
    let case = Case::new(&[]);
    let (first, second) = (case.path("a.log"), case.path("b.log"));
    fs::write(&first, "{\"a\":1}\n").expect("it is written");
    fs::write(&second, "{\"b\":1}\n").expect("it is written");
    case.to_end("run", &[first.clone(), second.clone()], true);
    fs::rename(&first, case.path("a.log.1")).expect("it is renamed");
    OpenOptions::new()
        .append(true)
        .open(case.path("a.log.1"))
        .and_then(|mut file| file.write_all(b"{\"a\":2}\n"))
        .expect("it grows");
    // No file has its name yet when the next run saves.
    case.to_end("run", std::slice::from_ref(&second), true);
    fs::write(&first, "{\"a\":3}\n").expect("it is written");
    case.to_end("run", &[first, second], true);
    let output = fs::read_to_string(case.path("run-output")).expect("it is text");
    assert_eq!(output, "{\"a\":1}\n{\"b\":1}\n{\"a\":2}\n{\"a\":3}\n");
}

#[test]
fn a_rotated_file_is_read_to_its_end_before_its_successor() {
    let lines = records();
    for compressed in [false, true] {
        let case = Case::new(&[]);
        let input = file(case.folder.path(), "audit.log", lines[..8].join("\n") + "\n");
        case.to_end("run", std::slice::from_ref(&input), true);
        // Some more records arrive before the rotation.
        let old = lines[..12].join("\n") + "\n";
        let rotated = case.path("audit.log.1");
        if compressed {
            fs::write(case.path("audit.log.1.gz"), gzip(old.as_bytes())).expect("it is written");
            fs::remove_file(&input).expect("it is gone");
        } else {
            fs::rename(&input, &rotated).expect("it is renamed");
            OpenOptions::new()
                .append(true)
                .open(&rotated)
                .and_then(|mut file| file.write_all(&old.as_bytes()[lines[..8].join("\n").len() + 1..]))
                .expect("it grows");
        }
        fs::write(&input, lines[12..].join("\n") + "\n").expect("it is written");
        case.to_end("run", std::slice::from_ref(&input), true);
        let all = file(case.folder.path(), "all", lines.join("\n") + "\n");
        case.to_end("whole", &[all], false);
        case.assert_same("whole", "run");
    }
}

#[test]
fn a_truncated_file_is_read_from_the_start_with_a_warning() {
    let case = Case::new(&["--summary"]);
    let lines = records();
    let input = file(case.folder.path(), "in.ndjson", lines.join("\n") + "\n");
    case.to_end("run", std::slice::from_ref(&input), true);
    File::options()
        .write(true)
        .open(&input)
        .and_then(|file| file.set_len(lines[0].len() as u64 + 1))
        .expect("it is cut");
    let output = case.to_end("run", &[input], true);
    assert!(
        stderr(&output).contains("was truncated to") || stderr(&output).contains("was replaced"),
        "{}",
        stderr(&output)
    );
    assert_eq!(summary(&output)["records"], 24);
}

#[test]
fn a_write_error_ends_the_run_but_loses_nothing() {
    let case = Case::new(&["--batch-bytes", "65536"]);
    let input = file(case.folder.path(), "in.ndjson", stream(4_000));
    case.to_end("whole", std::slice::from_ref(&input), false);
    // The file size limit of 1 MiB acts like a full disk.
    let arguments = case.run("run", std::slice::from_ref(&input), true);
    let full = std::process::Command::new("bash")
        .args(["-c", "trap '' XFSZ; ulimit -f 1024; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_catena")])
        .args(&arguments)
        .output()
        .expect("it runs");
    assert_eq!(full.status.code(), Some(1), "{}", stderr(&full));
    assert!(stderr(&full).contains("cannot write") && stderr(&full).contains("run-output"), "{}", stderr(&full));
    case.to_end("run", &[input], true);
    case.assert_same("whole", "run");
}

#[test]
fn arguments_that_rule_out_a_resume_are_refused_with_the_reason() {
    let case = Case::new(&[]);
    let input = file(case.folder.path(), "in.ndjson", stream(10));
    let input = input.display().to_string();
    for (arguments, why) in [
        (vec!["run", "--save-every", "1s", &input], "--state"),
        (vec!["run", "--follow"], "--follow applies to files and folders"),
    ] {
        let output = catena(&arguments).stdin(Stdio::null()).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
    }
    case.to_end("run", &[PathBuf::from(&input)], true);
    let mut other = case.run("run", &[PathBuf::from(&input)], true);
    other.extend(["--jobs".to_owned(), "2".into()]);
    let output = catena(other).output().expect("it runs");
    assert!(stderr(&output).contains("with --jobs 1"), "{}", stderr(&output));
}

#[test]
fn two_runs_cannot_share_a_state() {
    let case = Case::new(&["--follow"]);
    let input = file(case.folder.path(), "in.ndjson", stream(10));
    let mut first = start(&case.run("run", std::slice::from_ref(&input), true));
    for _ in 0..500 {
        if case.path("run-state").join("run.state").exists() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let second = catena(case.run("run", &[input], true)).output().expect("it runs");
    first.kill().expect("it can be killed");
    first.wait().expect("it has ended");
    assert!(stderr(&second).contains("is in use by another run"), "{}", stderr(&second));
}

/// Regression: two runs wrote one output, each over the other.
#[test]
fn two_runs_cannot_share_an_output() {
    let case = Case::new(&["--follow"]);
    let input = file(case.folder.path(), "in.ndjson", stream(10));
    let mut first = start(&case.run("run", std::slice::from_ref(&input), true));
    for _ in 0..500 {
        if case.path("run-state").join("run.state").exists() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let output = case.path("run-output");
    let has_content = |path: &Path| fs::metadata(path).expect("it is there").len() > 0;
    while !has_content(&output) {
        thread::sleep(Duration::from_millis(10));
    }
    let second = catena(["run", "--output"]).arg(&output).arg(&input).output().expect("it runs");
    assert!(has_content(&output), "it should not be truncated");
    first.kill().expect("it can be killed");
    first.wait().expect("it has ended");
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains("another run writes it"), "{}", stderr(&second));
}
