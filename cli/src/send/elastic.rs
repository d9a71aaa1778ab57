//! The bulk API of Elasticsearch and OpenSearch, with the id of a finding as the id of its document: a finding that is delivered
//! twice is there once.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::destination::Destination;
use super::http::{Client, Verdict};
use super::worker::{Deliver, Delivery, Entry};

pub struct Elastic {
    client: Client,
    url: String,
    authorization: Option<String>,
}

/// The answer to a bulk request.
#[derive(Deserialize)]
struct Answer {
    errors: bool,
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    create: Created,
}

#[derive(Deserialize)]
struct Created {
    status: u16,
    #[serde(default)]
    error: Value,
}

impl Elastic {
    pub fn new(destination: &Destination) -> Result<Self, String> {
        let mut url = destination.url.clone();
        url.set_path(&format!("{}/_bulk", url.path().trim_end_matches('/')));
        let password = destination.secret("password-file")?;
        let basic = destination.option("user").zip(password);
        let basic = basic.map(|(user, password)| format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
        let key = destination.secret("api-key-file")?.map(|key| format!("ApiKey {key}"));
        Ok(Self { client: Client::new(destination)?, url: url.into(), authorization: key.or(basic) })
    }
}

impl Deliver for Elastic {
    fn deliver(&mut self, entries: &[Entry]) -> Delivery {
        let mut body = String::new();
        for entry in entries {
            // Data streams take nothing but `create`. Writing to a String cannot fail.
            let _ = write!(body, "{}\n{}\n", json!({"create": {"_id": entry.key}}), entry.body);
        }
        let mut headers = vec![("content-type", "application/x-ndjson")];
        headers.extend(self.authorization.as_deref().map(|value| ("authorization", value)));
        let answer = match self.client.post(&self.url, &headers, body.as_bytes()) {
            Ok(answer) => answer,
            Err(why) => return Delivery::failed(entries.len(), why),
        };
        match answer.verdict() {
            Verdict::Taken => match serde_json::from_str(&answer.body) {
                Ok(parsed) => delivery(entries.len(), parsed),
                Err(error) => Delivery::failed(entries.len(), format!("the answer is not that of a bulk API: {error}")),
            },
            // The whole request was wrong, or too long.
            Verdict::Refused(why) if entries.len() == 1 => Delivery { refused: vec![(0, why)], ..Delivery::default() },
            Verdict::Refused(_) => {
                let (first, second) = entries.split_at(entries.len() / 2);
                let (mut all, rest) = (self.deliver(first), self.deliver(second));
                all.again.extend(rest.again.iter().map(|at| at + first.len()));
                all.refused.extend(rest.refused.into_iter().map(|(at, why)| (at + first.len(), why)));
                (all.problem, all.after) = (all.problem.or(rest.problem), all.after.or(rest.after));
                all
            }
            Verdict::Later(why, after) => Delivery { after, ..Delivery::failed(entries.len(), why) },
        }
    }
}

/// What an answer says of each finding.
fn delivery(count: usize, answer: Answer) -> Delivery {
    if !answer.errors {
        return Delivery::default();
    }
    if answer.items.len() != count {
        return Delivery::failed(
            count,
            format!("the answer is about {} findings instead of {count}", answer.items.len()),
        );
    }
    let mut delivery = Delivery::default();
    for (at, Item { create: Created { status, error } }) in answer.items.into_iter().enumerate() {
        match status {
            // 409: there is a document of that id.
            200..=299 | 409 => {}
            429 | 500.. => {
                delivery.again.push(at);
                delivery.problem = Some(format!("status {status}: {error}"));
            }
            // A missing index, or no permission: an operator puts it right.
            401 | 403 | 404 => {
                delivery.again.push(at);
                delivery.problem = Some(format!("status {status}: {error}"));
            }
            _ => delivery.refused.push((at, format!("status {status}: {error}"))),
        }
    }
    delivery
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_of_a_partial_answer_has_its_own_fate() {
        let statuses = [201, 409, 429, 400, 503];
        let items: Vec<_> = statuses.iter().map(|status| json!({"create": {"status": status, "error": "e"}})).collect();
        let answer =
            |items: &[Value]| serde_json::from_value(json!({"errors": true, "items": items})).expect("it is valid");
        let fates = delivery(5, answer(&items));
        assert_eq!(fates.again, [2, 4]);
        assert_eq!(fates.refused, [(3, "status 400: \"e\"".to_owned())]);
        assert_eq!(delivery(5, answer(&items[..4])).again.len(), 5, "an answer about fewer tells nothing");
        let whole = serde_json::from_value(json!({"errors": false, "items": []})).expect("it is valid");
        assert_eq!(delivery(5, whole).again.len(), 0);
    }
}
