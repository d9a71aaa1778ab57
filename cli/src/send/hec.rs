//! Splunk's HTTP Event Collector (Splunk Enterprise, "Format events for HTTP Event Collector").

use serde_json::json;

use super::destination::Destination;
use super::http::{Answer, Client, Verdict, in_halves};
use super::worker::{Deliver, Delivery, Entry};

/// The codes of answers of 400 that are about the token, the index or the channel, which an operator puts right (Splunk
/// Enterprise, "Troubleshoot HTTP Event Collector": "Possible error codes").
const OF_CONFIGURATION: [u64; 8] = [1, 2, 3, 4, 7, 10, 11, 16];

/// The path, if the address has none.
const PATH: &str = "/services/collector/event";

pub struct Hec {
    client: Client,
    url: String,
    authorization: String,
    index: Option<String>,
    sourcetype: String,
}

impl Hec {
    pub fn new(destination: &Destination) -> Result<Self, String> {
        let token = destination.secret("token-file")?.ok_or("token-file= is missing")?;
        let mut url = destination.url.clone();
        if url.path() == "/" {
            url.set_path(PATH);
        }
        Ok(Self {
            client: Client::new(destination)?,
            url: url.into(),
            authorization: format!("Splunk {token}"),
            index: destination.option("index").map(str::to_owned),
            sourcetype: destination.option("sourcetype").unwrap_or("catena:finding").to_owned(),
        })
    }

    fn event(&self, entry: &Entry) -> String {
        let mut envelope = json!({
            "time": entry.time as f64 / 1e3,
            "source": "catena",
            "sourcetype": self.sourcetype,
            "fields": {"finding_id": entry.key, "severity": entry.severity.as_str(), "rule": entry.rule},
        });
        if let Some(index) = &self.index {
            envelope["index"] = index.as_str().into();
        }
        let envelope = envelope.to_string();
        // The finding goes as it is.
        format!("{},\"event\":{}}}\n", envelope.strip_suffix('}').unwrap_or(&envelope), entry.body)
    }
}

impl Deliver for Hec {
    fn deliver(&mut self, entries: &[Entry]) -> Delivery {
        in_halves(entries, |entries| {
            let body: String = entries.iter().map(|entry| self.event(entry)).collect();
            let headers = [("authorization", &*self.authorization), ("content-type", "application/json")];
            match self.client.post(&self.url, &headers, body.as_bytes()) {
                Ok(answer) if is_of_configuration(&answer) => Verdict::Later(answer.describe(), None),
                Ok(answer) => answer.verdict(),
                Err(why) => Verdict::Later(why, None),
            }
        })
    }
}

/// Whether an answer refuses the findings for what is configured, not for what they are.
fn is_of_configuration(answer: &Answer) -> bool {
    let body: Option<serde_json::Value> = serde_json::from_str(&answer.body).ok();
    body.and_then(|body| body["code"].as_u64()).is_some_and(|code| OF_CONFIGURATION.contains(&code))
}

#[cfg(test)]
mod tests {
    use catena::Severity;
    use serde_json::Value;

    use super::*;

    /// Regression: a mistyped index sent all findings to the dead letters.
    #[test]
    fn a_wrong_index_is_not_the_fault_of_a_finding() {
        let answer = |body: &str| Answer { status: 400, body: body.to_owned(), after: None };
        assert!(is_of_configuration(&answer(r#"{"text":"Incorrect index","code":7,"invalid-event-number":1}"#)));
        assert!(!is_of_configuration(&answer(r#"{"text":"Invalid data format","code":6}"#)));
        assert!(!is_of_configuration(&answer("Bad Request")));
    }

    #[test]
    fn an_event_has_the_finding_and_its_id() {
        let folder = tempfile::tempdir().expect("a folder");
        let token = folder.path().join("token");
        std::fs::write(&token, "secret\n").expect("it is written");
        let text = format!("hec+http://127.0.0.1:8088,index=main,token-file={}", token.display());
        let hec = Hec::new(&text.parse().expect("it is valid")).expect("it opens");
        assert_eq!(
            (&*hec.url, &*hec.authorization),
            ("http://127.0.0.1:8088/services/collector/event", "Splunk secret")
        );
        let entry = Entry {
            key: "id".to_owned(),
            severity: Severity::High,
            rule: "aws-x".to_owned(),
            time: 1_767_607_335_250,
            body: "{\"a\":{}}".to_owned(),
        };
        let event: Value = serde_json::from_str(&hec.event(&entry)).expect("it is JSON");
        let expected = json!({
            "time": 1_767_607_335.25, "source": "catena", "sourcetype": "catena:finding", "index": "main",
            "fields": {"finding_id": "id", "severity": "high", "rule": "aws-x"}, "event": {"a": {}},
        });
        assert_eq!(event, expected);
    }
}
