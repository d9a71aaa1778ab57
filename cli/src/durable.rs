//! The state from which a run resumes: checkpoints, and the positions of inputs and outputs at the time they were
//! taken, in one file under one checksum. The one before it is kept.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::CliError;
use super::lock::Locks;
use super::output::Written;
use super::summary::Summary;
use catena_input::{Named, Saved, sealed};

/// The name of the state file.
const NAME: &str = "run.state";

/// A state file that is written and not in place yet, and the one before the last.
const NEXT: &str = "run.state.new";
const PREVIOUS: &str = "run.state.old";

/// Where a state file goes that cannot be read, for whoever wants to look at it.
const DAMAGED: &str = "run.state.damaged";

/// The format of a state file: its first part is a [`RunState`], the others are checkpoints, one per job.
const FORMAT: &str = "catena run state 4";

/// The format before, in which an output is marked by its length alone.
const FORMAT_3: &str = "catena run state 3";

/// The first line of version 2, which has no checksum: a line of JSON, then the checkpoints.
const MAGIC_2: &[u8] = b"catena run state 2\n";

/// How often to try to write the state if there are no file descriptors left, and how long to wait in between.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// Everything in a state file except the checkpoints.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    pub inputs: Vec<Saved>,
    /// The inputs by name; none in earlier states.
    #[serde(default)]
    pub named: Vec<Named>,
    pub written: Written,
    /// The name of the input of the batch written last.
    pub input: String,
    pub summary: Summary,
}

impl RunState {
    pub fn new(
        inputs: impl Iterator<Item = Saved>,
        named: &[Named],
        written: Written,
        input: &str,
        summary: Summary,
    ) -> Self {
        Self { inputs: inputs.collect(), named: named.to_vec(), written, input: input.to_owned(), summary }
    }
}

/// The folder with the state of a run, locked against other runs until dropped.
pub struct StateFolder {
    path: PathBuf,
    _lock: File,
    /// File descriptors that saving takes, so that nothing else can use them up.
    reserved: RefCell<Vec<File>>,
}

impl StateFolder {
    /// Opens and locks a folder, creating it if necessary.
    pub fn open(path: &Path, locks: &Locks<'_>) -> Result<Self, CliError> {
        let fail = |error: io::Error| CliError::new(format!("cannot open state folder {}: {error}", path.display()));
        fs::create_dir_all(path).map_err(fail)?;
        let lock = File::create(path.join("lock")).map_err(fail)?;
        locks.take(&lock, path).map_err(|error| match error.kind() {
            io::ErrorKind::ResourceBusy => CliError::new(format!("{} is in use by another run", path.display())),
            _ => fail(error),
        })?;
        let folder = Self { path: path.to_owned(), _lock: lock, reserved: RefCell::default() };
        folder.reserve();
        Ok(folder)
    }

    /// Opens the file descriptors that saving takes, as far as there are any.
    fn reserve(&self) {
        let two = [(); 2].iter().filter_map(|()| File::open(&self.path).ok());
        *self.reserved.borrow_mut() = two.collect();
    }

    /// Loads the last saved state; `None` if there is none. A state that cannot be read is put aside, with a warning, if
    /// the one before it can be.
    pub fn load(&self) -> Result<Option<(RunState, Vec<Bytes>)>, CliError> {
        let mut first_problem = None;
        // If the run stopped while a new state took its place, that is the only one of its age.
        for name in [NAME, NEXT, PREVIOUS] {
            let file = self.path.join(name);
            let parsed = match fs::read(&file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                // No run leaves it without the others: somebody removed them, perhaps to start over.
                Ok(_) if name == PREVIOUS && first_problem.is_none() => {
                    let (file, folder) = (file.display(), self.path.display());
                    let why = "remove the folder to start over, or rename the file to resume from it";
                    return Err(CliError::new(format!("{folder} has no {NAME}, only {file}: {why}")));
                }
                Ok(bytes) => parse(&Bytes::from(bytes)),
                Err(error) => Err(error.to_string()),
            };
            match (parsed, &first_problem) {
                (Ok(state), None) => return Ok(Some(state)),
                (Ok(state), Some(problem)) => {
                    warn!("{problem}; resuming from the state before it: what came after is processed again");
                    self.put_aside();
                    return Ok(Some(state));
                }
                // The run was killed while it wrote this one.
                (Err(_), _) if name == NEXT => {}
                (Err(why), None) => first_problem = Some(format!("cannot resume from {}: {why}", file.display())),
                (Err(_), Some(_)) => {}
            }
        }
        first_problem.map_or(Ok(None), |problem| Err(CliError::new(problem)))
    }

    /// Keeps a damaged state from taking the place of the good one before it.
    fn put_aside(&self) {
        let moved = fs::rename(self.path.join(NAME), self.path.join(DAMAGED));
        if let Err(error) =
            moved.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
        {
            warn!("cannot put {NAME} aside: {error}");
        }
    }

