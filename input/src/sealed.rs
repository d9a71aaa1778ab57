//! Files that are whole or refused: parts of any content under one checksum.
//!
//! The first line names the format. Then, in little-endian, the number of parts (4 bytes), the length of each (8 bytes),
//! the parts, and a checksum over all of it (SipHash-1-3, 8 bytes).

use std::hash::Hasher as _;
use std::io::{self, Write};

use bytes::{Buf as _, Bytes};
use siphasher::sip::SipHasher13;

/// Writes the parts. `format` is the first line, without its LF.
///
/// # Errors
///
/// Those of the writer.
pub fn seal(format: &str, parts: &[&[u8]], to: &mut impl Write) -> io::Result<()> {
    let mut hasher = SipHasher13::new();
    let mut write = |bytes: &[u8]| {
        hasher.write(bytes);
        to.write_all(bytes)
    };
    write(format.as_bytes())?;
    write(b"\n")?;
    let count = u32::try_from(parts.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    write(&count.to_le_bytes())?;
    for part in parts {
        write(&(part.len() as u64).to_le_bytes())?;
    }
    parts.iter().try_for_each(|part| write(part))?;
    let checksum = hasher.finish();
    to.write_all(&checksum.to_le_bytes())
}

/// Reads the parts that [`seal`] wrote. Nothing is copied, and nothing is allocated for parts that are not there.
///
/// # Errors
///
/// Why the bytes are not what was written, in words.
pub fn unseal(format: &str, bytes: &Bytes) -> Result<Vec<Bytes>, &'static str> {
    let rest = bytes.strip_prefix(format.as_bytes()).and_then(|rest| rest.strip_prefix(b"\n"));
    let rest = rest.ok_or("it was not written by this version of catena")?;
    let (covered, checksum) = bytes.split_last_chunk().ok_or("it is truncated")?;
    let mut hasher = SipHasher13::new();
    hasher.write(covered);
    if hasher.finish() != u64::from_le_bytes(*checksum) {
        return Err("its checksum does not match: it is damaged or truncated");
    }
    let mut content = bytes.slice_ref(rest);
    content.truncate(content.len().checked_sub(size_of::<u64>()).ok_or("it is truncated")?);
    let count = content.try_get_u32_le().map_err(|_| "it is truncated")?;
    let mut lengths = content.split_to_checked(count as usize, size_of::<u64>()).ok_or("it is truncated")?;
    let mut parts = Vec::new();
    while let Ok(length) = lengths.try_get_u64_le() {
        let length = usize::try_from(length).ok().filter(|length| *length <= content.len());
        parts.push(content.split_to(length.ok_or("a part is longer than the file")?));
    }
    if content.has_remaining() { Err("it is longer than its parts") } else { Ok(parts) }
}

/// Splitting that cannot panic.
trait SplitChecked {
    fn split_to_checked(&mut self, count: usize, size: usize) -> Option<Bytes>;
}

impl SplitChecked for Bytes {
    fn split_to_checked(&mut self, count: usize, size: usize) -> Option<Bytes> {
        let length = count.checked_mul(size).filter(|length| *length <= self.len())?;
        Some(self.split_to(length))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORMAT: &str = "a format";

    fn sealed(parts: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
        seal(FORMAT, &parts, &mut bytes).expect("memory can be written");
        bytes
    }

    proptest! {
        #[test]
        fn what_was_sealed_is_read_and_no_flipped_bit_is(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..4),
        ) {
            let whole = sealed(&parts);
            prop_assert_eq!(unseal(FORMAT, &whole.clone().into()), Ok(parts.into_iter().map(Bytes::from).collect()));
            for bit in 0..whole.len() * 8 {
                let mut damaged = whole.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                prop_assert!(unseal(FORMAT, &damaged.into()).is_err());
            }
            for length in 0..whole.len() {
                prop_assert!(unseal(FORMAT, &whole[..length].to_vec().into()).is_err());
            }
        }

        #[test]
        fn a_valid_checksum_does_not_make_lengths_trusted(content in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut bytes = [FORMAT.as_bytes(), b"\n", &content].concat();
            let mut hasher = SipHasher13::new();
            hasher.write(&bytes);
            bytes.extend_from_slice(&hasher.finish().to_le_bytes());
            let total = bytes.len();
            if let Ok(parts) = unseal(FORMAT, &bytes.into()) {
                prop_assert!(parts.iter().map(Bytes::len).sum::<usize>() <= total);
            }
        }
    }
}
