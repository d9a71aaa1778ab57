//! Reusable read buffers: allocating fresh memory costs as much as reading into it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// A pool of buffers of the same size.
#[derive(Debug)]
pub struct Pool {
    size: usize,
    free: Mutex<Vec<Vec<u8>>>,
}

/// Maximum size of all free buffers, in bytes. Beyond that, buffers are returned to the system.
const MAX_FREE: usize = 128 << 20;

impl Pool {
    /// Creates a pool of buffers of `size` bytes each.
    pub fn new(size: usize) -> Arc<Self> {
        Arc::new(Self { size, free: Mutex::default() })
    }

    /// Takes a free buffer, or allocates one.
    pub fn take(self: &Arc<Self>) -> Chunk {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Chunk { bytes: free.unwrap_or_else(|| vec![0; self.size]), length: 0, pool: Arc::clone(self) }
    }
}

/// A buffer and its filled length. Returns to its pool once nothing shares its bytes any more.
#[derive(Debug)]
pub struct Chunk {
    bytes: Vec<u8>,
    length: usize,
    pool: Arc<Pool>,
}

impl Chunk {
    /// The part that is not filled yet.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.length..]
    }

    /// Marks `length` more bytes as filled.
    pub fn fill(&mut self, length: usize) {
        self.length = (self.length + length).min(self.bytes.len());
    }

    /// Makes the filled part shareable. A chunk that is less than a quarter full is copied instead, because the bytes
    /// may be kept for long and would keep the whole buffer alive.
    pub fn freeze(self) -> Bytes {
        if self.length < self.bytes.len() / 4 {
            return Bytes::copy_from_slice(self.as_ref());
        }
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let mut free = self.pool.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() * self.pool.size < MAX_FREE {
            free.push(std::mem::take(&mut self.bytes));
        }
    }
}
