//! Buffers for what is read, used again and again: fresh memory costs as much as reading does.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Buffers of one size.
#[derive(Debug)]
pub struct Pool {
    size: usize,
    free: Mutex<Vec<Vec<u8>>>,
}

/// Free buffers of more bytes than this, in all, are given back to the system.
const MAX_FREE: usize = 128 << 20;

impl Pool {
    /// A pool of buffers of `size` bytes.
    pub fn new(size: usize) -> Arc<Self> {
        Arc::new(Self { size, free: Mutex::default() })
    }

    /// A buffer to read into.
    pub fn take(self: &Arc<Self>) -> Chunk {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Chunk { bytes: free.unwrap_or_else(|| vec![0; self.size]), length: 0, pool: Arc::clone(self) }
    }
}

/// A buffer, and how far it is filled. It goes back to its pool once nobody shares what was in it.
#[derive(Debug)]
pub struct Chunk {
    bytes: Vec<u8>,
    length: usize,
    pool: Arc<Pool>,
}

impl Chunk {
    /// What can still be filled.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.length..]
    }

    /// Says that so many bytes more are filled.
    pub fn fill(&mut self, length: usize) {
        self.length = (self.length + length).min(self.bytes.len());
    }

    /// What it is filled with, to be shared. Of a little, a copy is shared: it may be kept for long, and would keep the whole
    /// buffer.
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
