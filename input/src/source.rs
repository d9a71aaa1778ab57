//! Opens one input at a position and decompresses it.

use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use super::identity::HEAD;
use super::world::{FileSystem, Inode, OpenFile, Stamp};

const GZIP: &[u8] = b"\x1F\x8B";
const ZSTD: &[u8] = b"\x28\xB5\x2F\xFD";

/// An open input, decompressed if necessary.
pub struct Source {
    reader: Box<dyn Read + Send>,
    /// True if the input is not compressed.
    pub plain: bool,
    /// The file, if the input is an uncompressed file.
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

    /// Reads from `inner`, decompressing gzip and zstd. The magic number is two or four bytes long; a pipe may deliver
    /// it byte by byte.
    pub fn new(inner: impl Read + Send + 'static) -> io::Result<Self> {
        let read = Arc::new(AtomicU64::new(0));
        let mut source = Counted { inner, read: Arc::clone(&read) };
        let mut beginning = [0; 4];
        let mut length = 0;
        while length < 4 {
            match source.read(&mut beginning[length..]) {
                Ok(0) => break,
                Ok(more) => length += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            // Do not wait for more bytes if these cannot begin a compressed file.
            if ![GZIP, ZSTD].iter().any(|magic| magic.starts_with(&beginning[..length.min(magic.len())])) {
                break;
            }
        }
        let beginning = &beginning[..length];
        let all = Cursor::new(beginning.to_vec()).chain(source);
        let (plain, reader): (_, Box<dyn Read + Send>) = if beginning.starts_with(GZIP) {
            (false, Box::new(MultiGzDecoder::new(BufReader::with_capacity(64 << 10, all))))
        } else if beginning.starts_with(ZSTD) {
            (false, Box::new(zstd::Decoder::new(all)?))
        } else {
            (true, Box::new(all))
        };
        Ok(Self { reader, plain, file: None, inode: None, opened: Stamp::default(), read })
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
