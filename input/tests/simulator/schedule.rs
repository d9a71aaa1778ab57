//! One schedule: the seed decides what writers, rotations, copies and crashes do, and when.
//!
//! A schedule destroys bytes only after the run has durably read them or a copy of them exists. So every written record
//! must come out exactly once, whatever happened.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use catena_synthetic::Random;
use catena_synthetic::shapes::gzip;

use super::disk::Disk;
use super::reader::Reader;

/// Duration of one step.
const TICK: Duration = Duration::from_millis(100);

/// Longer than a run remembers a file that no longer exists.
const WEEK: Duration = Duration::from_secs(8 * 24 * 60 * 60);

/// A shorter file, in bytes, cannot be recognised in a copy.
const MIN_COPY: usize = 1_500;

/// Runs a schedule. Fails with what went wrong and a trace of all that happened.
pub fn run(seed: u64) -> Result<Stats, String> {
    let mut schedule = Schedule::new(seed);
    let steps = 100 + schedule.random.below(500);
    for _ in 0..steps {
        schedule.step();
    }
    schedule.settle();
    schedule.check()
}

/// What a schedule did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    pub records: usize,
    pub crashes: usize,
    pub rotations: usize,
    pub copies: usize,
}

struct Schedule {
    random: Random,
    disk: Disk,
    reader: Reader,
    logs: Vec<Log>,
    /// Copies in progress.
    copying: Vec<Copying>,
    next_record: usize,
    /// For how many steps the run stays down.
    down_for: u32,
    since_save: u32,
    /// True if logs are copied while they grow. What such a copy is can only be told as long as the original exists and
    /// can be read, and not by a run without `--follow`, which cannot wait: so such a schedule destroys nothing.
    copies_live_logs: bool,
    stats: Stats,
    trace: String,
}

/// A log and its writer.
struct Log {
    name: String,
    /// The inode that the writer has open.
    inode: u64,
    /// The rest of a torn record, to be written later.
    torn: Vec<u8>,
    /// For how many steps the writer keeps writing to a renamed file.
    lingers: u32,
    rotated: usize,
}

/// A copy in progress, which grows by a piece per step.
struct Copying {
    to: PathBuf,
    inode: u64,
    rest: Vec<u8>,
    /// What happens to the original once the copy is complete.
    then: Then,
}

enum Then {
    Nothing,
    Remove(PathBuf),
    Truncate(u64),
}

const FOLDER: &str = "/logs";

