//! `--listen`: records come in over the network. A run keeps them in a journal in the folder of its state, from which it reads them
//! like a file; `catena cluster ingest` stores them in the fleet. A client that waits for an answer gets it once they are safe there.

mod address;
mod budget;
mod frames;
mod http;
mod intake;
mod journal;
mod stream;

use std::collections::HashMap;
use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket, UnixListener};
use tokio::runtime;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use super::CliError;
use super::tls;
pub use address::Address;
use address::{Place, Protocol};
use budget::Budget;
pub use intake::{Fullness, Intake, Store};

/// How long to wait after a connection could not be accepted: there may be no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How long a handshake of TLS may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How many reasons for refusals are counted at a time.
const MAX_REASONS: usize = 100;

/// Counters of all listeners.
#[derive(Debug, Default)]
pub struct Status {
    pub connections: AtomicU64,
    pub received_bytes: AtomicU64,
    /// Connections, requests and datagrams that were not taken in full.
    pub refused: AtomicU64,
    /// The same by reason, to log the first of each.
    reasons: Mutex<HashMap<String, u64>>,
}

/// What all connections of one listener share.
#[derive(Clone)]
struct Shared {
    address: Arc<Address>,
    intake: Intake,
    budget: Budget,
    /// The longest record, in bytes.
    longest: usize,
    token: Option<Arc<str>>,
    status: Arc<Status>,
    open: Arc<AtomicUsize>,
}

enum Listener {
    Tcp(TcpListener, Option<TlsAcceptor>),
    Unix(UnixListener),
    Udp(UdpSocket),
}

/// The settings of TLS, and the token that clients must have.
type Secrets = (Option<Arc<rustls::ServerConfig>>, Option<Arc<str>>);

/// Reads the files that the options of an address name.
pub fn check(address: &Address) -> Result<Secrets, CliError> {
    let fail = |why: String| CliError::usage(format!("--listen {}: {why}", address.name));
    let tls = match address.tls() {
        Some((cert, key, client_ca)) => Some(tls::server(&cert, &key, client_ca.as_deref()).map_err(fail)?),
        None => None,
    };
    let token = address.token_file().map(|file| tls::secret(&file)).transpose().map_err(fail)?;
    Ok((tls, token.map(Into::into)))
}

/// Listens on all addresses, on a thread of its own, and keeps what comes in a store. Records have at most `longest` bytes.
pub fn start(
    addresses: &[Address],
    store: impl Store,
    longest: usize,
    status: &Arc<Status>,
) -> Result<Intake, CliError> {
    let fail = |error: io::Error| CliError::new(format!("cannot listen: {error}"));
    let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build().map_err(fail)?;
    let intake = Intake::start(store, Arc::clone(status)).map_err(fail)?;
    let budget = Budget::default();
    let mut listeners = Vec::new();
    for address in addresses {
        let (tls, token) = check(address)?;
        let _guard = runtime.enter();
        let listener = bind(address, tls);
        let listener =
            listener.map_err(|error| CliError::new(format!("cannot listen on {}: {error}", address.name)))?;
        let shared = Shared {
            address: Arc::new(address.clone()),
            intake: intake.clone(),
            budget: budget.clone(),
            longest,
            token,
            status: Arc::clone(status),
            open: Arc::default(),
        };
        info!("listening on {}", listener.describe(address));
        if address.is_open_to_all() {
            warn!("{}: everyone who reaches it can send records: use token-file= or client-ca=", address.name);
        }
        listeners.push((listener, shared));
    }
    let thread = thread::Builder::new().name("listen".to_owned());
    let run = async move {
        let tasks: Vec<_> =
            listeners.into_iter().map(|(listener, shared)| tokio::spawn(serve(listener, shared))).collect();
        for task in tasks {
            let _ = task.await;
        }
    };
    thread.spawn(move || runtime.block_on(run)).map_err(fail)?;
    Ok(intake)
}

fn bind(address: &Address, tls: Option<Arc<rustls::ServerConfig>>) -> io::Result<Listener> {
    match &address.place {
        Place::Tcp(socket) => {
            let listener = std::net::TcpListener::bind(socket)?;
            listener.set_nonblocking(true)?;
            Ok(Listener::Tcp(TcpListener::from_std(listener)?, tls.map(TlsAcceptor::from)))
        }
        Place::Udp(socket) => {
            let socket = std::net::UdpSocket::bind(socket)?;
            socket.set_nonblocking(true)?;
            UdpSocket::from_std(socket).map(Listener::Udp)
        }
        Place::Unix(path) => {
            remove_stale(path)?;
            let listener = UnixListener::bind(path)?;
            if let Some(mode) = address.mode() {
                std::fs::set_permissions(path, Permissions::from_mode(mode))?;
            }
            Ok(Listener::Unix(listener))
        }
    }
}

