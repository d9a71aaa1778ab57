//! A bound on the memory that unfinished records of all connections take together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a connection may hold in any case, in bytes.
const FREE: usize = 64 << 10;

/// What all connections may hold beyond that.
const TOTAL: usize = 256 << 20;

/// The memory that is left. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    held: Arc<AtomicUsize>,
}

/// What one connection holds; given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Budget,
    held: usize,
}

impl Budget {
    /// The share of a new connection.
    pub fn share(&self) -> Share {
        Share { budget: self.clone(), held: 0 }
    }
}

impl Share {
    /// Notes that the connection holds `bytes`. Returns false if that is more than there is.
    pub fn set(&mut self, bytes: usize) -> bool {
        let bytes = bytes.saturating_sub(FREE);
        let held = &self.budget.held;
        if bytes <= self.held {
            held.fetch_sub(self.held - bytes, Ordering::Relaxed);
        } else {
            let more = bytes - self.held;
            if held.fetch_add(more, Ordering::Relaxed) + more > TOTAL {
                held.fetch_sub(more, Ordering::Relaxed);
                return false;
            }
        }
        self.held = bytes;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.held, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded_and_given_back() {
        let budget = Budget::default();
        let (mut one, mut two) = (budget.share(), budget.share());
        assert!(one.set(FREE + TOTAL - 10) && two.set(FREE + 10));
        assert!(!two.set(FREE + 11));
        assert!(two.set(FREE));
        drop(one);
        assert!(two.set(FREE + TOTAL));
        drop(two);
        assert_eq!(budget.held.load(Ordering::Relaxed), 0);
    }
}
