//! What a run is told to read: folders, and files by name, whose rotations belong to them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::folder;
use super::rotation::is_rotation;
use super::world::{FileSystem, Inode, World};

/// What a run is told to read.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    /// Files and folders; `-` for the standard input.
    pub paths: Vec<PathBuf>,
    named: Vec<Named>,
}

/// A file that is an input by its name. What rotates away from the name stays an input: a run may be down, or behind, when
/// that happens. Older rotations are none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    path: PathBuf,
    /// When a run first read it, in ns since 1970.
    since: i64,
    /// The inode that it had then; `None` if it did not exist.
    inode: Option<Inode>,
}

impl Arguments {
    /// Files as they are, without rotations, and folders.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths, named: Vec::new() }
    }

    /// Files with what rotates away from their names from now on, or since the run that first read them: `known` is what that
    /// run saved.
    pub fn with_rotations(paths: Vec<PathBuf>, known: &[Named], world: &World) -> Self {
        let is_named = |path: &Path| match world.files.metadata(path) {
            Ok(metadata) => metadata.is_file,
            // Its folder may be missing as well; it is looked for from now on.
            Err(_) => path.as_os_str() != "-",
        };
        let since = world.clock.unix_nanos();
        let named = |path: &PathBuf| match known.iter().find(|known| known.path == *path) {
            Some(known) => known.clone(),
            None => Named { path: path.clone(), since, inode: world.files.inode(path) },
        };
        let named = paths.iter().filter(|path| is_named(path)).map(named).collect();
        Self { paths, named }
    }

    /// What a later run must know about the named files.
    pub fn named(&self) -> &[Named] {
        &self.named
    }

    /// The rotations of a named file that are inputs, the oldest first.
    pub(super) fn rotations(&self, files: &dyn FileSystem, path: &Path) -> Vec<PathBuf> {
        let Some(named) = self.named.iter().find(|named| named.path == path) else { return Vec::new() };
        let target = files.target(path);
        let Some(name) = target.file_name() else { return Vec::new() };
        let listed = files.list(folder(&target)).into_iter();
        let mut rotations: Vec<_> = listed
            .filter(|(path, metadata)| {
                let is_later = metadata.stamp.modified >= named.since || named.inode == Some(metadata.inode);
                metadata.is_file && is_later && path.file_name().is_some_and(|found| is_rotation(name, found))
            })
            .map(|(path, metadata)| (metadata.stamp.modified, path))
            .collect();
        rotations.sort();
        rotations.into_iter().map(|(_, path)| path).collect()
    }
}
