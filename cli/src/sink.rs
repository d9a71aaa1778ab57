//! Where bytes go: a file or the standard output, buffered, with large pieces written from where they lie.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};

use catena_input::folder;

use super::CliError;

/// Why something was not written.
#[derive(Debug)]
pub enum WriteError {
    /// Whoever read the output has gone. `name` is the output's.
    ReaderGone { name: String },
    /// Anything else.
    Failed(CliError),
}

/// Less than this is gathered before it is written.
const BUFFER: usize = 64 << 10;

/// How many pieces one call of the system takes (`IOV_MAX` of Linux and macOS).
const MAX_PIECES: usize = 1_024;

/// How many batches may wait to be written. Who has more waits himself.
const MAX_WAITING: usize = 8;

/// A sink that is written on a thread of its own, so that the component need not wait for the system to copy.
pub struct Background {
    tasks: Sender<Task>,
    failed: Arc<AtomicBool>,
}

enum Task {
    Write(Vec<Bytes>),
    /// Says how much there is once it has gone out, and with `true` once it is on the disk.
    Flush(bool, Sender<Result<u64, WriteError>>),
}

impl Background {
    /// Starts the thread.
    pub fn start(sink: Sink) -> Self {
        let (tasks, given) = bounded(MAX_WAITING);
        let failed = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&failed);
        thread::spawn(move || write_on(sink, &given, &told));
        Self { tasks, failed }
    }

    /// Has the pieces written one behind the other. An error is that of what was given before.
    pub fn write(&self, pieces: Vec<Bytes>) -> Result<(), WriteError> {
        if self.failed.load(Ordering::Relaxed) || self.tasks.send(Task::Write(pieces)).is_err() {
            return self.flush(false).map(drop);
        }
        Ok(())
    }

    /// Waits until all of it has gone out, or is on the disk, and says how much that is.
    pub fn flush(&self, to_disk: bool) -> Result<u64, WriteError> {
        let (answer, answered) = bounded(1);
        let gone = || WriteError::Failed(CliError::new("the thread that writes the output has ended"));
        self.tasks.send(Task::Flush(to_disk, answer)).map_err(|_| gone())?;
        answered.recv().unwrap_or_else(|_| Err(gone()))
    }
}

/// Writes what is given. After an error nothing more is written, and whoever asks is told.
fn write_on(mut sink: Sink, tasks: &Receiver<Task>, told: &AtomicBool) {
    let mut failed = None;
    for task in tasks {
        match task {
            Task::Write(_) if failed.is_some() => {}
            Task::Write(pieces) => {
                let pieces: Vec<&[u8]> = pieces.iter().map(|piece| &**piece).collect();
                failed = sink.write(&pieces).err();
                told.store(failed.is_some(), Ordering::Relaxed);
            }
            Task::Flush(to_disk, answer) => {
                let flushed = match failed.take() {
                    Some(error) => Err(error),
                    None if to_disk => sink.sync(),
                    None => sink.flush().map(|()| sink.length),
                };
                // Who asked is told why; who asks again would be told that all is well.
                let end = flushed.is_err();
                let _ = answer.send(flushed);
                if end {
                    return;
                }
            }
        }
    }
}

/// A file or the standard output.
pub struct Sink {
    name: String,
    file: File,
    buffer: Vec<u8>,
    /// How many bytes it has, those in the buffer included.
    length: u64,
    /// The folder of a file whose name may not be on the disk yet.
    fresh: Option<PathBuf>,
}

impl Sink {
    /// Opens an output, `-` for the standard one. A file is made or emptied; where `length` says how much of it counts,
    /// what is behind that goes and what is before it stays.
    pub fn open(target: &Path, length: Option<u64>) -> Result<Self, CliError> {
        let standard = target.as_os_str() == "-";
        let name = if standard { "the standard output".to_owned() } else { target.display().to_string() };
        let file = match length {
            _ if standard => io::stdout().as_fd().try_clone_to_owned().map(File::from),
            None => File::create(target),
            Some(length) => reopen(target, length),
        };
        let file = file.map_err(|error| CliError::new(format!("cannot write {name}: {error}")))?;
        let fresh = (!standard).then(|| folder(target).to_owned());
        Ok(Self { name, file, buffer: Vec::with_capacity(2 * BUFFER), length: length.unwrap_or_default(), fresh })
    }

    /// Writes the pieces one behind the other.
    pub fn write(&mut self, pieces: &[&[u8]]) -> Result<(), WriteError> {
        let total: usize = pieces.iter().map(|piece| piece.len()).sum();
        self.length += total as u64;
        if self.buffer.len() + total <= BUFFER {
            pieces.iter().for_each(|piece| self.buffer.extend_from_slice(piece));
            return Ok(());
        }
        let mut slices = Vec::with_capacity(pieces.len() + 1);
        slices.push(IoSlice::new(&self.buffer));
        slices.extend(pieces.iter().map(|piece| IoSlice::new(piece)));
        let written = write_all(&mut self.file, &mut slices);
        self.buffer.clear();
        written.map_err(|error| self.unwritten(&error))
    }

    /// Sends out what is buffered.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        let written = self.file.write_all(&self.buffer);
        self.buffer.clear();
        written.map_err(|error| self.unwritten(&error))
    }

    /// Waits until all of it is on the disk, and says how much that is.
    pub fn sync(&mut self) -> Result<u64, WriteError> {
        self.flush()?;
        let synced = self.file.sync_data().and_then(|()| match &self.fresh {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        });
        synced.map_err(|error| self.unwritten(&error))?;
        self.fresh = None;
        Ok(self.length)
    }

    fn unwritten(&self, error: &io::Error) -> WriteError {
        match error.kind() {
            io::ErrorKind::BrokenPipe => WriteError::ReaderGone { name: self.name.clone() },
            _ => WriteError::Failed(CliError::new(format!("cannot write {}: {error}", self.name))),
        }
    }
}

fn reopen(target: &Path, length: u64) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(target)?;
    let found = file.metadata()?.len();
    if found < length {
        let why = format!("it has {found} bytes, and the state says that {length} were written to it");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    file.set_len(length)?;
    file.seek(SeekFrom::Start(length))?;
    Ok(file)
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
