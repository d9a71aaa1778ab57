//! Buffered output to a file or standard output. Large pieces are written without copying.

use std::fs::{File, OpenOptions, TryLockError};
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

/// The most batches that may be queued for writing; beyond that, [`Background::write`] blocks.
const MAX_WAITING: usize = 8;

/// A sink with its own thread, so that the component does not wait for the kernel to copy output.
pub struct Background {
    tasks: Sender<Task>,
    failed: Arc<AtomicBool>,
}

enum Task {
    Write(Vec<Bytes>),
    /// Flush (or sync to disk, if `true`) and reply with the length.
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

    /// Queues the pieces to be written in order. An error is that of an earlier write.
    pub fn write(&self, pieces: Vec<Bytes>) -> Result<(), WriteError> {
        if self.failed.load(Ordering::Relaxed) || self.tasks.send(Task::Write(pieces)).is_err() {
            return self.flush(false).map(drop);
        }
        Ok(())
    }

    /// Waits until everything is written, or on disk if `to_disk`, and returns the length.
    pub fn flush(&self, to_disk: bool) -> Result<u64, WriteError> {
        let (answer, answered) = bounded(1);
        let gone = || WriteError::Failed(CliError::new("the output thread terminated unexpectedly"));
        self.tasks.send(Task::Flush(to_disk, answer)).map_err(|_| gone())?;
        answered.recv().unwrap_or_else(|_| Err(gone()))
    }
}

/// The loop of the output thread. After an error it writes nothing more, and reports the error at the next flush.
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
                let is_over = flushed.is_err();
                let _ = answer.send(flushed);
                if is_over {
                    // The error is reported once, and nothing succeeds after it. Tasks are dropped, which fails them,
                    // until nobody sends any: one that was queued while this thread ended would never be answered.
                    tasks.iter().for_each(drop);
                }
            }
        }
    }
}

/// A file or standard output.
pub struct Sink {
    name: String,
    file: File,
    buffer: Vec<u8>,
    /// Length in bytes, including the buffer.
    length: u64,
    /// The folder to sync, because the file's directory entry may not be on disk yet.
    fresh: Option<PathBuf>,
}

impl Sink {
    /// Opens an output, `-` for standard output. A file is created or truncated: to `length` if given, else to nothing.
    pub fn open(target: &Path, length: Option<u64>) -> Result<Self, CliError> {
        let standard = target.as_os_str() == "-";
        let name = if standard { "standard output".to_owned() } else { target.display().to_string() };
        let file = match length {
            _ if standard => io::stdout().as_fd().try_clone_to_owned().map(File::from),
            length => open_file(target, length),
        };
        let file = file.map_err(|error| CliError::new(format!("cannot write {name}: {error}")))?;
        let fresh = (!standard).then(|| folder(target).to_owned());
        Ok(Self { name, file, buffer: Vec::with_capacity(2 * BUFFER), length: length.unwrap_or_default(), fresh })
    }

    /// Writes the pieces in order.
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
        written.map_err(|error| self.write_error(&error))
    }

    /// Flushes the buffer.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        let written = self.file.write_all(&self.buffer);
        self.buffer.clear();
        written.map_err(|error| self.write_error(&error))
    }

    /// Flushes, syncs to disk and returns the length.
    pub fn sync(&mut self) -> Result<u64, WriteError> {
        self.flush()?;
        let synced = self.file.sync_data().and_then(|()| match &self.fresh {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        });
        synced.map_err(|error| self.write_error(&error))?;
        self.fresh = None;
        Ok(self.length)
    }

    fn write_error(&self, error: &io::Error) -> WriteError {
        match error.kind() {
            io::ErrorKind::BrokenPipe => WriteError::ReaderGone { name: self.name.clone() },
            _ => WriteError::Failed(CliError::new(format!("cannot write {}: {error}", self.name))),
        }
    }
}

/// Opens a file that no other run writes, and truncates it to `length`.
fn open_file(target: &Path, length: Option<u64>) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(target)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(file);
    }
    // Not every file system has locks; that is no reason not to write.
    if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
        return Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "another run writes it, or this one under another name",
        ));
    }
    let found = metadata.len();
    if let Some(length) = length.filter(|length| found < *length) {
        let why = format!("it has {found} bytes, but according to the state {length} were written");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    let length = length.unwrap_or_default();
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Regression: a flush that was queued while the output thread ended was never answered, and the run hung.
    #[test]
    fn every_flush_after_an_error_fails() {
        for _ in 0..2_000 {
            let full = Background::start(Sink::open(Path::new("/dev/full"), None).expect("it opens"));
            full.write(vec![Bytes::from_static(b"a record\n")]).expect("it is queued");
            assert!(matches!(full.flush(false), Err(WriteError::Failed(error)) if error.message.contains("No space")));
            assert!(full.flush(false).is_err());
        }
    }
}
