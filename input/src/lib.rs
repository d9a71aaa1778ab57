//! Inputs of a log pipeline: finds files, reads and follows them on threads of their own, resumes them after a restart,
//! and cuts them into batches of whole records.

#![deny(unsafe_code, missing_docs)]

mod arguments;
mod chunk;
mod follow;
mod identity;
mod journal;
mod known;
mod own;
mod read;
mod resume;
mod rotation;
pub mod sealed;
mod session;
mod source;
mod world;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SendError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use framing::{Lines, is_cloudtrail_metadata, is_record_file};

pub use catena_framing as framing;

pub use arguments::{Arguments, Named};
pub use follow::{Closed, Follow, Follower, follow};
pub use journal::{Journal, JournalWriter};
pub use known::Known;
pub use own::Own;
pub use read::read;
pub use resume::{Plan, Planned, Saved, plan};
pub use rotation::{is_compressed, is_rotation};
pub use session::{Consumer, Notice, Session};
pub use world::{Clock, FileSystem, Inode, Metadata, OpenFile, Stamp, World, target};

/// An input, named by the user or found in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// The standard input.
    Standard,
    /// A file.
    File(PathBuf),
}

/// An event from a reading thread. Inputs are numbered, because several are open at once with `--follow`.
#[derive(Debug)]
pub enum InputEvent {
    /// An input begins.
    Begin(u64, Planned),
    /// Bytes of an input.
    Bytes(u64, Piece),
    /// An input has ended. `Some(stamp)` if it is complete (compressed, or rotated away); `None` if the file may still
    /// grow.
    End(u64, Option<Stamp>),
    /// An input does not hold records, for this reason.
    Skipped(u64, &'static str),
    /// An open input has been renamed.
    Renamed(u64, PathBuf),
    /// A file that was already read to its end has been renamed.
    Moved(Inode, PathBuf),
    /// An input could not be read to its end.
    Failed(u64, io::Error),
    /// A file or folder cannot be read at the moment, for this reason; reading is retried.
    Trouble(PathBuf, String),
    /// It can be read again, or is gone.
    Recovered(PathBuf),
    /// A warning for the operator.
    Warning(String),
}

/// A piece of an input.
#[derive(Debug)]
pub struct Piece {
    /// The bytes, decompressed.
    pub bytes: Bytes,
    /// Facts about the lines in `bytes`.
    pub lines: Lines,
    /// Number of bytes read for this piece, before decompression.
    pub read: u64,
    /// CRC-32 of `bytes`, if the run keeps fingerprints.
    pub checksum: Option<u32>,
}

impl Piece {
    fn new(chunk: chunk::Chunk, read: u64) -> Self {
        let bytes = chunk.freeze();
        Self { lines: Lines::of(&bytes), bytes, read, checksum: None }
    }

    fn with_checksum(self) -> Self {
        Self { checksum: Some(crc32fast::hash(&self.bytes)), ..self }
    }
}

impl Input {
    /// The name for messages.
    pub fn name(&self) -> String {
        match self {
            Self::Standard => "standard input".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// The path, if the input is a file.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Standard => None,
            Self::File(path) => Some(path),
        }
    }
}

/// The events of all inputs, in input order. A slow consumer blocks the readers.
pub struct Events {
    inputs: Receiver<Receiver<InputEvent>>,
    current: Option<Receiver<InputEvent>>,
}

/// Sends events; a slow consumer blocks it.
#[derive(Clone, Debug)]
pub struct EventSender(SyncSender<InputEvent>);

impl EventSender {
    fn send(&self, event: InputEvent) -> Result<(), SendError<InputEvent>> {
        self.0.send(event)
    }
}

/// Result of [`Events::next`].
pub enum Next {
    /// The next event.
    Event(InputEvent),
    /// Nothing arrived in time.
    Pause,
    /// All inputs have ended.
    End,
}

impl Events {
    /// Events of several sources at once, of which at most `ahead` wait.
    pub fn channel(ahead: usize) -> (EventSender, Self) {
        let (order, given) = sync_channel(1);
        let (events, receiver) = sync_channel(ahead);
        // Cannot fail: the receiver exists and the channel has room.
        let _ = order.send(receiver);
        (EventSender(events), Self { inputs: given, current: None })
    }

