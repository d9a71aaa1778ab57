//! What the receivers that speak HTTP have in common.

use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::http::header::RETRY_AFTER;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use super::destination::Destination;
use super::worker::{Delivery, Entry};
use crate::tls::{self, provider as tls_provider};

/// How long a connection and a whole request may take.
const CONNECT: Duration = Duration::from_secs(10);
const REQUEST: Duration = Duration::from_secs(30);

/// The longest answer that is read, in bytes.
const MAX_ANSWER: u64 = 16 << 20;

/// Replaces a secret in an answer.
const HIDDEN: &str = "[hidden]";

/// How much of an answer goes into messages, in characters.
const MAX_SHOWN: usize = 300;

/// A client for one receiver.
pub struct Client {
    agent: Agent,
}

/// The answer to a request.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
    /// How long the receiver asks to wait.
    pub after: Option<Duration>,
}

/// What an answer says of all findings of a request.
#[derive(Debug)]
pub enum Verdict {
    Taken,
    /// The receiver will not take at least one of them.
    Refused(String),
    /// Another attempt may succeed.
    Later(String, Option<Duration>),
}

impl Client {
    /// A client with the TLS settings of a destination.
    pub fn new(destination: &Destination) -> Result<Self, String> {
        let mut config = Agent::config_builder()
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(REQUEST))
            .http_status_as_error(false)
            .user_agent(concat!("catena/", env!("CARGO_PKG_VERSION")))
            // A POST that is sent again as GET would be lost.
            .max_redirects(0);
        if destination.url.scheme() == "https" {
            let roots = tls::roots(destination.file("ca").as_deref())?;
            let roots: Vec<_> = roots.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
            let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(tls_provider());
            let tls = tls.root_certs(RootCerts::Specific(Arc::new(roots)));
            let client = match (destination.file("cert"), destination.file("key")) {
                (Some(cert), Some(key)) => {
                    let chain: Vec<_> =
                        tls::certificates(&cert)?.iter().map(|part| Certificate::from_der(part).to_owned()).collect();
                    let pem = std::fs::read(&key).map_err(|error| format!("{}: {error}", key.display()))?;
                    let key = PrivateKey::from_pem(&pem).map_err(|error| format!("{}: {error}", key.display()))?;
                    Some(ClientCert::new_with_certs(&chain, key))
                }
                _ => None,
            };
            config = config.tls_config(tls.client_cert(client).build());
        }
        Ok(Self { agent: config.build().new_agent() })
    }

    /// Posts a body. An error is why there is no answer.
    pub fn post(&self, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, String> {
        let mut request = self.agent.post(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = request.send(body).map_err(|error| error.to_string())?;
        let after = response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
        let text = response.body_mut().with_config().limit(MAX_ANSWER).lossy_utf8(true).read_to_string();
        // Some receivers repeat the request in an answer, which goes to the log and to the dead letters.
        let secrets = headers.iter().filter(|(name, _)| *name == "authorization");
        let secrets = secrets.map(|(_, value)| value.split_once(' ').map_or(*value, |(_, secret)| secret));
        let hide = |text: String| secrets.fold(text, |text, secret| text.replace(secret, HIDDEN));
        Ok(Answer {
            status: response.status().as_u16(),
            body: text.map(hide).map_err(|error| format!("the answer was cut off: {error}"))?,
            after: after.map(Duration::from_secs),
        })
    }
}

impl Answer {
    /// The verdict by the status alone. Whatever may be wrong with an address or a token is put right by an operator, and
    /// must not cost findings.
    pub fn verdict(&self) -> Verdict {
        match self.status {
            200..=299 => Verdict::Taken,
            400 | 411 | 413 | 415 | 422 => Verdict::Refused(self.describe()),
            _ => Verdict::Later(self.describe(), self.after),
        }
    }

    pub fn describe(&self) -> String {
        let body: String = self.body.trim().chars().take(MAX_SHOWN).collect();
        format!("the answer is {}{}{body}", self.status, if body.is_empty() { "" } else { ": " })
    }
}

/// Delivers findings that one request takes together. If it is refused, its halves are tried, down to the findings that are
/// the cause.
pub fn in_halves(entries: &[Entry], mut post: impl FnMut(&[Entry]) -> Verdict) -> Delivery {
    let mut delivery = Delivery::default();
    let mut parts = Vec::new();
    parts.push(0..entries.len());
    while let Some(part) = parts.pop() {
        let Some(these) = entries.get(part.clone()).filter(|these| !these.is_empty()) else { continue };
        match post(these) {
            Verdict::Taken => {}
            Verdict::Refused(why) if these.len() == 1 => delivery.refused.push((part.start, why)),
            Verdict::Refused(_) => {
                let middle = part.start + these.len() / 2;
                parts.push(middle..part.end);
                parts.push(part.start..middle);
            }
            Verdict::Later(why, after) => {
                (delivery.problem, delivery.after) = (Some(why), after);
                delivery.again.extend(part);
                delivery.again.extend(parts.drain(..).rev().flatten());
            }
        }
    }
    delivery
}

#[cfg(test)]
mod tests {
    use catena::Severity;

    use super::*;

    fn entries(count: usize) -> Vec<Entry> {
        let entry = |at: usize| Entry {
            key: at.to_string(),
            severity: Severity::High,
            rule: "r".to_owned(),
            time: 0,
            body: "{}".to_owned(),
        };
        (0..count).map(entry).collect()
    }

    #[test]
    fn only_the_findings_that_are_the_cause_are_refused() {
        let mut taken = Vec::new();
        let delivery = in_halves(&entries(9), |these| {
            if these.iter().any(|entry| ["2", "7"].contains(&&*entry.key)) {
                return Verdict::Refused("no".to_owned());
            }
            taken.extend(these.iter().map(|entry| entry.key.clone()));
            Verdict::Taken
        });
        assert_eq!(delivery.refused.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [2, 7]);
        assert_eq!((taken.concat(), delivery.again.len()), ("0134568".to_owned(), 0));
    }

    #[test]
    fn what_was_not_tried_yet_is_delivered_again() {
        let mut calls = 0;
        let delivery = in_halves(&entries(8), |_| {
            calls += 1;
            match calls {
                1 => Verdict::Refused("no".to_owned()),
                2 => Verdict::Taken,
                _ => Verdict::Later("down".to_owned(), None),
            }
        });
        assert_eq!((delivery.again, delivery.refused.len()), ((4..8).collect(), 0));
    }
}
