//! Records that are posted: NDJSON, JSON or gzip, and the ways in which Splunk's clients, Firehose, Pub/Sub, EventBridge and Event
//! Grid post. An answer of 200 says that the records are safe.

use std::convert::Infallible;
use std::io::Read as _;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::Shared;
use super::address::Framing;
use super::budget::Share;
use super::frames::Frames;

/// Maximum size of a request's head, in bytes.
const MAX_HEAD: usize = 32 << 10;

/// Maximum time for the head of a request, and for a piece of its body.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const PIECE_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum time between two requests of a connection.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// How long clients are asked to wait, in seconds, if there is no room.
const RETRY: &str = "5";

/// Why a request must wait that would take more memory than all together may.
const NO_MEMORY: &str = "there is no memory for more requests";

/// Why a request is not taken.
struct Refusal(StatusCode, &'static str);

/// Serves a connection.
pub async fn connection<C>(connection: C, peer: &str, shared: Shared)
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let idle = shared.address.idle();
    let service = service_fn(move |request| {
        let (shared, peer) = (shared.clone(), peer.to_owned());
        async move { Ok::<_, Infallible>(respond(request, &peer, &shared).await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(idle.clamp(HEAD_TIMEOUT, KEEP_ALIVE)).max_buf_size(MAX_HEAD);
    // The client may have disconnected, or sent something else than HTTP.
    let _ = server.serve_connection(TokioIo::new(connection), service).await;
}

async fn respond(request: Request<Incoming>, peer: &str, shared: &Shared) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let is_splunk = path.starts_with("/services/collector");
    let firehose = header("x-amz-firehose-request-id");
    let is_validation = header("aeg-event-type").as_deref() == Some("SubscriptionValidation");
    match *request.method() {
        Method::GET | Method::HEAD if is_splunk => {
            return answer(StatusCode::OK, &json!({"text": "HEC is healthy", "code": 17}));
        }
        Method::GET | Method::HEAD => return answer(StatusCode::OK, &json!({"status": "ok"})),
        // CloudEvents, "HTTP 1.1 Web Hooks": Event Grid asks whether it may post.
        Method::OPTIONS => {
            let mut response = answer(StatusCode::OK, &json!({}));
            for (asked, granted) in
                [("webhook-request-origin", "webhook-allowed-origin"), ("webhook-request-rate", "webhook-allowed-rate")]
            {
                if let (Some(value), Ok(name)) =
                    (request.headers().get(asked), granted.parse::<hyper::header::HeaderName>())
                {
                    response.headers_mut().insert(name, value.clone());
                }
            }
            return response;
        }
        Method::POST | Method::PUT => {}
        _ => return answer(StatusCode::METHOD_NOT_ALLOWED, &json!({"error": "expected POST"})),
    }
    let taken = match authorized(&request, shared) {
        true if is_validation => match body(request, shared).await.map(|(body, _)| validation(&body)) {
            Ok(Some(response)) => return answer(StatusCode::OK, &response),
            Ok(None) => Err(Refusal(StatusCode::BAD_REQUEST, "the validation has no code")),
            Err(refusal) => Err(refusal),
        },
        true => take(request, shared).await,
        false => Err(Refusal(StatusCode::UNAUTHORIZED, "the token is missing or wrong")),
    };
    let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_millis() as u64);
    match (taken, firehose) {
        (Ok(()), Some(id)) => answer(StatusCode::OK, &json!({"requestId": id, "timestamp": now})),
        (Ok(()), None) if is_splunk => answer(StatusCode::OK, &json!({"text": "Success", "code": 0})),
        (Ok(()), None) => answer(StatusCode::OK, &json!({"status": "ok"})),
        (Err(Refusal(status, why)), firehose) => {
            shared.refuse(peer, why);
            let mut response = match firehose {
                Some(id) => answer(status, &json!({"requestId": id, "timestamp": now, "errorMessage": why})),
                None if is_splunk => answer(status, &json!({"text": why, "code": splunk_code(status)})),
                None => answer(status, &json!({"error": why})),
            };
            if status == StatusCode::SERVICE_UNAVAILABLE {
                response.headers_mut().insert(RETRY_AFTER, hyper::header::HeaderValue::from_static(RETRY));
            }
            response
        }
    }
}

fn answer(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    response
}

/// The codes of Splunk ("Troubleshoot HTTP Event Collector"): 3 and 4 for the token, 6 for the data, 9 for a busy server.
fn splunk_code(status: StatusCode) -> u32 {
    match status {
        StatusCode::UNAUTHORIZED => 4,
        StatusCode::SERVICE_UNAVAILABLE => 9,
        _ => 6,
    }
}

/// Whether a request has the token, in any of the places where clients can put it.
fn authorized(request: &Request<Incoming>, shared: &Shared) -> bool {
    let Some(token) = shared.token.as_deref() else { return true };
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let authorization = header(AUTHORIZATION.as_str()).and_then(|value| value.split_once(' '));
    let bearer = authorization.map(|(_, token)| token.trim());
    // Of basic authorization, the password counts.
    let basic = authorization.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    let basic = basic.and_then(|(_, encoded)| String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok());
    let password = basic.as_deref().and_then(|pair| pair.split_once(':')).map(|(_, password)| password);
    let query = request.uri().query().unwrap_or_default();
    let in_query =
        url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "token").map(|(_, token)| token);
    let given = [bearer, password, header("x-amz-firehose-access-key"), header("x-api-key"), in_query.as_deref()];
    given.into_iter().flatten().any(|given| equal(given.as_bytes(), token.as_bytes()))
}

/// Compares in a time that does not tell where the difference is.
fn equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |all, (one, other)| all | (one ^ other)) == 0
}

