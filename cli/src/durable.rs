//! What a run needs to go on after it was ended in any way: checkpoints, and how far inputs and outputs had come when
//! they were taken, as one file that is there as a whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::CliError;
use super::output::Written;
use super::summary::Summary;
use catena_input::Saved;

/// The file's name in the folder.
const NAME: &str = "run.state";

/// What every such file begins with.
const MAGIC: &str = "catena run state 2\n";

/// Everything but the checkpoints.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub inputs: Vec<Saved>,
    pub written: Written,
    /// The name of the input that was last written of.
    pub input: String,
    pub summary: Summary,
    /// The bytes of each checkpoint. There is one for each job.
    checkpoints: Vec<usize>,
}

impl Progress {
    /// What is to be saved, but for the checkpoints.
    pub fn new(inputs: impl Iterator<Item = Saved>, written: Written, input: &str, summary: Summary) -> Self {
        Self { inputs: inputs.collect(), written, input: input.to_owned(), summary, checkpoints: Vec::new() }
    }
}

/// A folder that holds the state of a run. Nobody else can use it as long as this lives.
pub struct StateFolder {
    path: PathBuf,
    _lock: File,
}

impl StateFolder {
    /// Opens a folder, which is made if it is not there.
    pub fn open(path: &Path) -> Result<Self, CliError> {
        let fail = |error: io::Error| CliError::new(format!("cannot use {}: {error}", path.display()));
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

    /// What was saved last; `None` where nothing was.
    pub fn load(&self) -> Result<Option<(Progress, Vec<Bytes>)>, CliError> {
        let file = self.path.join(NAME);
        let bytes = match fs::read(&file) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(CliError::new(format!("cannot read {}: {error}", file.display()))),
        };
        let parsed = parse(&bytes);
        parsed.map(Some).map_err(|why| CliError::new(format!("{} cannot be used: {why}", file.display())))
    }

    /// Puts what is to be remembered in the place of what was. When this returns it is on the disk.
    pub fn save(&self, mut progress: Progress, checkpoints: &[Bytes]) -> Result<(), CliError> {
        progress.checkpoints = checkpoints.iter().map(Bytes::len).collect();
        let (file, fresh) = (self.path.join(NAME), self.path.join("run.state.new"));
        let save = || -> io::Result<()> {
            let mut to = File::create(&fresh)?;
            to.write_all(MAGIC.as_bytes())?;
            to.write_all(&serde_json::to_vec(&progress)?)?;
            to.write_all(b"\n")?;
            checkpoints.iter().try_for_each(|checkpoint| to.write_all(checkpoint))?;
            to.sync_all()?;
            fs::rename(&fresh, &file)?;
            File::open(&self.path)?.sync_all()
        };
        save().map_err(|error| CliError::new(format!("cannot write {}: {error}", file.display())))
    }
}

fn parse(bytes: &Bytes) -> Result<(Progress, Vec<Bytes>), String> {
    let rest = bytes.strip_prefix(MAGIC.as_bytes()).ok_or("it is not of this version of catena")?;
    let end = memchr::memchr(b'\n', rest).ok_or("it is cut")?;
    let progress: Progress = serde_json::from_slice(&rest[..end]).map_err(|error| error.to_string())?;
    let mut rest = bytes.slice_ref(&rest[end + 1..]);
    if progress.checkpoints.iter().sum::<usize>() != rest.len() {
        return Err("its checkpoints are cut".to_owned());
    }
    let checkpoints = progress.checkpoints.iter().map(|length| rest.split_to(*length)).collect();
    Ok((progress, checkpoints))
}
