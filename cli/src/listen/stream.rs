//! Connections and datagrams that bring records one after the other, among them syslog.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep, timeout};

use super::Shared;
use super::frames::{Broken, Frames};

/// How much is read at once, in bytes.
const PIECE: usize = 64 << 10;

/// How long a connection may pause before a record that lacks only its end is taken.
const PAUSE: Duration = Duration::from_secs(1);

/// How long to wait before lines are offered again that could not be written.
const AGAIN: Duration = Duration::from_secs(1);

/// Reads a connection to its end.
pub async fn connection(mut connection: impl AsyncRead + Unpin, peer: &str, shared: Shared) {
    let mut frames = Frames::new(shared.address.framing(), shared.longest);
    let mut share = shared.budget.share();
    let mut piece = vec![0; PIECE];
    let mut last = Instant::now();
    loop {
        // Without room, the client is slowed down.
        shared.intake.room().await;
        let read = timeout(PAUSE, connection.read(&mut piece)).await;
        let mut lines = Vec::new();
        let broken = match read {
            Ok(Ok(0)) => break,
            Ok(Ok(length)) => {
                last = Instant::now();
                frames.push(piece.get(..length).unwrap_or_default(), &mut lines)
            }
            Ok(Err(error)) => {
                if error.kind() != io::ErrorKind::UnexpectedEof {
                    shared.refuse(peer, &format!("the connection broke: {error}"));
                }
                break;
            }
            Err(_) => frames.pause(&mut lines),
        };
        keep(&shared, lines).await;
        let why = match broken {
            Err(Broken::NoLength) => "a frame does not begin with its length",
            Err(Broken::TooLong) => "a record is longer than --max-record-bytes",
            Ok(()) if !share.set(frames.held()) => "there is no memory for more unfinished records",
            Ok(()) if last.elapsed() >= shared.address.idle() => {
                if frames.is_empty() {
                    return;
                } else {
                    "it is silent in the middle of a record"
                }
            }
            Ok(()) => continue,
        };
        shared.refuse(peer, &format!("closed: {why}"));
        break;
    }
    let mut lines = Vec::new();
    // What is too long was told.
    let _ = frames.finish(&mut lines);
    keep(&shared, lines).await;
}

/// Keeps lines, however long that takes: the client has no way to learn that they were not taken.
async fn keep(shared: &Shared, lines: Vec<u8>) {
    let mut waiting = lines;
    while !waiting.is_empty() {
        let copy = waiting.clone();
        if shared.intake.take(copy, false).await {
            waiting.clear();
        } else {
            sleep(AGAIN).await;
        }
    }
}

/// Takes the records of datagrams.
pub async fn datagrams(socket: &UdpSocket, shared: &Shared) {
    let mut piece = vec![0; PIECE];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut piece).await else {
            sleep(AGAIN).await;
            continue;
        };
        let mut frames = Frames::new(super::address::Framing::Delimited, shared.longest);
        let mut lines = Vec::new();
        let pushed = frames.push(piece.get(..length).unwrap_or_default(), &mut lines);
        // A datagram ends its last record.
        let ended = pushed.and_then(|()| frames.push(b"\n", &mut lines)).and_then(|()| frames.finish(&mut lines));
        if ended.is_err() || shared.intake.is_full() || !shared.intake.take(lines, false).await {
            shared.refuse(&peer.to_string(), "a datagram was dropped");
        }
    }
}