/// The answer to the validation of a subscription (Microsoft Learn, "Endpoint validation with Event Grid event schema").
fn validation(body: &[u8]) -> Option<Value> {
    let events: Value = serde_json::from_slice(body).ok()?;
    let code = events.get(0)?.get("data")?.get("validationCode")?.as_str()?;
    Some(json!({"validationResponse": code}))
}

/// Takes the records of a request.
async fn take(request: Request<Incoming>, shared: &Shared) -> Result<(), Refusal> {
    if shared.intake.is_full() {
        return Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, "the storage is full or not responding"));
    }
    let (body, mut share) = body(request, shared).await?;
    let mut frames = Frames::new(Framing::Delimited, shared.longest);
    let mut lines = Vec::new();
    let too_long = |_| Refusal(StatusCode::PAYLOAD_TOO_LARGE, "a record is longer than --max-record-bytes");
    frames.push(&body, &mut lines).map_err(too_long)?;
    if !frames.finish(&mut lines).map_err(too_long)? {
        return Err(Refusal(StatusCode::BAD_REQUEST, "the body ends in the middle of a record"));
    }
    if !share.set(body.len() + lines.len()) {
        return Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, NO_MEMORY));
    }
    drop(body);
    if lines.trim_ascii().is_empty() {
        return Err(Refusal(StatusCode::BAD_REQUEST, "there is no record in the body"));
    }
    if shared.intake.take(lines, true).await {
        Ok(())
    } else {
        Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, "the records cannot be kept"))
    }
}

/// The body, decompressed, and its share of the memory.
async fn body(request: Request<Incoming>, shared: &Shared) -> Result<(Vec<u8>, Share), Refusal> {
    let encoding = request.headers().get(CONTENT_ENCODING).map(|value| value.as_bytes().to_ascii_lowercase());
    let mut share = shared.budget.share();
    let mut compressed = Vec::new();
    let mut incoming = request.into_body();
    loop {
        let frame = timeout(PIECE_TIMEOUT, incoming.frame()).await;
        let frame = frame.map_err(|_| Refusal(StatusCode::REQUEST_TIMEOUT, "the body does not go on"))?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|_| Refusal(StatusCode::BAD_REQUEST, "the body was cut off"))?;
        if let Some(data) = frame.data_ref() {
            compressed.extend_from_slice(data);
        }
        room(&mut share, compressed.len(), shared)?;
    }
    // Not every client says what it does.
    let is_gzip = compressed.starts_with(&[0x1f, 0x8b]);
    match encoding.as_deref() {
        None | Some(b"" | b"identity") if !is_gzip => Ok((compressed, share)),
        None | Some(b"" | b"identity") => inflated(&compressed, share, shared),
        Some(b"gzip" | b"x-gzip") => inflated(&compressed, share, shared),
        Some(_) => Err(Refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "expected gzip or no encoding")),
    }
}

/// A compressed body, decompressed as far as there is memory.
fn inflated(compressed: &[u8], mut share: Share, shared: &Shared) -> Result<(Vec<u8>, Share), Refusal> {
    let mut decoder = MultiGzDecoder::new(compressed);
    let (mut body, mut piece) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        match decoder.read(&mut piece) {
            Ok(0) => return Ok((body, share)),
            Ok(length) => body.extend_from_slice(piece.get(..length).unwrap_or_default()),
            Err(_) => return Err(Refusal(StatusCode::BAD_REQUEST, "the body is not valid gzip")),
        }
        room(&mut share, compressed.len() + body.len(), shared)?;
    }
}

/// Checks that there is room for a body of this length.
fn room(share: &mut Share, length: usize, shared: &Shared) -> Result<(), Refusal> {
    if length > shared.longest {
        return Err(Refusal(StatusCode::PAYLOAD_TOO_LARGE, "the body is longer than --max-record-bytes"));
    }
    if !share.set(length) {
        return Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, NO_MEMORY));
    }
    Ok(())
}
