//! Microsoft Sentinel, by the Logs Ingestion API of Azure Monitor (Microsoft Learn, "Logs Ingestion API in Azure Monitor").
//!
//! The address is that of a data collection endpoint and rule: `sentinel+https://NAME.ingest.monitor.azure.com/dataCollectionRules/
//! dcr-…/streams/Custom-…`. Access is that of an application with the role "Monitoring Metrics Publisher" on the rule.

use std::time::{Duration, Instant};

use serde::Deserialize;
use url::form_urlencoded;

use super::destination::Destination;
use super::http::{Client, Verdict, in_halves};
use super::worker::{Deliver, Delivery, Entry};

/// Where applications get their tokens, but for national clouds (`login=`).
const LOGIN: &str = "https://login.microsoftonline.com";

const SCOPE: &str = "https://monitor.azure.com/.default";

/// The version of the API, if the address names none.
const VERSION: &str = "api-version=2023-01-01";

/// How long a token is used at most.
const MAX_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// A token is not used in the last minute of its life.
const MARGIN: Duration = Duration::from_secs(60);

/// A request may have 1 MB.
const MAX_BODY: usize = 900_000;

pub struct Sentinel {
    client: Client,
    url: String,
    token_url: String,
    form: String,
    token: Option<(String, Instant)>,
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
    expires_in: u64,
}

impl Sentinel {
    pub fn new(destination: &Destination) -> Result<Self, String> {
        let mut url = destination.url.clone();
        if url.query().is_none() {
            url.set_query(Some(VERSION));
        }
        let secret = destination.secret("secret-file")?.ok_or("secret-file= is missing")?;
        let tenant = destination.option("tenant").unwrap_or_default();
        let login = destination.option("login").unwrap_or(LOGIN).trim_end_matches('/');
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", destination.option("client").unwrap_or_default())
            .append_pair("client_secret", &secret)
            .append_pair("scope", SCOPE)
            .finish();
        let token_url = format!("{login}/{tenant}/oauth2/v2.0/token");
        Ok(Self { client: Client::new(destination)?, url: url.into(), token_url, form, token: None })
    }

    /// A valid token.
    fn token(&mut self) -> Result<String, String> {
        if let Some((token, until)) = &self.token
            && *until > Instant::now()
        {
            return Ok(token.clone());
        }
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let answer = self.client.post(&self.token_url, &headers, self.form.as_bytes())?;
        if !matches!(answer.verdict(), Verdict::Taken) {
            return Err(format!("no token: {}", answer.describe()));
        }
        let token: Token = serde_json::from_str(&answer.body).map_err(|error| format!("no token: {error}"))?;
        let life = Duration::from_secs(token.expires_in).min(MAX_LIFE).saturating_sub(MARGIN);
        self.token = Some((token.access_token.clone(), Instant::now() + life));
        Ok(token.access_token)
    }

    fn post(&mut self, entries: &[Entry]) -> Verdict {
        let bodies: Vec<_> = entries.iter().map(|entry| &*entry.body).collect();
        let body = format!("[{}]", bodies.join(","));
        if body.len() > MAX_BODY {
            return Verdict::Refused(format!("{} bytes are more than a request may have", body.len()));
        }
        let token = match self.token() {
            Ok(token) => format!("Bearer {token}"),
            Err(why) => return Verdict::Later(why, None),
        };
        let headers = [("authorization", &*token), ("content-type", "application/json")];
        match self.client.post(&self.url, &headers, body.as_bytes()) {
            Ok(answer) => {
                if answer.status == 401 {
                    self.token = None;
                }
                answer.verdict()
            }
            Err(why) => Verdict::Later(why, None),
        }
    }
}

impl Deliver for Sentinel {
    fn deliver(&mut self, entries: &[Entry]) -> Delivery {
        in_halves(entries, |entries| self.post(entries))
    }
}
