use std::collections::VecDeque;
use std::io::{self, BufReader, Read};

use flate2::bufread::DeflateDecoder;
use zip::{CompressionMethod, ZipArchive};

use crate::Slice;

/// The first bytes of a zip archive, and of one without entries.
pub(crate) const MARKS: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];

/// A file in a zip archive.
pub(crate) struct Entry {
    pub(crate) name: String,
    from: Result<Slice, String>,
    is_deflated: bool,
    checksum: u32,
    size: u64,
}

/// The files in a zip archive, in its order.
///
/// # Errors
///
/// [`InvalidData`](io::ErrorKind::InvalidData) if its directory is damaged.
pub(crate) fn entries(archive: &Slice) -> io::Result<VecDeque<Entry>> {
    // The directory is at the end: it is no progress to have read it.
    let mut zip = ZipArchive::new(archive.clone().uncounted())?;
    let mut list = VecDeque::new();
    for index in 0..zip.len() {
        let file = zip.by_index_raw(index)?;
        if file.is_dir() {
            continue;
        }
        let from = match file.compression() {
            _ if file.encrypted() => Err("it is encrypted".to_owned()),
            CompressionMethod::Stored | CompressionMethod::Deflated => {
                let start = file.data_start().ok_or_else(|| io::Error::other("its data is not found"))?;
                Ok(archive.part(start, file.compressed_size()))
            }
            other => Err(format!("it is compressed with {other}; expected deflate")),
        };
        list.push_back(Entry {
            name: file.name().to_owned(),
            from,
            is_deflated: file.compression() == CompressionMethod::Deflated,
            checksum: file.crc32(),
            size: file.size(),
        });
    }
    Ok(list)
}

impl Entry {
    /// Its bytes, decompressed.
    ///
    /// # Errors
    ///
    /// [`InvalidData`](io::ErrorKind::InvalidData) if it cannot be read at all, and later if it is damaged.
    pub(crate) fn open(self) -> io::Result<impl Read + Send> {
        let from = self.from.map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
        let inner: Box<dyn Read + Send> = match self.is_deflated {
            true => Box::new(DeflateDecoder::new(BufReader::with_capacity(64 << 10, from))),
            false => Box::new(from),
        };
        Ok(Checked { inner, hasher: crc32fast::Hasher::new(), read: 0, checksum: self.checksum, size: self.size })
    }
}

/// Compares what was read with the directory of the archive.
struct Checked {
    inner: Box<dyn Read + Send>,
    hasher: crc32fast::Hasher,
    read: u64,
    checksum: u32,
    size: u64,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.hasher.update(buffer.get(..length).unwrap_or_default());
        self.read += length as u64;
        let is_damaged = self.read != self.size || self.hasher.clone().finalize() != self.checksum;
        if length == 0 && !buffer.is_empty() && is_damaged {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is damaged: its checksum is wrong"));
        }
        Ok(length)
    }
}
