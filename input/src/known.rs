//! What a run remembers of inputs that are not open.

use std::collections::HashMap;
use std::path::Path;

use super::world::{Inode, Stamp, World};
use super::{Planned, Saved};

/// So many files that one inode has held are remembered.
const MAX_OF_AN_INODE: usize = 8;

/// Files that have been read to their end, have not been begun, or are not there. One inode may have held several: of those
/// that are gone a copy may come.
#[derive(Debug, Default)]
pub struct Known {
    files: HashMap<Inode, Vec<Saved>>,
}

impl Known {
    /// Remembers these.
    pub fn new(files: impl Iterator<Item = Saved>) -> Self {
        let mut known = Self::default();
        files.for_each(|saved| known.add(saved));
        known
    }

    /// Remembers one more.
    pub fn add(&mut self, saved: Saved) {
        let files = self.files.entry(saved.inode).or_default();
        files.push(saved);
        let forgotten = files.len().saturating_sub(MAX_OF_AN_INODE);
        files.drain(..forgotten);
    }

    /// An input is begun: what is known of it is remembered with it from now on.
    pub fn take(&mut self, input: &Planned) {
        if let Some(files) = input.inode.filter(|_| input.known).and_then(|inode| self.files.get_mut(&inode)) {
            files.retain(|saved| saved.fingerprint != input.fingerprint);
        }
    }

    /// A file has another name.
    pub fn rename(&mut self, inode: Inode, path: &Path) {
        let files = self.files.get_mut(&inode).into_iter().flatten();
        // The others are not what is there now.
        for saved in files.filter(|saved| saved.ended.is_some_and(|stamp| stamp != Stamp::default())) {
            path.clone_into(&mut saved.path);
        }
    }

    /// Forgets what has not been there for long.
    pub fn forget_old(&mut self, world: &World) {
        self.files.retain(|_, files| {
            files.retain_mut(|saved| saved.keep(world));
            !files.is_empty()
        });
    }

    /// All that is remembered.
    pub fn all(&self) -> impl Iterator<Item = &Saved> {
        self.files.values().flatten()
    }
}
