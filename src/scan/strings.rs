//! Finds the ends of JSON strings, for a reader that moves from token to token.

use super::blocks::{self, BLOCK, Lanes, Mask, escaped_by, splat};

/// Finds the ends of the strings in a JSON text, from left to right.
///
/// The quotes of 64 bytes are found at once, when the first of those bytes is reached. So a string costs a few
/// instructions, whatever its length.
pub(crate) struct Strings<'b> {
    bytes: &'b [u8],
    /// The start of the current block.
    at: usize,
    /// The block's quotes that no backslash escapes and that have not been passed.
    quotes: Mask,
    /// The block's backslashes and control characters.
    special: Mask,
    /// One if the next block's first byte is escaped, else zero.
    escaped: Mask,
}

/// The end of a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StringEnd {
    /// The offset of the closing quote.
    pub quote: usize,
    /// Whether the string has a backslash or a control character, so that its text is not what it stands for.
    pub special: bool,
}

impl<'b> Strings<'b> {
    /// The strings of `bytes`.
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        let at = 0_usize.wrapping_sub(BLOCK);
        let mut strings = Self { bytes, at, quotes: 0, special: 0, escaped: 0 };
        strings.next_block();
        strings
    }

    /// The end of the next string, whose opening quote is at `open`. `None` if it has none.
    ///
    /// The calls must be in the order of the strings, and none may be left out.
    #[inline(always)]
    pub(crate) fn end(&mut self, open: usize) -> Option<StringEnd> {
        while self.quotes == 0 {
            if !self.next_block() {
                return None;
            }
        }
        debug_assert_eq!(self.at + self.quotes.trailing_zeros() as usize, open, "no string is left out");
        let after = self.quotes & (self.quotes - 1);
        if after == 0 || self.special != 0 {
            return self.end_beyond(after);
        }
        self.quotes = after & (after - 1);
        Some(StringEnd { quote: self.at + after.trailing_zeros() as usize, special: false })
    }

    /// The end of a string that goes beyond the block, or of one in a block with special characters. `after` are the
    /// quotes after its opening quote.
    #[inline(never)]
    fn end_beyond(&mut self, mut after: Mask) -> Option<StringEnd> {
        let opening = self.quotes & !after;
        let mut behind = !(opening | (opening - 1));
        let mut special = 0;
        while after == 0 {
            special |= self.special & behind;
            behind = Mask::MAX;
            if !self.next_block() {
                return None;
            }
            after = self.quotes;
        }
        let closing = after & after.wrapping_neg();
        special |= self.special & behind & (closing - 1);
        self.quotes = after & !closing;
        let quote = self.at + closing.trailing_zeros() as usize;
        Some(StringEnd { quote, special: special != 0 })
    }

    /// Moves to the next block; `false` if there is none.
    #[inline(never)]
    fn next_block(&mut self) -> bool {
        let at = self.at.wrapping_add(BLOCK);
        match blocks::block(self.bytes, at) {
            Some(block) => self.scan(at, block),
            None if at < self.bytes.len() => self.scan(at, &blocks::last_block(self.bytes, at)),
            None => return false,
        }
        true
    }

    #[inline(always)]
    fn scan(&mut self, at: usize, block: &[u8; BLOCK]) {
        let lanes = Lanes::of(block);
        self.at = at;
        self.quotes = lanes.equal(b'"').mask();
        self.special = 0;
        let backslash = lanes.equal(b'\\');
        // Only a control character has none of the three highest bits.
        let control = lanes.map(|lane| lane & splat(0xE0)).equal(0);
        if self.escaped != 0 || (backslash.union() | control.union()).to_bitmask() != 0 {
            let backslash = backslash.mask();
            self.special = backslash | control.mask();
            self.quotes &= !escaped_by(backslash, &mut self.escaped);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn strings_end_at_the_first_quote_that_is_not_escaped(
            parts in prop::collection::vec(("[ \n,:a]{0,70}", r#"([^"\\]|\\.|\\\\){0,80}"#), 0..12),
        ) {
            let (mut text, mut expected) = (String::new(), Vec::new());
            for (gap, body) in &parts {
                text.push_str(gap);
                let open = text.len();
                let quote = open + 1 + body.len();
                let special = body.bytes().any(|byte| byte == b'\\' || byte < 0x20);
                expected.push((open, StringEnd { quote, special }));
                text.push_str(&format!("\"{body}\""));
            }
            let mut strings = Strings::new(text.as_bytes());
            for (open, end) in expected {
                prop_assert_eq!(strings.end(open), Some(end));
            }
        }
    }

    #[test]
    fn a_string_without_a_closing_quote_has_no_end() {
        for text in [r#"""#, r#""a"#, r#""\""#, &format!("\"{}", "a".repeat(64))] {
            assert_eq!(Strings::new(text.as_bytes()).end(0), None, "{text}");
        }
        assert_eq!(Strings::new(b"").end(0), None);
    }
}
