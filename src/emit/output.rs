use super::annotation::AnnotationMember;
use super::outcome::{Outcome, Rejection};
use super::splice::{Splices, offset};
use super::verdict::Verdict;
use crate::finding::Finding;
use crate::scan::Piece;
use crate::vocab::Mode;

/// Builds the outcome of a batch from its pieces and their verdicts.
pub(crate) struct Output<'c> {
    mode: Mode,
    member: &'c AnnotationMember,
    batch_length: usize,
    outcome: Outcome,
    splices: Splices,
    container: Option<OpenContainer>,
}

/// The progress through a container. A deleted element takes one adjacent comma with it.
#[derive(Default)]
struct OpenContainer {
    /// The start of the first element.
    first: Option<usize>,
    /// The end of the latest element.
    end: usize,
    /// The end of the latest element that stays in the stream.
    kept_end: Option<usize>,
}

impl<'c> Output<'c> {
    /// An outcome without pieces yet, for a batch of `batch_length` bytes.
    pub(crate) fn new(mode: Mode, member: &'c AnnotationMember, batch_length: usize) -> Self {
        Self { mode, member, batch_length, outcome: Outcome::default(), splices: Splices::default(), container: None }
    }

    /// The findings so far, to add more.
    pub(crate) fn findings(&mut self) -> &mut Vec<Finding> {
        &mut self.outcome.findings
    }

    /// Adds the next piece of the batch and its verdict. `counted`: no other partition counts the record.
    #[inline]
    pub(crate) fn add(&mut self, piece: Piece, verdict: Verdict<'_>, counted: bool) {
        match piece {
            Piece::Record { record, line } => {
                let record = record.bytes;
                let kept = self.settle(record.start, record.end, &verdict, counted);
                if !kept {
                    self.delete(line);
                }
                self.annotate(record.end, &verdict);
            }
            Piece::Element { record } => {
                let record = record.bytes;
                let kept = self.settle(record.start, record.end, &verdict, counted);
                self.pass_element(record.start, record.end, kept);
                self.annotate(record.end, &verdict);
            }
            Piece::Unreadable { bytes, line, defect } => {
                let (reason, detail) = defect.explain();
                self.settle(bytes.start, bytes.end, &Verdict::Rejected(reason, detail.to_owned()), counted);
                match self.container {
                    Some(_) => self.pass_element(bytes.start, bytes.end, false),
                    None => self.delete(line),
                }
            }
            Piece::Blank { line } => self.delete(line),
            Piece::Container => self.container = Some(OpenContainer::default()),
            Piece::ContainerEnd { line } => {
                let container = self.container.take().unwrap_or_default();
                match container.kept_end {
                    Some(kept_end) => self.delete(kept_end..container.end),
                    None => self.delete(line),
                }
            }
        }
    }

    /// Counts a record and returns whether it stays in the stream.
    #[inline]
    fn settle(&mut self, start: usize, end: usize, verdict: &Verdict<'_>, counted: bool) -> bool {
        let one = u32::from(counted);
        self.outcome.records += one;
        let kept = match verdict {
            Verdict::Irrelevant => self.mode == Mode::Enrich,
            Verdict::Matched(_) | Verdict::Elsewhere => {
                self.outcome.matched += one;
                self.mode != Mode::Findings
            }
            Verdict::Rejected(reason, detail) => {
                if counted {
                    let (start, end) = (offset(start), offset(end));
                    self.outcome.rejections.push(Rejection { start, end, reason: *reason, detail: detail.clone() });
                }
                return self.mode == Mode::Enrich;
            }
        };
        self.outcome.dropped += if kept { 0 } else { one };
        kept
    }

    /// Moves past an element of the open container. If it stays, deletes the elements between it and the previous one
    /// that stays.
    fn pass_element(&mut self, start: usize, end: usize, kept: bool) {
        let Some(container) = &mut self.container else { return };
        let first = *container.first.get_or_insert(start);
        let before = std::mem::replace(&mut container.end, end);
        if kept {
            let gone = container.kept_end.replace(end).map_or(first..start, |kept_end| kept_end..before);
            self.delete(gone);
        }
    }

    fn annotate(&mut self, record_end: usize, verdict: &Verdict<'_>) {
        if let (Verdict::Matched(annotation), true) = (verdict, self.mode != Mode::Findings) {
            let member = annotation.member(self.member);
            self.splices.insert(record_end.saturating_sub(1), member);
        }
    }

    fn delete(&mut self, bytes: std::ops::Range<usize>) {
        if self.mode == Mode::Filter {
            self.splices.delete(bytes);
        }
    }

    /// Completes the outcome.
    pub(crate) fn into_outcome(mut self) -> Outcome {
        if self.mode == Mode::Findings {
            self.splices.delete(0..self.batch_length);
        }
        self.outcome.splices = self.splices.into_list();
        self.outcome
    }
}
