//! Checks the values of a record that no path leads to, and finds the ends of numbers and words.

use serde::de::IgnoredAny;

use super::reader::Reader;

impl Reader<'_> {
    /// The offset after a number.
    #[inline(always)]
    pub(super) fn end_of_number(&self, at: usize) -> Option<usize> {
        let digits = |from: usize| {
            let mut at = from;
            while self.byte(at).is_some_and(|byte| byte.is_ascii_digit()) {
                at += 1;
            }
            if at > from { Some(at) } else { None }
        };
        let at = if self.byte(at)? == b'-' { at + 1 } else { at };
        let mut end = if self.byte(at)? == b'0' { at + 1 } else { digits(at)? };
        if self.byte(end) == Some(b'.') {
            end = digits(end + 1)?;
        }
        if matches!(self.byte(end), Some(b'e' | b'E')) {
            let sign = matches!(self.byte(end + 1), Some(b'+' | b'-'));
            end = digits(end + 1 + usize::from(sign))?;
        }
        Some(end)
    }

    /// The offset after `true`, `false` or `null`, which begins with `first`.
    #[inline(always)]
    pub(super) fn word(&self, at: usize, first: u8) -> Option<usize> {
        let word: &[u8] = match first {
            b't' => b"true",
            b'f' => b"false",
            _ => b"null",
        };
        let end = at + word.len();
        (self.text.as_bytes().get(at..end)? == word).then_some(end)
    }

    /// Checks a value that no path leads to. Returns the offset after it.
    #[inline(always)]
    pub(super) fn skip(&mut self, at: usize, first: u8) -> Option<usize> {
        match first {
            b'"' => self.skip_string(at),
            b'{' | b'[' => self.skip_nested(at, first),
            _ => self.skip_scalar(at, first),
        }
    }

    #[inline(always)]
    fn skip_scalar(&self, at: usize, first: u8) -> Option<usize> {
        match first {
            b't' | b'f' | b'n' => self.word(at, first),
            _ => self.end_of_number(at),
        }
    }

    #[inline(always)]
    fn skip_string(&mut self, open: usize) -> Option<usize> {
        let end = self.strings.end(open)?;
        if end.special {
            self.check_string(open, end.quote)?;
        }
        Some(end.quote + 1)
    }

    /// `None` if a string has a control character, or an escape that is none.
    #[cold]
    #[inline(never)]
    fn check_string(&self, open: usize, quote: usize) -> Option<()> {
        let string = self.text.as_bytes().get(open..=quote)?;
        serde_json::from_slice::<IgnoredAny>(string).ok().map(|_| ())
    }

    /// The value of a member that no path leads to, whose name begins at `at`.
    #[inline(always)]
    fn skip_name(&mut self, at: usize, first: u8) -> Option<(usize, u8)> {
        if first != b'"' {
            return None;
        }
        let behind = self.skip_string(at)?;
        self.after_name(behind - 1)
    }

    /// Checks an object or array without recursion, because it may be nested as deep as it is long.
    #[inline(never)]
    fn skip_nested(&mut self, mut at: usize, mut first: u8) -> Option<usize> {
        let before = self.out.open.len();
        loop {
            let mut behind = match first {
                b'"' => self.skip_string(at)?,
                b'{' => match self.token(at + 1)? {
                    (end, b'}') => end + 1,
                    (name, byte) => {
                        self.out.open.push(b'}');
                        (at, first) = self.skip_name(name, byte)?;
                        continue;
                    }
                },
                b'[' => match self.token(at + 1)? {
                    (end, b']') => end + 1,
                    element => {
                        self.out.open.push(b']');
                        (at, first) = element;
                        continue;
                    }
                },
                _ => self.skip_scalar(at, first)?,
            };
            loop {
                if self.out.open.len() == before {
                    return Some(behind);
                }
                let close = *self.out.open.last()?;
                let (next, byte) = self.token(behind)?;
                if byte == b',' {
                    (at, first) = self.token(next + 1)?;
                    if close == b'}' {
                        (at, first) = self.skip_name(at, first)?;
                    }
                    break;
                }
                if byte != close {
                    return None;
                }
                self.out.open.pop();
                behind = next + 1;
            }
        }
    }
}
