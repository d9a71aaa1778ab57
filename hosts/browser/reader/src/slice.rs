use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A file that a host reads at any offset.
pub trait Blob: Send + Sync {
    /// Its length in bytes.
    fn size(&self) -> u64;

    /// The bytes from `offset` on, `length` of them, fewer only at the end.
    ///
    /// # Errors
    ///
    /// What the host says.
    fn read(&self, offset: u64, length: u32) -> io::Result<Vec<u8>>;
}

/// Bytes asked of the host at once. Each call costs it about as much as copying this many.
const WINDOW: u32 = 1 << 20;

/// A part of a file, read through a window of its own.
#[derive(Clone)]
pub struct Slice {
    blob: Arc<dyn Blob>,
    start: u64,
    end: u64,
    at: u64,
    window: Vec<u8>,
    /// The offset of the window in the file.
    window_at: u64,
    /// The offset up to which any slice of this file was read.
    furthest: Arc<AtomicU64>,
}

impl Slice {
    /// The whole file.
    pub fn whole(blob: Arc<dyn Blob>) -> Self {
        let end = blob.size();
        Self { blob, start: 0, end, at: 0, window: Vec::new(), window_at: 0, furthest: Arc::default() }
    }

    /// The `length` bytes from `start` on, as far as this slice has them.
    pub fn part(&self, start: u64, length: u64) -> Self {
        let start = start.clamp(self.start, self.end);
        let end = start.saturating_add(length).min(self.end);
        Self { start, end, at: start, window: Vec::new(), window_at: 0, ..self.clone() }
    }

    /// The offset in the file up to which it was read.
    pub fn furthest(&self) -> u64 {
        self.furthest.load(Ordering::Relaxed)
    }

    /// Does not count what is read of this slice.
    pub fn uncounted(mut self) -> Self {
        self.furthest = Arc::default();
        self
    }
}

impl Read for Slice {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let behind = self.at.checked_sub(self.window_at).and_then(|behind| usize::try_from(behind).ok());
        let mut rest = behind.and_then(|behind| self.window.get(behind..)).unwrap_or_default();
        if rest.is_empty() && self.at < self.end {
            let length = u32::try_from(self.end - self.at).unwrap_or(WINDOW).min(WINDOW);
            self.window = self.blob.read(self.at, length)?;
            self.window_at = self.at;
            self.window.truncate(length as usize);
            if self.window.is_empty() {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than it was"));
            }
            rest = &self.window;
        }
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let length = rest.len().min(buffer.len()).min(left);
        if let (Some(to), Some(from)) = (buffer.get_mut(..length), rest.get(..length)) {
            to.copy_from_slice(from);
        }
        self.at += length as u64;
        self.furthest.fetch_max(self.at, Ordering::Relaxed);
        Ok(length)
    }
}

impl Seek for Slice {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(offset) => self.start.checked_add(offset),
            SeekFrom::End(offset) => self.end.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.at.checked_add_signed(offset),
        };
        let at = at.filter(|at| *at >= self.start).ok_or(io::ErrorKind::InvalidInput)?;
        self.at = at.min(self.end);
        Ok(self.at - self.start)
    }
}
