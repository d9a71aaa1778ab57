//! Decides what a file that is not followed is: a known file that continues, a copy, or a new file.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::debug;

use super::{Closed, Followed, Follower};
use crate::framing::Position;
use crate::identity::{Copied, Fingerprint, HeadIndex, MIN_TELLING, POSSIBLE_COPY, telling_head, whole_of};
use crate::world::{FileSystem, Inode, Stamp};
use crate::{InputEvent, Saved};

/// How long a file with the same head as a known file, but fewer bytes, must be unchanged before it counts as a file of
/// its own.
const HOLD_PREFIX: Duration = Duration::from_secs(5);

/// How long to hold back a file that is too short to tell whether it begins like a known one.
const HOLD_SHORT: Duration = Duration::from_secs(2);

/// Share of the time that comparing may take, as a divisor: wait this many times as long as the last comparison took.
const COMPARE_SHARE: u32 = 10;

/// A file that has been read to its end.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its last known name.
    pub path: PathBuf,
    /// Its stamp at the end; the default if it lost its name or its content.
    pub stamp: Stamp,
    /// Checksums of what was read.
    pub fingerprint: Fingerprint,
    /// How far it has been emitted.
    pub position: Position,
}

impl Ended {
    /// A followed file, as far as it has been read.
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

/// A file that has been compared with the known files, and is compared again when it changes.
pub struct Held {
    stamp: Stamp,
    since: Duration,
    /// How long it must be unchanged before it is read. `None` if it is compared again first.
    hold_for: Option<Duration>,
    /// When it may be compared again: comparing takes time.
    retry_at: Duration,
    /// Why it cannot be read.
    pub(super) problem: Option<String>,
}

/// What a file that is not followed is.
#[derive(Debug)]
pub enum Judgement {
    /// A known file that continues, or a copy that continues where the original was left.
    Continues(Ended),
    /// A copy of a file whose content is read from the original; not read itself.
    CopyOf(Ended),
    /// A new file.
    New,
    /// Begins like a file of which more was read, and may become a copy of it.
    PossibleCopy,
    /// Too short to tell whether it begins like a known file.
    TooShort,
    /// Not decided yet: held back until a later scan.
    Deferred,
}

/// Everything that was read, and for each followed file the number of its unread bytes.
pub type Copies = HeadIndex<(Ended, Option<u64>)>;

impl Follower {
    /// Decides what a file is. `copies` is the index of known files; it is built on first use.
    pub(super) fn classify(
        &mut self,
        path: &Path,
        inode: Inode,
        stamp: Stamp,
        copies: &mut Option<Copies>,
    ) -> Result<Judgement, Closed> {
        let held = self.held.get(&inode);
        if held.is_some_and(|held| held.retry_at > self.world.clock.now()) {
            return Ok(Judgement::Deferred);
        }
        let settled = match held
            .map(|held| (held.hold_for, held.stamp == stamp, self.world.clock.now().saturating_sub(held.since)))
        {
            // Does not require the file to be unchanged: one that grows slowly would be held back for long.
            Some((Some(HOLD_SHORT), _, since)) if since >= HOLD_SHORT => true,
            Some((Some(hold_for), true, since)) if since < hold_for => return Ok(Judgement::Deferred),
            Some((Some(_), unchanged, _)) => unchanged,
            _ => false,
        };
        let since = held.filter(|held| held.hold_for == Some(HOLD_SHORT) || held.stamp == stamp).map(|held| held.since);
        let began = self.world.clock.now();
        let judged = self.judge(path, inode, copies, settled);
        debug!("{}: {judged:?}", path.display());
        let (hold_for, what) = match &judged {
            Ok(Judgement::CopyOf(_)) => (None, "is a copy of a file that has been read; skipped".to_owned()),
            Ok(Judgement::Continues(_)) => (None, "continues a file that was read before".to_owned()),
            Ok(Judgement::PossibleCopy) => (Some(HOLD_PREFIX), POSSIBLE_COPY.to_owned()),
            Ok(Judgement::TooShort) => (Some(HOLD_SHORT), String::new()),
            Ok(Judgement::New | Judgement::Deferred) | Err(_) => (None, String::new()),
        };
        let problem = judged.as_ref().err().map(io::Error::to_string);
        let now = self.world.clock.now();
        let retry_at = now + (now - began) * COMPARE_SHARE;
        let held = Held { stamp, since: since.unwrap_or(now), hold_for, retry_at, problem };
        if self.held.insert(inode, held).is_none() && !what.is_empty() {
            self.send(InputEvent::Warning(format!("{}: {what}", path.display())))?;
        }
        Ok(judged.unwrap_or(Judgement::Deferred))
    }

