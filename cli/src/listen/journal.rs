//! The journal as the place where what comes in is kept.

use std::io;
use std::sync::Arc;

use catena_input::{Journal, JournalWriter};

use super::intake::{Fullness, Store};

/// The most bytes in the journal, read or not. Beyond that, clients wait.
const MAX_JOURNAL: u64 = 1 << 30;

impl Store for (Journal, JournalWriter) {
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.1.append(lines)
    }

    fn settle(&mut self, is_safe: bool) -> io::Result<()> {
        if is_safe { self.1.sync() } else { Ok(()) }
    }

    fn fullness(&self) -> Fullness {
        let journal = self.0.clone();
        Arc::new(move || journal.bytes() >= MAX_JOURNAL)
    }
}
