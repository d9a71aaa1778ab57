//! A journal of records that came over a network: they are safe once they are in it, and it is read like a file.
//!
//! It is a folder of segments, files with numbers for names, that hold whole lines. One thread appends, another reads behind it; the
//! position in the segments is part of the run's state, like that in any other file, so each line is processed exactly once.
//! A segment is removed once a saved state is past it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::chunk::Pool;
use super::resume::{Planned, Saved};
use super::world::World;
use super::{EventSender, Input, InputEvent, Piece};

/// A segment that is longer than this, in bytes, is followed by another.
const SEGMENT: u64 = 16 << 20;

/// A segment's name consists of this many digits and this ending.
const DIGITS: usize = 16;
const ENDING: &str = "ndjson";

/// How often the reader looks whether it is to stop.
const TICK: Duration = Duration::from_millis(50);

/// How many of them pass before a segment is tried again that could not be read.
const RETRY_TICKS: u32 = 20;

/// Numbers of inputs from here on are segments.
const FIRST_ID: u64 = 1 << 62;

/// What the writer and the reader share.
#[derive(Debug)]
struct Common {
    folder: PathBuf,
    /// The length of each segment.
    lengths: Mutex<BTreeMap<u64, u64>>,
    changed: Condvar,
}

impl Common {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, u64>> {
        self.lengths.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:0DIGITS$}.{ENDING}"))
    }

    /// Creates a segment. On return its name is on disk: a state may have a position in it before its content is, and no
    /// other must get its number after a power failure.
    fn begin(&self, number: u64) -> io::Result<File> {
        let file = OpenOptions::new().append(true).create_new(true).open(self.path(number))?;
        File::open(&self.folder)?.sync_all()?;
        Ok(file)
    }
}

/// A journal. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Journal {
    common: Arc<Common>,
}

/// Appends to a journal.
#[derive(Debug)]
pub struct JournalWriter {
    common: Arc<Common>,
    number: u64,
    file: File,
    length: u64,
    /// Whether the segment may be longer than `length`.
    is_broken: bool,
}

impl Journal {
    /// Takes what earlier runs have saved of the segments in a folder out of `saved`, and returns it. The folder may have had another
    /// name then.
    pub fn segments_of(folder: &Path, saved: &mut Vec<Saved>) -> Vec<Saved> {
        let is_segment = |saved: &mut Saved| {
            let is_there = saved.path.parent().and_then(Path::file_name) == folder.file_name();
            is_there && number_of(&saved.path).is_some()
        };
        let segments = saved.extract_if(.., is_segment);
        let here = |mut saved: Saved| {
            saved.path = folder.join(saved.path.file_name().unwrap_or_default());
            saved
        };
        segments.map(here).collect()
    }

    /// Opens the journal in a folder, creating it if necessary, and its writer, which begins a new segment. Its number is none that
    /// was `saved`, even if somebody has removed the files.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn open(folder: &Path, saved: &[Saved]) -> io::Result<(Self, JournalWriter)> {
        fs::create_dir_all(folder)?;
        let mut lengths = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if let Some(number) = number_of(&path) {
                lengths.insert(number, whole_lines(&path)?);
            }
        }
        let known = saved.iter().filter_map(|saved| number_of(&saved.path));
        let number = lengths.keys().copied().chain(known).max().map_or(0, |last| last + 1);
        let common = Common { folder: folder.to_owned(), lengths: Mutex::new(lengths), changed: Condvar::new() };
        let file = common.begin(number)?;
        common.lock().insert(number, 0);
        let common = Arc::new(common);
        Ok((Self { common: Arc::clone(&common) }, JournalWriter { common, number, file, length: 0, is_broken: false }))
    }

    /// Whether a folder is that of a journal with records.
    pub fn has_records(folder: &Path) -> bool {
        let is_segment = |path: &PathBuf| path.extension().is_some_and(|ending| ending == ENDING);
        let segments =
            fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).filter(is_segment);
        segments.filter_map(|path| path.metadata().ok()).any(|metadata| metadata.len() > 0)
    }

    /// Whether a path is that of a segment.
    pub fn has(&self, path: &Path) -> bool {
        path.parent() == Some(&self.common.folder)
    }

    /// The bytes in all segments, read or not.
    pub fn bytes(&self) -> u64 {
        self.common.lock().values().sum()
    }

    /// Removes a segment that has been processed.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        if let Some(number) = number_of(path) {
            self.common.lock().remove(&number);
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Reads the journal on a thread of its own until `stop` is set, in pieces of at most `chunk` bytes. `saved` is what earlier
    /// runs have read of it.
    pub fn read(&self, saved: Vec<Saved>, chunk: usize, world: World, events: EventSender, stop: Arc<AtomicBool>) {
        let reader = Reader { common: Arc::clone(&self.common), pool: Pool::new(chunk), world, events, stop };
        thread::spawn(move || reader.read_all(saved));
    }
}

