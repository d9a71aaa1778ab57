//! What a file is that is not followed: one that goes on, a copy, or a new one.

use std::collections::hash_map::Entry;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::debug;

use super::{Closed, Followed, Follower};
use crate::framing::Position;
use crate::identity::{BEGUN, Copied, Fingerprint, HeadIndex, MIN_TELLING, beginning, whole_of};
use crate::world::{FileSystem, Inode, Stamp};
use crate::{InputEvent, Saved};

/// How long a file may be unchanged that begins like another and has less, before it is taken for one of its own.
const ALIKE: Duration = Duration::from_secs(5);

/// The same for one that is too short to tell whether it begins so.
const SHORT: Duration = Duration::from_secs(2);

/// Comparing files may take so large a part of the time, as a divisor.
const COMPARE_SHARE: u32 = 10;

/// A file that has been read to its end.
#[derive(Clone, Debug)]
pub struct Ended {
    pub path: PathBuf,
    pub stamp: Stamp,
    pub fingerprint: Fingerprint,
    pub position: Position,
}

impl Ended {
    /// A file that is followed, as far as it has been read.
    pub fn of(file: &Followed, stamp: Stamp) -> Self {
        Self { path: file.path.clone(), stamp, fingerprint: file.fingerprint, position: file.position }
    }
}

impl From<&Saved> for Ended {
    fn from(saved: &Saved) -> Self {
        let Saved { path, fingerprint, position, .. } = saved.clone();
        Self { path, stamp: saved.ended.unwrap_or_default(), fingerprint, position }
    }
}

/// A file that has been compared with others, and is compared again when it changes.
pub struct Held {
    stamp: Stamp,
    since: Duration,
    /// How long it may be unchanged before it is read; `None` where it is compared again first.
    patience: Option<Duration>,
    /// Until when it is left alone: comparing takes time.
    rests: Duration,
}

/// What a file is.
#[derive(Debug)]
pub enum Judgement {
    /// One that goes on, or a copy that is read on, from where that was left.
    GoesOn(Ended),
    /// A copy of one that is followed and is read on there.
    CopyOf(Ended),
    New,
    /// It begins like one of which more was read, and may become its copy.
    Begun,
    /// It is too short to tell whether it begins so.
    Short,
    /// It is left alone for now.
    Left,
}

/// What was read, and of what is followed on how many bytes more there are.
pub type Copies = HeadIndex<(Ended, Option<u64>)>;

impl Follower {
    /// What a file is. `copies` are made of what has been read once they are needed.
    pub(super) fn look_into(
        &mut self,
        path: &Path,
        inode: Inode,
        stamp: Stamp,
        copies: &mut Option<Copies>,
    ) -> Result<Judgement, Closed> {
        let held = self.held.get(&inode);
        if held.is_some_and(|held| held.rests > self.world.clock.now()) {
            return Ok(Judgement::Left);
        }
        let settled = match held
            .map(|held| (held.patience, held.stamp == stamp, self.world.clock.now().saturating_sub(held.since)))
        {
            // One that grows by little would be waited for long.
            Some((Some(SHORT), _, since)) if since >= SHORT => true,
            Some((Some(patience), true, since)) if since < patience => return Ok(Judgement::Left),
            Some((Some(_), unchanged, _)) => unchanged,
            _ => false,
        };
        let since = held.filter(|held| held.patience == Some(SHORT) || held.stamp == stamp).map(|held| held.since);
        let began = self.world.clock.now();
        let judged = self.judge(path, inode, copies, settled);
        debug!("{}: {judged:?}", path.display());
        let (patience, what) = match &judged {
            Ok(Judgement::CopyOf(_)) => (None, "is a copy of what was read before".to_owned()),
            Ok(Judgement::GoesOn(_)) => (None, "goes on with what was read before".to_owned()),
            Ok(Judgement::Begun) => (Some(ALIKE), BEGUN.to_owned()),
            Ok(Judgement::Short) => (Some(SHORT), String::new()),
            Ok(Judgement::New | Judgement::Left) => (None, String::new()),
            Err(error) => (None, format!("cannot be read, and is tried again: {error}")),
        };
        let now = self.world.clock.now();
        let held = Held { stamp, since: since.unwrap_or(now), patience, rests: now + (now - began) * COMPARE_SHARE };
        if self.held.insert(inode, held).is_none() && !what.is_empty() {
            self.send(InputEvent::Warning(format!("{}: {what}", path.display())))?;
        }
        Ok(judged.unwrap_or(Judgement::Left))
    }

