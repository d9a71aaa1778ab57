//! One input: opening it at a position, decompressing it, and telling whether it is the file that was read before.

use std::fs::{File, Metadata};
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use serde::{Deserialize, Serialize};

/// How many of an input's first bytes tell it from others.
pub const HEAD: usize = 1024;

/// Fewer bytes than this may well begin two inputs.
const LEAST_TELLING: usize = 256;

const GZIP: &[u8] = b"\x1F\x8B";
const ZSTD: &[u8] = b"\x28\xB5\x2F\xFD";

/// The place of a file in its file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Inode {
    device: u64,
    inode: u64,
}

impl From<&Metadata> for Inode {
    fn from(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// The first bytes of an input, decompressed, as a checksum: the same input may come to have another name, another inode
/// and to be compressed, and another one its name and inode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    length: usize,
    checksum: u32,
}

impl Head {
    /// Takes in bytes of the input, from its byte `at` on, as far as they count and are not in it.
    pub fn add(&mut self, at: u64, bytes: &[u8]) {
        // What was read before a restart may be read again.
        let known = (self.length as u64).checked_sub(at).and_then(|known| usize::try_from(known).ok());
        let more = known.and_then(|known| bytes.get(known..)).unwrap_or_default();
        let more = &more[..more.len().min(HEAD - self.length)];
        if !more.is_empty() {
            let mut hasher = crc32fast::Hasher::new_with_initial(self.checksum);
            hasher.update(more);
            *self = Self { length: self.length + more.len(), checksum: hasher.finalize() };
        }
    }

    /// Whether it is long enough to tell an input from others by it alone.
    pub fn is_telling(&self) -> bool {
        self.length >= LEAST_TELLING
    }

    /// Whether a file begins like this.
    pub fn is_of(&self, path: &Path) -> bool {
        let begins = || -> io::Result<Self> {
            let mut beginning = Vec::new();
            Source::open(path)?.take(self.length as u64).read_to_end(&mut beginning)?;
            let mut head = Self::default();
            head.add(0, &beginning);
            Ok(head)
        };
        begins().is_ok_and(|head| head == *self)
    }
}

/// An input that is read, decompressed where it is compressed.
pub struct Source {
    reader: Box<dyn Read + Send>,
    /// Whether it is a file that may grow: a regular one that is not compressed.
    pub plain: bool,
    read: Arc<AtomicU64>,
}

impl Source {
    /// Opens a file.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::new(File::open(path)?)
    }

    /// Opens a file that has been read up to `offset`, counted in what it holds decompressed.
    pub fn open_at(path: &Path, offset: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut source = Self::new(file.try_clone()?)?;
        if offset > 0 && source.plain {
            file.seek(SeekFrom::Start(offset))?;
            let read = Arc::default();
            return Ok(Self { reader: Box::new(Counted { inner: file, read: Arc::clone(&read) }), plain: true, read });
        }
        let skipped = io::copy(&mut (&mut source).take(offset), &mut io::sink())?;
        if skipped < offset {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is shorter than what was read of it before"));
        }
        Ok(source)
    }

    /// Reads what another reader gives. Two bytes tell whether it is compressed; a pipe may give them one at a time.
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
            // What cannot become the beginning of a compressed file need not be waited for.
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
        Ok(Self { reader, plain, read })
    }

    /// How many bytes were read, before decompression.
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

/// Counts what is read through it.
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
