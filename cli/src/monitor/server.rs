//! A small HTTP server that a hostile client cannot exhaust: every connection is bounded in time, memory and number.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::warn;

/// Maximum number of open connections. A new one takes the place of the oldest, so idle clients lock nobody out.
const MAX_CONNECTIONS: usize = 32;

/// Maximum size of a request's head, in bytes.
const MAX_HEAD: usize = 16 << 10;

/// Maximum time for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum time for a connection. There is one request on each.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(15);

/// How long to wait after a connection could not be accepted: there may be no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Answers the GET requests for a path with a status and a text.
pub type Answer = Arc<dyn Fn(&str) -> (u16, String) + Send + Sync>;

/// Starts the server on a thread of its own and returns the address it is bound to.
pub fn serve(address: SocketAddr, answer: Answer) -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let bound = listener.local_addr()?;
    let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let listener = {
        let _guard = runtime.enter();
        TcpListener::from_std(listener)?
    };
    thread::Builder::new().name("metrics".to_owned()).spawn(move || runtime.block_on(accept(listener, answer)))?;
    Ok(bound)
}

async fn accept(listener: TcpListener, answer: Answer) {
    let mut open: VecDeque<JoinHandle<()>> = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                open.retain(|connection| !connection.is_finished());
                if open.len() >= MAX_CONNECTIONS
                    && let Some(oldest) = open.pop_front()
                {
                    oldest.abort();
                }
                open.push_back(tokio::spawn(connection(stream, Arc::clone(&answer))));
            }
            Err(error) => {
                warn!("cannot accept a connection for metrics: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, answer: Answer) {
    let service = service_fn(move |request| {
        let response = respond(&request, &answer);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD).keep_alive(false);
    // The client may have disconnected, or sent something else than HTTP.
    let _ = timeout(CONNECTION_TIMEOUT, server.serve_connection(TokioIo::new(stream), service)).await;
}

fn respond(request: &Request<Incoming>, answer: &Answer) -> Response<Full<Bytes>> {
    let (code, text) = match *request.method() {
        Method::GET | Method::HEAD => answer(request.uri().path()),
        _ => (405, "expected GET\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(kind) = "text/plain; version=0.0.4; charset=utf-8".parse() {
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    response
}
