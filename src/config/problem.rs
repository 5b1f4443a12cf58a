//! What is wrong with a configuration: all of it at once, each with place and mend.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::source::{Place, Source, Span, mask_secrets};

/// How many problems are kept. A file of one megabyte may have a hundred
/// thousand; nobody mends more than this in one go.
const MOST: usize = 100;

/// Whether the file can be used all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but it may not do what its author thinks.
    Warning,
}

/// One thing that is wrong, or odd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether the file can be used all the same.
    pub severity: Severity,
    /// Where; unknown if the problem is that something is not there.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub mend: Option<String>,
}

impl Problem {
    fn new(severity: Severity, place: Option<Place>, message: &str, mend: &str) -> Self {
        // Messages quote what was written: the last gate before a terminal or journal.
        let mend = (!mend.is_empty()).then(|| mask_secrets(mend));
        Self { severity, place, message: mask_secrets(message), mend }
    }
}

/// Problems of one file, in the order of its lines. As an error: why it cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Problems {
    file: String,
    list: Vec<Problem>,
    /// Problems beyond what is kept.
    untold: usize,
}

impl Problems {
    /// No problems of a file, yet. `file` is only shown.
    #[must_use]
    pub fn of(file: &str) -> Self {
        Self { file: file.to_owned(), ..Self::default() }
    }

    /// Adds an error. An empty `mend` is none.
    pub fn error(&mut self, place: Option<Place>, message: &str, mend: &str) {
        self.push(Problem::new(Severity::Error, place, message, mend));
    }

    /// Adds a warning. An empty `mend` is none.
    pub fn warning(&mut self, place: Option<Place>, message: &str, mend: &str) {
        self.push(Problem::new(Severity::Warning, place, message, mend));
    }

    fn push(&mut self, problem: Problem) {
        if self.list.len() < MOST {
            self.list.push(problem);
        } else {
            self.untold += 1;
        }
    }

    /// Whether nothing is wrong or odd.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are of one severity. Those beyond the first hundred count as errors.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        let untold = if severity == Severity::Error { self.untold } else { 0 };
        self.list.iter().filter(|problem| problem.severity == severity).count() + untold
    }

    /// The first reason why the file cannot be used, in one line with its place.
    #[must_use]
    pub fn first_error(&self) -> Option<String> {
        let first = self.list.iter().find(|problem| problem.severity == Severity::Error)?;
        let place = first.place.as_ref().map(|place| format!(":{}:{}", place.line, place.column)).unwrap_or_default();
        let gap = if self.file.is_empty() { "" } else { ": " };
        Some(format!("{}{place}{gap}{}", self.file, first.message))
    }

    /// Takes over what `other` tells.
    pub fn append(&mut self, other: Self) {
        other.list.into_iter().for_each(|problem| self.push(problem));
        self.untold += other.untold;
        self.sort();
    }

    /// Adds a problem whose place is worked out only if there is room to tell it:
    /// a hundred thousand places in one long line take minutes.
    fn place(&mut self, severity: Severity, place: impl FnOnce() -> Option<Place>, message: &str, mend: &str) {
        if self.list.len() < MOST {
            self.push(Problem::new(severity, place(), message, mend));
        } else {
            self.untold += 1;
        }
    }

    fn sort(&mut self) {
        let key = |problem: &Problem| problem.place.as_ref().map_or((usize::MAX, 0), |at| (at.line, at.column));
        self.list.sort_by_key(|problem| (key(problem), problem.severity));
        self.list.dedup();
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.list {
            f.write_str(&self.file)?;
            if let Some(place) = &problem.place {
                write!(f, ":{}:{}", place.line, place.column)?;
            }
            if !self.file.is_empty() {
                f.write_str(": ")?;
            }
            if problem.severity == Severity::Warning {
                f.write_str("warning: ")?;
            }
            writeln!(f, "{}", problem.message)?;
            if let Some(place) = &problem.place {
                let margin = place.line.to_string().len().max(3);
                writeln!(f, "  {:>margin$} | {}", place.line, place.excerpt)?;
                writeln!(
                    f,
                    "  {:margin$} | {:indent$}{}",
                    "",
                    "",
                    "^".repeat(place.caret.len()),
                    indent = place.caret.start
                )?;
            }
            if let Some(mend) = &problem.mend {
                writeln!(f, "  mend: {mend}")?;
            }
        }
        if self.untold > 0 {
            writeln!(f, "{}: and {} more", self.file, self.untold)?;
        }
        Ok(())
    }
}

/// A problem has been told: who holds this need not tell another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told(());

/// Where the reading of one file collects what it finds.
#[derive(Debug)]
pub(super) struct Collector {
    pub(super) source: Source,
    problems: Problems,
    /// Lines that are no TOML: what was read there is a guess and not worth a word.
    broken: BTreeSet<usize>,
    /// Where each key that this version knows was written.
    written: BTreeMap<String, Place>,
}

impl Collector {
    pub(super) fn new(file: &str, source: Source) -> Self {
        Self { source, problems: Problems::of(file), broken: BTreeSet::new(), written: BTreeMap::new() }
    }

    /// The file is no TOML here.
    pub(super) fn syntax(&mut self, span: &Span, message: &str, mend: &str) -> Told {
        // One line that does not parse often breaks in several places, all for one reason.
        if self.broken.insert(self.source.line_of(span.start)) {
            self.problems.place(Severity::Error, || Some(self.source.place(span)), message, mend);
        }
        Told(())
    }

    /// What was written at `span` cannot be used.
    pub(super) fn error(&mut self, span: &Span, message: &str, mend: &str) -> Told {
        if !self.broken.contains(&self.source.line_of(span.start)) {
            self.problems.place(Severity::Error, || Some(self.source.place(span)), message, mend);
        }
        Told(())
    }

    /// Something is not there. In a file that is no TOML it may be there and unread.
    pub(super) fn absent(&mut self, table: Option<&Span>, message: &str, mend: &str) -> Told {
        if self.broken.is_empty() {
            self.problems.place(Severity::Error, || table.map(|span| self.source.place(span)), message, mend);
        }
        Told(())
    }

    /// What was written at `span`, or is not there, may not do what its author thinks.
    pub(super) fn warning(&mut self, span: Option<&Span>, message: &str, mend: &str) {
        self.problems.place(Severity::Warning, || span.map(|span| self.source.place(span)), message, mend);
    }

    /// `path` was written at `span`.
    pub(super) fn note(&mut self, path: String, span: &Span) {
        self.written.insert(path, self.source.place(span));
    }

    /// All that was found, sorted, and where each known key was written.
    pub(super) fn finish(mut self) -> (Problems, BTreeMap<String, Place>) {
        self.problems.sort();
        (self.problems, self.written)
    }
}
