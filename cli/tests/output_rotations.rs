//! Outputs are rotated in every way, while the run is up and while it is down, and the run is killed: each record and each
//! finding is written exactly once.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::following::{Following, PATIENCE, signal};
use crate::common::runs::append;
use crate::common::{START, catena, file, records, run, stderr, without_annotations};
use catena_synthetic::{Random, chain};

/// A run that follows a log, and its outputs.
struct Case {
    folder: tempfile::TempDir,
    log: PathBuf,
    running: Option<Following>,
    /// Where the run is told to write: the outputs, or links to them.
    given: PathBuf,
    save_every: &'static str,
}

impl Case {
    fn new() -> Self {
        Self::with_links(false)
    }

    fn with_links(links: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let log = file(folder.path(), "logs/in.ndjson", "");
        let out = folder.path().join("out");
        fs::create_dir(&out).expect("a folder can be made");
        let mut given = out.clone();
        if links {
            given = folder.path().join("links");
            fs::create_dir(&given).expect("a folder can be made");
            for name in ["stream.ndjson", "findings.ndjson"] {
                symlink(Path::new("../out").join(name), given.join(name)).expect("links can be made");
            }
        }
        let mut case = Self { folder, log, running: None, given, save_every: "50ms" };
        case.start();
        case
    }

    fn output(&self, name: &str) -> PathBuf {
        self.folder.path().join("out").join(name)
    }

    fn start(&mut self) {
        let path = |path: &Path| path.display().to_string();
        let (stream, findings) = (path(&self.given.join("stream.ndjson")), path(&self.given.join("findings.ndjson")));
        let (state, logs) = (path(&self.folder.path().join("state")), path(&self.folder.path().join("logs")));
        let arguments =
            ["--state", &state, "--save-every", self.save_every, "-o", &stream, "--findings", &findings, &logs];
        self.running = Some(Following::start(&arguments));
    }

    fn kill(&mut self) {
        self.running = None;
    }

    fn stop(&mut self) -> String {
        self.running.take().map(Following::end).unwrap_or_default()
    }

    /// Stops it, perhaps before it listens for signals.
    fn terminate(&mut self) {
        if let Some(mut run) = self.running.take() {
            signal(&run.0, "-TERM");
            run.0.wait().expect("it ends");
        }
    }

    fn signal(&self, name: &str) {
        signal(&self.running.as_ref().expect("it runs").0, name);
    }

