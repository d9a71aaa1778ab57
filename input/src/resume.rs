//! Where to go on in inputs that have been read before: files are renamed, compressed, cut and replaced meanwhile.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Input;
use super::identity::{BEGUN, Copied, Fingerprint, HeadIndex, MIN_TELLING, beginning};
use super::source::Source;
use super::world::{FileSystem, Inode, Metadata, Stamp, World};
use crate::folder;
use crate::framing::Position;

/// How long files that are not there are remembered, in s: a week.
const REMEMBERED: u64 = 7 * 24 * 60 * 60;

/// What is known of an input that has been read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Its name then.
    pub path: PathBuf,
    /// Its place in the file system then.
    pub inode: Inode,
    /// What was read of it.
    #[serde(rename = "seen")]
    pub fingerprint: Fingerprint,
    /// How far it has been processed.
    pub position: Position,
    /// What it was when it had been read to its end; `None` where it had not, or may grow. Nothing in particular where it
    /// lost its name, or what was read.
    pub ended: Option<Stamp>,
    /// When it was last there, in s since 1970.
    there: u64,
}

impl Saved {
    /// Whether it is to be remembered: it is there, or was not long ago.
    pub fn keep(&mut self, world: &World) -> bool {
        let now = world.clock.unix_seconds();
        if self.is_there(&*world.files) {
            self.there = now;
        }
        self.there + REMEMBERED > now
    }

    /// Whether the file is there under its name, and has what was read of it.
    fn is_there(&self, files: &dyn FileSystem) -> bool {
        self.ended != Some(Stamp::default()) && files.inode(&self.path) == Some(self.inode)
    }

    /// What to say where what may have come to the file after it was read is nowhere.
    fn lost(&self, files: &dyn FileSystem) -> String {
        let (name, offset) = (self.path.display(), self.position.offset);
        match files.metadata(&self.path) {
            Ok(metadata) if metadata.inode == self.inode && metadata.stamp.size < offset => {
                format!(
                    "{name}: was cut to {} bytes after {offset} were read; read from its beginning",
                    metadata.stamp.size
                )
            }
            _ => format!(
                "{name}: is another file now, and what was read up to {offset} bytes is not beside it: its rest is lost"
            ),
        }
    }
}

/// An input that is to be read, and from where.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The input.
    pub input: Input,
    /// Its inode; `None` for what is not a file, or cannot be looked at.
    pub inode: Option<Inode>,
    /// What was read of it.
    pub fingerprint: Fingerprint,
    /// Where to read on.
    pub position: Position,
    /// Whether some of it was read by a run before.
    pub known: bool,
}

impl Planned {
    /// An input that is read from its beginning.
    pub fn whole(input: Input, files: &dyn FileSystem) -> Self {
        let inode = input.path().and_then(|path| files.inode(path));
        Self { input, inode, fingerprint: Fingerprint::default(), position: Position::default(), known: false }
    }

    /// The same, read on from where it was left.
    pub fn from(self, fingerprint: Fingerprint, position: Position) -> Self {
        Self { fingerprint, position, known: true, ..self }
    }

    /// What is to be remembered of a file that has been processed up to `position`.
    pub fn saved(&self, position: Position, ended: Option<Stamp>, world: &World) -> Option<Saved> {
        let path = self.input.path()?.to_owned();
        Some(Saved {
            path,
            inode: self.inode?,
            fingerprint: self.fingerprint,
            position,
            ended,
            there: world.clock.unix_seconds(),
        })
    }
}

/// What is to be read, and what is known besides.
pub struct Plan {
    /// The inputs, each with the place to read it from.
    pub inputs: Vec<Planned>,
    /// What is known of files that need no reading, or are not there now.
    pub known: Vec<Saved>,
    /// What somebody should know.
    pub warnings: Vec<String>,
}

