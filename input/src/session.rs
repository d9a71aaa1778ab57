//! Processes the events of a run's inputs: cuts each input into batches, and remembers how far it has come.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::framing::{Batch, Framer};
use super::known::Known;
use super::resume::{Planned, Saved};
use super::world::{Stamp, World};
use super::{Input, InputEvent};

/// How long to wait for the line end of an otherwise complete record: its writer may be about to add it.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// How long to wait for the rest of a record whose file has ended: a copy of the file may have it.
const MID_RECORD_GRACE: Duration = Duration::from_secs(10);

/// Receives the output of a [`Session`].
pub trait Consumer {
    /// The error that stops the session.
    type Error;

    /// Takes a batch of the input with this name.
    ///
    /// # Errors
    ///
    /// Those of the consumer. The session stops at once.
    fn batch(&mut self, input: &Arc<str>, batch: Batch) -> Result<(), Self::Error>;

    /// Takes a notice about an input.
    fn notice(&mut self, notice: Notice);
}

/// What happened to an input, for metrics and logs.
#[derive(Debug)]
pub enum Notice {
    /// A file or stream begins that no run has read before.
    New,
    /// This many bytes were read, before decompression.
    Read(u64),
    /// The input does not hold records.
    Skipped {
        /// Its name.
        name: Arc<str>,
        /// The reason.
        reason: &'static str,
        /// True if it was counted as [`New`](Self::New).
        counted: bool,
    },
    /// The input could not be read to its end.
    Failed {
        /// Its name.
        name: Arc<str>,
        /// The cause.
        error: io::Error,
    },
    /// A file or folder cannot be read at the moment; reading is retried.
    Trouble {
        /// Its path.
        path: PathBuf,
        /// The cause.
        error: String,
    },
    /// It can be read again, or is gone.
    Recovered {
        /// Its path.
        path: PathBuf,
    },
    /// The file was renamed.
    Renamed {
        /// Its old name.
        from: Arc<str>,
        /// Its new name.
        to: PathBuf,
    },
    /// The file ends in the middle of a record, which is left to the next run.
    Unfinished {
        /// Its name.
        name: Arc<str>,
    },
    /// The run was stopped before the input ended, and does not resume.
    Stopped {
        /// Its name.
        name: Arc<str>,
        /// The line of the first record that was not processed, counted from 1.
        line: u64,
        /// How many bytes of that record had been read.
        rest: u64,
    },
    /// A warning for the operator.
    Warning(String),
}

/// The inputs of a run, both open and remembered.
pub struct Session {
    world: World,
    /// True if inputs are followed.
    follow: bool,
    /// Length of the longest record, in bytes.
    max_record: usize,
    /// Inputs that are not open; `None` if the run cannot be resumed.
    known: Option<Known>,
    open: HashMap<u64, Open>,
    /// When [`tick`](Self::tick) last flushed.
    flushed: Duration,
}

/// An input that is being read.
struct Open {
    name: Arc<str>,
    planned: Planned,
    framer: Framer,
    /// When its last bytes arrived.
    came: Duration,
    /// Set if it has ended in the middle of a record that a copy may complete: when it ended, and its stamp.
    ended_mid_record: Option<(Duration, Stamp)>,
}

impl Session {
    /// Creates a session without open inputs. With `known`, it remembers inputs for the next run.
    pub fn new(world: World, follow: bool, max_record: usize, known: Option<Known>) -> Self {
        Self { flushed: world.clock.now(), world, follow, max_record, known, open: HashMap::new() }
    }

