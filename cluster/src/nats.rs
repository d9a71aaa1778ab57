//! Requests to the servers, with their answers and errors as numbers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::client::RequestErrorKind;
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, HeaderMap, Request, ServerAddr, Subscriber};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::{info, warn};

use crate::Error;

/// How to reach the servers.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// URLs of some servers, separated by commas: `nats://…`, `tls://…`, with `USER:PASSWORD@` or `TOKEN@` if there are any.
    pub servers: String,
    /// A credentials file.
    pub credentials: Option<PathBuf>,
    /// Certificates of authorities in PEM.
    pub authorities: Option<PathBuf>,
    /// A certificate and a key for this client, in PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// How long to wait for an answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// What servers must take, in bytes: their default.
const MAX_PAYLOAD: usize = 1 << 20;

/// How often, and how many times, to look for something that must be there.
const LOOK: Duration = Duration::from_millis(200);
const LOOKS: u32 = 50;

/// How long to wait for servers that are starting.
const START: Duration = Duration::from_secs(10);

/// How long a read waits for servers that do not answer.
const OUTAGE: Duration = Duration::from_secs(120);

/// A connection.
#[derive(Clone)]
pub struct Nats {
    client: Client,
    connected: Instant,
    /// When a server last answered, in milliseconds since `connected`.
    answered: Arc<AtomicU64>,
    /// Set when the process is to end: then nothing waits for servers that are away.
    stop: Arc<AtomicBool>,
}

/// A stored message.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) subject: String,
    pub(crate) sequence: u64,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Bytes,
    /// When the leader stored it, in milliseconds since 1970.
    pub(crate) time_ms: u64,
}

/// An error of the servers' interface.
#[derive(Debug, Deserialize)]
pub(crate) struct ApiError {
    #[serde(default)]
    pub(crate) err_code: u64,
    #[serde(default)]
    pub(crate) description: String,
}

/// Codes of [`ApiError`] (nats-server, `server/errors.json`).
pub(crate) mod code {
    /// No servers have the room that a stream reserves.
    pub(crate) const NO_ROOM: u64 = 10_005;
    pub(crate) const STORAGE: u64 = 10_047;
    pub(crate) const WRONG_LAST_SEQUENCE: [u64; 2] = [10_071, 10_164];
    /// No leader, or no quorum.
    pub(crate) const UNAVAILABLE: u64 = 10_008;
    pub(crate) const NO_MESSAGE: u64 = 10_037;
    pub(crate) const STREAM_NOT_FOUND: u64 = 10_059;
    pub(crate) const STREAM_FULL: u64 = 10_077;
}

/// The answer to a publication or a request.
pub(crate) enum Answer {
    Ok(Value),
    Refused(ApiError),
    /// There is none: what was asked may have been done, or not.
    Unknown(String),
}

