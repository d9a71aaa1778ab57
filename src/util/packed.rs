//! Compact encoding of numbers, byte strings and texts, for state in memory and for checkpoints.

use std::borrow::Cow;

use super::invariant::Invariant as _;

/// Appends `value` in LEB128: seven bits per byte, lowest first; 1 to 10 bytes.
pub(crate) fn encode_number(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

/// Appends the length of `bytes`, then `bytes`.
pub(crate) fn encode_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    encode_number(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

/// Appends a signed number in zigzag LEB128: numbers near zero take few bytes, whatever their sign.
pub(crate) fn encode_signed(to: &mut Vec<u8>, value: i64) {
    encode_number(to, ((value << 1) ^ (value >> 63)) as u64);
}

/// The first byte of an encoded text, which determines its encoding.
mod tag {
    /// The length, then the text as it is.
    pub(super) const PLAIN: u8 = 0;
    /// The 16 bytes of a UUID.
    pub(super) const UUID: u8 = 1;
    /// An AWS resource id: its prefix, then its 17 hexadecimal digits in 9 bytes. The length of the prefix is added to
    /// this tag.
    pub(super) const RESOURCE: u8 = 2;
    /// A resource id whose prefix is one of [`super::PREFIXES`]: its 17 hexadecimal digits in 9 bytes. The index of the
    /// prefix is added to this tag.
    pub(super) const KNOWN_RESOURCE: u8 = RESOURCE + super::LONGEST_PREFIX as u8 + 1;
}

/// The longest prefix, in bytes, of a text that is encoded as a resource id.
const LONGEST_PREFIX: usize = 16;

/// Prefixes that the tag alone encodes. Checkpoints contain indices into this list, so only append to it.
const PREFIXES: [&str; 6] = ["vol-", "snap-", "i-", "ami-", "lt-", "eni-"];

/// Appends a text. Equal texts always have equal encodings.
///
/// Event ids and resource ids, which are most of the state, take less than half of their length.
pub(crate) fn encode_text(to: &mut Vec<u8>, text: &str) {
    if let Some(bytes) = uuid(text) {
        to.push(tag::UUID);
        to.extend_from_slice(&bytes);
    } else if let Some((prefix, digits)) = resource(text) {
        match (tag::KNOWN_RESOURCE..).zip(PREFIXES).find(|(_, known)| *known == prefix) {
            Some((tag, _)) => to.push(tag),
            None => {
                to.push(tag::RESOURCE + prefix.len() as u8);
                to.extend_from_slice(prefix.as_bytes());
            }
        }
        to.extend_from_slice(&digits);
    } else {
        to.push(tag::PLAIN);
        encode_bytes(to, text.as_bytes());
    }
}

/// The value of a lower-case hexadecimal digit; [`NO_DIGIT`] for any other byte.
fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        _ => NO_DIGIT,
    }
}

/// A bit that no digit's value has.
const NO_DIGIT: u8 = 0x80;

/// Packs hexadecimal digits, two per byte, the first in the high half; an odd one is followed by zero. `None` if a byte is
/// not a lower-case digit.
fn pack<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let value = |byte: Option<&u8>| byte.map_or(0, |byte| digit(*byte));
    let (mut packed, mut all) = ([0; N], 0);
    for (to, pair) in packed.iter_mut().zip(digits.chunks(2)) {
        let (high, low) = (value(pair.first()), value(pair.get(1)));
        all |= high | low;
        *to = high << 4 | low;
    }
    (all & NO_DIGIT == 0).then_some(packed)
}

/// The hexadecimal digits of packed bytes, two per byte.
fn unpack(packed: &[u8]) -> impl Iterator<Item = char> {
    let digits = packed.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16))
}

/// The bytes of a UUID in its usual form, with lower-case digits; `None` for any other text.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let bytes: &[u8; 36] = text.as_bytes().try_into().ok()?;
    let mut digits = [0; 32];
    for (to, from) in [(0..8, 0..8), (8..12, 9..13), (12..16, 14..18), (16..20, 19..23), (20..32, 24..36)] {
        digits.get_mut(to)?.copy_from_slice(bytes.get(from)?);
    }
    let has_dashes = [8, 13, 18, 23].iter().all(|dash| bytes.get(*dash) == Some(&b'-'));
    has_dashes.then(|| pack(&digits)).flatten()
}

/// Splits a resource id into its prefix and its packed 17 digits; `None` for any other text.
fn resource(text: &str) -> Option<(&str, [u8; 9])> {
    let (prefix, digits) = text.split_at_checked(text.len().checked_sub(17)?)?;
    let short = !prefix.is_empty() && prefix.len() <= LONGEST_PREFIX;
    short.then(|| Some((prefix, pack(digits.as_bytes())?))).flatten()
}

/// A text as [`encode_text`] writes it. Equal texts are equal in this form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PackedStr<'a>(pub &'a [u8]);

impl<'a> PackedStr<'a> {
    /// Decodes the text.
    ///
    /// # Panics
    ///
    /// If the bytes are not as [`encode_text`] writes them, which is a broken invariant.
    pub(crate) fn text(self) -> Cow<'a, str> {
        Decoder::new(self.0).packed_text().invariant("a packed string is as it was encoded")
    }
}

