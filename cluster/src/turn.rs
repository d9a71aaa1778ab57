//! Which router takes which part of the input.

use std::ops::RangeInclusive;

/// Sequences of a part. A part is committed at once, so its outputs must fit one batch: a message for each of 256 partitions, and some for what does not
/// fit those, what they share and what passes them by. About half are pointers of sources.
pub(crate) const PART: u64 = 32;

/// The place of a router among those that are there. Routers that see each other differently do work that is refused, or wait until
/// they agree; what they commit stays right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    at: u64,
    of: u64,
}

impl Turn {
    /// That of one who waits for nobody.
    pub(crate) const ALONE: Self = Self { at: 0, of: 1 };

    /// The turn of `name` among all `names`; none if it is not there.
    pub(crate) fn among(name: &str, names: &[String]) -> Option<Self> {
        let at = names.iter().position(|one| one == name)? as u64;
        Some(Self { at, of: names.len() as u64 })
    }

    /// The first sequences behind `input` that are this router's, up to the end of their part.
    pub(crate) fn part(self, input: u64) -> RangeInclusive<u64> {
        let first = input / PART;
        let number = first + (self.at + self.of - first % self.of) % self.of;
        (number * PART + 1).max(input + 1)..=(number + 1) * PART
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sequence_is_of_one_router_and_routers_go_on_where_another_ends() {
        for of in 1..=5 {
            let turns: Vec<Turn> = (0..of).map(|at| Turn { at, of }).collect();
            let mut input = 0;
            let mut by = vec![0_u64; of as usize];
            while input < 1_000 {
                let next: Vec<_> = turns.iter().filter(|turn| *turn.part(input).start() == input + 1).collect();
                assert_eq!(next.len(), 1, "at {input} of {of}");
                let part = next[0].part(input);
                // A part that is still coming is committed in pieces.
                let end = if input % 3 == 0 { *part.start() } else { *part.end() };
                by[next[0].at as usize] += end - input;
                input = end;
            }
            assert!(by.iter().all(|count| count.abs_diff(1_000 / of) <= 2 * PART), "{by:?}");
        }
    }

    #[test]
    fn a_router_that_is_not_there_has_no_turn() {
        assert_eq!(Turn::among("c", &["a".to_owned(), "b".to_owned()]), None);
        assert_eq!(Turn::among("b", &["a".to_owned(), "b".to_owned()]), Some(Turn { at: 1, of: 2 }));
    }
}