    /// What a file is by all that has been read. `settled` where it has been waited for long enough.
    fn judge(&self, path: &Path, inode: Inode, copies: &mut Option<Copies>, settled: bool) -> io::Result<Judgement> {
        let copied = copies.get_or_insert_with(|| self.copies()).copied_by(&*self.world.files, path)?;
        // Too little was read of it to be found as a copy, but the inode says that it is the same file, unless that was
        // reused or the content replaced.
        if !matches!(copied, Copied::Of(_))
            && let Some(ended) = self.ended.get(&inode)
            && ended.fingerprint.is_of(&*self.world.files, path)?
        {
            return Ok(Judgement::GoesOn(ended.clone()));
        }
        Ok(match copied {
            Copied::Of(of) => copy_of(of, settled),
            Copied::Begun { .. } if !settled => Judgement::Begun,
            // A copy of one that has grown since.
            Copied::Begun { of, may_become } => {
                let older = may_become.iter().find_map(|(ended, _)| older(&*self.world.files, path, ended));
                older.unwrap_or_else(|| copy_of(of, settled))
            }
            Copied::TooShort if !settled => Judgement::Short,
            Copied::TooShort | Copied::Nothing => Judgement::New,
        })
    }

    /// Whether a file that is new begins like one that has just been begun: what it is, is known once that has been read. If
    /// it does not, it is about to be begun.
    pub(super) fn is_like_unread(&mut self, path: &Path) -> bool {
        let files = &self.files;
        self.unread.retain(|_, id| files.get(id).is_some_and(|file| file.fingerprint.length < MIN_TELLING));
        let Ok(beginning) = beginning(&*self.world.files, path) else { return false };
        if (beginning.len() as u64) < MIN_TELLING {
            return false;
        }
        match self.unread.entry(crc32fast::hash(&beginning)) {
            Entry::Occupied(_) => true,
            Entry::Vacant(place) => {
                place.insert(self.next + 1);
                false
            }
        }
    }

    fn copies(&self) -> Copies {
        let ended = self.ended.values().chain(&self.gone).map(|ended| (ended.fingerprint, (ended.clone(), None)));
        let followed = self.files.values();
        let followed =
            followed.map(|file| (file.fingerprint, (Ended::of(file, Stamp::default()), Some(file.backlog()))));
        // Of two that are equally long, the one that is followed comes first.
        HeadIndex::new(followed.chain(ended))
    }
}

/// What a copy is of these files, the one first of which the most was read.
fn copy_of(of: Vec<((Ended, Option<u64>), bool)>, settled: bool) -> Judgement {
    match of.into_iter().next() {
        // The rest of a followed file is read there, unless only the copy has it.
        Some(((ended, Some(backlog)), longer)) => match (backlog, longer) {
            (0, false) => Judgement::CopyOf(ended),
            (0, true) if settled => Judgement::GoesOn(ended),
            _ => Judgement::Begun,
        },
        Some(((ended, None), _)) => Judgement::GoesOn(ended),
        None => Judgement::New,
    }
}

/// A file of which all is in another one that is there, and was read there.
fn older(files: &dyn FileSystem, path: &Path, of: &Ended) -> Option<Judgement> {
    let (fingerprint, line_feeds) = whole_of(files, path, &of.path).ok()??;
    let position = Position::default().after(usize::try_from(fingerprint.length).ok()?, line_feeds);
    Some(Judgement::CopyOf(Ended { fingerprint, position, ..of.clone() }))
}
