//! What a run remembers about inputs that are not open.

use std::collections::HashMap;
use std::path::Path;

use super::world::{Inode, Stamp, World};
use super::{Planned, Saved};

/// Maximum number of files remembered per inode.
const MAX_OF_AN_INODE: usize = 8;

/// Files that have been read to their end, have not been started, or do not exist. One inode may have held several; a
/// copy of one that is gone may still appear.
#[derive(Debug, Default)]
pub struct Known {
    files: HashMap<Inode, Vec<Saved>>,
}

impl Known {
    /// Remembers all of `files`.
    pub fn new(files: impl Iterator<Item = Saved>) -> Self {
        let mut known = Self::default();
        files.for_each(|saved| known.add(saved));
        known
    }

    /// Remembers a file. Per inode, the oldest entries are dropped.
    pub fn add(&mut self, saved: Saved) {
        let files = self.files.entry(saved.inode).or_default();
        files.push(saved);
        let forgotten = files.len().saturating_sub(MAX_OF_AN_INODE);
        files.drain(..forgotten);
    }

    /// Forgets an input that begins: the session keeps track of it from now on.
    pub fn take(&mut self, input: &Planned) {
        let Some(inode) = input.inode.filter(|_| input.known) else { return };
        let files = self.files.get_mut(&inode);
        let is_here =
            files.is_some_and(|files| files.extract_if(.., |saved| saved.fingerprint == input.fingerprint).count() > 0);
        if !is_here {
            // It is a copy. It replaces what it is a copy of, if that lost its content: the rest is read only once.
            let is_lost = |saved: &Saved| saved.ended == Some(Stamp::default());
            for files in self.files.values_mut() {
                files.retain(|saved| saved.fingerprint != input.fingerprint || !is_lost(saved));
            }
        }
    }

    /// Forgets a file.
    pub fn remove(&mut self, path: &Path) {
        self.files.retain(|_, files| {
            files.retain(|saved| saved.path != path);
            !files.is_empty()
        });
    }

    /// Updates the name of a file.
    pub fn rename(&mut self, inode: Inode, path: &Path) {
        let files = self.files.get_mut(&inode).into_iter().flatten();
        // The other entries are earlier contents of the inode.
        for saved in files.filter(|saved| saved.ended.is_some_and(|stamp| stamp != Stamp::default())) {
            path.clone_into(&mut saved.path);
        }
    }

    /// Forgets files that have not existed for a week.
    pub fn forget_old(&mut self, world: &World) {
        self.files.retain(|_, files| {
            files.retain_mut(|saved| saved.keep(world));
            !files.is_empty()
        });
    }

    /// All remembered files.
    pub fn all(&self) -> impl Iterator<Item = &Saved> {
        self.files.values().flatten()
    }
}
