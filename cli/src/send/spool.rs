//! A durable, bounded queue of lines on disk: findings wait here for one receiver.
//!
//! The lines are in segments, files with numbers for names. The file `position` says how far they were taken, with a checksum; a
//! segment is removed once all of it was. After a crash, lines may be taken again, but none is lost that was flushed.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A segment that is longer than this, in bytes, is followed by another.
const SEGMENT: u64 = 4 << 20;

/// The ending of the name of a segment.
const ENDING: &str = "ndjson";

/// Where a reader is: the number of a segment, and an offset in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    segment: u64,
    offset: u64,
}

/// What the writer and the reader share.
#[derive(Debug, Default)]
struct Shared {
    /// The flushed length of each segment.
    lengths: BTreeMap<u64, u64>,
    taken: Position,
    /// True once the writer wants the reader to end.
    is_over: bool,
}

impl Shared {
    /// The bytes that were not taken.
    fn waiting(&self) -> u64 {
        self.lengths.values().sum::<u64>().saturating_sub(self.taken.offset)
    }
}

#[derive(Debug)]
struct Common {
    folder: PathBuf,
    shared: Mutex<Shared>,
    changed: Condvar,
}

impl Common {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn segment(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:016}.{ENDING}"))
    }
}

/// Appends lines to a spool.
#[derive(Debug)]
pub struct Writer {
    common: Arc<Common>,
    number: u64,
    file: File,
    buffer: Vec<u8>,
    most: u64,
}

/// Takes lines from a spool.
#[derive(Debug)]
pub struct Reader {
    common: Arc<Common>,
}

/// Opens the spool in a folder, creating it if necessary. It holds at most `most` bytes.
///
/// # Errors
///
/// Those of the file system.
pub fn open(folder: &Path, most: u64) -> io::Result<(Writer, Reader)> {
    fs::create_dir_all(folder)?;
    let mut lengths = segments(folder)?;
    let taken = read_position(folder)?.unwrap_or_default();
    // The run may have ended before it removed them.
    let rest = lengths.split_off(&taken.segment);
    let common = Common { folder: folder.to_owned(), shared: Mutex::default(), changed: Condvar::new() };
    for number in lengths.keys() {
        fs::remove_file(common.segment(*number))?;
    }
    let mut lengths = rest;
    let number = lengths.last_key_value().map_or(taken.segment, |(number, _)| *number);
    let file = OpenOptions::new().read(true).append(true).create(true).open(common.segment(number))?;
    let length = end_of_last_line(&file)?;
    file.set_len(length)?;
    lengths.insert(number, length);
    let first = lengths.first_key_value().map_or(number, |(number, _)| *number);
    let offset = if taken.segment == first { taken.offset } else { 0 };
    let length = lengths.get(&first).copied().unwrap_or_default();
    let kept = Position { segment: first, offset: offset.min(length) };
    if kept != taken {
        // Lines that the position counts never reached the disk. Others come in their place, which were not taken.
        write_position(folder, kept)?;
    }
    let taken = kept;
    *common.lock() = Shared { lengths, taken, is_over: false };
    let common = Arc::new(common);
    let writer = Writer { common: Arc::clone(&common), number, file, buffer: Vec::new(), most };
    Ok((writer, Reader { common }))
}

/// The length up to the last LF: a crash may have cut a line.
fn end_of_last_line(file: &File) -> io::Result<u64> {
    let mut reader = BufReader::new(file);
    reader.seek(SeekFrom::Start(0))?;
    let (mut end, mut at) = (0, 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(end);
        }
        at += length as u64;
        if line.ends_with(b"\n") {
            end = at;
        }
    }
}

fn read_position(folder: &Path) -> io::Result<Option<Position>> {
    let bytes = match fs::read(folder.join("position")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes?,
    };
    // If it is damaged, taking lines again is better than losing them.
    let read = || {
        let (numbers, checksum) = std::str::from_utf8(&bytes).ok()?.trim_end().rsplit_once(' ')?;
        let (segment, offset) = numbers.split_once(' ')?;
        let position = Position { segment: segment.parse().ok()?, offset: offset.parse().ok()? };
        (checksum.parse() == Ok(crc32fast::hash(numbers.as_bytes()))).then_some(position)
    };
    Ok(read())
}

fn write_position(folder: &Path, position: Position) -> io::Result<()> {
    let next = folder.join("position.new");
    let numbers = format!("{} {}", position.segment, position.offset);
    fs::write(&next, format!("{numbers} {}\n", crc32fast::hash(numbers.as_bytes())))?;
    fs::rename(&next, folder.join("position"))
}

/// The bytes that wait in a folder if it is that of a spool.
///
/// # Errors
///
/// Those of the file system.
pub fn waiting_in(folder: &Path) -> io::Result<u64> {
    let lengths = segments(folder)?;
    let taken = read_position(folder)?.unwrap_or_default();
    let all: u64 = lengths.range(taken.segment..).map(|(_, length)| *length).sum();
    let in_first = lengths.get(&taken.segment).map_or(0, |length| taken.offset.min(*length));
    Ok(all - in_first)
}

