//! Where to go on in inputs that have been read before: files are renamed, compressed, cut and replaced meanwhile.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::source::{Head, Inode};
use super::{Input, source};
use crate::program::framing::Position;

/// What is known of an input that has been read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Its name then.
    pub path: PathBuf,
    /// Its place in the file system then.
    pub inode: Inode,
    /// How it begins.
    pub head: Head,
    /// How far it has been processed.
    pub position: Position,
    /// Whether it was read to its end, and there can be no more of it.
    pub ended: bool,
}

impl Saved {
    /// Whether the file is still there under its name.
    pub fn is_there(&self) -> bool {
        self.path.metadata().is_ok_and(|metadata| Inode::from(&metadata) == self.inode)
    }
}

/// An input that is to be read, and from where.
#[derive(Clone, Debug)]
pub struct Planned {
    pub input: Input,
    /// `None` for what is no file, or cannot be looked at.
    pub inode: Option<Inode>,
    pub head: Head,
    pub position: Position,
}

impl Planned {
    /// An input that is read from its beginning.
    pub fn whole(input: Input) -> Self {
        let metadata = input.path().and_then(|path| path.metadata().ok());
        let inode = metadata.as_ref().map(Inode::from);
        Self { input, inode, head: Head::default(), position: Position::default() }
    }

    /// What is known of it, if it was read before.
    pub fn saved(&self) -> Option<Saved> {
        if self.position == Position::default() { None } else { self.saved_at(self.position, false) }
    }

    /// What is to be remembered of a file that has been processed up to `position`.
    pub fn saved_at(&self, position: Position, ended: bool) -> Option<Saved> {
        let path = self.input.path()?.to_owned();
        Some(Saved { path, inode: self.inode?, head: self.head, position, ended })
    }

    fn from(self, saved: &Saved) -> Self {
        Self { head: saved.head, position: saved.position, ..self }
    }
}

/// What is to be read of inputs, where `saved` is known of what was read before. Then what is known and needs no reading,
/// and what somebody should know.
///
/// A file is the one that was read before where its inode and its beginning are the same, or where its beginning is and
/// that file is gone. A file that is gone from its name is looked for in its folder, and read to its end first.
pub fn plan(inputs: Vec<Input>, saved: Vec<Saved>) -> (Vec<Planned>, Vec<Saved>, Vec<String>) {
    let mut planned: Vec<_> = inputs.into_iter().map(|input| (Planned::whole(input), false)).collect();
    let mut plan = Plan::new(saved);
    for take in [Plan::take_same, Plan::take_moved] {
        for (input, known) in planned.iter_mut().filter(|(_, known)| !known) {
            if let Some(saved) = take(&mut plan, input) {
                *known = true;
                plan.go_on(input, saved);
            }
        }
    }
    let done: HashSet<_> = plan.done.iter().map(|saved| saved.inode).collect();
    let mut list = Vec::new();
    for (input, known) in planned {
        for saved in plan.take_of_name(&input) {
            list.extend(plan.rotated(&saved));
        }
        if !known || input.inode.is_none_or(|inode| !done.contains(&inode)) {
            list.push(input);
        }
    }
    // What is no input any more may become one again, or be looked for once another file has its name.
    let left: Vec<_> = plan.saved.into_iter().flatten().filter(|saved| !saved.ended).collect();
    let folders: HashSet<_> = left.iter().map(|saved| folder(&saved.path)).collect();
    let files = folders.into_iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let there: HashSet<_> = files.filter_map(|file| file.metadata().ok()).map(|file| Inode::from(&file)).collect();
    plan.done.extend(left.iter().filter(|saved| there.contains(&saved.inode)).cloned());
    (list, plan.done, plan.warnings)
}

struct Plan {
    /// Those that have been found are taken out.
    saved: Vec<Option<Saved>>,
    by_inode: HashMap<Inode, usize>,
    by_name: HashMap<PathBuf, Vec<usize>>,
    /// Those whose file has another name now, or is not there.
    gone: Vec<usize>,
    done: Vec<Saved>,
    warnings: Vec<String>,
}