    /// Processes an event of an input.
    ///
    /// # Errors
    ///
    /// Those of the consumer.
    pub fn take<R: Consumer>(&mut self, event: InputEvent, to: &mut R) -> Result<(), R::Error> {
        match event {
            InputEvent::Begin(id, planned) => self.begin(id, planned, to),
            InputEvent::Bytes(id, piece) => {
                to.notice(Notice::Read(piece.read));
                if let Some(open) = self.open.get_mut(&id) {
                    open.came = self.world.clock.now();
                    if let Some(checksum) = piece.checksum {
                        open.planned.fingerprint.add(open.framer.read(), &piece.bytes, checksum);
                    }
                }
                return self.frame(id, to, |framer, give| framer.push(piece.bytes, piece.lines, give));
            }
            InputEvent::End(id, ended) => return self.end(id, ended, to),
            InputEvent::Skipped(id, reason) => {
                let path = self.open.get(&id).and_then(|open| open.planned.input.path());
                let metadata = path.and_then(|path| self.world.files.metadata(path).ok());
                if let Some(open) = self.open.get(&id) {
                    to.notice(Notice::Skipped { name: Arc::clone(&open.name), reason, counted: !open.planned.known });
                }
                self.close(id, Some(metadata.map(|metadata| metadata.stamp).unwrap_or_default()));
            }
            InputEvent::Failed(id, error) => {
                let name = self.name(id);
                self.end(id, None, to)?;
                to.notice(Notice::Failed { name, error });
            }
            InputEvent::Trouble(path, error) => to.notice(Notice::Trouble { path, error }),
            InputEvent::Recovered(path) => to.notice(Notice::Recovered { path }),
            InputEvent::Renamed(id, path) => {
                if let Some(open) = self.open.get_mut(&id) {
                    to.notice(Notice::Renamed { from: Arc::clone(&open.name), to: path.clone() });
                    open.planned.input = Input::File(path);
                    open.name = open.planned.input.name().into();
                }
            }
            InputEvent::Moved(inode, path) => {
                if let Some(known) = &mut self.known {
                    known.rename(inode, &path);
                }
            }
            InputEvent::Warning(text) => to.notice(Notice::Warning(text)),
        }
        Ok(())
    }

    fn begin<R: Consumer>(&mut self, id: u64, planned: Planned, to: &mut R) {
        let framer = self.rest_of(&planned);
        let framer = framer.unwrap_or_else(|| Framer::new(planned.position, self.max_record));
        if let Some(known) = &mut self.known {
            known.take(&planned);
        }
        let exists = planned.input.path().is_none_or(|path| self.world.files.metadata(path).is_ok());
        if exists && !planned.known {
            to.notice(Notice::New);
        }
        let name = planned.input.name().into();
        self.open.insert(id, Open { name, planned, framer, came: self.world.clock.now(), ended_mid_record: None });
    }

    /// Takes over the unfinished record of an ended file if the input is a copy that continues it.
    fn rest_of(&mut self, planned: &Planned) -> Option<Framer> {
        let is_rest = |open: &Open| {
            open.ended_mid_record.is_some()
                && open.planned.fingerprint == planned.fingerprint
                && open.framer.read() == planned.position.offset
        };
        let id = self.open.iter().find(|(_, open)| is_rest(open)).map(|(id, _)| *id)?;
        let open = self.open.remove(&id)?;
        self.remember(&open, open.ended_mid_record.map(|(_, stamp)| stamp));
        Some(open.framer)
    }

    /// Emits records that lack only their line end: those of pipes at once, those of files, which may be being written,
    /// after 1 s. Also emits the rest of ended files for which no copy has appeared within 10 s.
    ///
    /// # Errors
    ///
    /// Those of the consumer.
    pub fn flush<R: Consumer>(&mut self, to: &mut R) -> Result<(), R::Error> {
        let now = self.world.clock.now();
        let waited = |open: &Open| !open.planned.can_resume() || now.saturating_sub(open.came) >= FLUSH_INTERVAL;
        let unended = self.open.iter().filter(|(_, open)| !open.framer.is_empty() && waited(open));
        let mut ids: Vec<_> = unended.map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids.into_iter().try_for_each(|id| self.frame(id, to, |framer, give| framer.pause(give)))?;
        let over =
            |open: &Open| open.ended_mid_record.filter(|(since, _)| now.saturating_sub(*since) >= MID_RECORD_GRACE);
        let mut over: Vec<_> = self.open.iter().filter_map(|(id, open)| Some((*id, over(open)?.1))).collect();
        over.sort_unstable_by_key(|(id, _)| *id);
        over.into_iter().try_for_each(|(id, stamp)| self.finish(id, Some(stamp), to))
    }

    /// Flushes at most once a second, for a run whose inputs never pause.
    ///
    /// # Errors
    ///
    /// Those of the consumer.
    pub fn tick<R: Consumer>(&mut self, to: &mut R) -> Result<(), R::Error> {
        let now = self.world.clock.now();
        if now.saturating_sub(self.flushed) < FLUSH_INTERVAL {
            return Ok(());
        }
        self.flushed = now;
        self.flush(to)
    }