/// The number of a segment; `None` if the path is not that of one.
fn number_of(path: &Path) -> Option<u64> {
    let stem = path.file_stem()?.to_str().filter(|stem| stem.len() == DIGITS)?;
    let is_segment = path.extension()? == ENDING && stem.bytes().all(|byte| byte.is_ascii_digit());
    stem.parse().ok().filter(|_| is_segment)
}

/// Cuts a segment after its last whole line, which a crash may have left unfinished, and returns its length.
fn whole_lines(path: &Path) -> io::Result<u64> {
    let bytes = fs::read(path)?;
    let length = memchr::memrchr(b'\n', &bytes).map_or(0, |at| at + 1) as u64;
    if length < bytes.len() as u64 {
        OpenOptions::new().write(true).open(path)?.set_len(length)?;
    }
    Ok(length)
}

impl JournalWriter {
    /// Appends whole lines. They are read from now on, and safe after the next [`sync`](Self::sync).
    ///
    /// # Errors
    ///
    /// Those of the file system. Then nothing of `lines` is in the journal.
    pub fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.length >= SEGMENT || self.is_broken {
            self.file.sync_data()?;
            self.file = self.common.begin(self.number + 1)?;
            (self.length, self.is_broken) = (0, false);
            self.number += 1;
        }
        if let Err(error) = self.file.write_all(lines) {
            // What was written in part must not be followed by anything.
            self.is_broken = self.file.set_len(self.length).is_err();
            return Err(error);
        }
        self.length += lines.len() as u64;
        self.common.lock().insert(self.number, self.length);
        self.common.changed.notify_all();
        Ok(())
    }

    /// Brings everything to disk.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        File::open(&self.common.folder)?.sync_all()
    }
}

/// The receiver of the events is gone, or the run stops.
struct Over;

struct Reader {
    common: Arc<Common>,
    pool: Arc<Pool>,
    world: World,
    events: EventSender,
    stop: Arc<AtomicBool>,
}

impl Reader {
    fn read_all(&self, mut saved: Vec<Saved>) {
        let Some(mut number) = self.common.lock().first_key_value().map(|(number, _)| *number) else { return };
        loop {
            let path = self.common.path(number);
            let known = saved.iter().position(|saved| saved.path == path).map(|at| saved.swap_remove(at));
            if self.read_segment(number, path, known).is_err() {
                return;
            }
            let next = self.common.lock().range(number + 1..).next().map(|(number, _)| *number);
            let Some(next) = next else { return };
            number = next;
        }
    }

    fn send(&self, event: InputEvent) -> Result<(), Over> {
        self.events.send(event).map_err(|_| Over)
    }

    /// Reads a segment until another follows it.
    fn read_segment(&self, number: u64, path: PathBuf, known: Option<Saved>) -> Result<(), Over> {
        let id = FIRST_ID + number;
        let planned = Planned::whole(Input::File(path.clone()), &*self.world.files);
        let planned = match known {
            Some(saved) => planned.from(saved.fingerprint, saved.position),
            None => planned,
        };
        let mut at = planned.position.offset;
        self.send(InputEvent::Begin(id, planned))?;
        let mut has_failed = false;
        let file = loop {
            match self.world.files.open(&path) {
                Ok(file) => break file,
                Err(error) => self.fail(&path, &error, &mut has_failed)?,
            }
        };
        while let Some(end) = self.wait(number, at)? {
            let mut chunk = self.pool.take();
            let room = chunk.room();
            let wanted = room.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
            match file.read_at(&mut room[..wanted], at) {
                // Somebody has cut it.
                Ok(0) => break,
                Ok(length) => {
                    chunk.fill(length);
                    at += length as u64;
                    self.send(InputEvent::Bytes(id, Piece::new(chunk, length as u64).with_checksum()))?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.fail(&path, &error, &mut has_failed)?;
                    continue;
                }
            }
            if std::mem::take(&mut has_failed) {
                self.send(InputEvent::Recovered(path.clone()))?;
            }
        }
        let metadata = self.world.files.metadata(&path);
        self.send(InputEvent::End(id, Some(metadata.map(|metadata| metadata.stamp).unwrap_or_default())))
    }

