//! Reads inputs to their end, several at a time, and delivers them in order.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::chunk::Pool;
use super::framing::{is_cloudtrail_metadata, is_digest};
use super::source::Source;
use super::world::World;
use super::{Events, Input, InputEvent, Piece, Planned};

/// How far each reader may be ahead, in bytes (enforced in chunks): about one CloudTrail file, decompressed.
const READ_AHEAD: usize = 8 << 20;

/// Reads inputs in chunks of `chunk` bytes on `readers` threads until all have ended or `stop` is set. `checksums`:
/// compute the checksum of each piece, for a run that keeps fingerprints.
pub fn read(
    inputs: Vec<Planned>,
    chunk: usize,
    readers: usize,
    checksums: bool,
    world: &World,
    stop: &Arc<AtomicBool>,
) -> Events {
    let (order, given) = sync_channel(readers);
    let ahead = (READ_AHEAD / chunk).clamp(4, 64);
    let queue = Arc::new(Mutex::new(Queue { inputs: inputs.into_iter(), next: 0, order }));
    let pool = Pool::new(chunk);
    for _ in 0..readers {
        let (queue, pool, world, stop) = (Arc::clone(&queue), Arc::clone(&pool), world.clone(), Arc::clone(stop));
        thread::spawn(move || {
            while let Some((id, input, events)) = next(&queue, ahead) {
                let reader = Reader { id, pool: &pool, events, checksums, world: &world, stop: &stop };
                let last = match reader.read(input) {
                    Ok(None) => return,
                    Ok(Some(last)) => last,
                    Err(error) => InputEvent::Failed(id, error),
                };
                if reader.stopped() || reader.events.send(last).is_err() {
                    return;
                }
            }
        });
    }
    Events { inputs: given, current: None }
}

/// The inputs that no reader has taken yet.
struct Queue {
    inputs: std::vec::IntoIter<Planned>,
    next: u64,
    /// Publishes the channel of each input, in order.
    order: SyncSender<Receiver<InputEvent>>,
}

/// Pops the next input and publishes its channel under the same lock, so that consumers see inputs in order.
fn next(queue: &Mutex<Queue>, ahead: usize) -> Option<(u64, Planned, SyncSender<InputEvent>)> {
    let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    let input = queue.inputs.next()?;
    let (events, receiver) = sync_channel(ahead);
    queue.order.send(receiver).ok()?;
    queue.next += 1;
    Some((queue.next, input, events))
}

/// Reads one input.
struct Reader<'r> {
    id: u64,
    pool: &'r Arc<Pool>,
    events: SyncSender<InputEvent>,
    checksums: bool,
    world: &'r World,
    stop: &'r AtomicBool,
}

impl Reader<'_> {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Reads the input and returns its last event; `None` if the receiver is gone or the run is stopping.
    fn read(&self, planned: Planned) -> io::Result<Option<InputEvent>> {
        let (input, inode, offset) = (planned.input.clone(), planned.inode, planned.position.offset);
        if self.events.send(InputEvent::Begin(self.id, planned)).is_err() {
            return Ok(None);
        }
        match input {
            Input::Standard => self.send_all(Source::new(io::stdin())?, false, true),
            Input::File(path) if is_cloudtrail_metadata(&path) => {
                Ok(Some(InputEvent::Skipped(self.id, "a CloudTrail digest or insight file")))
            }
            Input::File(path) if self.world.files.metadata(&path)?.is_pipe() => {
                self.send_all(Source::new(self.world.files.open(&path)?)?, false, true)
            }
            Input::File(path) => {
                let source = Source::open_at(&*self.world.files, &path, offset)?;
                if self.checksums && inode.is_some_and(|inode| source.inode != Some(inode)) {
                    return Err(io::Error::other("another file has taken its name; the next run will read both"));
                }
                self.send_all(source, true, offset == 0)
            }
        }
    }

    /// `fill`: true if a chunk may wait until it is full, as for a file; false for a pipe, whose bytes must not be
    /// delayed. `first`: true if `source` is at its start.
    fn send_all(&self, mut source: Source, fill: bool, mut first: bool) -> io::Result<Option<InputEvent>> {
        let mut counted = 0;
        let mut end = Ok(());
        loop {
            let mut chunk = self.pool.take();
            while !chunk.room().is_empty() && end.is_ok() {
                match source.read(chunk.room()) {
                    Ok(0) => break,
                    Ok(length) => chunk.fill(length),
                    // Bytes read before the error must not be lost.
                    Err(error) => end = Err(error),
                }
                if !fill {
                    break;
                }
            }
            if chunk.as_ref().is_empty() {
                let stamp = (!source.plain).then(|| source.stamp());
                return end.map(|()| Some(InputEvent::End(self.id, stamp)));
            }
            if std::mem::take(&mut first) && is_digest(chunk.as_ref()) {
                return Ok(Some(InputEvent::Skipped(self.id, "a CloudTrail digest file")));
            }
            let total = source.bytes_read();
            let piece = Piece::new(chunk, total - counted);
            let piece = if self.checksums { piece.with_checksum() } else { piece };
            counted = total;
            if self.events.send(InputEvent::Bytes(self.id, piece)).is_err() || self.stopped() {
                return Ok(None);
            }
        }
    }
}