/// The lengths of the segments in a folder.
fn segments(folder: &Path) -> io::Result<BTreeMap<u64, u64>> {
    let mut lengths = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|ending| ending == ENDING)) {
            lengths.insert(number, path.metadata()?.len());
        }
    }
    Ok(lengths)
}

impl Writer {
    /// Appends a line, without its LF. Returns false if the spool is full: then the line is not in it.
    pub fn push(&mut self, line: &[&[u8]]) -> bool {
        let length: usize = line.iter().map(|part| part.len()).sum();
        if self.common.lock().waiting() + (self.buffer.len() + length) as u64 >= self.most {
            return false;
        }
        line.iter().for_each(|part| self.buffer.extend_from_slice(part));
        self.buffer.push(b'\n');
        true
    }

    /// Hands everything to the system, and wakes the reader.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let length = self.file.metadata()?.len();
        if length >= SEGMENT {
            self.file.sync_data()?;
            self.number += 1;
            let path = self.common.segment(self.number);
            self.file = OpenOptions::new().append(true).create_new(true).open(path)?;
        }
        let before = self.file.metadata()?.len();
        if let Err(error) = self.file.write_all(&self.buffer) {
            // All of it is written again once there is room.
            self.file.set_len(before)?;
            return Err(error);
        }
        let length = before + self.buffer.len() as u64;
        self.buffer.clear();
        self.common.lock().lengths.insert(self.number, length);
        self.common.changed.notify_all();
        Ok(())
    }

    /// Brings everything to disk.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        self.file.sync_data()?;
        File::open(&self.common.folder)?.sync_all()
    }

    /// The bytes that were not taken.
    pub fn waiting(&self) -> u64 {
        self.common.lock().waiting() + self.buffer.len() as u64
    }

    /// Waits until everything was taken, at most this long. Returns true if it was.
    pub fn wait_until_empty(&self, patience: Duration) -> bool {
        let shared = self.common.lock();
        let waited = self.common.changed.wait_timeout_while(shared, patience, |shared| shared.waiting() > 0);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Asks the reader to end.
    pub fn end(&self) {
        self.common.lock().is_over = true;
        self.common.changed.notify_all();
    }
}

impl Reader {
    /// The bytes that were not taken.
    pub fn waiting(&self) -> u64 {
        self.common.lock().waiting()
    }

    /// Whether the reader is asked to end.
    pub fn is_over(&self) -> bool {
        self.common.lock().is_over
    }

    /// Sleeps, but not longer than until the reader is asked to end.
    pub fn pause(&self, time: Duration) {
        let shared = self.common.lock();
        drop(self.common.changed.wait_timeout_while(shared, time, |shared| !shared.is_over));
    }