    /// Reports that a segment cannot be read, the first time, and waits before the next attempt.
    fn fail(&self, path: &Path, error: &io::Error, has_failed: &mut bool) -> Result<(), Over> {
        if !std::mem::replace(has_failed, true) {
            self.send(InputEvent::Trouble(path.to_owned(), error.to_string()))?;
        }
        for _ in 0..RETRY_TICKS {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Over);
            }
            thread::sleep(TICK);
        }
        Ok(())
    }

    /// Waits until a segment is longer than `at`, and returns its length; `None` if it ends there.
    fn wait(&self, number: u64, at: u64) -> Result<Option<u64>, Over> {
        let mut lengths = self.common.lock();
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Over);
            }
            match lengths.get(&number) {
                Some(length) if *length > at => return Ok(Some(*length)),
                _ if lengths.range(number + 1..).next().is_some() => return Ok(None),
                _ => {}
            }
            let waited = self.common.changed.wait_timeout(lengths, TICK);
            lengths = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;
    use crate::framing::Batch;
    use crate::{Consumer, Events, Known, Next, Notice, Session};

    #[derive(Default)]
    struct Lines(Vec<String>);

    impl Consumer for Lines {
        type Error = Infallible;

        fn batch(&mut self, _: &Arc<str>, batch: Batch) -> Result<(), Infallible> {
            self.0.extend(String::from_utf8_lossy(&batch.original).lines().map(str::to_owned));
            Ok(())
        }

        fn notice(&mut self, _: Notice) {}
    }

    /// A run over the journal that takes `count` pieces, saves, takes `more`, and crashes. Returns what it saved.
    fn run(
        folder: &Path,
        saved: Vec<Saved>,
        append: &[String],
        count: usize,
        more: usize,
        out: &mut Lines,
    ) -> Vec<Saved> {
        let world = World::real();
        let (journal, mut writer) = Journal::open(folder, &saved).expect("it opens");
        let (sender, mut events) = Events::channel(2);
        let stop = Arc::new(AtomicBool::new(false));
        let known = Known::new(saved.iter().cloned());
        let mut session = Session::new(world.clone(), true, 1 << 20, Some(known));
        journal.read(saved, 64, world, sender, Arc::clone(&stop));
        for lines in append.chunks(3) {
            writer.append((lines.join("\n") + "\n").as_bytes()).expect("it is written");
        }
        let mut take = |count: usize, out: &mut Lines| {
            for _ in 0..count {
                match events.next(Duration::from_millis(100)) {
                    Next::Event(event) => session.take(event, out).unwrap_or_else(|never| match never {}),
                    _ => break,
                }
            }
            session.saved().collect::<Vec<_>>()
        };
        let saved = take(count, out);
        let length = out.0.len();
        take(more, out);
        out.0.truncate(length);
        stop.store(true, Ordering::Relaxed);
        for done in saved.iter().filter(|saved| saved.ended.is_some()) {
            journal.remove(&done.path).expect("it is removed");
        }
        saved.into_iter().filter(|saved| saved.ended.is_none()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// Across crashes at any place, each line comes out once and in order.
        #[test]
        fn every_line_comes_out_once(rounds in prop::collection::vec((0..30_usize, 0..12_usize, 0..6_usize), 1..6)) {
            let folder = tempfile::tempdir().expect("a folder");
            let (mut out, mut saved, mut count) = (Lines::default(), Vec::new(), 0);
            for (lines, pieces, more) in rounds {
                let lines: Vec<_> = (count..count + lines).map(|at| format!("{{\"number\":{at}}}")).collect();
                count += lines.len();
                saved = run(folder.path(), saved, &lines, pieces, more, &mut out);
            }
            run(folder.path(), saved, &[], usize::MAX, 0, &mut out);
            let expected: Vec<_> = (0..count).map(|at| format!("{{\"number\":{at}}}")).collect();
            prop_assert_eq!(out.0, expected);
        }
    }

    /// Regression: a new segment got the number of one that was in the state, and was skipped as far as that had been read.
    #[test]
    fn a_journal_that_somebody_has_emptied_skips_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut out, lines) = (Lines::default(), ["{\"a\":1}".to_owned()]);
        let saved = run(folder.path(), Vec::new(), &lines, usize::MAX, 0, &mut out);
        for entry in fs::read_dir(folder.path()).expect("a folder").flatten() {
            fs::remove_file(entry.path()).expect("it is removed");
        }
        // A name that is none of ours.
        fs::write(folder.path().join(format!("{}.{ENDING}", u64::MAX)), "").expect("it is written");
        run(folder.path(), saved, &["{\"b\":1}".to_owned()], usize::MAX, 0, &mut out);
        assert_eq!(out.0, ["{\"a\":1}", "{\"b\":1}"]);
    }

    #[test]
    fn a_segment_is_known_under_another_name_of_its_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("received");
        let (mut out, lines) = (Lines::default(), ["{\"a\":1}".to_owned()]);
        let mut saved = run(&place, Vec::new(), &lines, usize::MAX, 0, &mut out);
        for saved in &mut saved {
            saved.path = Path::new("elsewhere/received").join(saved.path.file_name().expect("it has a name"));
        }
        let segments = Journal::segments_of(&place, &mut saved);
        assert_eq!((segments.len(), saved.len()), (1, 0));
        run(&place, segments, &[], usize::MAX, 0, &mut out);
        assert_eq!(out.0, ["{\"a\":1}"]);
    }

    #[test]
    fn a_line_that_a_crash_has_cut_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(format!("{:016}.{ENDING}", 4)), "{\"a\":1}\n{\"b\"").expect("it is written");
        let mut out = Lines::default();
        run(folder.path(), Vec::new(), &["{\"c\":1}".to_owned()], usize::MAX, 0, &mut out);
        assert_eq!(out.0, ["{\"a\":1}", "{\"c\":1}"]);
    }
}