/// Decodes values written by the functions above, in the order in which they were written.
///
/// Each method returns `None` if the bytes that follow are not a valid encoding of its kind; discard the decoder then.
/// Allocations are bounded by the length of the input, so damaged lengths are harmless.
pub(crate) struct Decoder<'a> {
    /// The bytes that are not decoded yet.
    from: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// A decoder at the start of `from`.
    pub(crate) fn new(from: &'a [u8]) -> Self {
        Self { from }
    }

    /// The number of bytes left.
    pub(crate) fn left(&self) -> usize {
        self.from.len()
    }

    /// A number written by [`encode_number`]. `None` also if it exceeds 64 bits.
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

    /// A number written by [`encode_signed`].
    pub(crate) fn signed(&mut self) -> Option<i64> {
        let value = self.number()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// The next `N` bytes, written without a length.
    pub(crate) fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.from.split_first_chunk()?;
        self.from = rest;
        Some(*bytes)
    }

    /// Bytes written by [`encode_bytes`].
    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.from.split_at_checked(length)?;
        self.from = rest;
        Some(bytes)
    }

    /// Bytes written by [`encode_bytes`] that are UTF-8.
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// A text written by [`encode_text`], left encoded. Only its length is checked.
    pub(crate) fn packed(&mut self) -> Option<PackedStr<'a>> {
        let all = self.from;
        let [tag] = self.fixed()?;
        if tag == tag::PLAIN {
            self.bytes()?;
        } else {
            let length = match tag {
                tag::UUID => 16,
                tag::KNOWN_RESOURCE.. => 9,
                _ => usize::from(tag - tag::RESOURCE) + 9,
            };
            self.from = self.from.get(length..)?;
        }
        all.get(..all.len() - self.from.len()).map(PackedStr)
    }

    /// A text written by [`encode_text`].
    pub(crate) fn packed_text(&mut self) -> Option<Cow<'a, str>> {
        let [tag] = self.fixed()?;
        match tag {
            tag::PLAIN => self.text().map(Cow::Borrowed),
            tag::UUID => {
                let bytes: [u8; 16] = self.fixed()?;
                let mut text = String::with_capacity(36);
                for (at, digit) in unpack(&bytes).enumerate() {
                    if matches!(at, 8 | 12 | 16 | 20) {
                        text.push('-');
                    }
                    text.push(digit);
                }
                Some(Cow::Owned(text))
            }
            _ => {
                let prefix = match tag.checked_sub(tag::KNOWN_RESOURCE) {
                    Some(known) => PREFIXES.get(usize::from(known))?.as_bytes(),
                    None => {
                        let (prefix, rest) = self.from.split_at_checked(usize::from(tag - tag::RESOURCE))?;
                        self.from = rest;
                        prefix
                    }
                };
                let digits: [u8; 9] = self.fixed()?;
                let mut text = String::with_capacity(prefix.len() + 17);
                text.push_str(std::str::from_utf8(prefix).ok()?);
                text.extend(unpack(&digits).take(17));
                Some(Cow::Owned(text))
            }
        }
    }

    /// Skips a text that [`encode_text`] wrote; `None` if it is not one.
    pub(crate) fn skip_text(&mut self) -> Option<()> {
        let [tag] = self.fixed()?;
        match tag {
            tag::PLAIN => drop(self.text()?),
            tag::UUID => drop(self.fixed::<16>()?),
            _ => {
                match tag.checked_sub(tag::KNOWN_RESOURCE) {
                    Some(known) => drop(PREFIXES.get(usize::from(known))?),
                    None => {
                        let (prefix, rest) = self.from.split_at_checked(usize::from(tag - tag::RESOURCE))?;
                        std::str::from_utf8(prefix).ok()?;
                        self.from = rest;
                    }
                }
                self.fixed::<9>()?;
            }
        }
        Some(())
    }

    /// A count of items that take at least `least` bytes each. `None` also if the bytes left cannot hold that many.
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
        fn encoded_values_round_trip(number: u64, signed: i64, bytes: Vec<u8>) {
            let mut written = Vec::new();
            encode_number(&mut written, number);
            encode_signed(&mut written, signed);
            encode_bytes(&mut written, &bytes);
            let mut decoder = Decoder::new(&written);
            prop_assert_eq!(decoder.number(), Some(number));
            prop_assert_eq!(decoder.signed(), Some(signed));
            prop_assert_eq!(decoder.bytes(), Some(&*bytes));
            prop_assert_eq!(decoder.left(), 0);
        }

        #[test]
        fn texts_round_trip(text in prop_oneof![
            any::<String>(),
            "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            "[0-9a-fA-F]{8}-[0-9a-g]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{11,13}",
            "(vol|snap|i|lt|é|)-?[0-9a-f]{16,18}",
        ]) {
            let mut written = Vec::new();
            encode_text(&mut written, &text);
            prop_assert!(written.len() <= text.len() + 11);
            let mut decoder = Decoder::new(&written);
            let mut skip = Decoder::new(&written);
            prop_assert_eq!(skip.packed(), Some(PackedStr(&written)));
            prop_assert_eq!(skip.left(), 0);
            let kept = decoder.packed_text();
            prop_assert_eq!(PackedStr(&written).text(), &*text);
            prop_assert_eq!(kept.as_deref(), Some(&*text));
            prop_assert_eq!(decoder.left(), 0);
        }

        #[test]
        fn arbitrary_bytes_decode_safely(written: Vec<u8>) {
            let mut decoder = Decoder::new(&written);
            while let Some(text) = decoder.packed_text() {
                prop_assert!(text.len() <= 3 * written.len());
            }
        }
    }
}
