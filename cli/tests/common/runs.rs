//! Successive runs with `--state` over one folder.
#![allow(dead_code, reason = "each test uses what it needs")]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::following::{Following, PATIENCE};
use super::{catena, file, stderr, summary};

/// Successive runs that share a state, an output and a temporary folder.
pub struct Runs {
    folder: tempfile::TempDir,
}

impl Runs {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder can be made") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        file(&self.folder.path().join("logs"), name, content)
    }

    /// The records are invented and of no cloud.
    pub fn arguments(&self) -> [String; 5] {
        [
            "--unrecognised=ignore".into(),
            "--state".into(),
            self.path("state").display().to_string(),
            "--output".into(),
            self.path("out").display().to_string(),
        ]
    }

    pub fn run(&self, inputs: &[&Path]) -> (Value, String) {
        let output = catena(["run", "--summary"]).args(self.arguments()).args(inputs).output().expect("it runs");
        assert!(output.status.success(), "{}", stderr(&output));
        (summary(&output), stderr(&output))
    }

    pub fn output(&self) -> Vec<String> {
        fs::read_to_string(self.path("out")).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// Waits until the output satisfies `is`.
    #[track_caller]
    pub fn wait(&self, is: impl Fn(&[String]) -> bool) {
        let began = Instant::now();
        while !is(&self.output()) {
            assert!(began.elapsed() < PATIENCE, "{:?}", self.output());
            thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn follow(&self) -> Following {
        let logs = self.path("logs").display().to_string();
        let arguments = self.arguments();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).chain([logs.as_str()]).collect();
        Following::start(&arguments)
    }
}

/// Numbered records of equal length.
pub fn lines(name: &str, numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|at| format!("{{\"name\":\"{name}\",\"number\":{at:04}}}")).collect()
}

pub fn text(lines: &[String]) -> String {
    lines.join("\n") + "\n"
}

pub fn append(path: &Path, bytes: impl AsRef<[u8]>) {
    OpenOptions::new().append(true).open(path).and_then(|mut file| file.write_all(bytes.as_ref())).expect("it grows");
}