impl Plan {
    fn new(saved: Vec<Saved>) -> Self {
        let mut by_name: HashMap<PathBuf, Vec<usize>> = HashMap::new();
        for (at, saved) in saved.iter().enumerate() {
            by_name.entry(saved.path.clone()).or_default().push(at);
        }
        let of_inode = |(at, saved): (usize, &Saved)| (saved.inode, at);
        let gone = saved.iter().enumerate().filter(|(_, saved)| saved.head.is_telling() && !saved.is_there());
        Self {
            by_inode: saved.iter().enumerate().map(of_inode).collect(),
            by_name,
            gone: gone.map(|(at, _)| at).collect(),
            saved: saved.into_iter().map(Some).collect(),
            done: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn take_if(&mut self, at: usize, is_it: impl Fn(&Saved) -> bool) -> Option<Saved> {
        let place = self.saved.get_mut(at)?;
        if place.as_ref().is_some_and(is_it) { place.take() } else { None }
    }

    fn take_same(&mut self, input: &Planned) -> Option<Saved> {
        let at = *self.by_inode.get(&input.inode?)?;
        self.take_if(at, |saved| is_same(input, saved))
    }

    /// A file that is a copy of one that was read, such as a compressed one.
    fn take_moved(&mut self, input: &Planned) -> Option<Saved> {
        let path = input.input.path()?;
        (0..self.gone.len()).find_map(|at| self.take_if(*self.gone.get(at)?, |saved| saved.head.is_of(path)))
    }

    fn take_of_name(&mut self, input: &Planned) -> Vec<Saved> {
        let places = input.input.path().and_then(|path| self.by_name.remove(path)).unwrap_or_default();
        places.into_iter().filter_map(|at| self.take_if(at, |_| true)).collect()
    }

    /// Has an input go on where it was left.
    fn go_on(&mut self, input: &mut Planned, saved: Saved) {
        let length = input.input.path().and_then(|path| path.metadata().ok()).map_or(0, |metadata| metadata.len());
        if saved.ended {
            *input = input.clone().from(&saved);
            self.done.push(Saved { inode: input.inode.unwrap_or(saved.inode), ..saved });
        } else if input.input.path().is_some_and(is_plain) && length < saved.position.offset {
            let (name, offset) = (input.input.name(), saved.position.offset);
            self.warnings
                .push(format!("{name}: was cut to {length} bytes after {offset} were read; read from its beginning"));
        } else {
            *input = input.clone().from(&saved);
        }
    }

    /// The file that had a name before another came to have it.
    fn rotated(&mut self, saved: &Saved) -> Option<Planned> {
        if saved.ended {
            return None;
        }
        let files = std::fs::read_dir(folder(&saved.path)).into_iter().flatten().flatten();
        let files =
            files.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()) && entry.path() != saved.path);
        let mut others: Vec<_> = files.map(|entry| Planned::whole(Input::File(entry.path()))).collect();
        others.sort_by_key(|other| (other.inode != Some(saved.inode), other.input.name()));
        let is_it = |other: &Planned| {
            let is_copy = || saved.head.is_telling() && other.input.path().is_some_and(|path| saved.head.is_of(path));
            is_same(other, saved) || is_copy()
        };
        let found = others.into_iter().find(is_it);
        if found.is_none() {
            let (name, offset) = (saved.path.display(), saved.position.offset);
            self.warnings.push(format!(
                "{name}: is another file now, and what was read up to {offset} bytes is not beside it: its rest is lost"
            ));
        }
        found.map(|found| found.from(saved))
    }
}

fn is_same(input: &Planned, saved: &Saved) -> bool {
    input.inode == Some(saved.inode) && input.input.path().is_some_and(|path| saved.head.is_of(path))
}

fn folder(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn is_plain(path: &Path) -> bool {
    source::Source::open(path).is_ok_and(|source| source.plain)
}
