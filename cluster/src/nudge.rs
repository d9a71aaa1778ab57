//! Nudges: messages that nobody stores, by which a process that waits learns that there is something to do. One that is lost costs
//! a moment, since all look by themselves, too.

use std::time::Duration;

use async_nats::{HeaderMap, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};

use crate::nats::Nats;

/// Whoever routes.
pub(crate) const ROUTERS: &str = "routers";

/// How long one waits without a nudge.
const PAUSE: Duration = Duration::from_millis(250);

impl Nats {
    /// Tells somebody that there is something to do. It may be lost.
    pub(crate) async fn nudge(&self, whom: &str) {
        let _ = self.publish(subject(whom), HeaderMap::new(), Bytes::new()).await;
    }
}

/// The nudges for one process.
pub(crate) struct Nudges(Option<Subscriber>);

impl Nudges {
    /// Listens to those for `whom`. Without permission to listen, there are none.
    pub(crate) async fn to(nats: &Nats, whom: &str) -> Self {
        Self(nats.subscribe(subject(whom)).await.ok())
    }

    /// Waits for one, and not for long.
    pub(crate) async fn wait(&mut self) {
        let Some(subscriber) = &mut self.0 else { return tokio::time::sleep(PAUSE).await };
        if let Ok(None) = tokio::time::timeout(PAUSE, subscriber.next()).await {
            // The connection is closed for good.
            self.0 = None;
            return;
        }
        // One look is enough for all that have come.
        while let Some(Some(_)) = subscriber.next().now_or_never() {}
    }
}

/// The subject of the nudges to somebody.
fn subject(whom: &str) -> String {
    format!("catena.nudge.{whom}")
}