/// What is to be read of inputs, where `saved` is known of what was read before. `own` are files that this run writes.
/// With `follow`, what cannot be told yet is told while they are followed.
///
/// A file that is gone from its name is looked for in its folder, and read to its end before the one that has its name now.
pub fn plan(inputs: Vec<Input>, saved: Vec<Saved>, own: &HashSet<Inode>, follow: bool, world: &World) -> Plan {
    let files = &*world.files;
    let mut planned: Vec<_> = inputs.into_iter().map(|input| Planned::whole(input, files)).collect();
    let mut planner = Planner::new(saved, world);
    let mut found: Vec<_> = planned.iter_mut().map(|input| planner.same(input)).collect();
    let heads = HeadIndex::new(planner.all(&planned).into_iter());
    for (input, found) in planned.iter_mut().zip(&mut found).filter(|(_, found)| **found == Progress::New) {
        let Some(path) = input.input.path() else { continue };
        // An unreadable file is reported when it is read.
        let of = match heads.copied_by(files, path).unwrap_or(Copied::Nothing) {
            Copied::Of(of) => of,
            // A file that was truncated begins like itself.
            Copied::Begun { of, may_become } if may_become.iter().all(|at| planner.had_inode(*at, input.inode)) => of,
            Copied::Begun { .. } => {
                planner.warnings.extend((!follow).then(|| format!("{}: {BEGUN}", path.display())));
                *found = Progress::Left;
                continue;
            }
            Copied::TooShort if follow => {
                *found = Progress::Left;
                continue;
            }
            Copied::TooShort | Copied::Nothing => continue,
        };
        // Only the file of which the most was read counts: the others are what it was before.
        let Some((best, _)) = of.first() else { continue };
        if let Some(saved) = best.and_then(|at| planner.saved.get_mut(at)?.take()) {
            *input = input.clone().from(saved.fingerprint, saved.position);
            *found = Progress::GoesOn;
        } else {
            // Another input is that file, or is a copy that goes on with it.
            let why = "is a copy of a file that is there, too: left until that one is gone";
            planner.warnings.extend((!follow).then(|| format!("{}: {why}", path.display())));
            *found = Progress::Left;
        }
    }
    if follow {
        // Of new files that begin alike, one is begun: what the others are is known once it has been read.
        let mut new = HashSet::new();
        for (input, found) in planned.iter().zip(&mut found).filter(|(_, found)| **found == Progress::New) {
            let beginning = input.input.path().and_then(|path| beginning(files, path).ok()).unwrap_or_default();
            if beginning.len() as u64 >= MIN_TELLING && !new.insert(crc32fast::hash(&beginning)) {
                *found = Progress::Left;
            }
        }
    }
    let mut rotated = planner.rotated(&planned, own);
    let mut inputs = Vec::new();
    for (input, found) in planned.into_iter().zip(found) {
        inputs.extend(input.input.path().and_then(|path| rotated.remove(path)).into_iter().flatten());
        if matches!(found, Progress::New | Progress::GoesOn) {
            inputs.push(input);
        }
    }
    // What is no input now may become one again, or be looked for once another file has its name.
    planner.known.extend(planner.saved.into_iter().flatten());
    planner.known.retain_mut(|saved| saved.keep(world));
    Plan { inputs, known: planner.known, warnings: planner.warnings }
}

/// What is known of an input.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    New,
    /// Some of it was read.
    GoesOn,
    /// All of it was read.
    Done,
    /// It is not to be read yet.
    Left,
}