impl Schedule {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let disk = Disk::default();
        // Start later than zero, which means "unknown".
        disk.advance(Duration::from_secs(100));
        disk.limit_reads(*random.pick(&[0, 7, 100, 4_096]));
        let (chunk, max_open) = (*random.pick(&[64, 512, 4_096]), *random.pick(&[1, 2, 64]));
        let logs = 1 + random.below(3);
        let name = |number| format!("app-{number}.log");
        let paths = match random.below(3) {
            0 => (0..logs).map(|number| Self::path(&name(number))).collect(),
            _ => vec![FOLDER.into()],
        };
        let mut reader = Reader::new(disk.clone(), paths, chunk, max_open);
        reader.start();
        let mut schedule = Self {
            logs: Vec::new(),
            copying: Vec::new(),
            next_record: 0,
            down_for: 0,
            since_save: 0,
            copies_live_logs: random.below(4) == 0,
            stats: Stats::default(),
            trace: String::new(),
            random,
            disk,
            reader,
        };
        for name in (0..logs).map(name) {
            let inode = schedule.create(&name);
            schedule.logs.push(Log { name, inode, torn: Vec::new(), lingers: 0, rotated: 0 });
        }
        schedule
    }

    fn path(name: &str) -> PathBuf {
        PathBuf::from(FOLDER).join(name)
    }

    fn note(&mut self, what: &str) {
        let _ = writeln!(self.trace, "{:>7.1} s  {what}", self.disk.time().as_secs_f64() - 100.0);
    }

    /// Creates a file that a writer keeps open.
    fn create(&mut self, name: &str) -> u64 {
        let inode = self.disk.create(&Self::path(name));
        self.disk.hold(inode);
        self.note(&format!("create {name} (inode {inode})"));
        inode
    }

    fn record(&mut self) -> Vec<u8> {
        let number = self.next_record;
        self.next_record += 1;
        self.stats.records += 1;
        // Logs begin alike now and then, so that their heads do not distinguish them.
        let padding = "x".repeat(self.random.below(200) as usize + 40);
        format!("{{\"n\":{number},\"pad\":\"{padding}\"}}\n").into_bytes()
    }

    fn step(&mut self) {
        self.disk.advance(TICK);
        if self.reader.is_up() && self.copying.is_empty() && self.random.below(400) == 0 {
            self.note("a week passes");
            self.disk.advance(WEEK);
        }
        for at in 0..self.logs.len() {
            self.write(at);
        }
        if self.random.below(10) == 0 {
            let at = self.random.below(self.logs.len() as u64) as usize;
            self.disturb(at);
        }
        self.copy_on();
        self.run_on();
    }

    /// Lets the writer of a log proceed by a step.
    fn write(&mut self, at: usize) {
        let log = &mut self.logs[at];
        log.lingers = log.lingers.saturating_sub(1);
        if log.lingers == 0 && self.disk.inode_of(&Self::path(&log.name)) != Some(log.inode) && log.torn.is_empty() {
            // The writer notices the rotation and reopens its log.
            let (name, before) = (log.name.clone(), log.inode);
            let inode = match self.disk.inode_of(&Self::path(&name)) {
                Some(inode) => {
                    self.disk.hold(inode);
                    inode
                }
                None => self.create(&name),
            };
            self.disk.release(before);
            self.logs[at].inode = inode;
        }
        if self
            .copying
            .iter()
            .any(|copying| matches!(copying.then, Then::Truncate(inode) if inode == self.logs[at].inode))
        {
            // As with logrotate, anything written between the copy and the truncation would be lost: write nothing.
            return;
        }
        let torn = std::mem::take(&mut self.logs[at].torn);
        if !torn.is_empty() {
            self.disk.append(self.logs[at].inode, &torn);
            return;
        }
        if self.random.below(3) > 0 {
            return;
        }
        let first = self.next_record;
        for _ in 0..=self.random.below(4) {
            let record = self.record();
            self.disk.append(self.logs[at].inode, &record);
        }
        if self.random.below(6) == 0 {
            let record = self.record();
            let cut = 1 + self.random.below(record.len() as u64 - 1) as usize;
            self.disk.append(self.logs[at].inode, &record[..cut]);
            self.logs[at].torn = record[cut..].to_vec();
        }
        let (inode, last) = (self.logs[at].inode, self.next_record - 1);
        let torn = if self.logs[at].torn.is_empty() { "" } else { ", the last one torn" };
        self.note(&format!("write {first} to {last} to inode {inode}{torn}"));
    }

    /// Does something to the files of a log.
    fn disturb(&mut self, at: usize) {
        let Log { name, inode, torn, .. } = &self.logs[at];
        let (name, inode, is_torn) = (name.clone(), *inode, !torn.is_empty());
        let current = Self::path(&name);
        let is_current = self.disk.inode_of(&current) == Some(inode);
        let busy = self
            .copying
            .iter()
            .any(|copying| copying.to.starts_with(&current) || copying.to.to_string_lossy().contains(&name));
        if busy || !is_current {
            return;
        }
        match self.random.below(10) {
            3 | 4 | 6..=8 if self.copies_live_logs => {}
            0..3 => self.rotate(at),
            3 if !is_torn && self.is_recognisable(&current) => {
                // copytruncate
                let to = self.fresh_name(at);
                self.copy(&current, &to, Then::Truncate(inode), false);
                self.stats.rotations += 1;
            }
            4 => {
                // Compress a rotated log, as logrotate does a day later.
                if let Some(old) = self.old_file(at).filter(|old| self.is_recognisable(old)) {
                    let to = PathBuf::from(format!("{}.gz", old.display()));
                    self.copy(&old, &to, Then::Remove(old.clone()), true);
                }
            }
            5 => {
                if let Some(old) = self.old_file(at).filter(|old| self.is_recognisable(old)) {
                    let to = PathBuf::from(format!("{FOLDER}/backup-{}.log", self.stats.copies));
                    self.copy(&old, &to, Then::Nothing, false);
                }
            }
            9 if self.copies_live_logs && !is_torn && self.disk.content(&current).len() >= MIN_COPY => {
                // A copy of a log whose writer goes on, made at once, however much of the log has been read.
                let to = PathBuf::from(format!("{FOLDER}/backup-{}.log", self.stats.copies));
                self.copy(&current, &to, Then::Nothing, false);
                if let Some(copying) = self.copying.pop() {
                    self.disk.append(copying.inode, &copying.rest);
                    self.disk.release(copying.inode);
                }
            }
            6 => {
                // Remove a rotated log that has been read, which frees its inode for the next file.
                if let Some(old) = self.old_file(at).filter(|old| self.is_read(old)) {
                    self.note(&format!("remove {}", old.display()));
                    self.disk.remove(&old);
                }
            }
            7 => {
                let time = Duration::from_millis(100 * self.random.below(30));
                self.note(&format!("{name} cannot be opened for {time:?}"));
                self.disk.deny(&current, time);
            }
            8 if !is_torn && self.is_read(&current) => {
                // Rewrite the whole log under the same inode, perhaps to the same length.
                let length = self.disk.content(&current).len();
                let mut record = self.record();
                if self.random.below(2) == 0 {
                    let padding = length.saturating_sub(record.len());
                    record.splice(record.len() - 3..record.len() - 3, std::iter::repeat_n(b'y', padding));
                }
                self.note(&format!("{name} is rewritten, {} bytes after {length}", record.len()));
                self.disk.truncate(inode);
                self.disk.append(inode, &record);
            }
            _ => {}
        }
    }

    fn rotate(&mut self, at: usize) {
        let from = Self::path(&self.logs[at].name);
        let to = self.fresh_name(at);
        self.note(&format!("rename {} to {}", from.display(), to.display()));
        self.disk.rename(&from, &to);
        self.stats.rotations += 1;
        let lingers = self.random.below(30) as u32;
        let log = &mut self.logs[at];
        log.lingers = lingers;
        if lingers > 20 {
            // logrotate's `create`: the new log exists before the writer reopens it.
            let name = log.name.clone();
            let inode = self.disk.create(&Self::path(&name));
            self.note(&format!("create {name} (inode {inode}) before its writer reopens it"));
        }
    }

    fn fresh_name(&mut self, at: usize) -> PathBuf {
        let log = &mut self.logs[at];
        log.rotated += 1;
        Self::path(&format!("{}.{}", log.name, log.rotated))
    }

    /// One of the log's rotated files that no writer has open.
    fn old_file(&mut self, at: usize) -> Option<PathBuf> {
        let log = &self.logs[at];
        let open: Vec<_> = self.logs.iter().map(|log| log.inode).collect();
        let names = (1..=log.rotated).map(|number| Self::path(&format!("{}.{number}", log.name)));
        let old: Vec<_> =
            names.filter(|name| self.disk.inode_of(name).is_some_and(|inode| !open.contains(&inode))).collect();
        if old.is_empty() { None } else { Some(old[self.random.below(old.len() as u64) as usize].clone()) }
    }

    /// True if a copy of the file can be recognised: the file is long enough, and so is the part that has been read.
    fn is_recognisable(&self, path: &Path) -> bool {
        self.is_read_to(path, |length| (length >= MIN_COPY).then_some(MIN_COPY))
    }

    /// True if the whole file has been read and saved.
    fn is_read(&self, path: &Path) -> bool {
        self.is_read_to(path, Some)
    }

    /// True if a file of complete records has been read and saved up to an offset, which depends on its length.
    fn is_read_to(&self, path: &Path, offset: impl FnOnce(usize) -> Option<usize>) -> bool {
        let Some(inode) = self.disk.inode_of(path) else { return false };
        let content = String::from_utf8_lossy(&self.disk.content(path)).into_owned();
        let Some(offset) = offset(content.len()) else { return false };
        if !content.ends_with('\n') || self.reader.durable(path, inode) < offset as u64 {
            return false;
        }
        // The saved offset may be one in what the inode held before, so the record must be in the output, too.
        let mut end = 0;
        let record = content.split_inclusive('\n').find(|record| {
            end += record.len();
            end >= offset
        });
        record.is_some_and(|record| self.reader.is_saved(record.trim_end()))
    }

    fn copy(&mut self, from: &Path, to: &Path, then: Then, compress: bool) {
        let content = self.disk.content(from);
        let rest = if compress { gzip(&content) } else { content };
        self.note(&format!("copy {} to {}, {} bytes", from.display(), to.display(), rest.len()));
        self.stats.copies += 1;
        let inode = self.disk.create(to);
        self.disk.hold(inode);
        self.copying.push(Copying { to: to.to_owned(), inode, rest, then });
    }

    /// Lets each copy grow by a piece. A complete copy takes effect on its original.
    fn copy_on(&mut self) {
        let mut complete = Vec::new();
        for copying in &mut self.copying {
            let piece = *self.random.pick(&[200, 2_000, usize::MAX]);
            let piece = copying.rest.drain(..piece.min(copying.rest.len())).collect::<Vec<_>>();
            self.disk.append(copying.inode, &piece);
        }
        self.copying.retain_mut(|copying| {
            if copying.rest.is_empty() {
                complete.push((copying.to.clone(), copying.inode, std::mem::replace(&mut copying.then, Then::Nothing)));
            }
            !copying.rest.is_empty()
        });
        for (to, inode, then) in complete {
            self.disk.release(inode);
            self.note(&format!("{} is complete", to.display()));
            match then {
                Then::Nothing => {}
                Then::Remove(original) => self.disk.remove(&original),
                Then::Truncate(original) => self.disk.truncate(original),
            }
        }
    }

    /// Lets the run proceed, stops or kills it, or starts it again.
    fn run_on(&mut self) {
        if !self.reader.is_up() {
            self.down_for = self.down_for.saturating_sub(1);
            if self.down_for == 0 {
                // A run without `--follow` cannot wait until a copy is long enough to be recognised.
                if self.copying.is_empty() && !self.copies_live_logs && self.random.below(8) == 0 {
                    self.run_once();
                }
                self.note("start");
                self.reader.start();
            }
            return;
        }
        let rounds = *self.random.pick(&[1, 5, 100]);
        self.reader.step(rounds);
        self.since_save += 1;
        if self.since_save >= 10 {
            self.since_save = 0;
            self.reader.save();
        }
        match self.random.below(80) {
            0 => {
                self.note("crash");
                self.stats.crashes += 1;
                self.reader.crash();
            }
            1 => {
                self.note("stop");
                self.reader.stop();
            }
            _ => return,
        }
        self.down_for = 1 + self.random.below(40) as u32;
    }

    /// A run without `--follow`. A log may be rotated while it starts.
    fn run_once(&mut self) {
        self.note("run once");
        let at = self.random.below(self.logs.len() as u64) as usize;
        let current = Self::path(&self.logs[at].name);
        let renamed = (self.random.below(2) == 0 && self.disk.inode_of(&current) == Some(self.logs[at].inode))
            .then(|| self.fresh_name(at));
        let Some(renamed) = renamed else { return self.reader.run_once(|| ()) };
        self.note(&format!("meanwhile rename {} to {}", current.display(), renamed.display()));
        self.stats.rotations += 1;
        let record = self.record();
        let disk = self.disk.clone();
        self.reader.run_once(|| {
            disk.rename(&current, &renamed);
            let inode = disk.create(&current);
            disk.append(inode, &record);
        });
    }

    /// Stops writing, and lets the run catch up.
    fn settle(&mut self) {
        self.note("settle");
        for log in &mut self.logs {
            let torn = std::mem::take(&mut log.torn);
            self.disk.append(log.inode, &torn);
        }
        while !self.copying.is_empty() {
            self.disk.advance(TICK);
            self.copy_on();
        }
        if !self.reader.is_up() {
            self.reader.start();
        }
        for _ in 0..400 {
            self.disk.advance(TICK);
            self.reader.step(100);
        }
        self.reader.stop();
    }

    fn check(self) -> Result<Stats, String> {
        let mut counts = BTreeMap::<&str, usize>::new();
        let records: Vec<_> = self.reader.output.records.iter().map(|record| number_of(record)).collect();
        for number in &records {
            *counts.entry(number).or_default() += 1;
        }
        let mut wrong = String::new();
        for number in 0..self.next_record {
            let number = number.to_string();
            match counts.remove(&*number) {
                Some(1) => {}
                count => {
                    let _ = writeln!(wrong, "record {number} came out {} times", count.unwrap_or_default());
                }
            }
        }
        for (other, count) in counts {
            let _ = writeln!(wrong, "{other:?} came out {count} times but was never written");
        }
        if wrong.is_empty() {
            return Ok(self.stats);
        }
        let notices = self.reader.output.notices.join("\n");
        Err(format!("{wrong}\n{}\n{notices}", self.trace))
    }
}

/// The number of a record; the whole text if it is not a record.
fn number_of(record: &str) -> &str {
    let number = record.strip_prefix("{\"n\":").and_then(|rest| rest.split_once(','));
    number.filter(|_| record.ends_with("\"}")).map_or(record, |(number, _)| number)
}
