//! Locks on files that only one run may use: its state, its outputs and its spool.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use tracing::warn;

use super::signals::Signals;

/// How a run takes its locks.
pub enum Locks<'a> {
    /// A lock that another run has is an error.
    AtOnce,
    /// It waits until the other run has ended, or until it is told to stop. For runs that read a pipe: to end would lose what is
    /// in it, and whoever restarts both ends of a pipe does not wait for the run before.
    Patient(&'a Signals),
}

/// How often a run looks whether the other one has ended.
const TICK: Duration = Duration::from_millis(50);

impl Locks<'_> {
    /// Locks a file against other runs until it is closed. `name` is what the operator knows it by.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` if another run has the lock, `Interrupted` if this one was told to stop while it waited, and what the
    /// file system says. A file system may have no locks.
    pub fn take(&self, file: &File, name: &Path) -> io::Result<()> {
        let mut is_waiting = false;
        loop {
            match (file.try_lock(), self) {
                (Ok(()), _) => return Ok(()),
                (Err(TryLockError::Error(error)), _) => return Err(error),
                (Err(TryLockError::WouldBlock), Self::AtOnce) => return Err(io::ErrorKind::ResourceBusy.into()),
                (Err(TryLockError::WouldBlock), Self::Patient(signals)) => {
                    if signals.stop_asked() {
                        return Err(io::ErrorKind::Interrupted.into());
                    }
                    if !is_waiting {
                        warn!("{}: in use by another run; waiting until it has ended", name.display());
                    }
                    is_waiting = true;
                    thread::sleep(TICK);
                }
            }
        }
    }
}
