//! What a correlator writes, as messages that fit: those that wait for its next commit.

use catena_host::{Finding, Rejection};
use serde_json::json;

use crate::commit::{Batch, Outgoing, TTL};
use crate::shared::{self, PIECES, Piece, Pieces, Shared};
use crate::{Error, block, streams};

/// The most bytes of a header with what the findings of a message are. All headers have at most 65,535 together.
const LONGEST_ABOUT: usize = 60_000;

/// The header with the [`About`] of each finding of a message.
pub(crate) const ABOUT: &str = "Catena-Findings";

/// A finding's id, rule, severity and the time of its last event.
pub(crate) type About = (String, String, u8, u64);

/// The outputs of a partition.
#[derive(Default)]
pub(crate) struct Outputs {
    partition: u32,
    batch: Batch,
    /// Whether there is something for the joiner among them.
    has_pieces: bool,
}

impl Outputs {
    pub(crate) fn of(partition: u32) -> Self {
        Self { partition, ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Whether they must be committed before more comes.
    pub(crate) fn is_full(&self) -> bool {
        self.batch.is_full()
    }

    /// Takes all, and tells whether there is something for the joiner among them.
    pub(crate) fn take(&mut self) -> (Vec<Outgoing>, bool) {
        (self.batch.take(), std::mem::take(&mut self.has_pieces))
    }

    /// Adds records that stay in the stream.
    pub(crate) fn add_records(&mut self, records: &[u8]) -> Result<(), Error> {
        block::encode(&streams::out_of(self.partition), records)?
            .into_iter()
            .for_each(|message| self.batch.add(message));
        Ok(())
    }

    /// Adds findings, as many as fit in each message; its header says what they are without a look at their format.
    pub(crate) fn add_findings<'f>(&mut self, findings: impl Iterator<Item = &'f Finding>) {
        let (mut text, mut about, mut about_bytes) = (String::new(), Vec::<About>::new(), 0);
        for finding in findings {
            // Two numbers and what separates them have at most 40 bytes; a name may have characters that are escaped.
            let own = 6 * (finding.id.len() + finding.rule.len()) + 40;
            let is_full = text.len() + finding.body.len() > block::LONGEST || about_bytes + own > LONGEST_ABOUT;
            if !about.is_empty() && is_full {
                about_bytes = 0;
                self.add_found(std::mem::take(&mut text), &std::mem::take(&mut about));
            }
            about_bytes += own;
            text.push_str(&finding.body);
            text.push('\n');
            about.push((finding.id.clone(), finding.rule.clone(), finding.severity_id, finding.last_seen_ms));
        }
        if !about.is_empty() {
            self.add_found(text, &about);
        }
    }

    fn add_found(&mut self, text: String, about: &[About]) {
        let about = serde_json::to_string(about).unwrap_or_default();
        let mut messages: Vec<Outgoing> = block::cut(&streams::findings_of(self.partition), text.into()).collect();
        if let Some(last) = messages.pop() {
            messages.push(last.header(ABOUT, &about));
        }
        messages.into_iter().for_each(|message| self.batch.add(message));
    }

    /// Adds the rejected ones of some records, each with the reason, but for those that another partition tells of.
    pub(crate) fn add_rejections(&mut self, records: &[u8], rejections: &[Rejection], shared: &Shared) {
        let subject = streams::rejected_of(self.partition);
        let mut text = String::new();
        for rejection in rejections.iter().filter(|rejection| !shared.is_of_another(rejection.start)) {
            let record = records.get(rejection.start as usize..rejection.end as usize).unwrap_or_default();
            let record = String::from_utf8_lossy(record);
            let line = json!({"code": rejection.code, "detail": rejection.detail, "record": record}).to_string();
            if !text.is_empty() && text.len() + line.len() > block::LONGEST {
                block::cut(&subject, std::mem::take(&mut text).into()).for_each(|message| self.batch.add(message));
            }
            text.push_str(&line);
            text.push('\n');
        }
        block::cut(&subject, text.into()).for_each(|message| self.batch.add(message));
    }

    /// Adds what this partition does to records that others have, too.
    pub(crate) fn add_pieces(&mut self, shared: &Shared, pieces: &[Piece]) -> Result<(), Error> {
        if pieces.is_empty() {
            return Ok(());
        }
        let about = Pieces { part: shared.part, count: pieces.len() as u64, of: shared.pieces };
        let about = serde_json::to_string(&about)?;
        for message in block::whole(&streams::pieces_of(self.partition), &shared::write(pieces)?)? {
            // The joiner removes them. Until then, they must not grow old.
            self.batch.add(message.header(PIECES, &about).header(TTL, "never"));
        }
        self.has_pieces = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::block::Assembly;
    use crate::block::tests::stored;
    use crate::nats::{Stored, header};

    /// What servers take: of a message in all, and of its headers.
    const MESSAGE: usize = 1 << 20;
    const HEADERS: usize = 65_535;

    fn fits(message: &Outgoing) -> bool {
        let headers = message.headers.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
        let bytes =
            headers.map(|(name, value)| AsRef::<str>::as_ref(name).len() + value.as_str().len() + 4).sum::<usize>();
        // The stages add some of their own: a batch, a fence, a token, an epoch.
        bytes + 1_000 <= HEADERS && bytes + 1_000 + message.payload.len() <= MESSAGE
    }

    fn assembled(messages: Vec<Outgoing>) -> Vec<Stored> {
        let mut assembly = Assembly::default();
        stored(messages).into_iter().filter_map(|one| assembly.take(one)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// A finding with a long rule's name, and a long rejected record, made messages that no server takes: their partitions stood still.
        #[test]
        fn messages_fit_and_say_everything(
            findings in prop::collection::vec(("[a-z0-9]{36}", "[ -~\\\\\"\u{1}]{0,128}", 1_usize..3_000), 0..900),
            long in prop::collection::vec(1_usize..3_000_000, 0..3),
            rejected in prop::collection::vec(1_usize..1_500_000, 0..4),
        ) {
            let bodies = findings.iter().map(|(_, _, length)| *length).chain(long);
            let finding = |(number, length): (usize, usize)| Finding {
                id: findings.get(number).map_or_else(|| number.to_string(), |(id, _, _)| id.clone()),
                rule: findings.get(number).map_or_else(String::new, |(_, rule, _)| rule.clone()),
                severity_id: 4,
                first_seen_ms: 1,
                last_seen_ms: u64::MAX,
                start: 0,
                end: 0,
                body: format!("{number}{}", "x".repeat(length)),
                extra: None,
            };
            let findings: Vec<Finding> = bodies.enumerate().map(finding).collect();
            let mut outputs = Outputs::of(255);
            outputs.add_findings(findings.iter());
            let (messages, _) = outputs.take();
            prop_assert!(messages.iter().all(fits));
            let mut read = Vec::new();
            for stored in assembled(messages) {
                let about: Vec<About> = serde_json::from_str(header(&stored.headers, ABOUT).unwrap()).unwrap();
                let text = String::from_utf8(stored.payload.to_vec()).unwrap();
                prop_assert_eq!(text.lines().count(), about.len());
                read.extend(text.lines().zip(about).map(|(body, (id, rule, _, _))| (body.to_owned(), id, rule)));
            }
            let expected: Vec<_> = findings.into_iter().map(|one| (one.body, one.id, one.rule)).collect();
            prop_assert_eq!(read, expected);

            let records: Vec<u8> = rejected.iter().flat_map(|length| std::iter::repeat_n(0x01, *length)).collect();
            let mut start = 0;
            let rejections: Vec<Rejection> = rejected.iter().map(|length| {
                let end = start + *length as u32;
                let rejection = Rejection { start, end, code: "bad-json".to_owned(), detail: "d".to_owned() };
                start = end;
                rejection
            }).collect();
            outputs.add_rejections(&records, &rejections, &Shared::default());
            let (messages, _) = outputs.take();
            prop_assert!(messages.iter().all(fits));
            let text: Vec<u8> = assembled(messages).iter().flat_map(|stored| stored.payload.to_vec()).collect();
            let read: Vec<serde_json::Value> =
                text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(|line| serde_json::from_slice(line).unwrap()).collect();
            let lengths: Vec<usize> = read.iter().map(|one| one["record"].as_str().unwrap().len()).collect();
            prop_assert_eq!(lengths, rejected);
        }
    }
}
