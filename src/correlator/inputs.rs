//! Counts of what the input consists of, so that a stream in an unknown form does not pass for one without findings.

use std::ops::Range;

use super::metrics::Metric;
use crate::emit::{Unrecognised, UnrecognisedKind, offset};
use crate::event::{self, CLOUDS, Event, Form};
use crate::scan::RecordSpan;
use crate::vocab::Provider;

/// The forms, then the records that were not parsed, then those that tell of no call.
const COLUMNS: usize = Form::ALL.len() + 2;
const UNREAD: usize = Form::ALL.len();
const NO_CALL: usize = Form::ALL.len() + 1;

/// Counts of records by what they are. They only increase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inputs {
    pub(super) numbers: Numbers,
    /// The cloud of each key of the prefilter, as an index of `by_cloud`.
    cloud_of_key: Vec<Option<usize>>,
}

/// The counts themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    /// By cloud, in the order of [`CLOUDS`], and column.
    by_cloud: [[u64; COLUMNS]; CLOUDS.len()],
    /// By [`UnrecognisedKind`].
    unrecognised: [u64; UnrecognisedKind::ALL.len()],
}

impl Default for Inputs {
    fn default() -> Self {
        let place = |provider: Option<Provider>| CLOUDS.iter().position(|cloud| Some(cloud.provider) == provider);
        Self { numbers: Numbers::default(), cloud_of_key: event::providers_of_keys().map(place).collect() }
    }
}

impl Inputs {
    /// Counts an event that was read.
    pub(crate) fn add_event(&mut self, event: &Event<'_>) {
        let form = Form::ALL.iter().position(|form| *form == event.form);
        self.add(event.provider, form.unwrap_or_default());
    }

    /// Counts a record that tells of no call.
    pub(crate) fn add_no_call(&mut self, provider: Provider) {
        self.add(provider, NO_CALL);
    }

    fn add(&mut self, provider: Provider, column: usize) {
        let row = CLOUDS.iter().position(|cloud| cloud.provider == provider);
        if let Some(count) = row.and_then(|row| self.numbers.by_cloud.get_mut(row)).and_then(|row| row.get_mut(column))
        {
            *count += 1;
        }
    }

    /// Counts a record that no rule can match, and that was therefore not parsed.
    #[inline]
    pub(crate) fn add_unread(&mut self, span: &RecordSpan, examples: &mut Examples) {
        if !self.add_unread_of_cloud(span) {
            self.add_unrecognised(span, examples);
        }
    }

    /// The same, if the record is of a cloud: if it has a key of one. Returns whether it is.
    #[inline]
    pub(crate) fn add_unread_of_cloud(&mut self, span: &RecordSpan) -> bool {
        let key = span.key.or(span.other_key);
        let cloud = key.and_then(|key| self.cloud_of_key.get(usize::from(key)).copied().flatten());
        let Some([.., unread, _no_call]) = cloud.and_then(|cloud| self.numbers.by_cloud.get_mut(cloud)) else {
            return false;
        };
        *unread += 1;
        true
    }

    /// Counts a record that neither is an event nor holds one.
    #[cold]
    pub(crate) fn add_unrecognised(&mut self, span: &RecordSpan, examples: &mut Examples) {
        let kind = match span.key {
            Some(_) => UnrecognisedKind::NamesAction,
            None => UnrecognisedKind::Unknown,
        };
        for (count, _) in
            self.numbers.unrecognised.iter_mut().zip(UnrecognisedKind::ALL).filter(|(_, other)| *other == kind)
        {
            *count += 1;
        }
        examples.add(kind, &span.bytes);
    }

    /// All counts, for a checkpoint.
    pub(crate) fn counts(&self) -> impl Iterator<Item = u64> {
        self.numbers.by_cloud.iter().flatten().chain(&self.numbers.unrecognised).copied()
    }

    /// The same, to restore them.
    pub(crate) fn counts_mut(&mut self) -> impl Iterator<Item = &mut u64> {
        self.numbers.by_cloud.iter_mut().flatten().chain(&mut self.numbers.unrecognised)
    }

    /// The counts that are not zero, as metrics.
    pub(crate) fn metrics(&self) -> impl Iterator<Item = Metric> {
        let name = |column: usize| match column {
            UNREAD => "unread",
            NO_CALL => "no-call",
            form => Form::ALL.get(form).map_or("", |form| form.as_str()),
        };
        let of_cloud = move |(cloud, counts): (&&crate::event::Cloud, &[u64; COLUMNS])| {
            let provider = cloud.provider.as_str();
            let counts = (0..).zip(*counts);
            let labels = move |column| vec![("cloud", provider.to_owned()), ("form", name(column).to_owned())];
            counts
                .map(move |(column, value)| Metric { name: "input", labels: labels(column), value })
                .collect::<Vec<_>>()
        };
        let by_cloud = CLOUDS.iter().zip(&self.numbers.by_cloud).flat_map(of_cloud).filter(|metric| metric.value > 0);
        let unrecognised = UnrecognisedKind::ALL.iter().zip(self.numbers.unrecognised);
        let unrecognised = unrecognised.map(|(kind, value)| {
            let labels = vec![("kind", kind.to_string())];
            Metric { name: "unrecognised", labels, value }
        });
        by_cloud.chain(unrecognised)
    }
}

/// The first record of a batch of each kind that was not recognised.
#[derive(Debug, Default)]
pub(crate) struct Examples(Vec<Unrecognised>);

impl Examples {
    fn add(&mut self, kind: UnrecognisedKind, bytes: &Range<usize>) {
        if !self.0.iter().any(|example| example.kind == kind) {
            self.0.push(Unrecognised { start: offset(bytes.start), end: offset(bytes.end), kind });
        }
    }

    /// The examples, in the order of the batch.
    pub(crate) fn into_list(self) -> Vec<Unrecognised> {
        self.0
    }
}
