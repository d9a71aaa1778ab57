//! Opens one input at a position and decodes it.

use std::io::{self, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::framing::{Encoding, may_be_marked};
use super::identity::HEAD;
use super::world::{FileSystem, Inode, OpenFile, Stamp};

/// An open input, decompressed and in UTF-8.
pub struct Source {
    reader: Box<dyn Read + Send>,
    /// True if the input is read as it is: neither compressed nor in UTF-16.
    pub plain: bool,
    /// The file, if the input is a plain file.
    pub file: Option<Box<dyn OpenFile>>,
    /// The inode, if the input is a file.
    pub inode: Option<Inode>,
    /// The stamp of the file when it was opened.
    opened: Stamp,
    read: Arc<AtomicU64>,
}

impl Source {
    /// Opens a file at its start.
    pub fn open(files: &dyn FileSystem, path: &Path) -> io::Result<Self> {
        Self::open_at(files, path, 0)
    }

    /// Opens a file at `offset`, counted in decompressed bytes. Fails with `UnexpectedEof` if a compressed file is
    /// shorter.
    pub fn open_at(files: &dyn FileSystem, path: &Path, offset: u64) -> io::Result<Self> {
        let file = files.open(path)?;
        let metadata = file.metadata()?;
        let (inode, opened) = (Some(metadata.inode), metadata.stamp);
        let mut source = Self::new(file.reopen_at(0)?)?;
        if source.plain && offset > 0 {
            let read = Arc::default();
            source.reader = Box::new(Counted { inner: file.reopen_at(offset)?, read: Arc::clone(&read) });
            source.read = read;
        } else {
            let skipped = io::copy(&mut (&mut source).take(offset), &mut io::sink())?;
            if skipped < offset {
                let why = "it is shorter than the part that was read before";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
            }
        }
        Ok(Self { file: source.plain.then_some(file), inode, opened, ..source })
    }

    /// The head of an uncompressed file as it is now; empty for any other input.
    pub fn beginning(&self) -> io::Result<Vec<u8>> {
        let mut beginning = vec![0; HEAD];
        let mut length = 0;
        while let (Some(file), Some(room)) = (&self.file, beginning.get_mut(length..).filter(|room| !room.is_empty())) {
            match file.read_at(room, length as u64) {
                Ok(0) => break,
                Ok(more) => length += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        beginning.truncate(length);
        Ok(beginning)
    }

    /// Reads from `inner`, decompressed and in UTF-8. A pipe may deliver the bytes that tell its encoding one by one.
    ///
    /// # Errors
    ///
    /// Those of `inner`, and [`InvalidData`](io::ErrorKind::InvalidData) for a file that holds something other than text.
    pub fn new(inner: impl Read + Send + 'static) -> io::Result<Self> {
        let read = Arc::new(AtomicU64::new(0));
        let mut source = Counted { inner, read: Arc::clone(&read) };
        let mut beginning = Vec::new();
        // Do not wait for more bytes than it takes.
        while may_be_marked(&beginning) {
            let mut next = [0];
            match source.read(&mut next) {
                Ok(0) => break,
                Ok(_) => beginning.extend(next),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let encoding = Encoding::of(&beginning);
        let reader = encoding.decode(Cursor::new(beginning).chain(source))?;
        Ok(Self { reader, plain: encoding == Encoding::Plain, file: None, inode: None, opened: Stamp::default(), read })
    }

    /// The stamp of a file that was read to its end: its size as read, and its mtime when it was opened.
    pub fn stamp(&self) -> Stamp {
        // Any write after opening changes the stamp.
        self.opened.of_size(self.bytes_read())
    }

    /// Number of bytes read, before decompression.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.reader.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }
}

/// A reader that counts its bytes.
struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.read.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}
