//! Invariants of the engine itself.
//!
//! No input may break one. If a bug does, going on would write something wrong into somebody's records, so the engine
//! panics: in the sandbox that is a trap, and the host resumes from its last checkpoint.

/// Unwraps what an invariant guarantees.
pub(crate) trait Invariant<T> {
    /// The value.
    ///
    /// # Panics
    ///
    /// If there is none: `what` names the broken invariant.
    #[track_caller]
    fn invariant(self, what: &str) -> T;
}

impl<T> Invariant<T> for Option<T> {
    #[allow(clippy::panic, reason = "the one place where a broken invariant ends the engine")]
    fn invariant(self, what: &str) -> T {
        match self {
            Some(value) => value,
            None => panic!("broken invariant: {what}"),
        }
    }
}

impl<T, E: std::fmt::Display> Invariant<T> for Result<T, E> {
    #[allow(clippy::panic, reason = "the one place where a broken invariant ends the engine")]
    fn invariant(self, what: &str) -> T {
        match self {
            Ok(value) => value,
            Err(error) => panic!("broken invariant: {what}: {error}"),
        }
    }
}
