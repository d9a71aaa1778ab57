//! Tells an idle run from one that waits in the wrong place: paths that are missing or cannot be read, and a silence that is
//! too long.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracing::{info, warn};

/// What a run waits for.
pub struct Watch {
    /// The paths to watch, and what is wrong with those that cannot be read.
    paths: Vec<(PathBuf, Option<String>)>,
    /// Files and folders below them that cannot be read.
    files: BTreeMap<PathBuf, String>,
    /// How long no record may be recognised.
    max_silence: Option<Duration>,
    /// How many records had been recognised, and since when there were no more.
    recognised: (u64, Instant),
    is_silent: bool,
}

/// What is wrong, as of the last look.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    /// In words, for people.
    pub list: Vec<String>,
    /// The paths that are missing or cannot be read.
    pub paths: u64,
    /// How long no record has been recognised.
    pub silence: Duration,
}

impl Watch {
    /// Watches these paths.
    pub fn new(paths: &[PathBuf], max_silence: Option<Duration>) -> Self {
        let paths = paths.iter().filter(|path| path.as_os_str() != "-").map(|path| (path.clone(), None)).collect();
        Self { paths, files: BTreeMap::new(), max_silence, recognised: (0, Instant::now()), is_silent: false }
    }

    /// A file or folder cannot be read, for this reason.
    pub fn trouble(&mut self, path: PathBuf, why: String) {
        self.files.insert(path, why);
    }

    /// It can be read again, or is gone.
    pub fn recovered(&mut self, path: &Path) {
        self.files.remove(path);
    }

    /// Looks at the paths, and logs what has changed. `recognised` is the number of records recognised so far.
    pub fn look(&mut self, recognised: u64) -> Problems {
        let mut problems = Problems::default();
        for (path, problem) in &mut self.paths {
            let now = readable(path).err().map(|error| match error.kind() {
                ErrorKind::NotFound => "does not exist".to_owned(),
                _ => format!("cannot be read: {error}"),
            });
            match (&problem, &now) {
                (None, Some(why)) => warn!("{}: {why}; waiting for it", path.display()),
                (Some(_), None) => info!("{}: can be read now", path.display()),
                _ => {}
            }
            *problem = now;
            problems.list.extend(problem.as_ref().map(|why| format!("{}: {why}", path.display())));
        }
        let is_other = |path: &Path| !self.paths.iter().any(|(named, problem)| named == path && problem.is_some());
        let others = self.files.iter().filter(|(path, _)| is_other(path));
        problems.list.extend(others.map(|(path, why)| format!("{}: {why}", path.display())));
        problems.paths = problems.list.len() as u64;
        if recognised != self.recognised.0 {
            self.recognised = (recognised, Instant::now());
            if std::mem::take(&mut self.is_silent) {
                info!("records of a known cloud come again");
            }
        }
        problems.silence = self.recognised.1.elapsed();
        if self.max_silence.is_some_and(|most| problems.silence >= most) {
            let seconds = problems.silence.as_secs();
            if !std::mem::replace(&mut self.is_silent, true) {
                warn!("no record of a known cloud has come for {seconds} s: is this the right input?");
            }
            problems.list.push(format!("no record of a known cloud for {seconds} s"));
        }
        problems
    }
}

/// Whether a file or folder can be read.
fn readable(path: &Path) -> std::io::Result<()> {
    let kind = path.metadata()?.file_type();
    if kind.is_dir() {
        fs::read_dir(path).map(drop)
    } else if kind.is_file() {
        File::open(path).map(drop)
    } else {
        // To open a pipe would wait for its writer.
        Err(std::io::Error::other("it is not a file or folder"))
    }
}