    /// Waits for the next event, for at most `patience`.
    pub fn next(&mut self, patience: Duration) -> Next {
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match &self.current {
                None => match self.inputs.recv_timeout(left) {
                    Ok(input) => self.current = Some(input),
                    Err(RecvTimeoutError::Timeout) => return Next::Pause,
                    Err(RecvTimeoutError::Disconnected) => return Next::End,
                },
                Some(input) => match input.recv_timeout(left) {
                    Ok(event) => return Next::Event(event),
                    Err(RecvTimeoutError::Timeout) => return Next::Pause,
                    Err(RecvTimeoutError::Disconnected) => self.current = None,
                },
            }
        }
    }
}

/// The inputs that the arguments name.
#[derive(Default)]
pub struct Inputs {
    /// The inputs in the order of the arguments, with each folder replaced by its files in name order.
    pub list: Vec<Input>,
    /// Files in folders that are not record files.
    pub skipped: Vec<PathBuf>,
    /// Names that could not be accessed, with the error.
    pub failed: Vec<(String, io::Error)>,
    /// Other names of files that are inputs already.
    pub duplicates: Vec<PathBuf>,
    /// Total size of the regular files on disk, in bytes.
    pub bytes: u64,
    files: HashSet<Inode>,
}

impl Inputs {
    /// Finds the files that the arguments name. Without arguments, the only input is the standard input.
    pub fn find(files: &dyn FileSystem, arguments: &Arguments) -> Self {
        let mut inputs = Self::default();
        if arguments.paths.is_empty() {
            inputs.list.push(Input::Standard);
        }
        for path in &arguments.paths {
            if path.as_os_str() == "-" {
                inputs.list.push(Input::Standard);
            } else if files.metadata(path).is_ok_and(|metadata| metadata.is_folder) {
                inputs.folder(files, path);
            } else {
                for rotation in arguments.rotations(files, path) {
                    inputs.rotation(files, rotation);
                }
                inputs.file(files, path.clone());
            }
        }
        inputs
    }

    /// Adds a rotation, unless it is an input already.
    fn rotation(&mut self, files: &dyn FileSystem, path: PathBuf) {
        if files.inode(&path).is_some_and(|inode| !self.files.contains(&inode)) {
            self.file(files, path);
        }
    }

    fn file(&mut self, files: &dyn FileSystem, path: PathBuf) {
        if let Some(metadata) = files.metadata(&path).ok().filter(|metadata| metadata.is_file) {
            if !self.files.insert(metadata.inode) {
                self.duplicates.push(path);
                return;
            }
            self.bytes += metadata.stamp.size;
        }
        self.list.push(Input::File(path));
    }

    /// The first input that is a pipe or the like, so that it can be read only once.
    pub fn pipe(&self, files: &dyn FileSystem) -> Option<&Input> {
        let is_pipe = |path: &Path| files.metadata(path).is_ok_and(|metadata| metadata.is_pipe());
        self.list.iter().find(|input| input.path().is_none_or(is_pipe))
    }

    /// Removes a file from the list. Returns true if it was there.
    pub fn remove(&mut self, files: &dyn FileSystem, file: &Path) -> bool {
        let inode = files.inode(file);
        let is_in = inode.is_some_and(|inode| self.files.remove(&inode));
        if is_in {
            self.list.retain(|input| input.path().and_then(|path| files.inode(path)) != inode);
        }
        is_in
    }

    /// Removes the rotated outputs of this run from the list, unless they are `named` as inputs themselves.
    pub fn exclude(&mut self, own: &Own, named: &[PathBuf], files: &dyn FileSystem) {
        let is_own = |path: &Path| files.inode(path).is_some_and(|inode| own.has(path, inode, files));
        self.list
            .retain(|input| input.path().is_none_or(|path| named.iter().any(|name| name == path) || !is_own(path)));
    }

    fn folder(&mut self, files: &dyn FileSystem, folder: &Path) {
        for entry in files.walk(folder) {
            match entry {
                Ok(path) => {
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    if is_record_file(&name) && !is_cloudtrail_metadata(&path) {
                        self.file(files, path);
                    } else {
                        self.skipped.push(path);
                    }
                }
                Err((path, error)) => self.failed.push((path.display().to_string(), error)),
            }
        }
    }
}

/// The folder that contains a file.
pub fn folder(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