    /// Replaces the saved state, and keeps the one before it. On return it is on disk.
    pub fn save(&self, state: &RunState, checkpoints: &[Bytes]) -> Result<(), CliError> {
        let mut saved = self.try_save(state, checkpoints);
        for _ in 0..ATTEMPTS {
            if !saved.as_ref().is_err_and(|error| matches!(error.raw_os_error(), Some(EMFILE | ENFILE))) {
                break;
            }
            thread::sleep(PAUSE);
            saved = self.try_save(state, checkpoints);
        }
        self.reserve();
        saved.map_err(|error| CliError::new(format!("cannot write {}: {error}", self.path.join(NAME).display())))
    }

    fn try_save(&self, state: &RunState, checkpoints: &[Bytes]) -> io::Result<()> {
        self.reserved.borrow_mut().clear();
        let (file, next) = (self.path.join(NAME), self.path.join(NEXT));
        let state = serde_json::to_vec(state)?;
        let parts: Vec<_> = [&*state].into_iter().chain(checkpoints.iter().map(|checkpoint| &**checkpoint)).collect();
        let mut to = File::create(&next)?;
        sealed::seal(FORMAT, &parts, &mut to)?;
        to.sync_all()?;
        if file.exists() {
            let previous = self.path.join(PREVIOUS);
            let _ = fs::remove_file(&previous);
            // Not every file system has links; then there is no state in place for a moment, see `load`.
            fs::hard_link(&file, &previous).or_else(|_| fs::rename(&file, &previous))?;
        }
        fs::rename(&next, &file)?;
        File::open(&self.path)?.sync_all()
    }
}

/// `EMFILE` and `ENFILE`: the process, or the system, has no file descriptors left.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

fn parse(bytes: &Bytes) -> Result<(RunState, Vec<Bytes>), String> {
    if bytes.starts_with(MAGIC_2) {
        return parse_2(bytes).ok_or_else(|| "it is damaged or truncated".to_owned());
    }
    let format = if bytes.starts_with(FORMAT_3.as_bytes()) { FORMAT_3 } else { FORMAT };
    let mut parts = sealed::unseal(format, bytes)?;
    let state = if parts.is_empty() { Bytes::new() } else { parts.remove(0) };
    let state = serde_json::from_slice(&state).map_err(|error| error.to_string())?;
    Ok((state, parts))
}

/// Reads a state file of version 2.
fn parse_2(bytes: &Bytes) -> Option<(RunState, Vec<Bytes>)> {
    #[derive(Deserialize)]
    struct Lengths {
        checkpoints: Vec<usize>,
    }
    let rest = bytes.strip_prefix(MAGIC_2)?;
    let end = memchr::memchr(b'\n', rest)?;
    let (json, mut rest) = (rest.get(..end)?, bytes.slice_ref(rest.get(end + 1..)?));
    let Lengths { checkpoints } = serde_json::from_slice(json).ok()?;
    let mut split = Vec::new();
    for length in checkpoints {
        split.push(if length <= rest.len() { rest.split_to(length) } else { return None });
    }
    rest.is_empty().then_some((serde_json::from_slice(json).ok()?, split))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the builds before outputs could be rotated wrote it.
    #[test]
    fn a_state_of_version_3_is_read() {
        let mut json = serde_json::to_value(RunState::default()).expect("it is JSON");
        json["written"] = serde_json::json!({"stream": 5, "line_open": true, "findings": 7, "rejects": null});
        let mut bytes = Vec::new();
        sealed::seal(FORMAT_3, &[json.to_string().as_bytes(), b"checkpoint"], &mut bytes)
            .expect("memory can be written");
        let (state, checkpoints) = parse(&bytes.into()).expect("it is valid");
        assert_eq!(checkpoints, [Bytes::from_static(b"checkpoint")]);
        let again = serde_json::to_value(state.written).expect("it is JSON");
        assert_eq!((&again["stream"]["length"], &again["findings"]["length"]), (&5.into(), &7.into()));
        assert_eq!((&again["rejects"], &again["line_open"]), (&serde_json::Value::Null, &true.into()));
    }

    /// The version before must refuse a state of this one, in words.
    #[test]
    fn a_state_of_a_later_version_is_refused() {
        let mut bytes = Vec::new();
        sealed::seal("catena run state 5", &[b"{}"], &mut bytes).expect("memory can be written");
        assert_eq!(parse(&bytes.into()).unwrap_err(), "it was not written by this version of catena");
    }

    proptest! {
        /// Regression: a length in the state was trusted, and the program panicked.
        #[test]
        fn a_state_of_version_2_is_read_or_refused(
            lengths in prop::collection::vec(prop_oneof![0..8usize, Just(usize::MAX)], 0..4),
            content in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let mut json = serde_json::to_value(RunState::default()).expect("it is JSON");
            json["checkpoints"] = lengths.clone().into();
            let bytes = [MAGIC_2, json.to_string().as_bytes(), b"\n", &content].concat();
            let fits = lengths.iter().try_fold(0_usize, |all, length| all.checked_add(*length)) == Some(content.len());
            let parsed = parse(&bytes.into());
            prop_assert_eq!(parsed.is_ok(), fits);
            if let Ok((state, checkpoints)) = parsed {
                prop_assert_eq!(state, RunState::default());
                prop_assert_eq!(checkpoints.concat(), content);
            }
        }
    }
}
