//! Where to continue in inputs that were read before. Meanwhile, files may have been renamed, compressed, truncated or
//! replaced.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::identity::{Copied, Fingerprint, HeadIndex, MIN_TELLING, POSSIBLE_COPY, beginning, telling_head};
use super::source::Source;
use super::world::{FileSystem, Inode, Metadata, Stamp, World};
use super::{Input, Known, Own};
use crate::folder;
use crate::framing::Position;

/// How long files that do not exist are remembered, in seconds: a week.
const REMEMBERED: u64 = 7 * 24 * 60 * 60;

/// What is known about an input that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Its last known name.
    pub path: PathBuf,
    /// Its last known inode.
    pub inode: Inode,
    /// Checksums of what was read.
    #[serde(rename = "seen")]
    pub fingerprint: Fingerprint,
    /// How far it has been processed.
    pub position: Position,
    /// Size and mtime when it was read to its end. `None` if it was not, or may still grow. `Stamp::default()` if it
    /// lost its name or its content.
    pub ended: Option<Stamp>,
    /// When it last existed under its name, in seconds since 1970.
    #[serde(rename = "there")]
    last_seen: u64,
}

impl Saved {
    /// True if it is still worth remembering: it exists, or existed less than a week ago. Updates that time.
    pub fn keep(&mut self, world: &World) -> bool {
        let now = world.clock.unix_seconds();
        if self.is_there(&*world.files) {
            self.last_seen = now;
        }
        self.last_seen + REMEMBERED > now
    }

    /// True if the file exists under its name and still has the content that was read.
    fn is_there(&self, files: &dyn FileSystem) -> bool {
        self.ended != Some(Stamp::default()) && files.inode(&self.path) == Some(self.inode)
    }

    /// The warning about a file whose unread rest cannot be found.
    fn lost(&self, files: &dyn FileSystem) -> String {
        let (name, offset) = (self.path.display(), self.position.offset);
        match files.metadata(&self.path) {
            Ok(metadata) if metadata.inode == self.inode && metadata.stamp.size < offset => {
                truncated(&self.path, metadata.stamp.size, offset)
            }
            _ => format!(
                "{name}: was replaced; the old file, read to byte {offset}, is not in its folder, so its rest is lost"
            ),
        }
    }
}

/// An input to read, and where to start.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The input.
    pub input: Input,
    /// Its inode; `None` if it is not a regular file or is not accessible.
    pub inode: Option<Inode>,
    /// Checksums of what was read.
    pub fingerprint: Fingerprint,
    /// Where to continue.
    pub position: Position,
    /// True if an earlier run read some of it.
    pub known: bool,
}

impl Planned {
    /// Plans to read an input from its beginning.
    pub fn whole(input: Input, files: &dyn FileSystem) -> Self {
        let metadata = input.path().and_then(|path| files.metadata(path).ok());
        let inode = metadata.filter(|metadata| metadata.is_file).map(|metadata| metadata.inode);
        Self { input, inode, fingerprint: Fingerprint::default(), position: Position::default(), known: false }
    }

    /// The same input, continued at `position`.
    pub fn from(self, fingerprint: Fingerprint, position: Position) -> Self {
        Self { fingerprint, position, known: true, ..self }
    }

    /// True if a later run can continue where this one ends: the input is a file, not a pipe.
    pub fn can_resume(&self) -> bool {
        self.inode.is_some() && self.input.path().is_some()
    }

    /// The entry to remember for a file that has been processed up to `position`; `None` if it is not a file.
    pub fn saved(&self, position: Position, ended: Option<Stamp>, world: &World) -> Option<Saved> {
        let path = self.input.path()?.to_owned();
        Some(Saved {
            path,
            inode: self.inode?,
            fingerprint: self.fingerprint,
            position,
            ended,
            last_seen: world.clock.unix_seconds(),
        })
    }
}

