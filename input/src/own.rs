//! The files that a run writes and must not read, even if they are in a folder that it reads.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::folder;
use crate::world::{FileSystem, Inode};

/// The outputs of a run: by inode, and by name, because a rotation renames or copies them.
#[derive(Clone, Debug, Default)]
pub struct Own {
    inodes: HashSet<Inode>,
    /// The folder and the name of each.
    names: Vec<(PathBuf, OsString)>,
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

    /// True for an output, under its name or under one that a rotation gives it (`findings.ndjson.1`,
    /// `findings.ndjson-20260105.gz`).
    pub fn has(&self, path: &Path, inode: Inode, files: &dyn FileSystem) -> bool {
        if self.inodes.contains(&inode) {
            return true;
        }
        let Some(name) = path.file_name() else { return false };
        self.names.iter().any(|(place, own)| is_rotation(own, name) && files.canonical(folder(path)) == *place)
    }
}

/// True if a file called `found` may be a rotation of one called `name`, or that file itself.
pub fn is_rotation(name: &OsStr, found: &OsStr) -> bool {
    let rest = found.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'.' | b'-')))
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
            (&place, "in.ndjson", false),
            (&other, "out.ndjson.1", false),
        ] {
            assert_eq!(own.has(&folder.path().join(name), none, &*files), expected, "{name}");
        }
        let link = other.path().join("link");
        assert!(own.has(&link, files.inode(&link).expect("it exists"), &*files));
    }
}
