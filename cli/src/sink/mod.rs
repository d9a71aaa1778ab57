//! Buffered output to a file or standard output. Large pieces are written without copying.

mod background;
mod file;
mod mark;

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use tracing::{info, warn};

use catena_input::{folder, target as target_of};

use super::CliError;
use super::lock::Locks;
pub use background::Background;
pub use file::Opening;
pub use mark::{Mark, inode};

/// Why a write failed.
#[derive(Debug)]
pub enum WriteError {
    /// The reader of the output called `name` closed the pipe.
    ReaderGone { name: String },
    /// Any other error.
    Failed(CliError),
}

/// Writes are buffered up to this size, in bytes.
const BUFFER: usize = 64 << 10;

/// The most slices per system call (`IOV_MAX` on Linux and macOS).
const MAX_PIECES: usize = 1_024;

/// Something to do with a sink, after everything before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Nothing more.
    Flush,
    /// Bring it to disk, and mark its end.
    Sync,
    /// See whether another program has rotated or cut it.
    Check,
    /// Bring it to disk, and open the file that has its name now.
    Reopen,
}

/// The result of [`Work`].
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// The end of the file, after [`Work::Sync`]; `None` if it is not a regular file.
    pub mark: Option<Mark>,
    /// After [`Work::Check`], true if another file has its name, or none; after [`Work::Reopen`], if that was opened.
    pub is_rotated: bool,
}

/// A file or standard output.
pub struct Sink {
    name: String,
    file: File,
    buffer: Vec<u8>,
    /// The path, if it is a regular file.
    path: Option<PathBuf>,
    /// The length of a regular file after the last write, in bytes.
    end: u64,
    /// The folder to sync, because the file's directory entry may not be on disk yet.
    fresh: Option<PathBuf>,
    /// Whether the last attempt to reopen it failed.
    is_stuck: bool,
}

impl Sink {
    /// Opens an output, `-` for standard output.
    pub fn open(target: &Path, opening: &Opening, locks: &Locks<'_>) -> Result<Self, CliError> {
        let standard = target.as_os_str() == "-";
        let name = if standard { "standard output".to_owned() } else { target.display().to_string() };
        let file = if standard {
            io::stdout().as_fd().try_clone_to_owned().map(File::from)
        } else {
            file::open(target, opening, locks)
        };
        let opened = file.and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, file) = opened.map_err(|error| CliError::new(format!("cannot write {name}: {error}")))?;
        let path = (!standard && metadata.is_file()).then(|| target.to_owned());
        let fresh = path.as_deref().map(|path| folder(&target_of(path)).to_owned());
        let buffer = Vec::with_capacity(2 * BUFFER);
        Ok(Self { name, file, buffer, path, end: metadata.len(), fresh, is_stuck: false })
    }

    /// Writes the pieces in order.
    pub fn write(&mut self, pieces: &[&[u8]]) -> Result<(), WriteError> {
        let total: usize = pieces.iter().map(|piece| piece.len()).sum();
        if self.buffer.len() + total <= BUFFER {
            pieces.iter().for_each(|piece| self.buffer.extend_from_slice(piece));
            return Ok(());
        }
        self.end += (self.buffer.len() + total) as u64;
        let mut slices = Vec::with_capacity(pieces.len() + 1);
        slices.push(IoSlice::new(&self.buffer));
        slices.extend(pieces.iter().map(|piece| IoSlice::new(piece)));
        let written = write_all(&mut self.file, &mut slices);
        self.buffer.clear();
        written.map_err(|error| self.write_error(&error))
    }

    /// Flushes the buffer and does `work`.
    pub fn perform(&mut self, work: Work) -> Result<Done, WriteError> {
        self.flush()?;
        let done = match work {
            Work::Flush => Ok(Done::default()),
            Work::Sync => self.sync().map(|mark| Done { mark, ..Done::default() }),
            Work::Check => self.check().map(|is_rotated| Done { is_rotated, ..Done::default() }),
            Work::Reopen => self.reopen().map(|is_rotated| Done { is_rotated, ..Done::default() }),
        };
        done.map_err(|error| self.write_error(&error))
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        self.end += self.buffer.len() as u64;
        let written = self.file.write_all(&self.buffer);
        self.buffer.clear();
        written.map_err(|error| self.write_error(&error))
    }

    fn sync(&mut self) -> io::Result<Option<Mark>> {
        // A pipe cannot be synced.
        let Some(path) = self.path.clone() else { return Ok(None) };
        self.file.sync_data()?;
        if let Some(folder) = &self.fresh {
            File::open(folder)?.sync_all()?;
        }
        self.fresh = None;
        self.check_length()?;
        Mark::end_of(&self.file, &path).map(Some)
    }

    /// Returns true if another file has its name, or none.
    fn check(&mut self) -> io::Result<bool> {
        self.check_length()?;
        let Some(path) = &self.path else { return Ok(false) };
        let now = path.metadata().ok().map(|metadata| mark::inode(&metadata));
        Ok(now != Some(mark::inode(&self.file.metadata()?)))
    }

    /// Reports if another program has cut the file. What is written from now on goes to its new end.
    fn check_length(&mut self) -> io::Result<()> {
        if self.path.is_none() {
            return Ok(());
        }
        let length = self.file.metadata()?.len();
        if length < self.end {
            warn!(
                "{}: another program has cut it from {} to {length} bytes; what was written while a copy was made may be missing",
                self.name, self.end
            );
        }
        self.end = length;
        Ok(())
    }

    /// Opens the file that has its name now, if it is another, and returns true. If that fails, the open one is written
    /// on.
    fn reopen(&mut self) -> io::Result<bool> {
        if !self.check()? {
            return Ok(false);
        }
        let Some(path) = self.path.clone() else { return Ok(false) };
        self.file.sync_data()?;
        match Self::open(&path, &Opening::Append, &Locks::AtOnce) {
            Ok(next) => {
                info!("{}: was rotated; continuing in the new file", self.name);
                *self = next;
                Ok(true)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_stuck, true) {
                    warn!("{}: was rotated; continuing in the old file: {}", self.name, error.message);
                }
                Ok(false)
            }
        }
    }

    fn write_error(&self, error: &io::Error) -> WriteError {
        match error.kind() {
            io::ErrorKind::BrokenPipe => WriteError::ReaderGone { name: self.name.clone() },
            _ => WriteError::Failed(CliError::new(format!("cannot write {}: {error}", self.name))),
        }
    }
}

fn write_all(file: &mut File, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match file.write_vectored(&slices[..slices.len().min(MAX_PIECES)]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => IoSlice::advance_slices(&mut slices, length),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