/// What to read, and what else is known.
pub struct Plan {
    /// The inputs, each with its starting position.
    pub inputs: Vec<Planned>,
    /// Known files that need no reading or do not exist now.
    pub known: Vec<Saved>,
    /// Warnings for the operator.
    pub warnings: Vec<String>,
}

impl Plan {
    /// What the run knows of files that it has not begun to read: those it will not read, and those that still wait.
    pub fn known(&self, world: &World) -> Known {
        let waiting = self.inputs.iter().filter(|input| input.known);
        let waiting = waiting.filter_map(|input| input.saved(input.position, None, world));
        Known::new(self.known.iter().cloned().chain(waiting))
    }
}

/// The warning about a file that became shorter than the part that was read.
pub fn truncated(path: &Path, length: u64, read: u64) -> String {
    let name = path.display();
    format!("{name}: was truncated to {length} bytes after {read} had been read; reading it from the start")
}

/// Plans what to read of `inputs`. `saved` is what earlier runs have read; `own` are the files that this run
/// writes. With `follow`, a file that cannot be identified yet is left to the follower.
///
/// If a file has lost its name, it is looked for in its folder, and read to its end before the file that has the name
/// now.
pub fn plan(inputs: Vec<Input>, saved: Vec<Saved>, own: &Own, follow: bool, world: &World) -> Plan {
    let files = &*world.files;
    let mut planned: Vec<_> = inputs.into_iter().map(|input| Planned::whole(input, files)).collect();
    let mut planner = Planner::new(saved, world);
    let mut found: Vec<_> = planned.iter_mut().map(|input| planner.resume_by_inode(input)).collect();
    let heads = HeadIndex::new(planner.all(&planned).into_iter());
    for (input, found) in planned.iter_mut().zip(&mut found).filter(|(_, found)| **found == Progress::New) {
        let Some(path) = input.input.path() else { continue };
        // An unreadable file is reported when it is read.
        let of = match heads.copied_by(files, path).unwrap_or(Copied::Nothing) {
            Copied::Of(of) => of,
            // A truncated file begins like its own earlier content.
            Copied::PossibleCopy { of, may_become }
                if may_become.iter().all(|at| planner.had_inode(*at, input.inode)) =>
            {
                of
            }
            Copied::PossibleCopy { .. } => {
                planner.warnings.extend((!follow).then(|| format!("{}: {POSSIBLE_COPY}", path.display())));
                *found = Progress::Deferred;
                continue;
            }
            Copied::TooShort if follow => {
                *found = Progress::Deferred;
                continue;
            }
            Copied::TooShort | Copied::Nothing => continue,
        };
        // Only the file of which the most was read counts. The others are earlier states of it.
        let Some((best, _)) = of.first() else { continue };
        if let Some(saved) = best.and_then(|at| planner.saved.get_mut(at)?.take()) {
            *input = input.clone().from(saved.fingerprint, saved.position);
            *found = Progress::Continues;
        } else {
            // Another input is that file, or is a copy that continues it.
            let why = "is a copy of a file that still exists; skipped until that file is gone";
            planner.warnings.extend((!follow).then(|| format!("{}: {why}", path.display())));
            *found = Progress::Deferred;
        }
    }
    if follow {
        // Of files with the same head that are new or barely read, start only one. The others can be identified once it
        // has been read.
        let head = |input: &Planned| input.input.path().and_then(|path| telling_head(files, path));
        let is_barely_read = |input: &Planned| input.fingerprint.length < MIN_TELLING;
        let known = planned.iter().zip(&found).filter(|(_, found)| **found == Progress::Continues);
        let mut heads: HashSet<_> =
            known.filter(|(input, _)| is_barely_read(input)).filter_map(|(input, _)| head(input)).collect();
        for (input, found) in planned.iter().zip(&mut found).filter(|(_, found)| **found == Progress::New) {
            if head(input).is_some_and(|head| !heads.insert(head)) {
                *found = Progress::Deferred;
            }
        }
    }
    let mut rotated = planner.rotated(&planned, own);
    let mut inputs = Vec::new();
    for (input, found) in planned.into_iter().zip(found) {
        inputs.extend(input.input.path().and_then(|path| rotated.remove(path)).into_iter().flatten());
        if matches!(found, Progress::New | Progress::Continues) {
            inputs.push(input);
        }
    }
    // A file that is not an input now may become one again, or must be found once another file takes its name.
    planner.known.extend(planner.saved.into_iter().flatten());
    planner.known.retain_mut(|saved| saved.keep(world));
    Plan { inputs, known: planner.known, warnings: planner.warnings }
}

