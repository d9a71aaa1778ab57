//! The files that a run writes and must not read, even if they are in a folder that it reads.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::folder;
use crate::rotation::is_rotation;
use crate::world::{FileSystem, Inode};

/// The outputs of a run: by inode, and by name, because a rotation renames or copies them. Also its state, spool and journal.
#[derive(Clone, Debug, Default)]
pub struct Own {
    inodes: HashSet<Inode>,
    /// The folder and the name of each.
    names: Vec<(PathBuf, OsString)>,
    /// Folders of which everything is its own, as paths below the arguments.
    folders: Vec<PathBuf>,
}

impl Own {
    /// The files at these paths. Call it once they exist.
    pub fn new<'p>(paths: impl Iterator<Item = &'p Path>, files: &dyn FileSystem) -> Self {
        let mut own = Self::default();
        for path in paths {
            own.inodes.extend(files.inode(path));
            // A rotation renames the file, not a link to it.
            let path = files.target(path);
            let name = path.file_name().map(OsStr::to_owned);
            own.names.extend(name.map(|name| (files.canonical(folder(&path)), name)));
        }
        own
    }

    /// The same, and everything in `folders`, as it is found through the arguments.
    pub fn with_folders<'p>(
        mut self,
        folders: impl Iterator<Item = &'p Path>,
        arguments: &[PathBuf],
        files: &dyn FileSystem,
    ) -> Self {
        for folder in folders.map(|folder| files.canonical(folder)) {
            let below = |argument: &PathBuf| match folder.strip_prefix(files.canonical(argument)) {
                Ok(rest) if rest.as_os_str().is_empty() => Some(argument.clone()),
                Ok(rest) => Some(argument.join(rest)),
                Err(_) => None,
            };
            self.folders.extend(arguments.iter().filter_map(below));
        }
        self
    }

    /// The same, and files that were outputs of an earlier run.
    pub fn with_inodes(mut self, inodes: impl Iterator<Item = Inode>) -> Self {
        self.inodes.extend(inodes);
        self
    }

    /// True for an output, under its name or under one that a rotation gives it (`findings.ndjson.1`,
    /// `findings.ndjson-20260105.gz`).
    pub fn has(&self, path: &Path, inode: Inode, files: &dyn FileSystem) -> bool {
        if self.inodes.contains(&inode) || self.folders.iter().any(|folder| path.starts_with(folder)) {
            return true;
        }
        let Some(name) = path.file_name() else { return false };
        let is_named = |own: &OsStr| own == name || is_rotation(own, name);
        self.names.iter().any(|(place, own)| is_named(own) && files.canonical(folder(path)) == *place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::World;

    #[test]
    fn an_output_is_known_by_its_inode_and_under_the_names_of_its_rotations() {
        let (place, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let files = World::real().files;
        let output = place.path().join("out.ndjson");
        std::fs::write(&output, "").expect("it is written");
        std::fs::hard_link(&output, other.path().join("link")).expect("it is linked");
        let own = Own::new([&*output].into_iter(), &*files);
        let none = Inode { device: 0, inode: 0 };
        for (folder, name, expected) in [
            (&place, "out.ndjson", true),
            (&place, "out.ndjson.1", true),
            (&place, "out.ndjson-20260105.gz", true),
            (&place, "out.ndjsonl", false),
            // Regression: another file whose name begins alike was taken for a rotation.
            (&place, "out.ndjson.records.ndjson", false),
            (&place, "in.ndjson", false),
            (&other, "out.ndjson.1", false),
        ] {
            assert_eq!(own.has(&folder.path().join(name), none, &*files), expected, "{name}");
        }
        let link = other.path().join("link");
        assert!(own.has(&link, files.inode(&link).expect("it exists"), &*files));
    }
}