    /// Ends the run before its inputs have ended, at the end of a record of each: a record that was not read whole is
    /// neither emitted nor rejected. A file is left as it is if the run can be resumed.
    ///
    /// # Errors
    ///
    /// Those of the consumer.
    pub fn stop<R: Consumer>(&mut self, to: &mut R) -> Result<(), R::Error> {
        let resumes = self.known.is_some();
        let ends = |open: &Open| !(resumes && open.planned.can_resume()) && open.ended_mid_record.is_none();
        let mut ids: Vec<_> = self.open.iter().filter(|(_, open)| ends(open)).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        for id in ids {
            self.frame(id, to, |framer, give| framer.pause(give))?;
            if let Some(open) = self.open.get(&id) {
                let position = open.framer.position();
                let rest = open.framer.read() - position.offset;
                to.notice(Notice::Stopped { name: Arc::clone(&open.name), line: position.line, rest });
            }
            self.close(id, None);
        }
        // Their files have ended, so nothing can complete these records.
        let mut ids: Vec<_> =
            self.open.iter().filter(|(_, open)| !resumes && open.ended_mid_record.is_some()).collect();
        ids.sort_unstable_by_key(|(id, _)| **id);
        let ids: Vec<_> = ids.into_iter().map(|(id, _)| *id).collect();
        ids.into_iter().try_for_each(|id| self.finish(id, None, to))
    }

    /// Ends an input. `ended` is its stamp if no more of it is expected.
    fn end<R: Consumer>(&mut self, id: u64, ended: Option<Stamp>, to: &mut R) -> Result<(), R::Error> {
        let can_resume = self.open.get(&id).is_some_and(|open| open.planned.can_resume());
        if self.known.is_some() && can_resume && ended.is_none() {
            self.frame(id, to, |framer, give| framer.pause(give))?;
            if let Some(open) = self.open.get(&id).filter(|open| !open.framer.is_empty()) {
                to.notice(Notice::Unfinished { name: Arc::clone(&open.name) });
            }
            self.close(id, ended);
            return Ok(());
        }
        if let Some(stamp) = ended.filter(|_| self.follow) {
            self.frame(id, to, |framer, give| framer.pause(give))?;
            let now = self.world.clock.now();
            if let Some(open) = self.open.get_mut(&id).filter(|open| !open.framer.is_empty()) {
                open.ended_mid_record = Some((now, stamp));
                return Ok(());
            }
        }
        self.finish(id, ended, to)
    }

    /// Emits the rest of an input and closes it.
    fn finish<R: Consumer>(&mut self, id: u64, ended: Option<Stamp>, to: &mut R) -> Result<(), R::Error> {
        self.frame(id, to, |framer, give| framer.finish(give))?;
        self.close(id, ended);
        Ok(())
    }

    fn close(&mut self, id: u64, ended: Option<Stamp>) {
        if let Some(open) = self.open.remove(&id) {
            self.remember(&open, ended);
        }
    }

    fn remember(&mut self, open: &Open, ended: Option<Stamp>) {
        if let Some(known) = &mut self.known {
            let saved = open.planned.saved(open.framer.position(), ended, &self.world);
            saved.into_iter().for_each(|saved| known.add(saved));
        }
    }

    /// The name of an input, for messages.
    fn name(&self, id: u64) -> Arc<str> {
        self.open.get(&id).map(|open| Arc::clone(&open.name)).unwrap_or_default()
    }

    /// Lets the framer of an input emit batches.
    fn frame<R: Consumer>(
        &mut self,
        id: u64,
        to: &mut R,
        frame: impl FnOnce(&mut Framer, &mut dyn FnMut(Batch) -> Result<(), R::Error>) -> Result<(), R::Error>,
    ) -> Result<(), R::Error> {
        let Some(open) = self.open.get_mut(&id) else { return Ok(()) };
        frame(&mut open.framer, &mut |batch| to.batch(&open.name, batch))
    }

    /// Forgets a file that has ended and will not come back.
    pub fn forget(&mut self, path: &Path) {
        if let Some(known) = &mut self.known {
            known.remove(path);
        }
    }

    /// Forgets files that have not existed for a week.
    pub fn forget_old(&mut self) {
        if let Some(known) = &mut self.known {
            known.forget_old(&self.world);
        }
    }

    /// What the next run needs to know about all inputs. Everything emitted must have been processed.
    pub fn saved(&self) -> impl Iterator<Item = Saved> {
        let open = self.open.values();
        let open = open.filter_map(|open| {
            let ended = open.ended_mid_record.map(|(_, stamp)| stamp);
            open.planned.saved(open.framer.position(), ended, &self.world)
        });
        self.known.iter().flat_map(|known| known.all().cloned()).chain(open)
    }
}
