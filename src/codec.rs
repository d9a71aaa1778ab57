//! Numbers and byte strings in few bytes: what state is kept in, and what a checkpoint is made of.

/// Appends `value`, seven bits a byte, lowest first (LEB128).
pub(crate) fn put_number(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

/// Appends `bytes` behind their length.
pub(crate) fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    put_number(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

/// Appends a signed number, small ones in few bytes.
pub(crate) fn put_signed(to: &mut Vec<u8>, value: i64) {
    put_number(to, ((value << 1) ^ (value >> 63)) as u64);
}

/// Takes what the functions above have written off the front of `from`. `None` where it does not hold such a thing;
/// nothing is allocated for what is not there.
pub(crate) struct Take<'a> {
    from: &'a [u8],
}

impl<'a> Take<'a> {
    pub(crate) fn new(from: &'a [u8]) -> Self {
        Self { from }
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> usize {
        self.from.len()
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.from.split_first()?;
            self.from = rest;
            let bits = u64::from(byte & 0x7F);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    pub(crate) fn signed(&mut self) -> Option<i64> {
        let value = self.number()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub(crate) fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.from.split_first_chunk()?;
        self.from = rest;
        Some(*bytes)
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.from.split_at_checked(length)?;
        self.from = rest;
        Some(bytes)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// A count of things that take at least `least` bytes each: never more than can be there.
    pub(crate) fn count(&mut self, least: usize) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        (count.checked_mul(least)? <= self.left()).then_some(count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_put_is_taken(number: u64, signed: i64, bytes: Vec<u8>) {
            let mut written = Vec::new();
            put_number(&mut written, number);
            put_signed(&mut written, signed);
            put_bytes(&mut written, &bytes);
            let mut take = Take::new(&written);
            prop_assert_eq!(take.number(), Some(number));
            prop_assert_eq!(take.signed(), Some(signed));
            prop_assert_eq!(take.bytes(), Some(&*bytes));
            prop_assert_eq!(take.left(), 0);
        }

        #[test]
        fn what_was_not_put_is_not_taken(written: Vec<u8>) {
            let mut take = Take::new(&written);
            while let Some(bytes) = take.bytes() {
                prop_assert!(bytes.len() <= written.len());
            }
        }
    }
}
