//! Records are found in every layout of an input, and mode `enrich` reproduces the input byte for byte.

use crate::common::{file, gzip, records, rules, run, summary, without_annotations};
use serde_json::Value;

/// The same records in every layout.
fn layouts() -> Vec<(&'static str, Vec<u8>)> {
    let records = records();
    let values: Vec<Value> = records.iter().map(|record| serde_json::from_str(record).unwrap()).collect();
    let pretty: Vec<_> = values.iter().map(|value| serde_json::to_string_pretty(value).unwrap()).collect();
    let container = serde_json::json!({ "Records": values });
    let lines = records.join("\n");
    vec![
        ("ndjson", format!("{lines}\n").into_bytes()),
        ("ndjson without a last line feed", lines.clone().into_bytes()),
        ("ndjson with carriage returns", lines.replace('\n', "\r\n").into_bytes()),
        (
            "ndjson with a byte order mark and blank lines",
            format!("\u{FEFF}{}\n\n", lines.replace('\n', "\n\n")).into_bytes(),
        ),
        ("a container in one line", format!("{container}\n").into_bytes()),
        ("a container without a line feed", container.to_string().into_bytes()),
        ("containers, line by line", format!("{container}\n{container}\n").into_bytes()),
        ("a pretty-printed container", serde_json::to_vec_pretty(&container).unwrap()),
        ("a pretty-printed array", serde_json::to_vec_pretty(&values).unwrap()),
        ("pretty-printed records", pretty.join("\n").into_bytes()),
        ("pretty-printed records without indentation", pretty.join("\n").replace("\n ", "\n").into_bytes()),
        ("an array with a record in each line", format!("[\n{}\n]\n", records.join(",\n")).into_bytes()),
        (
            "a container with a record in each line",
            format!("{{\"Records\": [\n{}\n]}}\n", records.join(",\n")).into_bytes(),
        ),
        ("an array in one line", serde_json::to_vec(&values).unwrap()),
        ("gzip", gzip(format!("{lines}\n").as_bytes())),
        ("gzip of several members", [gzip(format!("{lines}\n").as_bytes()), gzip(b"")].concat()),
        ("gzip of a container", gzip(container.to_string().as_bytes())),
    ]
}

#[test]
fn every_layout_gives_the_same_findings() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in layouts() {
        let input = file(folder.path(), "input", &content);
        let piped = run(["run", "--mode", "findings", "--summary"], &content);
        let read = run(
            [
                "run".as_ref(),
                "--mode=findings".as_ref(),
                "--summary".as_ref(),
                "--batch-bytes=700".as_ref(),
                input.as_os_str(),
            ],
            b"",
        );
        for output in [&piped, &read] {
            assert_eq!(output.status.code(), Some(0), "{name}: {}", crate::common::stderr(output));
            assert_eq!(rules(output), ["aws-instance-created", "aws-snapshot-staging"], "{name}");
            assert_eq!(summary(output)["rejected"], 0, "{name}");
            let copies = if name == "containers, line by line" { 2 } else { 1 };
            assert_eq!(summary(output)["records"], 23 * copies, "{name}");
        }
        let [piped, read] = [piped, read].map(|output| crate::common::without_places(&output.stdout));
        assert_eq!(piped, read, "{name}");
    }
}

#[test]
fn every_layout_is_reproduced_byte_for_byte() {
    for (name, content) in layouts() {
        let output = run(["run", "--mode", "enrich", "-o", "-", "-q"], &content);
        let plain = match content.starts_with(b"\x1F\x8B") {
            false => content,
            true => {
                let mut plain = Vec::new();
                std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&*content), &mut plain).unwrap();
                plain
            }
        };
        assert_ne!(output.stdout, plain, "{name}: there are annotations");
        assert_eq!(without_annotations(&output.stdout), plain, "{name}");
    }
}

#[test]
fn every_known_file_format_is_reproduced_byte_for_byte_and_its_chain_is_found() {
    let folder = tempfile::tempdir().unwrap();
    for known in catena_synthetic::files() {
        let path = file(folder.path(), known.name, &known.bytes);
        let output = crate::common::catena(["run", "-q", "--unrecognised=ignore"]).arg(&path).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", known.name);
        let mut expected = Vec::new();
        match known.bytes.starts_with(&[0x1F, 0x8B]) {
            true => drop(
                std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*known.bytes), &mut expected).unwrap(),
            ),
            false => expected.clone_from(&known.bytes),
        }
        assert!(without_annotations(&output.stdout) == expected, "{}", known.name);
        let output = crate::common::catena(["run", "-q", "--mode=findings"]).arg(&path).output().unwrap();
        let mut found = crate::common::rules(&output);
        found.sort();
        assert_eq!(found, known.rules, "{}", known.name);
    }
}

#[test]
fn records_of_different_inputs_stay_on_separate_lines() {
    let folder = tempfile::tempdir().unwrap();
    let records = records();
    let files: Vec<_> =
        records.iter().enumerate().map(|(at, record)| file(folder.path(), &at.to_string(), record)).collect();
    for (mode, count) in [("enrich", 23), ("filter", 3)] {
        let output = crate::common::catena(["run", "-q", "--mode", mode]).args(&files).output().unwrap();
        assert_eq!(crate::common::stdout(&output).lines().count(), count);
    }
}

#[test]
fn filtered_documents_stay_on_separate_lines() {
    let pretty: Vec<_> = records()
        .iter()
        .map(|record| serde_json::to_string_pretty(&serde_json::from_str::<Value>(record).unwrap()).unwrap())
        .collect();
    for batch_bytes in ["1", "7", "100000"] {
        let output = run(["run", "-q", "--mode=filter", "--batch-bytes", batch_bytes], pretty.join("\n").as_bytes());
        let stream = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>();
        assert_eq!(stream.map(Result::unwrap).count(), 3);
        assert_eq!(crate::common::stdout(&output).lines().filter(|line| *line == "{").count(), 3);
    }
}
