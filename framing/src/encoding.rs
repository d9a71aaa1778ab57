//! Tells how an input is encoded from its first bytes, and decodes it.

use std::io::{self, BufReader, Read};

use bzip2::read::MultiBzDecoder;
use encoding_rs_io::DecodeReaderBytesBuilder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

/// How an input is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Text in UTF-8, or anything that is not known.
    Plain,
    /// gzip (RFC 1952), also several members.
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
    /// bzip2, also several streams.
    Bzip2,
    /// xz, also several streams.
    Xz,
    /// UTF-16, as Windows PowerShell writes it.
    Utf16(&'static encoding_rs::Encoding),
    /// Something that does not hold lines of text.
    Foreign(&'static str),
}

/// The bytes with which encodings begin (their specifications call them magic numbers).
const MARKS: [(&[u8], Encoding); 19] = [
    (b"\x1F\x8B", Encoding::Gzip),
    (b"\x28\xB5\x2F\xFD", Encoding::Zstd),
    (b"BZh", Encoding::Bzip2),
    (b"\xFD7zXZ\0", Encoding::Xz),
    (b"\xFF\xFE", Encoding::Utf16(encoding_rs::UTF_16LE)),
    (b"\xFE\xFF", Encoding::Utf16(encoding_rs::UTF_16BE)),
    (b"{\0", Encoding::Utf16(encoding_rs::UTF_16LE)),
    (b"[\0", Encoding::Utf16(encoding_rs::UTF_16LE)),
    (b"\0{", Encoding::Utf16(encoding_rs::UTF_16BE)),
    (b"\0[", Encoding::Utf16(encoding_rs::UTF_16BE)),
    (b"PAR1", Encoding::Foreign("a Parquet file")),
    (b"Obj\x01", Encoding::Foreign("an Avro file")),
    (b"ORC", Encoding::Foreign("an ORC file")),
    (b"ElfFile\0", Encoding::Foreign("a Windows event log (EVTX)")),
    (b"PK\x03\x04", Encoding::Foreign("a zip archive")),
    (b"7z\xBC\xAF", Encoding::Foreign("a 7z archive")),
    (b"\x04\x22\x4D\x18", Encoding::Foreign("compressed with lz4")),
    (b"\xFF\x06\0\0sNaPpY", Encoding::Foreign("compressed with Snappy")),
    (b"SQLite format 3\0", Encoding::Foreign("an SQLite database")),
];

/// Whether more bytes may show that an input which begins like this is encoded.
pub fn may_be_marked(beginning: &[u8]) -> bool {
    MARKS.iter().any(|(mark, _)| mark.len() > beginning.len() && mark.starts_with(beginning))
}

impl Encoding {
    /// The encoding of an input that begins like this.
    pub fn of(beginning: &[u8]) -> Self {
        let marked = MARKS.iter().find(|(mark, _)| beginning.starts_with(mark));
        marked.map_or(Self::Plain, |(_, encoding)| *encoding)
    }

    /// Decodes an input.
    ///
    /// # Errors
    ///
    /// [`InvalidData`](io::ErrorKind::InvalidData) for [`Foreign`](Self::Foreign).
    pub fn decode(self, all: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Plain => Box::new(all),
            Self::Gzip => Box::new(MultiGzDecoder::new(BufReader::with_capacity(64 << 10, all))),
            #[cfg(not(target_arch = "wasm32"))]
            Self::Zstd => Box::new(zstd::Decoder::new(all)?),
            #[cfg(target_arch = "wasm32")]
            Self::Zstd => Box::new(ruzstd::decoding::StreamingDecoder::new(all).map_err(io::Error::other)?),
            Self::Bzip2 => Box::new(MultiBzDecoder::new(all)),
            Self::Xz => Box::new(Steps(XzReader::new(BufReader::with_capacity(64 << 10, all), true))),
            Self::Utf16(encoding) => Box::new(DecodeReaderBytesBuilder::new().encoding(Some(encoding)).build(all)),
            Self::Foreign(what) => {
                let why = format!("it is {what}; expected JSON, plain or compressed with gzip, zstd, bzip2 or xz");
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
        })
    }
}

/// Reads at most [`STEP`] bytes at a time: a decoder that fails in the middle of a read gives nothing of what it has decoded in it.
struct Steps<R>(R);

const STEP: usize = 8 << 10;

impl<R: Read> Read for Steps<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(STEP);
        self.0.read(&mut buffer[..length])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> String {
        let mut text = String::new();
        Encoding::of(bytes).decode(io::Cursor::new(bytes.to_vec())).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn utf_16_is_decoded_with_and_without_a_byte_order_mark() {
        let text = "{\"a\":\"\u{1F980}\"}\n";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in [little.clone(), big.clone(), [b"\xFF\xFE", &*little].concat(), [b"\xFE\xFF", &*big].concat()] {
            assert_eq!(decoded(&bytes), text);
        }
    }

    /// Regression: of a file that was cut, the decoder of xz gave nothing.
    #[test]
    fn what_comes_before_damage_is_read() {
        let text = "{\"a\":\"b\"}\n".repeat(20_000);
        let options = lzma_rust2::XzOptions::with_preset(0);
        let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
        // Without a pattern, so that it fills several of the chunks that the decoder reads at once.
        let noise: String = (0..60_000_u32).map(|at| format!("{:08x}", at.wrapping_mul(2_654_435_761))).collect();
        io::Write::write_all(&mut writer, text.as_bytes()).unwrap();
        io::Write::write_all(&mut writer, noise.as_bytes()).unwrap();
        let mut bytes = writer.finish().unwrap();
        bytes.truncate(bytes.len() / 10 * 9);
        let mut reader = Encoding::of(&bytes).decode(io::Cursor::new(bytes)).unwrap();
        let (mut read, mut buffer) = (0, vec![0; 1 << 20]);
        while let Ok(length @ 1..) = reader.read(&mut buffer) {
            read += length;
        }
        assert!(read >= text.len(), "{read} of {}", text.len());
    }

    #[test]
    fn what_is_not_text_is_named() {
        let error = Encoding::of(b"PAR1\x15\0").decode(io::empty()).err().unwrap();
        assert!(error.to_string().starts_with("it is a Parquet file"), "{error}");
    }

    #[test]
    fn no_more_bytes_are_waited_for_than_it_takes() {
        assert!(may_be_marked(b"") && may_be_marked(b"{") && may_be_marked(b"BZ"));
        assert!(!may_be_marked(b"{\"") && !may_be_marked(b"\x1F\x8B") && !may_be_marked(b"BZh9"));
    }
}