struct Planner<'w> {
    world: &'w World,
    /// Those that have been found are taken out.
    saved: Vec<Option<Saved>>,
    /// One inode may have held several files.
    by_inode: HashMap<Inode, Vec<usize>>,
    /// Those whose file has lost what was read of it.
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

    /// Whether the file at a place had this inode: not another file that has it now.
    fn had_inode(&self, place: Option<usize>, inode: Option<Inode>) -> bool {
        let saved = place.and_then(|at| self.saved.get(at)?.as_ref());
        saved.is_some_and(|saved| Some(saved.inode) == inode)
    }

    /// Has an input go on that was read under its inode.
    fn same(&mut self, input: &mut Planned) -> Progress {
        let Some((path, metadata)) =
            input.input.path().and_then(|path| Some((path, self.world.files.metadata(path).ok()?)))
        else {
            return Progress::New;
        };
        let places = self.by_inode.get(&metadata.inode).cloned().unwrap_or_default();
        let (mut found, mut unreadable) = (None, None);
        for at in places.iter().copied() {
            let Some(Some(saved)) = self.saved.get(at) else { continue };
            match goes_on(&*self.world.files, path, &metadata, saved) {
                // The inode may have held the beginning of the same content before.
                Ok(true) => {
                    found = found.max(Some((saved.ended == Some(metadata.stamp), saved.fingerprint.length, at)))
                }
                Ok(false) => {}
                // A file that cannot be read at the moment is not another file for that: it is what the inode held last.
                Err(_) => unreadable = Some(at),
            }
        }
        let found = found.map(|(.., at)| at).or(unreadable);
        let found = found.and_then(|at| self.saved.get_mut(at)?.take());
        // What else was read under the inode is not there any more.
        self.emptied.extend(places);
        let Some(saved) = found else { return Progress::New };
        if saved.ended == Some(metadata.stamp) {
            self.known.push(Saved { path: path.to_owned(), ..saved });
            return Progress::Done;
        }
        *input = input.clone().from(saved.fingerprint, saved.position);
        Progress::GoesOn
    }

    /// All that was read, with its place where the file is not there under its name, or is another one now: a copy of it
    /// is read on.
    fn all(&self, inputs: &[Planned]) -> Vec<(Fingerprint, Option<usize>)> {
        let saved = self.saved.iter().enumerate().filter_map(|(at, saved)| Some((at, saved.as_ref()?)));
        let is_gone = |at: &usize, saved: &Saved| self.emptied.contains(at) || !saved.is_there(&*self.world.files);
        let saved = saved.map(|(at, saved)| (saved.fingerprint, Some(at).filter(|at| is_gone(at, saved))));
        let there = self.known.iter().map(|saved| saved.fingerprint);
        let there = there.chain(inputs.iter().filter(|input| input.known).map(|input| input.fingerprint));
        // Of two that are equally long, the one that exists comes first.
        there.map(|fingerprint| (fingerprint, None)).chain(saved).collect()
    }

    /// The files that had the names of inputs before, by name, with the oldest first.
    fn rotated(&mut self, inputs: &[Planned], own: &HashSet<Inode>) -> HashMap<PathBuf, Vec<Planned>> {
        let there = inputs.iter().filter_map(|input| Some((input.input.path()?, input.inode?)));
        let (names, mut not_these): (HashSet<_>, HashSet<_>) = there.unzip();
        not_these.extend(own);
        // Of a file that has ended there is more only if it ended in the middle of a record.
        let has_more = |saved: &Saved| saved.ended.is_none() || saved.position.offset < saved.fingerprint.length;
        let is_replaced = |saved: &mut Saved| has_more(saved) && names.contains(&*saved.path);
        let mut replaced: Vec<_> = self.saved.iter_mut().filter_map(|place| place.take_if(is_replaced)).collect();
        replaced.sort_by_key(|saved| saved.there);
        let folders: HashSet<_> = replaced.iter().map(|saved| folder(&saved.path)).collect();
        let places: HashMap<_, _> = replaced.iter().enumerate().map(|(at, saved)| (saved.inode, at)).collect();
        let heads = HeadIndex::new(replaced.iter().enumerate().map(|(at, saved)| (saved.fingerprint, at)));
        let fs = &*self.world.files;
        let files = folders.iter().flat_map(|folder| fs.list(folder));
        let files = files.filter(|(_, metadata)| metadata.is_file && !not_these.contains(&metadata.inode));
        let (same, others): (Vec<_>, Vec<_>) = files.partition(|(path, metadata)| {
            let at = places.get(&metadata.inode).and_then(|at| replaced.get(*at));
            at.is_some_and(|saved| goes_on(fs, path, metadata, saved).unwrap_or(false))
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

/// Whether a file that has the inode of one that was read is the same one.
fn goes_on(files: &dyn FileSystem, path: &Path, metadata: &Metadata, saved: &Saved) -> io::Result<bool> {
    match saved.ended {
        Some(stamp) if stamp == metadata.stamp => Ok(true),
        // The inode lost this content: only the content itself says where it is now, if there is enough of it to tell.
        Some(stamp) if stamp == Stamp::default() && saved.fingerprint.length >= MIN_TELLING => Ok(false),
        // Another member may have come to a compressed file, or another file its inode.
        Some(_) => saved.fingerprint.is_of(files, path),
        None if !saved.fingerprint.begins(&beginning(files, path)?) => Ok(false),
        None => Ok(metadata.stamp.size >= saved.position.offset || !Source::open(files, path)?.plain),
    }
}
