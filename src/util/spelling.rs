//! Spellings of one name: `eventName`, `EVENTNAME`, `event_name` and `Event name` have the same letters.

use std::borrow::Cow;

/// The letters and digits of a name in lower case. Other ASCII characters separate words and are left out.
pub(crate) fn letters(name: &str) -> Cow<'_, str> {
    if name.bytes().all(|byte| !byte.is_ascii() || byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.chars().filter(|letter| is_letter(*letter)).map(|letter| letter.to_ascii_lowercase()).collect())
}

/// The letters of a name that ends with `text`, the last one first.
pub(crate) fn reversed_letters(text: &[u8]) -> impl Iterator<Item = u8> {
    let of_name = text.iter().rev().take_while(|byte| **byte != b'"');
    of_name.filter(|byte| is_letter(char::from(**byte))).map(u8::to_ascii_lowercase)
}

fn is_letter(letter: char) -> bool {
    !letter.is_ascii() || letter.is_ascii_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_have_the_same_letters() {
        for name in ["eventName", "EVENTNAME", "event_name", "Event name", "event-name", "eventname"] {
            assert_eq!(letters(name), "eventname");
            assert!(reversed_letters(format!("{{\"{name}").as_bytes()).eq("emantneve".bytes()));
        }
        assert_eq!(letters("größe_1"), "größe1");
    }
}