/// Removes the socket that an earlier run left behind.
fn remove_stale(path: &Path) -> io::Result<()> {
    let Ok(metadata) = path.symlink_metadata() else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::other("there is a file of this name, which is no socket"));
    }
    if std::os::unix::net::UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

impl Listener {
    /// The address with the port that the system has chosen, if it was 0.
    fn describe(&self, address: &Address) -> String {
        let bound: Option<SocketAddr> = match self {
            Self::Tcp(listener, _) => listener.local_addr().ok(),
            Self::Udp(socket) => socket.local_addr().ok(),
            Self::Unix(_) => None,
        };
        let scheme = address.name.split("://").next().unwrap_or_default();
        bound.map_or_else(|| address.name.clone(), |bound| format!("{scheme}://{bound}"))
    }
}

async fn serve(listener: Listener, shared: Shared) {
    match listener {
        Listener::Udp(socket) => stream::datagrams(&socket, &shared).await,
        Listener::Unix(listener) => loop {
            match listener.accept().await {
                Ok((connection, _)) => {
                    shared.begin(async |shared| stream::connection(connection, "a local client", shared).await)
                }
                Err(error) => cannot_accept(&shared, &error).await,
            }
        },
        Listener::Tcp(listener, tls) => loop {
            match listener.accept().await {
                Ok((connection, peer)) => {
                    let tls = tls.clone();
                    shared.begin(async move |shared| {
                        let peer = peer.to_string();
                        let Some(tls) = tls else { return speak(connection, &peer, shared).await };
                        match tokio::time::timeout(HANDSHAKE, tls.accept(connection)).await {
                            Ok(Ok(connection)) => speak(connection, &peer, shared).await,
                            Ok(Err(error)) => shared.refuse(&peer, &handshake(&error)),
                            Err(_) => shared.refuse(&peer, "no TLS in time"),
                        }
                    });
                }
                Err(error) => cannot_accept(&shared, &error).await,
            }
        },
    }
}

async fn speak<C>(connection: C, peer: &str, shared: Shared)
where
    C: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    match shared.address.protocol {
        Protocol::Stream => stream::connection(connection, peer, shared).await,
        Protocol::Http => http::connection(connection, peer, shared).await,
    }
}

/// Why a handshake failed, in words.
fn handshake(error: &io::Error) -> String {
    match error.to_string() {
        why if why.contains("UnsupportedCertVersion") => {
            "the handshake of TLS failed: the client's certificate is not of X.509 version 3".to_owned()
        }
        why => format!("the handshake of TLS failed: {why}"),
    }
}

async fn cannot_accept(shared: &Shared, error: &io::Error) {
    shared.refuse(&shared.address.name, &format!("cannot accept a connection: {error}"));
    sleep(ACCEPT_PAUSE).await;
}

impl Shared {
    /// Serves a connection, unless there are too many.
    fn begin<F>(&self, work: impl FnOnce(Shared) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.address.connections() {
            self.open.fetch_sub(1, Ordering::Relaxed);
            self.refuse("a client", "there are too many connections");
            return;
        }
        self.status.connections.fetch_add(1, Ordering::Relaxed);
        let served = work(self.clone());
        let (open, status) = (Arc::clone(&self.open), Arc::clone(&self.status));
        tokio::spawn(async move {
            let _ending = Ending(open, status);
            served.await;
        });
    }

    /// Counts something that was not taken, and logs the first of each thousand for the same reason.
    fn refuse(&self, peer: &str, why: &str) {
        self.status.refused.fetch_add(1, Ordering::Relaxed);
        let mut reasons = self.status.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        // Reasons may quote what a client sends.
        if reasons.len() >= MAX_REASONS {
            reasons.clear();
        }
        let count = reasons.entry(why.to_owned()).or_default();
        *count += 1;
        if *count % 1_000 == 1 {
            warn!("{}: from {peer}: {why}", self.address.name);
        }
    }
}

/// Counts a connection as closed, however it ends.
struct Ending(Arc<AtomicUsize>, Arc<Status>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        self.1.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