impl Nats {
    /// Connects. Once `stop` is set, nothing waits for servers that are away.
    ///
    /// # Errors
    ///
    /// [`Error::Nats`] if no server answers or lets this client in, [`Error::Invalid`] for one with too small a `max_payload`.
    pub async fn connect(access: &Access, name: &str, stop: &Arc<AtomicBool>) -> Result<Self, Error> {
        let mut options = ConnectOptions::new().name(name).request_timeout(Some(PATIENCE)).event_callback(tell);
        if let Some(file) = &access.credentials {
            options = options.credentials_file(file).await?;
        }
        if let Some(file) = &access.authorities {
            options = options.add_root_certificates(file.clone());
        }
        if let Some((certificate, key)) = &access.identity {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        let mut servers = Vec::new();
        for url in access.servers.split(',').map(str::trim) {
            // Nothing that is secret may be in a message.
            let shown = url.rsplit('@').next().unwrap_or_default();
            let server: ServerAddr =
                url.parse().map_err(|error| Error::Invalid(format!("{shown} is no address of a server: {error}")))?;
            options = match (server.username(), server.password()) {
                (Some(user), Some(password)) => options.user_and_password(user.to_owned(), password.to_owned()),
                (Some(token), None) => options.token(token.to_owned()),
                _ => options,
            };
            servers.push(server);
        }
        let named: Vec<String> = servers.iter().map(|server| format!("{}:{}", server.host(), server.port())).collect();
        let named = named.join(", ");
        let (began, mut has_told) = (Instant::now(), false);
        let client = loop {
            match options.clone().connect(&*servers).await {
                Ok(client) => break client,
                // It may be starting.
                Err(error) if error.kind() == ConnectErrorKind::Io && began.elapsed() < START => {
                    if !std::mem::replace(&mut has_told, true) {
                        let why = source(&error).unwrap_or_else(|| error.to_string());
                        info!("cannot connect to {named} yet: {why}");
                    }
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(error) => {
                    let why = source(&error).unwrap_or_else(|| error.to_string());
                    return Err(Error::Nats(format!("cannot connect to {named}: {why}")));
                }
            }
        };
        let nats = Self { client, connected: Instant::now(), answered: Arc::default(), stop: Arc::clone(stop) };
        let most = nats.client.server_info().max_payload;
        if most < MAX_PAYLOAD {
            let why = format!("the servers take messages of {most} bytes; set max_payload to {MAX_PAYLOAD} or more");
            return Err(Error::Invalid(why));
        }
        nats.wait_until_up().await?;
        Ok(nats)
    }

    async fn wait_until_up(&self) -> Result<(), Error> {
        let began = Instant::now();
        loop {
            let why = match self.api("INFO", &Value::Null).await {
                Answer::Ok(_) => return Ok(()),
                Answer::Refused(error) => error.description,
                Answer::Unknown(why) => why,
            };
            if began.elapsed() > START {
                return Err(Error::Nats(format!("JetStream is not available: {why}")));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The same connection, which waits for servers until another flag is set.
    #[must_use]
    pub fn until(&self, stop: &Arc<AtomicBool>) -> Self {
        Self { stop: Arc::clone(stop), ..self.clone() }
    }

    /// To be called before a wait for servers that are away.
    pub(crate) fn check_stop(&self) -> Result<(), Error> {
        if self.stop.load(Ordering::Relaxed) { Err(Error::Stopped) } else { Ok(()) }
    }

    /// Asks for no answer in particular.
    pub async fn ask(&self) {
        self.api("INFO", &Value::Null).await;
    }

    /// How long no server has answered.
    pub fn silence(&self) -> Duration {
        self.connected.elapsed().saturating_sub(Duration::from_millis(self.answered.load(Ordering::Relaxed)))
    }

    /// Asks JetStream.
    pub(crate) async fn api(&self, what: &str, payload: &Value) -> Answer {
        let payload = if payload.is_null() { Bytes::new() } else { payload.to_string().into() };
        self.request(format!("$JS.API.{what}"), HeaderMap::new(), payload).await
    }

    /// Publishes, and waits until the message is stored.
    pub(crate) async fn request(&self, subject: String, headers: HeaderMap, payload: Bytes) -> Answer {
        self.request_within(PATIENCE, subject, headers, payload).await
    }

    /// Publishes, and waits for some time until the message is stored.
    pub(crate) async fn request_within(
        &self,
        patience: Duration,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Answer {
        let mut request = Request::new().payload(payload).timeout(Some(patience));
        if !headers.is_empty() {
            request = request.headers(headers);
        }
        match self.client.send_request(subject, request).await {
            Err(error) if error.kind() == RequestErrorKind::NoResponders => {
                Answer::Unknown("no JetStream answers".to_owned())
            }
            Err(error) => Answer::Unknown(error.to_string()),
            Ok(message) => {
                self.answered.fetch_max(self.connected.elapsed().as_millis() as u64, Ordering::Relaxed);
                answer(&message.payload)
            }
        }
    }

    /// Publishes without waiting.
    pub(crate) async fn publish(&self, subject: String, headers: HeaderMap, payload: Bytes) -> Result<(), Error> {
        let published = self.client.publish_with_headers(subject, headers, payload).await;
        published.map_err(|error| Error::Nats(error.to_string()))
    }

    /// Checks that a stream reaches as far as a pointer to it. One that was made anew, or restored, begins again.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if it does not. A leader may also be behind for a moment.
    pub(crate) async fn check_reaches(&self, stream: &str, sequence: u64) -> Result<u64, Error> {
        let last = self.last_sequence(stream).await?;
        if last < sequence {
            let why = format!("{stream} ends at {last}, and was read up to {sequence}: was it made anew?");
            return Err(Error::Invalid(why));
        }
        Ok(last)
    }

    /// The subjects of a stream, with how many messages each has.
    pub(crate) async fn subjects(&self, stream: &str, filter: &str) -> Result<BTreeMap<String, u64>, Error> {
        let state = self.state(stream, &json!({"subjects_filter": filter})).await?;
        let subjects = state["subjects"].as_object().into_iter().flatten();
        Ok(subjects.map(|(subject, count)| (subject.clone(), count.as_u64().unwrap_or_default())).collect())
    }

    /// Listens to what others publish.
    pub(crate) async fn subscribe(&self, subject: String) -> Result<Subscriber, Error> {
        self.client.subscribe(subject).await.map_err(|error| Error::Nats(error.to_string()))
    }

    /// The last sequence of a stream.
    pub(crate) async fn last_sequence(&self, stream: &str) -> Result<u64, Error> {
        Ok(self.state(stream, &Value::Null).await?["last_seq"].as_u64().unwrap_or_default())
    }

    /// The state of a stream, at once or not at all.
    async fn state(&self, stream: &str, asked: &Value) -> Result<Value, Error> {
        match self.api(&format!("STREAM.INFO.{stream}"), asked).await {
            Answer::Ok(mut answer) => Ok(answer["state"].take()),
            Answer::Refused(error) => Err(Error::Nats(format!("{stream}: {}", error.description))),
            Answer::Unknown(why) => Err(Error::Nats(format!("{stream}: {why}"))),
        }
    }

    /// The last message of a subject, from the stream's leader: a replica may be behind.
    pub(crate) async fn last(&self, stream: &str, subject: &str) -> Result<Option<Stored>, Error> {
        self.get(stream, json!({"last_by_subj": subject})).await
    }

    /// The message at a sequence, from the stream's leader.
    pub(crate) async fn at(&self, stream: &str, sequence: u64) -> Result<Option<Stored>, Error> {
        self.get(stream, json!({"seq": sequence})).await
    }

    /// The message at a sequence that was stored, or none if the stream has later ones alone: then somebody has removed it.
    pub(crate) async fn present_at(&self, stream: &str, sequence: u64) -> Result<Option<Stored>, Error> {
        let what = format!("{stream} at {sequence}");
        let look = async || match self.at(stream, sequence).await? {
            Some(stored) => Ok(Some(Some(stored))),
            None => Ok(self
                .next(stream, ">", sequence)
                .await?
                .map(|later| Some(later).filter(|one| one.sequence == sequence))),
        };
        let found = present(&what, || Box::pin(look())).await?;
        if found.is_none() {
            warn!("{what}: removed before it was read");
        }
        Ok(found)
    }

    /// The first message of a subject at `sequence` or later, from the stream's leader.
    pub(crate) async fn next(&self, stream: &str, subject: &str, sequence: u64) -> Result<Option<Stored>, Error> {
        self.get(stream, json!({"seq": sequence, "next_by_subj": subject})).await
    }

    /// The configuration of a stream; none if it does not exist.
    pub(crate) async fn stream(&self, name: &str) -> Result<Option<Value>, Error> {
        let answer = self.read(name, "INFO", &Value::Null, code::STREAM_NOT_FOUND).await?;
        Ok(answer.map(|mut answer| answer["config"].take()))
    }

    async fn get(&self, stream: &str, which: Value) -> Result<Option<Stored>, Error> {
        let Some(answer) = self.read(stream, "MSG.GET", &which, code::NO_MESSAGE).await? else { return Ok(None) };
        let missing = || Error::Nats(format!("{stream}: no message in the answer"));
        stored(&answer["message"]).map(Some).ok_or_else(missing)
    }

    /// Asks a stream, and waits for servers that are away or in an election. None if it answers that there is none.
    async fn read(&self, stream: &str, what: &str, asked: &Value, none: u64) -> Result<Option<Value>, Error> {
        let began = Instant::now();
        let mut pause = Duration::from_millis(50);
        loop {
            let why = match self.api(&format!("STREAM.{what}.{stream}"), asked).await {
                Answer::Ok(answer) => return Ok(Some(answer)),
                Answer::Refused(error) if error.err_code == none => return Ok(None),
                Answer::Refused(error) if error.err_code != code::UNAVAILABLE => {
                    return Err(Error::Nats(format!("{stream}: {}", error.description)));
                }
                Answer::Refused(error) => error.description,
                Answer::Unknown(why) => why,
            };
            self.check_stop()?;
            if began.elapsed() > OUTAGE {
                return Err(Error::Nats(format!("{stream}: {why}")));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// Removes the messages of a subject before a sequence, which nobody needs any more. The next call removes what this one cannot.
    pub(crate) async fn tidy(&self, stream: &str, subject: &str, before: u64) {
        // To servers, 0 is no bound at all: they would remove everything.
        if before <= 1 {
            return;
        }
        self.purge(stream, subject, &json!({"filter": subject, "seq": before})).await;
    }

    /// Removes all messages of a subject but the last, which says how far something has come.
    pub(crate) async fn keep_last(&self, stream: &str, subject: &str) {
        self.purge(stream, subject, &json!({"filter": subject, "keep": 1})).await;
    }

    async fn purge(&self, stream: &str, subject: &str, which: &Value) {
        match self.api(&format!("STREAM.PURGE.{stream}"), which).await {
            Answer::Ok(_) => {}
            Answer::Refused(ApiError { description: why, .. }) | Answer::Unknown(why) => {
                info!("{stream}: {subject} is not tidied: {why}");
            }
        }
    }
}

/// Looks again and again for something that must be there. That a leader does not know it is no proof that it was removed: it may be behind,
/// and servers say the same if they cannot read.
///
/// # Errors
///
/// [`Error::Nats`] if it stays away. Nothing goes on without it.
pub(crate) async fn present<T, L>(what: &str, look: impl Fn() -> L) -> Result<T, Error>
where
    L: Future<Output = Result<Option<T>, Error>>,
{
    for _ in 0..LOOKS {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(Error::Nats(format!("{what} must be there, and is not")))
}

/// Tells what the servers say of the connection, such as that something is not permitted.
async fn tell(event: Event) {
    match event {
        Event::ServerError(error) => warn!("NATS: {error}"),
        Event::ClientError(error) => warn!("NATS: {error}"),
        Event::SlowConsumer(_) => warn!("NATS: {event}"),
        Event::Disconnected => info!("NATS: the connection is lost; connecting again"),
        _ => {}
    }
}

/// What is behind an error, in words.
fn source(error: &dyn std::error::Error) -> Option<String> {
    let source = error.source()?;
    Some(source.source().map_or_else(|| source.to_string(), ToString::to_string))
}

/// What a server says.
fn answer(payload: &[u8]) -> Answer {
    let Ok(mut answer) = serde_json::from_slice::<Value>(payload) else {
        return Answer::Unknown("no JSON was answered".to_owned());
    };
    match answer.get_mut("error").map(Value::take) {
        None => Answer::Ok(answer),
        Some(error) => match serde_json::from_value(error) {
            Ok(error) => Answer::Refused(error),
            Err(error) => Answer::Unknown(error.to_string()),
        },
    }
}

fn stored(message: &Value) -> Option<Stored> {
    let decoded = |name: &str| match message.get(name) {
        Some(text) => BASE64.decode(text.as_str()?).ok(),
        None => Some(Vec::new()),
    };
    let at = OffsetDateTime::parse(message["time"].as_str()?, &Rfc3339).ok()?;
    Some(Stored {
        subject: message["subject"].as_str()?.to_owned(),
        sequence: message["seq"].as_u64()?,
        headers: headers(&decoded("hdrs")?),
        payload: decoded("data")?.into(),
        time_ms: u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()?,
    })
}

/// Headers as they are stored: a line with the version, then a line each.
fn headers(bytes: &[u8]) -> HeaderMap {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().skip(1).filter_map(|line| line.split_once(':'));
    lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).fold(
        HeaderMap::new(),
        |mut map, (name, value)| {
            map.insert(name.as_str(), value.as_str());
            map
        },
    )
}

/// A header's value, if it is there.
pub(crate) fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).map(|value| value.as_str())
}
