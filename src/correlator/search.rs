//! Finds records inside a record that is itself none: an object with the members of an event, wherever it is and whatever the
//! wrapper calls it.
//!
//! Each value of the wrapper that may hold a candidate is read like a line. So a form that is read as a line is found in any
//! wrapper, and what is inside an event is never looked at: a caller's text cannot become an event.

use std::ops::Range;

use super::evaluate::Evaluator;
use super::evaluation::{Evaluation, Nesting};
use crate::config::RecordSearch;
use crate::event;
use crate::finding::Finding;
use crate::scan::{Child, children};

/// How many objects and arrays may enclose a record, those of texts in texts included. Each costs a pass over the bytes in it.
pub(crate) const MAX_LEVELS: usize = 16;

/// Where records may be.
#[derive(Clone, Debug)]
pub(crate) enum Places<'c> {
    /// Here, and anywhere below.
    Anywhere,
    /// At the end of these member names. Lists on the way are searched as well.
    At(Vec<&'c [String]>),
}

impl<'c> Places<'c> {
    /// The places in a record, as configured. `None` if nothing is to be searched.
    pub(crate) fn of(search: &'c RecordSearch) -> Option<Self> {
        match search {
            RecordSearch::Anywhere => Some(Self::Anywhere),
            RecordSearch::Off => None,
            RecordSearch::Paths(paths) => Some(Self::At(paths.iter().map(|path| path.names()).collect())),
        }
    }

    /// The places in a value of a record; `None` if there are none.
    pub(super) fn of_child(&self, batch: &[u8], child: &Child) -> Option<Self> {
        let Self::At(paths) = self else { return Some(Self::Anywhere) };
        let Some(name) = &child.name else { return Some(self.clone()) };
        let name = batch.get(name.clone()).unwrap_or_default();
        let below = paths.iter().filter_map(|path| path.split_first().filter(|(first, _)| first.as_bytes() == name));
        let below: Vec<_> = below.map(|(_, rest)| rest).collect();
        match &*below {
            [] => None,
            paths if paths.iter().any(|path| path.is_empty()) => Some(Self::Anywhere),
            _ => Some(Self::At(below)),
        }
    }
}

impl<'e> Evaluator<'e> {
    /// Evaluates the records in the object or array at `parent`, which is well-formed JSON.
    pub(super) fn search(
        &mut self,
        batch: &[u8],
        parent: Range<usize>,
        findings: &mut Vec<Finding>,
        nesting: &Nesting<'e>,
    ) -> Evaluation<'e> {
        let mut together = Evaluation::default();
        let Some(places) = nesting.places.as_ref().filter(|_| nesting.levels < MAX_LEVELS) else { return together };
        for child in children(batch, parent) {
            let Some(below) = places.of_child(batch, &child) else { continue };
            let in_text = matches!(below, Places::Anywhere);
            let nesting = &Nesting { levels: nesting.levels + 1, places: Some(below), ..nesting.clone() };
            let span = self.scanner.span_of_child(batch, child.value.clone());
            let found = match batch.get(child.value.start) {
                _ if !span.candidate && self.prefilter_on => Evaluation::default(),
                Some(b'{') => self.read(batch, &span, findings, nesting),
                Some(b'[') => self.search(batch, child.value, findings, nesting),
                _ if in_text => self.search_text(batch.get(child.value).unwrap_or_default(), findings, nesting),
                _ => Evaluation::default(),
            };
            together = together.and(if found.is_nothing() { self.unread(&span, nesting) } else { found });
        }
        together
    }

    /// Evaluates the records in a JSON string: lines, each with or without a prefix, or base64. Text that turns out to be
    /// something else is no error.
    fn search_text(&mut self, string: &[u8], findings: &mut Vec<Finding>, nesting: &Nesting<'e>) -> Evaluation<'e> {
        let Some(records) = event::embedded_in_string(string) else { return Evaluation::default() };
        let nesting = Nesting { is_certain: false, ..nesting.clone() };
        self.evaluate_embedded(vec![records], findings, &nesting)
    }
}
