//! Inputs of a log pipeline: finding files, reading and following them on threads of their own, resuming them after a
//! restart, and cutting what was read into batches of whole records.

#![deny(unsafe_code, missing_docs)]

mod chunk;
mod follow;
pub mod framing;
mod identity;
mod known;
mod read;
mod resume;
mod session;
mod source;
mod world;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use framing::Lines;

pub use follow::{Closed, Follow, Follower, follow};
pub use known::Known;
pub use read::read;
pub use resume::{Planned, Saved, plan};
pub use session::{Consumer, Notice, Session};
pub use world::{Clock, FileSystem, Inode, Metadata, OpenFile, Stamp, World};

/// File names in folders that are taken for audit records.
const ENDINGS: &[&str] = &[".json", ".jsonl", ".ndjson", ".log", ".gz", ".zst"];

/// One input, as named by the user or found in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// The standard input.
    Standard,
    /// A file.
    File(PathBuf),
}

/// What the reading threads have to say. Inputs have numbers; with `--follow` several are open at once.
#[derive(Debug)]
pub enum InputEvent {
    /// An input begins.
    Begin(u64, Planned),
    /// Some of it.
    Bytes(u64, Piece),
    /// It has ended. What it was then where there is no more of it, unless somebody writes to it: it is compressed, or has
    /// been rotated away. `None` where it may grow.
    End(u64, Option<Stamp>),
    /// It is no input for a correlation: why.
    Skipped(u64, &'static str),
    /// It has another name now.
    Renamed(u64, PathBuf),
    /// A file that has been read to its end has another name now.
    Moved(Inode, PathBuf),
    /// It could not be read, or not to its end.
    Failed(u64, io::Error),
    /// It cannot be read just now, and is tried again.
    Trouble(u64, io::Error),
    /// What somebody should know who keeps the files.
    Warning(String),
}

/// Some bytes of an input.
#[derive(Debug)]
pub struct Piece {
    /// The bytes, decompressed.
    pub bytes: Bytes,
    /// What its lines are.
    pub lines: Lines,
    /// How many bytes were read to get them.
    pub read: u64,
    /// Their checksum, where somebody keeps what was read.
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

    /// The file that it is.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Standard => None,
            Self::File(path) => Some(path),
        }
    }
}

/// What is read, in the order of the inputs. Who takes it too slowly is waited for.
pub struct Events {
    inputs: Receiver<Receiver<InputEvent>>,
    current: Option<Receiver<InputEvent>>,
}

/// What [`Events::next`] gives.
pub enum Next {
    /// What comes next.
    Event(InputEvent),
    /// Nothing has come in that time.
    Pause,
    /// There is no more.
    End,
}

impl Events {
    /// Waits for what comes next, but no longer than `patience`.
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

/// What the arguments stand for.
#[derive(Default)]
pub struct Inputs {
    /// The inputs, folders replaced by the files in them, in the order of their names.
    pub list: Vec<Input>,
    /// How many files in folders are none.
    pub skipped: u64,
    /// What could not be looked at.
    pub failed: Vec<(String, io::Error)>,
    /// Names of files that are inputs already, under other names.
    pub duplicates: Vec<PathBuf>,
    /// The bytes of all files, as far as they are known.
    pub bytes: u64,
    files: HashSet<Inode>,
}

impl Inputs {
    /// Finds the files that the arguments stand for; without any, the standard input.
    pub fn find(files: &dyn FileSystem, arguments: &[PathBuf]) -> Self {
        let mut inputs = Self::default();
        if arguments.is_empty() {
            inputs.list.push(Input::Standard);
        }
        for argument in arguments {
            if argument.as_os_str() == "-" {
                inputs.list.push(Input::Standard);
            } else if files.metadata(argument).is_ok_and(|metadata| metadata.is_folder) {
                inputs.folder(files, argument);
            } else {
                inputs.file(files, argument.clone());
            }
        }
        inputs
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

    /// The first that is no regular file.
    pub fn irregular(&self, files: &dyn FileSystem) -> Option<&Input> {
        let is_irregular = |path: &Path| files.metadata(path).is_ok_and(|metadata| !metadata.is_file);
        self.list.iter().find(|input| input.path().is_none_or(is_irregular))
    }

    /// Takes a file out of the list, and says whether it was in it.
    pub fn leave_out(&mut self, files: &dyn FileSystem, file: &Path) -> bool {
        let inode = files.inode(file);
        let is_in = inode.is_some_and(|inode| self.files.remove(&inode));
        if is_in {
            self.list.retain(|input| input.path().and_then(|path| files.inode(path)) != inode);
        }
        is_in
    }

    fn folder(&mut self, files: &dyn FileSystem, folder: &Path) {
        for entry in files.walk(folder) {
            match entry {
                Ok(path) => {
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    if is_record_file(&name) && !is_no_record_file(&path) {
                        self.file(files, path);
                    } else {
                        self.skipped += 1;
                    }
                }
                Err((path, error)) => self.failed.push((path.display().to_string(), error)),
            }
        }
    }
}

/// Whether a file in a folder is taken for audit records by its name: `audit.json.gz`, or `audit.log.2`, as which
/// `audit.log` was rotated away.
fn is_record_file(name: &str) -> bool {
    let unrotated = name.rsplit_once('.').filter(|(_, number)| number.bytes().all(|byte| byte.is_ascii_digit()));
    let name = unrotated.map_or(name, |(name, _)| name);
    !name.starts_with('.') && ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// Whether a file's name or folder says that it is one of CloudTrail's own: a digest, which proves the integrity of the
/// others, or an insight, which is no audit record.
fn is_no_record_file(path: &Path) -> bool {
    path.components().any(|part| {
        let part = part.as_os_str().to_string_lossy();
        part.contains("CloudTrail-Digest") || part.contains("CloudTrail-Insight")
    })
}

/// Whether a file's content is a digest's, whatever its name: its first two members are those of one (AWS CloudTrail user
/// guide, "CloudTrail digest file structure"). Nothing that stands deeper, or is a value, counts: a caller may choose it.
fn is_digest(beginning: &[u8]) -> bool {
    let account = after_tokens(beginning, &[b"{", b"\"awsAccountId\"", b":", b"\""]);
    let value = account.and_then(|value| value.get(memchr::memchr(b'"', value)? + 1..));
    value.and_then(|rest| after_tokens(rest, &[b",", b"\"digestStartTime\"", b":"])).is_some()
}

/// What stands behind these tokens, with white space before each.
fn after_tokens<'b>(bytes: &'b [u8], tokens: &[&[u8]]) -> Option<&'b [u8]> {
    tokens.iter().try_fold(bytes, |rest, token| rest.trim_ascii_start().strip_prefix(*token))
}

/// The folder that a file is in.
pub fn folder(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
