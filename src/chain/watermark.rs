use crate::vocab::{Duration, Timestamp};

/// The progress of event time, and the limit up to which an event's time is plausible.
///
/// The engine reads no clock. `now` comes from the host with each batch and serves one purpose: an event dated further
/// in the future than `skew` allows does not advance the watermark, so that one wrong clock cannot expire the state of
/// all identities.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watermark {
    lateness: i64,
    skew: i64,
    /// The host's time, in ms since 1970.
    now: i64,
    /// The latest plausible time of any event.
    newest: Option<i64>,
}

/// The time of an event relative to the watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    InTime,
    Late,
    Future,
}

impl Watermark {
    pub(crate) fn new(allowed_lateness: Duration, clock_skew: Duration) -> Self {
        Self { lateness: allowed_lateness.as_millis(), skew: clock_skew.as_millis(), now: 0, newest: None }
    }

    /// Sets the host's time; without it, no event is dated in the future.
    pub(crate) fn set_now(&mut self, now: Option<Timestamp>) {
        self.now = now.map_or(i64::MAX, Timestamp::as_event_time);
    }

    pub(crate) fn newest(&self) -> Option<i64> {
        self.newest
    }

    pub(crate) fn restore(&mut self, newest: Option<i64>) {
        self.newest = newest;
    }

    /// The watermark: no event before this time is expected any more.
    pub(crate) fn time(&self) -> Option<i64> {
        self.newest.map(|newest| newest - self.lateness)
    }

    /// The latest plausible time of an event now: the host's time plus the allowed skew.
    pub(crate) fn latest_plausible(&self) -> i64 {
        self.now.saturating_add(self.skew)
    }

    pub(super) fn observe(&mut self, time: i64) -> Arrival {
        if time > self.latest_plausible() {
            return Arrival::Future;
        }
        if self.time().is_some_and(|watermark| time < watermark) {
            return Arrival::Late;
        }
        self.newest = self.newest.max(Some(time));
        Arrival::InTime
    }
}