    /// The lines of an output and of all its rotations.
    fn written(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.output("")).expect("it can be listed").flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
        paths.retain(|path| path.file_name().is_some_and(|found| found.to_string_lossy().starts_with(name)));
        let text = |path: &PathBuf| String::from_utf8(fs::read(path).expect("it can be read")).expect("it is text");
        paths.iter().flat_map(|path| text(path).lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    #[track_caller]
    fn wait(&mut self, name: &str, lines: usize) {
        let began = Instant::now();
        while self.written(name).len() < lines {
            if began.elapsed() >= PATIENCE {
                panic!("{name}: {} lines, expected {lines}: {}", self.written(name).len(), self.stop());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The ids of findings, with how often each occurs.
fn ids(findings: &[String]) -> BTreeMap<String, usize> {
    let mut ids = BTreeMap::new();
    for line in findings {
        let finding: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        *ids.entry(finding["finding_info"]["uid"].to_string()).or_default() += 1;
    }
    ids
}

/// Kills and rotations at random moments, until there were this many of each.
fn storm(kills: usize, rotations: usize, seed: u64, links: bool) {
    let mut case = Case::with_links(links);
    let mut random = Random::new(seed);
    let (mut expected, mut killed, mut done) = (Vec::new(), 0, [0_usize; 5]);
    let mut rotated = 0;
    while killed < kills || rotated < rotations {
        for _ in 0..random.below(4) {
            let user = format!("user-{}", expected.len());
            let chain = chain(&user, START + 60 * expected.len() as u64, expected.len() as u64);
            append(&case.log, chain.join("\n") + "\n");
            expected.extend(chain);
        }
        thread::sleep(Duration::from_micros(random.below(60_000)));
        let name = ["stream.ndjson", "findings.ndjson"][random.below(2) as usize];
        let (path, old) = (case.output(name), case.output(&format!("{name}.{rotated}")));
        case.save_every = ["50ms", "300ms", "1h"][random.below(3) as usize];
        match random.below(9) {
            // By renaming, without telling the run, or with a signal; some create the new file.
            what @ (0 | 1) => {
                if fs::rename(&path, &old).is_ok() {
                    if random.below(2) == 0 && !path.exists() {
                        let _ = fs::OpenOptions::new().create(true).append(true).open(&path);
                    }
                    rotated += 1;
                    done[what as usize] += 1;
                }
                if what == 1 {
                    case.signal("-HUP");
                }
            }
            // While it is down, after a kill or a stop: by renaming or by copying and cutting.
            what @ (2 | 3) => {
                if random.below(3) == 0 {
                    case.terminate()
                } else {
                    case.kill()
                }
                killed += 1;
                let is_long = path.metadata().is_ok_and(|metadata| metadata.len() > 0);
                if what == 2 && fs::rename(&path, &old).is_ok() {
                    rotated += 1;
                    done[2] += 1;
                } else if what == 3 && is_long {
                    fs::copy(&path, &old).expect("it is copied");
                    fs::OpenOptions::new().write(true).truncate(true).open(&path).expect("it is cut");
                    rotated += 1;
                    done[3] += 1;
                }
                case.start();
            }
            // By copying and cutting, while it cannot write in between.
            4 => {
                case.signal("-STOP");
                thread::sleep(Duration::from_millis(20));
                if path.metadata().is_ok_and(|metadata| metadata.len() > 0) {
                    fs::copy(&path, &old).expect("it is copied");
                    fs::OpenOptions::new().write(true).truncate(true).open(&path).expect("it is cut");
                    rotated += 1;
                    done[4] += 1;
                }
                case.signal("-CONT");
            }
            _ => {
                case.kill();
                killed += 1;
                case.start();
            }
        }
    }
    case.wait("stream.ndjson", expected.len());
    case.wait("findings.ndjson", 2 * expected.len() / 3);
    thread::sleep(Duration::from_secs(2));
    let told = case.stop();
    let mut got: Vec<_> = case
        .written("stream.ndjson")
        .iter()
        .map(|line| String::from_utf8(without_annotations(line.as_bytes())).expect("it is text"))
        .collect();
    got.sort();
    expected.sort();
    assert_eq!(got.len(), expected.len(), "after {killed} kills and {done:?}: {told}");
    assert!(got == expected);
    let ids = ids(&case.written("findings.ndjson"));
    assert!(ids.values().all(|times| *times == 1), "{ids:?}");
    assert_eq!(ids.len(), 2 * expected.len() / 3, "after {killed} kills and {done:?}: {told}");
    println!("{killed} kills, {rotated} rotations ({done:?}), {} records, {} findings", expected.len(), ids.len());
}

#[test]
fn a_thousand_kills_and_two_hundred_rotations_neither_lose_nor_repeat_anything() {
    storm(1_000, 200, 11, false);
}

#[test]
fn kills_and_rotations_neither_lose_nor_repeat_anything_behind_links() {
    storm(150, 40, 12, true);
}

/// Regression: a plain restart emptied the outputs.
#[test]
fn an_output_file_is_appended_to_unless_it_is_to_be_overwritten() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let findings = folder.path().join("findings.ndjson");
    let lines = || fs::read_to_string(&findings).expect("it is there").lines().count();
    let input = records().join("\n");
    let arguments = ["run", "--mode=findings", "--findings", findings.to_str().expect("it is text")];
    for expected in [2, 4, 6] {
        run(arguments, input.as_bytes());
        assert_eq!(lines(), expected);
    }
    run(arguments.into_iter().chain(["--overwrite"]), input.as_bytes());
    assert_eq!(lines(), 2);
}

#[test]
fn a_line_that_a_crash_has_cut_does_not_garble_the_next() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let findings = file(folder.path(), "findings.ndjson", "{\"cut\":");
    let output = run(
        ["run", "--mode=findings", "--findings", findings.to_str().expect("it is text")],
        records().join("\n").as_bytes(),
    );
    assert!(stderr(&output).contains("ends in the middle of a line"), "{}", stderr(&output));
    let text = fs::read_to_string(&findings).expect("it is there");
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    assert_eq!((lines.len(), &*lines[0]), (3, "{\"cut\":"));
    assert_eq!(ids(&lines[1..]).len(), 2);
}

/// Regression: writing went on where it had been, after 5,542 NUL bytes.
#[test]
fn an_output_that_is_cut_while_it_is_written_goes_on_at_its_new_end() {
    let mut case = Case::new();
    append(&case.log, chain("first", START, 5).join("\n") + "\n");
    case.wait("findings.ndjson", 2);
    fs::OpenOptions::new().write(true).truncate(true).open(case.output("findings.ndjson")).expect("it is cut");
    append(&case.log, chain("second", START + 600, 6).join("\n") + "\n");
    case.wait("findings.ndjson", 2);
    assert_eq!(ids(&case.written("findings.ndjson")).len(), 2);
    thread::sleep(Duration::from_secs(2));
    assert!(case.stop().contains("another program has cut it"));
}

/// Regression: an output that was shorter than recorded, or gone, was a permanent error.
#[test]
fn an_output_that_was_removed_is_made_again() {
    let mut case = Case::new();
    append(&case.log, chain("first", START, 5).join("\n") + "\n");
    case.wait("findings.ndjson", 2);
    case.stop();
    fs::remove_file(case.output("findings.ndjson")).expect("it is removed");
    case.start();
    append(&case.log, chain("second", START + 600, 6).join("\n") + "\n");
    case.wait("findings.ndjson", 2);
    let told = case.stop();
    assert!(told.contains("the file written before is gone"), "{told}");
}

#[test]
fn rotations_of_an_output_in_a_followed_folder_are_not_read() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let log = file(folder.path(), "in.ndjson", "");
    let [out, state, all] = ["out.ndjson", "state", ""].map(|name| folder.path().join(name).display().to_string());
    let arguments = ["--unrecognised=ignore", "--state", &state, "-o", &out, &all];
    for round in 0..3 {
        let following = Following::start(&arguments);
        append(&log, format!("{{\"round\":{round}}}\n"));
        let began = Instant::now();
        while !fs::read_to_string(&out).is_ok_and(|text| text.contains(&format!(":{round}}}"))) {
            assert!(began.elapsed() < PATIENCE, "{round}");
            thread::sleep(Duration::from_millis(20));
        }
        fs::rename(&out, format!("{out}.{round}")).expect("it is renamed");
        // Long enough for a scan of the folder.
        thread::sleep(Duration::from_secs(4));
        let told = following.end();
        assert!(told.contains(&format!("{} passed", round + 1)), "{told}");
    }
}

#[test]
fn an_invalid_output_folder_is_reported_with_its_name() {
    let output = catena(["run", "-o", "/nowhere/out.ndjson"]).output().expect("it runs");
    assert!(stderr(&output).contains("cannot write /nowhere/out.ndjson"), "{}", stderr(&output));
}
