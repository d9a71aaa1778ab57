//! Standard input, which may pause for any time.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use bytes::{Buf as _, Bytes};

/// Chunks that are read ahead.
const AHEAD: usize = 4;

/// How long it may pause before [`Pipe::read`] says so.
const PAUSE: Duration = Duration::from_millis(500);

/// A reader that is read on a thread of its own. A read that finds nothing for a while ends with [`io::ErrorKind::WouldBlock`].
pub(crate) struct Pipe {
    chunks: Receiver<io::Result<Bytes>>,
    chunk: Bytes,
}

impl Pipe {
    /// Opens and reads in pieces of at most so many bytes.
    pub(crate) fn new<R: Read>(
        open: impl FnOnce() -> io::Result<R> + Send + 'static,
        bytes: usize,
    ) -> io::Result<Self> {
        let (send, chunks) = sync_channel(AHEAD);
        thread::Builder::new().name("pipe".to_owned()).spawn(move || {
            let mut reader = match open() {
                Ok(reader) => reader,
                Err(error) => return drop(send.send(Err(error))),
            };
            loop {
                let mut chunk = vec![0; bytes];
                let read = reader.read(&mut chunk);
                let is_over = !matches!(read, Ok(length) if length > 0);
                let read = read.map(|length| {
                    chunk.truncate(length);
                    Bytes::from(chunk)
                });
                if send.send(read).is_err() || is_over {
                    return;
                }
            }
        })?;
        Ok(Self { chunks, chunk: Bytes::new() })
    }
}

impl Read for Pipe {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() {
            self.chunk = match self.chunks.recv_timeout(PAUSE) {
                Ok(chunk) => chunk?,
                Err(RecvTimeoutError::Timeout) => return Err(io::ErrorKind::WouldBlock.into()),
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            };
        }
        let length = self.chunk.len().min(to.len());
        self.chunk.copy_to_slice(to.get_mut(..length).unwrap_or_default());
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_told_and_nothing_is_lost() {
        let (end, mut input) = io::pipe().unwrap();
        let mut pipe = Pipe::new(|| Ok(end), 3).unwrap();
        io::Write::write_all(&mut input, b"abcd").unwrap();
        let mut read = Vec::new();
        let mut piece = [0; 2];
        while read.len() < 4 {
            let length = pipe.read(&mut piece).unwrap();
            read.extend_from_slice(&piece[..length]);
        }
        assert_eq!(pipe.read(&mut piece).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        io::Write::write_all(&mut input, b"e").unwrap();
        drop(input);
        pipe.read_to_end(&mut read).unwrap();
        assert_eq!(read, b"abcde");
    }
}