/// How far an input has been read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Not at all.
    New,
    /// In part.
    Continues,
    /// Completely.
    Done,
    /// Must not be read yet.
    Deferred,
}

struct Planner<'w> {
    world: &'w World,
    /// What earlier runs have read. An entry becomes `None` once it is matched.
    saved: Vec<Option<Saved>>,
    /// Indices into `saved`. One inode may have held several files.
    by_inode: HashMap<Inode, Vec<usize>>,
    /// Indices of entries whose inode no longer has the content that was read.
    emptied: HashSet<usize>,
    known: Vec<Saved>,
    warnings: Vec<String>,
}

impl<'w> Planner<'w> {
    fn new(saved: Vec<Saved>, world: &'w World) -> Self {
        let mut by_inode: HashMap<_, Vec<_>> = HashMap::new();
        for (at, saved) in saved.iter().enumerate() {
            by_inode.entry(saved.inode).or_default().push(at);
        }
        Self {
            world,
            by_inode,
            saved: saved.into_iter().map(Some).collect(),
            emptied: HashSet::new(),
            known: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// True if the entry at index `place` had this inode, so the input is that file and not a copy.
    fn had_inode(&self, place: Option<usize>, inode: Option<Inode>) -> bool {
        let saved = place.and_then(|at| self.saved.get(at)?.as_ref());
        saved.is_some_and(|saved| Some(saved.inode) == inode)
    }

    /// Continues an input that was read under the same inode.
    fn resume_by_inode(&mut self, input: &mut Planned) -> Progress {
        let Some((path, metadata)) =
            input.input.path().and_then(|path| Some((path, self.world.files.metadata(path).ok()?)))
        else {
            return Progress::New;
        };
        let places = self.by_inode.get(&metadata.inode).cloned().unwrap_or_default();
        let (mut found, mut unreadable) = (None, None);
        for at in places.iter().copied() {
            let Some(Some(saved)) = self.saved.get(at) else { continue };
            match continues(&*self.world.files, path, &metadata, saved) {
                // The inode may also have held a shorter version of the same content.
                Ok(true) => {
                    found = found.max(Some((saved.ended == Some(metadata.stamp), saved.fingerprint.length, at)))
                }
                Ok(false) => {}
                // A file that cannot be read at the moment still counts as the same: assume the last content of its
                // inode.
                Err(_) => unreadable = Some(at),
            }
        }
        let found = found.map(|(.., at)| at).or(unreadable);
        let found = found.and_then(|at| self.saved.get_mut(at)?.take());
        // Other contents of this inode are gone.
        self.emptied.extend(places);
        let Some(saved) = found else { return Progress::New };
        if saved.ended == Some(metadata.stamp) {
            self.known.push(Saved { path: path.to_owned(), ..saved });
            return Progress::Done;
        }
        *input = input.clone().from(saved.fingerprint, saved.position);
        Progress::Continues
    }

    /// Everything that was read. An entry has its index if its file has lost its name or was replaced: a copy of it is
    /// to be continued.
    fn all(&self, inputs: &[Planned]) -> Vec<(Fingerprint, Option<usize>)> {
        let saved = self.saved.iter().enumerate().filter_map(|(at, saved)| Some((at, saved.as_ref()?)));
        let is_gone = |at: &usize, saved: &Saved| self.emptied.contains(at) || !saved.is_there(&*self.world.files);
        let saved = saved.map(|(at, saved)| (saved.fingerprint, Some(at).filter(|at| is_gone(at, saved))));
        let there = self.known.iter().map(|saved| saved.fingerprint);
        let there = there.chain(inputs.iter().filter(|input| input.known).map(|input| input.fingerprint));
        // Of two fingerprints of equal length, that of an existing file comes first.
        there.map(|fingerprint| (fingerprint, None)).chain(saved).collect()
    }

    /// Rotated files whose former name is an input now, by that name, oldest first.
    fn rotated(&mut self, inputs: &[Planned], own: &Own) -> HashMap<PathBuf, Vec<Planned>> {
        let there = inputs.iter().filter_map(|input| Some((input.input.path()?, input.inode?)));
        let (names, not_these): (HashSet<_>, HashSet<_>) = there.unzip();
        // An ended file has more to process only if it ended in the middle of a record.
        let has_more = |saved: &Saved| saved.ended.is_none() || saved.position.offset < saved.fingerprint.length;
        let is_replaced = |saved: &mut Saved| has_more(saved) && names.contains(&*saved.path);
        let mut replaced: Vec<_> = self.saved.iter_mut().filter_map(|place| place.take_if(is_replaced)).collect();
        replaced.sort_by_key(|saved| saved.last_seen);
        let fs = &*self.world.files;
        let folders: HashSet<_> = replaced.iter().map(|saved| folder(&fs.target(&saved.path)).to_owned()).collect();
        let places: HashMap<_, _> = replaced.iter().enumerate().map(|(at, saved)| (saved.inode, at)).collect();
        let heads = HeadIndex::new(replaced.iter().enumerate().map(|(at, saved)| (saved.fingerprint, at)));
        let files = folders.iter().flat_map(|folder| fs.list(folder));
        let files = files.filter(|(path, metadata)| {
            metadata.is_file && !not_these.contains(&metadata.inode) && !own.has(path, metadata.inode, fs)
        });
        let (same, others): (Vec<_>, Vec<_>) = files.partition(|(path, metadata)| {
            let at = places.get(&metadata.inode).and_then(|at| replaced.get(*at));
            at.is_some_and(|saved| continues(fs, path, metadata, saved).unwrap_or(false))
        });
        let mut found: HashMap<usize, PathBuf> = HashMap::new();
        for (path, metadata) in same {
            found.extend(places.get(&metadata.inode).map(|at| (*at, path)));
        }
        for (path, _) in others {
            if let Ok(Copied::Of(places)) = heads.copied_by(fs, &path) {
                let place = places.into_iter().find(|(at, _)| !found.contains_key(at));
                found.extend(place.map(|(at, _)| (at, path)));
            }
        }
        let mut rotated: HashMap<PathBuf, Vec<Planned>> = HashMap::new();
        for (at, saved) in replaced.into_iter().enumerate() {
            match found.remove(&at) {
                Some(path) => {
                    let file = Planned::whole(Input::File(path), fs).from(saved.fingerprint, saved.position);
                    rotated.entry(saved.path).or_default().push(file);
                }
                None => self.warnings.push(saved.lost(fs)),
            }
        }
        rotated
    }
}

/// True if a file that has the inode of a known file is still the same file.
fn continues(files: &dyn FileSystem, path: &Path, metadata: &Metadata, saved: &Saved) -> io::Result<bool> {
    match saved.ended {
        Some(stamp) if stamp == metadata.stamp => Ok(true),
        // The inode lost this content. If enough was read to recognise the content, only that counts.
        Some(stamp) if stamp == Stamp::default() && saved.fingerprint.length >= MIN_TELLING => Ok(false),
        // A member may have been appended to a compressed file, or its inode may have been reused.
        Some(_) => saved.fingerprint.is_prefix_of(files, path),
        None if !saved.fingerprint.may_match_head(&beginning(files, path)?) => Ok(false),
        None => Ok(metadata.stamp.size >= saved.position.offset || !Source::open(files, path)?.plain),
    }
}
