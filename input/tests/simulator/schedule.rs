//! One schedule: a seed decides what writers, rotations, copies and crashes do, and when.
//!
//! A schedule destroys bytes only once the run has durably read them, or once a copy of them exists. So every record that was
//! written must come out exactly once, whatever happened.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use catena_synthetic::Random;

use super::disk::Disk;
use super::reader::Reader;

/// What one step of a schedule is.
const TICK: Duration = Duration::from_millis(100);

/// A file with fewer bytes is too short to be recognised in a copy.
const MIN_COPY: usize = 1_500;

/// Runs a schedule. Returns what went wrong, with the trace of everything that happened.
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
    /// Copies that are being written.
    copying: Vec<Copying>,
    next_record: usize,
    /// How long the run stays down.
    down_for: u32,
    since_save: u32,
    stats: Stats,
    trace: String,
}

/// A log and its writer.
struct Log {
    name: String,
    /// The inode that the writer has open.
    inode: u64,
    /// What is left to be written of a torn record.
    torn: Vec<u8>,
    /// For how long the writer goes on writing to a file that was renamed.
    lingers: u32,
    rotated: usize,
}

/// A copy that grows by a piece a step.
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
        // Start beyond zero: a time of zero means that nothing is known.
        disk.advance(Duration::from_secs(100));
        disk.limit_reads(*random.pick(&[0, 7, 100, 4_096]));
        let (chunk, max_open) = (*random.pick(&[64, 512, 4_096]), *random.pick(&[1, 2, 64]));
        let mut reader = Reader::new(disk.clone(), FOLDER.into(), chunk, max_open);
        reader.start();
        let mut schedule = Self {
            logs: Vec::new(),
            copying: Vec::new(),
            next_record: 0,
            down_for: 0,
            since_save: 0,
            stats: Stats::default(),
            trace: String::new(),
            random,
            disk,
            reader,
        };
        for number in 0..=schedule.random.below(3) {
            let name = format!("app-{number}.log");
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

    /// Creates a file that a writer has open.
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
        // Now and then logs begin alike, so that beginnings do not tell them apart.
        let padding = "x".repeat(self.random.below(200) as usize + 40);
        format!("{{\"n\":{number},\"pad\":\"{padding}\"}}\n").into_bytes()
    }

    fn step(&mut self) {
        self.disk.advance(TICK);
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

    /// The writer of a log goes on.
    fn write(&mut self, at: usize) {
        let log = &mut self.logs[at];
        log.lingers = log.lingers.saturating_sub(1);
        if log.lingers == 0 && self.disk.inode_of(&Self::path(&log.name)) != Some(log.inode) && log.torn.is_empty() {
            // The writer notices the rotation and opens its log again.
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
            // What is written between the copy and the truncation is lost, as with logrotate: so nothing is.
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

    /// Something happens to the files of a log.
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
        match self.random.below(9) {
            0..3 => self.rotate(at),
            3 if !is_torn && self.is_recognisable(&current) => {
                // copytruncate
                let to = self.fresh_name(at);
                self.copy(&current, &to, Then::Truncate(inode), false);
                self.stats.rotations += 1;
            }
            4 => {
                // An old log is compressed, as logrotate does a day later.
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
            6 => {
                // An old log that has been read is removed; its inode is free for the next one.
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
                // The whole log is written anew, to the same inode.
                self.note(&format!("{name} is written anew"));
                self.disk.truncate(inode);
                let record = self.record();
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
            // logrotate's `create`: the new log exists before its writer reopens it.
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

    /// One of the log's rotated files that nobody writes to.
    fn old_file(&mut self, at: usize) -> Option<PathBuf> {
        let log = &self.logs[at];
        let open: Vec<_> = self.logs.iter().map(|log| log.inode).collect();
        let names = (1..=log.rotated).map(|number| Self::path(&format!("{}.{number}", log.name)));
        let old: Vec<_> =
            names.filter(|name| self.disk.inode_of(name).is_some_and(|inode| !open.contains(&inode))).collect();
        if old.is_empty() { None } else { Some(old[self.random.below(old.len() as u64) as usize].clone()) }
    }

    /// Whether a copy of the file can be recognised: it is long enough, and either nothing or enough of it has been read.
    fn is_recognisable(&self, path: &PathBuf) -> bool {
        let Some(inode) = self.disk.inode_of(path) else { return false };
        let content = self.disk.content(path);
        content.len() >= MIN_COPY && content.ends_with(b"\n") && self.reader.durable(path, inode) >= MIN_COPY as u64
    }

    /// Whether everything in the file has been read, and saved.
    fn is_read(&self, path: &PathBuf) -> bool {
        let Some(inode) = self.disk.inode_of(path) else { return false };
        let content = self.disk.content(path);
        !content.is_empty() && content.ends_with(b"\n") && self.reader.durable(path, inode) == content.len() as u64
    }

    fn copy(&mut self, from: &PathBuf, to: &PathBuf, then: Then, compress: bool) {
        let content = self.disk.content(from);
        let rest = if compress { gzip(&content) } else { content };
        self.note(&format!("copy {} to {}, {} bytes", from.display(), to.display(), rest.len()));
        self.stats.copies += 1;
        let inode = self.disk.create(to);
        self.disk.hold(inode);
        self.copying.push(Copying { to: to.clone(), inode, rest, then });
    }

    /// Copies go on by a piece each; what is complete has its effect on the original.
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

    /// The run goes on, is stopped or killed, and started again.
    fn run_on(&mut self) {
        if !self.reader.is_up() {
            self.down_for = self.down_for.saturating_sub(1);
            if self.down_for == 0 {
                // A run that does not follow cannot wait until a copy is long enough to be recognised.
                if self.copying.is_empty() && self.random.below(8) == 0 {
                    self.note("run once");
                    self.reader.run_once();
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

    /// Nothing more is written; the run comes to rest.
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
            let _ = writeln!(wrong, "{other:?} came out {count} times and was not written");
        }
        if wrong.is_empty() {
            return Ok(self.stats);
        }
        let notices = self.reader.output.notices.join("\n");
        Err(format!("{wrong}\n{}\n{notices}", self.trace))
    }
}

/// The number of a record; what is not a record is itself.
fn number_of(record: &str) -> &str {
    let number = record.strip_prefix("{\"n\":").and_then(|rest| rest.split_once(','));
    number.filter(|_| record.ends_with("\"}")).map_or(record, |(number, _)| number)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory can be written")
}
