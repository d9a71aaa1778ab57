//! Output files across restarts and rotations: a saved state marks how far each was written, and the next run finds the
//! file again, even if it was renamed or copied meanwhile, and removes what came after the mark.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tracing::{info, warn};

use catena_input::{folder, target};

use super::mark::{Mark, inode};
use crate::lock::Locks;

/// How to open an output file that may exist.
#[derive(Clone, Debug)]
pub enum Opening {
    /// Remove what it has.
    Overwrite,
    /// Continue at its end.
    Append,
    /// Continue where a saved state was taken. What was written later is removed, because it will be written again.
    Resume {
        mark: Mark,
        /// True if the run ended with that state, so that it wrote nothing later.
        is_final: bool,
    },
}

/// Opens an output for writing. A regular file is locked against other runs, and writes go to its end, wherever another
/// program cuts it.
pub fn open(output: &Path, opening: &Opening, locks: &Locks<'_>) -> io::Result<File> {
    // A pipe must not be opened for reading: then its reader could never be missed.
    if output.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return OpenOptions::new().write(true).open(output);
    }
    let file = OpenOptions::new().read(true).append(true).create(true).open(output)?;
    match locks.take(&file, output) {
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            let why = "another run writes it, or this one under another name";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, why));
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
        // Not every file system has locks; that is no reason not to write.
        _ => {}
    }
    match opening {
        Opening::Overwrite => file.set_len(0)?,
        Opening::Append => end_line(output, &file)?,
        Opening::Resume { mark, is_final } => {
            let inode = inode(&file.metadata()?);
            if mark.inode.is_none_or(|marked| marked == inode) && mark.is_in(&file)? {
                match is_final {
                    false => file.set_len(mark.length)?,
                    // What came later is not of the run that the mark is of.
                    true if file.metadata()?.len() > mark.length => end_line(output, &file)?,
                    true => {}
                }
            } else {
                roll_back(output, &file, mark, *is_final)?;
                end_line(output, &file)?;
            }
            if !is_final {
                put_aside(output, mark)?;
            }
        }
    }
    Ok(file)
}

/// Removes what was written after the mark, from an output that was rotated or cut since and from the file that it was
/// before.
fn roll_back(output: &Path, file: &File, mark: &Mark, is_final: bool) -> io::Result<()> {
    let name = output.display();
    let metadata = file.metadata()?;
    match rotated(output, &metadata, mark)? {
        Some((path, before)) => {
            let rest = before.metadata()?.len() - mark.length;
            info!("{name}: what was written to it before is in {}", path.display());
            if rest > 0 && !is_final {
                before.set_len(mark.length)?;
                info!("{}: removed {rest} bytes that are written again, to {name}", path.display());
            }
        }
        None if is_final => info!("{name}: the file written before is gone; continuing in the one that has its name"),
        None => warn!(
            "{name}: had {} bytes when the state was saved, and no file in its folder has them now: what was written to \
             it since is written again",
            mark.length
        ),
    }
    // A file without the marked content, but with its inode, was cut. What it has since comes from the run that the
    // mark is of. States of format 3 do not tell.
    if mark.inode == Some(inode(&metadata)) && !is_final {
        info!("{name}: was cut to 0 bytes by another program; removed {} bytes that are written again", metadata.len());
        file.set_len(0)?;
    }
    Ok(())
}

/// Puts the files aside that have nothing but what is written again.
fn put_aside(output: &Path, mark: &Mark) -> io::Result<()> {
    for path in mark.later_files(output)? {
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".written-again");
        info!("{}: put aside as {}: all of it is written again", path.display(), name.display());
        fs::rename(&path, path.with_file_name(name))?;
    }
    Ok(())
}

/// The file in the output's folder that holds what had been written to it: the file itself under another name, or a
/// copy.
fn rotated(output: &Path, current: &fs::Metadata, mark: &Mark) -> io::Result<Option<(PathBuf, File)>> {
    let mut copy = None;
    for entry in fs::read_dir(folder(&target(output)))?.flatten() {
        let path = entry.path();
        let Ok(metadata) = path.metadata() else { continue };
        if !metadata.is_file() || inode(&metadata) == inode(current) || metadata.len() < mark.length {
            continue;
        }
        let Ok(file) = OpenOptions::new().read(true).write(true).open(&path) else { continue };
        if !mark.is_in(&file).unwrap_or(false) {
            continue;
        }
        if mark.inode == Some(inode(&metadata)) {
            return Ok(Some((path, file)));
        }
        if mark.tells_copies() {
            copy = Some((path, file));
        }
    }
    Ok(copy)
}

/// Ends a line that a crash has cut, so that what follows begins on a line of its own.
fn end_line(output: &Path, mut file: &File) -> io::Result<()> {
    let length = file.metadata()?.len();
    let mut last = [b'\n'];
    if length > 0 {
        file.read_exact_at(&mut last, length - 1)?;
    }
    if last != *b"\n" {
        warn!("{}: ends in the middle of a line; continuing on the next", output.display());
        file.write_all(b"\n")?;
    }
    Ok(())
}
