//! A sink on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};

use super::{Done, Sink, Work, WriteError};
use crate::CliError;
#[cfg(test)]
use crate::lock::Locks;

/// The most batches that may be queued for writing; beyond that, [`Background::write`] blocks.
const MAX_WAITING: usize = 8;

/// A sink with its own thread, so that the component does not wait for the kernel to copy output.
pub struct Background {
    tasks: Sender<Task>,
    failed: Arc<AtomicBool>,
}

enum Task {
    Write(Vec<Bytes>),
    /// Nobody waits for the answer if there is no sender.
    Perform(Work, Option<Sender<Result<Done, WriteError>>>),
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
            return self.perform(Work::Flush).map(drop);
        }
        Ok(())
    }

    /// Waits until everything is written and `work` is done.
    pub fn perform(&self, work: Work) -> Result<Done, WriteError> {
        let (answer, answered) = bounded(1);
        let gone = || WriteError::Failed(CliError::new("the output thread terminated unexpectedly"));
        self.tasks.send(Task::Perform(work, Some(answer))).map_err(|_| gone())?;
        answered.recv().unwrap_or_else(|_| Err(gone()))
    }

    /// Has everything written soon, without waiting for it.
    pub fn flush_soon(&self) {
        // If the queue is full, its other tasks flush the buffer; an error is reported by the next write.
        let _ = self.tasks.try_send(Task::Perform(Work::Flush, None));
    }
}

/// The loop of the output thread. After an error it writes nothing more, and reports the error to whoever asks next.
fn write_on(mut sink: Sink, tasks: &Receiver<Task>, told: &AtomicBool) {
    let mut failed = None;
    for task in tasks {
        match task {
            Task::Write(_) | Task::Perform(_, None) if failed.is_some() => {}
            Task::Write(pieces) => {
                let pieces: Vec<&[u8]> = pieces.iter().map(|piece| &**piece).collect();
                failed = sink.write(&pieces).err();
            }
            Task::Perform(work, None) => failed = sink.perform(work).err(),
            Task::Perform(work, Some(answer)) => {
                let done = failed.take().map_or_else(|| sink.perform(work), Err);
                let is_over = done.is_err();
                let _ = answer.send(done);
                if is_over {
                    // The error is reported once, and nothing succeeds after it. Tasks are dropped, which fails them,
                    // until nobody sends any: one that was queued while this thread ended would never be answered.
                    tasks.iter().for_each(drop);
                }
            }
        }
        told.store(failed.is_some(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Opening;
    use super::*;

    /// Regression: a flush that was queued while the output thread ended was never answered, and the run hung.
    #[test]
    fn every_flush_after_an_error_fails() {
        for _ in 0..2_000 {
            let sink = Sink::open(Path::new("/dev/full"), &Opening::Append, &Locks::AtOnce).expect("it opens");
            let full = Background::start(sink);
            full.write(vec![Bytes::from_static(b"a record\n")]).expect("it is queued");
            let flushed = full.perform(Work::Flush);
            assert!(matches!(flushed, Err(WriteError::Failed(error)) if error.message.contains("No space")));
            assert!(full.perform(Work::Flush).is_err());
        }
    }
}