    /// Compares a file with everything that was read. `settled`: it has been held back long enough.
    fn judge(&self, path: &Path, inode: Inode, copies: &mut Option<Copies>, settled: bool) -> io::Result<Judgement> {
        let copied = copies.get_or_insert_with(|| self.copies()).copied_by(&*self.world.files, path)?;
        // Too few bytes of it were read to recognise a copy. The inode says that it is the same file, unless the inode
        // was reused or the content replaced.
        if !matches!(copied, Copied::Of(_))
            && let Some(ended) = self.ended.get(&inode)
            && ended.fingerprint.is_prefix_of(&*self.world.files, path)?
        {
            return Ok(Judgement::Continues(ended.clone()));
        }
        Ok(match copied {
            Copied::Of(of) => copy_of(of, settled),
            Copied::PossibleCopy { .. } if !settled => Judgement::PossibleCopy,
            // It may also be a copy of an earlier state of a file that has grown since.
            Copied::PossibleCopy { of, may_become } => {
                let older = may_become.iter().find_map(|(ended, _)| older(&*self.world.files, path, ended));
                older.unwrap_or_else(|| copy_of(of, settled))
            }
            Copied::TooShort if !settled => Judgement::TooShort,
            Copied::TooShort | Copied::Nothing => Judgement::New,
        })
    }

    /// True if a new file begins like one of which too little has been read to recognise a copy. It must wait until
    /// more has been read. `heads` are those files, collected once in a scan.
    pub(super) fn resembles_barely_read(&self, path: &Path, heads: &mut Option<HashSet<u32>>) -> bool {
        let Some(head) = telling_head(&*self.world.files, path) else { return false };
        let barely_read = || self.files.values().filter(|file| file.fingerprint.length < MIN_TELLING);
        let heads = heads.get_or_insert_with(|| {
            barely_read().filter_map(|file| telling_head(&*self.world.files, &file.path)).collect()
        });
        !heads.insert(head)
    }

    fn copies(&self) -> Copies {
        let ended = self.ended.values().chain(&self.gone).map(|ended| (ended.fingerprint, (ended.clone(), None)));
        let followed = self.files.values();
        let followed =
            followed.map(|file| (file.fingerprint, (Ended::of(file, Stamp::default()), Some(file.backlog()))));
        // Of two files of equal length, the followed one comes first.
        HeadIndex::new(followed.chain(ended))
    }
}

/// Decides what a copy of these files is. The file of which the most was read comes first.
fn copy_of(of: Vec<((Ended, Option<u64>), bool)>, settled: bool) -> Judgement {
    match of.into_iter().next() {
        // The rest of a followed file is read from that file, unless only the copy has it.
        Some(((ended, Some(backlog)), longer)) => match (backlog, longer) {
            (0, false) => Judgement::CopyOf(ended),
            (0, true) if settled => Judgement::Continues(ended),
            _ => Judgement::PossibleCopy,
        },
        Some(((ended, None), _)) => Judgement::Continues(ended),
        None => Judgement::New,
    }
}

/// A file that is a prefix of the existing file `of`, and so was read there.
fn older(files: &dyn FileSystem, path: &Path, of: &Ended) -> Option<Judgement> {
    let (fingerprint, line_feeds) = whole_of(files, path, &of.path).ok()??;
    let position = Position::default().after(usize::try_from(fingerprint.length).ok()?, line_feeds);
    Some(Judgement::CopyOf(Ended { fingerprint, position, ..of.clone() }))
}
