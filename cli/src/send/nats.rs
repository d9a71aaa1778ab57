//! NATS: a message for each finding, acknowledged by a stream of JetStream, which tells duplicates by the finding's id.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::PublishError;
use async_nats::{Client, ConnectOptions, HeaderMap, jetstream};
use bytes::Bytes;
use tokio::runtime::{self, Runtime};
use tokio::time::timeout;

use super::destination::Destination;
use super::worker::{Deliver, Delivery, Entry};

/// How long to wait for a connection and for an acknowledgement.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the headers add to the length of a message, in bytes, the key aside.
const HEADERS: usize = 64;

pub struct Nats {
    runtime: Runtime,
    destination: Destination,
    password: Option<String>,
    subject: String,
    uses_jetstream: bool,
    client: Option<Client>,
}

impl Nats {
    pub fn new(destination: &Destination) -> Result<Self, String> {
        let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build();
        if let Some(creds) = destination.file("creds") {
            std::fs::read(&creds).map_err(|error| format!("{}: {error}", creds.display()))?;
        }
        Ok(Self {
            runtime: runtime.map_err(|error| error.to_string())?,
            password: destination.secret("password-file")?,
            subject: destination.url.path().trim_matches('/').to_owned(),
            uses_jetstream: destination.option("jetstream") != Some("off"),
            destination: destination.clone(),
            client: None,
        })
    }

    async fn connect(destination: &Destination, password: Option<&str>) -> Result<Client, String> {
        let mut options = ConnectOptions::new().name("catena").connection_timeout(PATIENCE);
        if let Some(creds) = destination.file("creds") {
            options = options.credentials_file(creds).await.map_err(|error| error.to_string())?;
        }
        if let Some((user, password)) = destination.option("user").zip(password) {
            options = options.user_and_password(user.to_owned(), password.to_owned());
        }
        if let Some(ca) = destination.file("ca") {
            options = options.add_root_certificates(ca);
        }
        if let Some((cert, key)) = destination.file("cert").zip(destination.file("key")) {
            options = options.add_client_certificate(cert, key);
        }
        let host = destination.url.host_str().unwrap_or_default();
        let port = destination.url.port().unwrap_or(4_222);
        let address = format!("{}://{host}:{port}", destination.url.scheme());
        options.connect(address).await.map_err(|error| error.to_string())
    }

    async fn publish(client: &Client, subject: &str, jetstream: bool, entries: &[Entry]) -> Delivery {
        let context = jetstream::new(client.clone());
        let connects = client.statistics().connects.load(Ordering::Relaxed);
        let most = client.server_info().max_payload;
        let mut delivery = Delivery::default();
        let mut sent = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            let length = entry.body.len() + entry.key.len() + HEADERS;
            if length > most {
                let why = format!("{length} bytes are more than the server's max_payload of {most}");
                delivery.refused.push((at, why));
                continue;
            }
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Msg-Id", &*entry.key);
            let (subject, body) = (subject.to_owned(), entry.body.clone().into());
            if jetstream {
                match context.publish_with_headers(subject, headers, body).await {
                    Ok(acknowledgement) => sent.push((at, acknowledgement)),
                    Err(error) => return Delivery::failed(entries.len(), error.to_string()),
                }
            } else if let Err(error) = client.publish_with_headers(subject, headers, body).await {
                return Delivery::failed(entries.len(), error.to_string());
            }
        }
        if !jetstream {
            // The server answers, if only that nobody listens there, once it has read everything before.
            return match client.request(client.new_inbox(), Bytes::new()).await {
                Err(error) if error.kind() != RequestErrorKind::NoResponders => {
                    Delivery::failed(entries.len(), format!("{error}; may the user publish to _INBOX.>?"))
                }
                // The client connects again by itself: then the answer says nothing of what was sent before.
                _ if client.statistics().connects.load(Ordering::Relaxed) != connects => {
                    Delivery::failed(entries.len(), "the connection broke")
                }
                _ => delivery,
            };
        }
        for (at, acknowledgement) in sent {
            if let Err(error) = acknowledgement.await {
                if is_too_large(&error) {
                    delivery.refused.push((at, error.to_string()));
                    continue;
                }
                delivery.again.push(at);
                delivery.problem = Some(format!("{error}; is there a stream for the subject {subject}?"));
            }
        }
        delivery
    }
}

/// Whether a stream refuses a message for its length (`max_msg_size`).
fn is_too_large(error: &PublishError) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<jetstream::Error>());
    cause.is_some_and(|cause| cause.error_code() == ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM)
}

impl Deliver for Nats {
    fn deliver(&mut self, entries: &[Entry]) -> Delivery {
        let Self { runtime, destination, password, subject, uses_jetstream, client } = self;
        runtime.block_on(async {
            if client.is_none() {
                match timeout(PATIENCE, Self::connect(destination, password.as_deref())).await {
                    Ok(Ok(connected)) => *client = Some(connected),
                    Ok(Err(why)) => return Delivery::failed(entries.len(), why),
                    Err(_) => return Delivery::failed(entries.len(), "no answer to the attempt to connect"),
                }
            }
            let Some(connected) = client.clone() else { return Delivery::default() };
            let published = timeout(PATIENCE, Self::publish(&connected, subject, *uses_jetstream, entries)).await;
            let delivery =
                published.unwrap_or_else(|_| Delivery::failed(entries.len(), "no acknowledgement came in time"));
            if !delivery.again.is_empty() {
                // A new connection forgets what an old one has queued.
                *client = None;
            }
            delivery
        })
    }
}