    /// Waits for lines and returns the next ones, at most `count` and about `bytes` bytes, and the position behind them.
    /// Returns nothing once the reader is asked to end.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn next(&self, count: usize, bytes: usize) -> io::Result<Option<(Vec<Vec<u8>>, Position)>> {
        let (mut at, end) = {
            let shared = self.common.lock();
            let waited = self.common.changed.wait_while(shared, |shared| shared.waiting() == 0 && !shared.is_over);
            let shared = waited.unwrap_or_else(PoisonError::into_inner);
            if shared.is_over {
                return Ok(None);
            }
            let ahead = shared.lengths.range(shared.taken.segment..);
            let mut at = shared.taken;
            let mut end = 0;
            for (segment, length) in ahead {
                if *segment != at.segment {
                    at = Position { segment: *segment, offset: 0 };
                }
                end = *length;
                if end > at.offset {
                    break;
                }
            }
            (at, end)
        };
        let mut file = File::open(self.common.segment(at.segment))?;
        file.seek(SeekFrom::Start(at.offset))?;
        let mut reader = BufReader::new(file.take(end.saturating_sub(at.offset)));
        let (mut lines, mut size) = (Vec::new(), 0);
        while lines.len() < count && size < bytes {
            let mut line = Vec::new();
            let length = reader.read_until(b'\n', &mut line)?;
            if length == 0 {
                break;
            }
            at.offset += length as u64;
            size += length;
            if line.ends_with(b"\n") {
                line.pop();
            }
            lines.push(line);
        }
        Ok(Some((lines, at)))
    }

    /// Notes that everything up to a position was taken, and removes what is not needed any more.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn take(&self, to: Position) -> io::Result<()> {
        write_position(&self.common.folder, to)?;
        let old = {
            let mut shared = self.common.lock();
            shared.taken = to;
            let rest = shared.lengths.split_off(&to.segment);
            std::mem::replace(&mut shared.lengths, rest)
        };
        self.common.changed.notify_all();
        old.keys().try_for_each(|number| fs::remove_file(self.common.segment(*number)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn take(reader: &Reader, count: usize) -> Vec<String> {
        let (lines, to) = reader.next(count, 1 << 20).expect("it can be read").expect("it is not over");
        reader.take(to).expect("it is noted");
        lines.into_iter().map(|line| String::from_utf8(line).expect("it is text")).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever is pushed is taken in order, once, across restarts at any place and torn last lines.
        #[test]
        fn lines_come_out_once_and_in_order(steps in prop::collection::vec((0..4_u8, 1..40_usize), 1..60)) {
            let folder = tempfile::tempdir().expect("a folder");
            let (mut writer, mut reader) = open(folder.path(), 1 << 30).expect("it opens");
            let (mut pushed, mut flushed, mut taken) = (0, 0, 0);
            for (step, count) in steps {
                match step {
                    0 => for _ in 0..count {
                        // Long lines, so that there are several segments.
                        let line = format!("{pushed:08}{}", "x".repeat(60_000));
                        prop_assert!(writer.push(&[line.as_bytes()]));
                        pushed += 1;
                    },
                    1 => {
                        writer.flush().expect("it is written");
                        flushed = pushed;
                    }
                    2 if taken < flushed => for line in take(&reader, count) {
                        prop_assert_eq!(&line[..8], format!("{taken:08}"));
                        taken += 1;
                    },
                    2 => {}
                    _ => {
                        // What was not flushed is gone with the run, and a line that was written in part.
                        drop((writer, reader));
                        let last = fs::read_dir(folder.path()).expect("a folder").flatten().map(|entry| entry.path());
                        let last = last.filter(|path| path.extension().is_some()).max().expect("there is a segment");
                        let mut file = OpenOptions::new().append(true).open(last).expect("it opens");
                        file.write_all(b"torn").expect("it is written");
                        (writer, reader) = open(folder.path(), 1 << 30).expect("it opens");
                        pushed = flushed;
                    }
                }
            }
        }
    }

    /// Regression: a position that counted lines which a power failure took was kept, and as many new lines were skipped
    /// after the next crash.
    #[test]
    fn a_position_beyond_the_end_skips_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut writer, reader) = open(folder.path(), 1 << 30).expect("it opens");
        assert!(writer.push(&[b"lost with the power"]));
        writer.flush().expect("it is written");
        take(&reader, 1);
        drop((writer, reader));
        File::options()
            .write(true)
            .open(folder.path().join("0000000000000000.ndjson"))
            .expect("it opens")
            .set_len(0)
            .expect("it is cut");
        let (mut writer, reader) = open(folder.path(), 1 << 30).expect("it opens");
        assert!(writer.push(&[b"one"]) && writer.push(&[b"two"]));
        writer.flush().expect("it is written");
        assert_eq!(waiting_in(folder.path()).expect("it is a spool"), 8);
        drop((writer, reader));
        let (_, reader) = open(folder.path(), 1 << 30).expect("it opens");
        assert_eq!(take(&reader, 2), ["one", "two"]);
    }

    /// Regression: with one bit of the position changed, all segments were taken for delivered, and removed.
    #[test]
    fn a_damaged_position_skips_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        for damage in [&b"8 0\n"[..], b"8 0 12\n", b"\xb0 0\n", b"0 4\n", b""] {
            let (mut writer, reader) = open(folder.path(), 1 << 30).expect("it opens");
            assert!(writer.push(&[b"one"]) && writer.push(&[b"two"]));
            writer.flush().expect("it is written");
            drop((writer, reader));
            fs::write(folder.path().join("position"), damage).expect("it is written");
            let (_, reader) = open(folder.path(), 1 << 30).expect("it opens");
            assert_eq!(take(&reader, 2), ["one", "two"]);
        }
    }

    #[test]
    fn a_full_spool_refuses_lines_until_some_are_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut writer, reader) = open(folder.path(), 100).expect("it opens");
        let line = [b'x'; 40];
        assert!(writer.push(&[&line]) && writer.push(&[&line]));
        assert!(!writer.push(&[&line]));
        writer.flush().expect("it is written");
        assert!(!writer.push(&[&line]));
        assert_eq!(take(&reader, 1).len(), 1);
        assert!(writer.push(&[&line]));
    }

    #[test]
    fn segments_are_removed_once_they_are_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut writer, reader) = open(folder.path(), 1 << 30).expect("it opens");
        for _ in 0..10 {
            assert!(writer.push(&[&[b'x'; 1 << 20]]));
            writer.flush().expect("it is written");
        }
        let segments = || fs::read_dir(folder.path()).expect("a folder").count();
        assert!(segments() >= 3);
        while writer.waiting() > 0 {
            take(&reader, 3);
        }
        assert_eq!(segments(), 2, "the last segment and the position");
    }
}
