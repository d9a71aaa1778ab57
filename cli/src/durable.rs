//! The state from which a run resumes: checkpoints, and the positions of inputs and outputs at the time they were
//! taken, in one file that is replaced atomically.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::CliError;
use super::output::Written;
use super::summary::Summary;
use catena_input::Saved;

/// The name of the state file.
const NAME: &str = "run.state";

/// The first line of a state file.
const MAGIC: &str = "catena run state 2\n";

/// Everything in a state file except the checkpoints.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    pub inputs: Vec<Saved>,
    pub written: Written,
    /// The name of the input of the batch written last.
    pub input: String,
    pub summary: Summary,
    /// The length of each checkpoint in bytes. There is one per job.
    checkpoints: Vec<usize>,
}

impl RunState {
    /// A state without checkpoints, which [`StateFolder::save`] adds.
    pub fn new(inputs: impl Iterator<Item = Saved>, written: Written, input: &str, summary: Summary) -> Self {
        Self { inputs: inputs.collect(), written, input: input.to_owned(), summary, checkpoints: Vec::new() }
    }
}

/// The folder with the state of a run, locked against other runs until dropped.
pub struct StateFolder {
    path: PathBuf,
    _lock: File,
}

impl StateFolder {
    /// Opens and locks a folder, creating it if necessary.
    pub fn open(path: &Path) -> Result<Self, CliError> {
        let fail = |error: io::Error| CliError::new(format!("cannot open state folder {}: {error}", path.display()));
        fs::create_dir_all(path).map_err(fail)?;
        let lock = File::create(path.join("lock")).map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => {
                Err(CliError::new(format!("{} is in use by another run", path.display())))
            }
            Err(fs::TryLockError::Error(error)) => Err(fail(error)),
        }
    }

    /// Loads the last saved state; `None` if there is none.
    pub fn load(&self) -> Result<Option<(RunState, Vec<Bytes>)>, CliError> {
        let file = self.path.join(NAME);
        let bytes = match fs::read(&file) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(CliError::new(format!("cannot read {}: {error}", file.display()))),
        };
        let parsed = parse(&bytes);
        parsed.map(Some).map_err(|why| CliError::new(format!("cannot resume from {}: {why}", file.display())))
    }

    /// Replaces the saved state atomically. On return it is on disk.
    pub fn save(&self, mut state: RunState, checkpoints: &[Bytes]) -> Result<(), CliError> {
        state.checkpoints = checkpoints.iter().map(Bytes::len).collect();
        let (file, fresh) = (self.path.join(NAME), self.path.join("run.state.new"));
        let save = || -> io::Result<()> {
            let mut to = File::create(&fresh)?;
            to.write_all(MAGIC.as_bytes())?;
            to.write_all(&serde_json::to_vec(&state)?)?;
            to.write_all(b"\n")?;
            checkpoints.iter().try_for_each(|checkpoint| to.write_all(checkpoint))?;
            to.sync_all()?;
            fs::rename(&fresh, &file)?;
            File::open(&self.path)?.sync_all()
        };
        save().map_err(|error| CliError::new(format!("cannot write {}: {error}", file.display())))
    }
}

fn parse(bytes: &Bytes) -> Result<(RunState, Vec<Bytes>), String> {
    let rest = bytes.strip_prefix(MAGIC.as_bytes()).ok_or("it was not written by this version of catena")?;
    let end = memchr::memchr(b'\n', rest).ok_or("it is truncated")?;
    let state: RunState = serde_json::from_slice(&rest[..end]).map_err(|error| error.to_string())?;
    let mut rest = bytes.slice_ref(&rest[end + 1..]);
    if state.checkpoints.iter().sum::<usize>() != rest.len() {
        return Err("its checkpoints are truncated".to_owned());
    }
    let checkpoints = state.checkpoints.iter().map(|length| rest.split_to(*length)).collect();
    Ok((state, checkpoints))
}
