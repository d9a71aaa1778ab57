//! A POST for each finding, with its id as `Idempotency-Key`.

use super::destination::Destination;
use super::http::{Client, Verdict};
use super::worker::{Deliver, Delivery, Entry};

pub struct Webhook {
    client: Client,
    url: String,
    authorization: Option<String>,
}

impl Webhook {
    pub fn new(destination: &Destination) -> Result<Self, String> {
        let token = destination.secret("token-file")?;
        let authorization = token.map(|token| format!("Bearer {token}"));
        Ok(Self { client: Client::new(destination)?, url: destination.url.clone().into(), authorization })
    }
}

impl Deliver for Webhook {
    // Each is a request of its own.
    fn most(&self) -> usize {
        1
    }

    fn deliver(&mut self, entries: &[Entry]) -> Delivery {
        let mut delivery = Delivery::default();
        for (at, entry) in entries.iter().enumerate() {
            let mut headers = vec![("content-type", "application/json"), ("idempotency-key", &*entry.key)];
            headers.extend(self.authorization.as_deref().map(|token| ("authorization", token)));
            let verdict = match self.client.post(&self.url, &headers, entry.body.as_bytes()) {
                // "Conflict": it has this key already.
                Ok(answer) if answer.status == 409 => Verdict::Taken,
                Ok(answer) => answer.verdict(),
                Err(why) => Verdict::Later(why, None),
            };
            match verdict {
                Verdict::Taken => {}
                Verdict::Refused(why) => delivery.refused.push((at, why)),
                Verdict::Later(why, after) => {
                    (delivery.problem, delivery.after) = (Some(why), after);
                    delivery.again.extend(at..entries.len());
                    break;
                }
            }
        }
        delivery
    }
}
