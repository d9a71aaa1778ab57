//! Internal invariants of the engine.
//!
//! No input can break one. If a bug does, continuing could write wrong data into the stream, so the engine panics. In
//! the sandbox a panic is a trap, and the host resumes from its last checkpoint.

/// Unwraps a value whose presence an invariant guarantees.
pub(crate) trait Invariant<T> {
    /// The value.
    ///
    /// # Panics
    ///
    /// If there is no value. `what` states the broken invariant.
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
