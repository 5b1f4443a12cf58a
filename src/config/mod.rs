//! The configuration: what may be written, what it means, and every problem at once.
//!
//! A file goes through three steps. `source` and the TOML parser give a document
//! with spans, in pieces if it is broken; `raw` reads each value by itself;
//! `resolve` gives [`Config`], in which nothing can be wrong. What differs between
//! the nodes that share the file is filled in by [`Config::for_node`].

pub mod diff;
pub(crate) mod file;
mod listing;
mod node;
mod problem;
mod raw;
mod resolve;
pub mod secret;
mod source;
#[cfg(test)]
mod tests;
pub mod types;

use std::collections::BTreeMap;
use std::path::Path;

use toml::de::{DeTable, DeValue};

pub use listing::{Setting, Value};
pub use node::{NodeConfig, NodeFacts, NodeGroup};
pub use problem::{Problems, Severity};
pub use source::{Place, mask_secrets};
pub use types::Config;

use problem::Collector;
use secret::Secrets;
use source::{Source, Span};

/// Where the configuration is if nothing is said.
pub const DEFAULT_FILE: &str = "/etc/haagent/haagent.toml";
/// The annotated example, as `haagent config example` prints it.
pub const EXAMPLE: &str = include_str!("../../conf/haagent.toml");
/// Every key with its meaning, as people read it: haagent.toml(5) is made from it.
pub const REFERENCE: &str = include_str!("../../docs/configuration.md");
/// The bytes that a configuration may have.
const LIMIT: u64 = 1 << 20;

/// A configuration that can be used.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it means.
    pub config: Config,
    /// What is odd about it.
    pub warnings: Problems,
    written: BTreeMap<String, Place>,
}

impl Loaded {
    /// Reads all secrets that it names. `file` is what messages call it.
    ///
    /// # Errors
    /// Every secret that cannot be used, at the key that names it.
    pub fn read_secrets(&self, file: &str) -> Result<Secrets, Problems> {
        Secrets::read(&self.config).map_err(|errors| {
            let mut problems = Problems::of(file);
            for (setting, error) in errors {
                problems.error(self.written(setting).cloned(), &error.to_string(), &error.mend());
            }
            problems
        })
    }

    /// Where a key was written (`group.web.check.0.interval`); none is a default.
    #[must_use]
    pub fn written(&self, path: &str) -> Option<&Place> {
        self.written.get(path)
    }
}

/// Reads and resolves a configuration file.
///
/// # Errors
/// Every reason why it cannot be used.
pub fn load(path: &Path) -> Result<Loaded, Problems> {
    let shown = path.display().to_string();
    match file::read(path, LIMIT) {
        Ok((bytes, _)) => parse(&shown, &bytes),
        Err(error) => {
            let mut problems = Problems::of(&shown);
            problems.error(None, &error.to_string(), "haagent config example prints a file to begin with");
            Err(problems)
        }
    }
}

/// Resolves the bytes of a configuration file. `file` is what messages call it.
///
/// # Errors
/// Every reason why it cannot be used.
pub fn parse(file: &str, bytes: &[u8]) -> Result<Loaded, Problems> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let good = String::from_utf8_lossy(bytes.get(..error.valid_up_to()).unwrap_or_default());
            let mut told = Collector::new(file, Source::new(&good, &DeTable::new()));
            let mend = "save the file as UTF-8";
            told.syntax(&(good.len()..good.len()), "the file is not UTF-8 from here on", mend);
            return Err(told.finish().0);
        }
    };
    let (document, errors) = DeTable::parse_recoverable(text);
    let document = document.into_inner();
    let mut told = Collector::new(file, Source::new(text, &document));
    for error in errors {
        let (span, message, mend) = syntax_words(error.message(), error.span().unwrap_or(0..0), text, &told.source);
        told.syntax(&span, &message, &mend);
    }
    let raw = raw::read(&document, &mut told);
    let resolved = resolve::resolve(raw, &mut told);
    dismantle(document);
    let (problems, written) = told.finish();
    match resolved {
        Ok(config) if problems.count(Severity::Error) == 0 => Ok(Loaded { config, warnings: problems, written }),
        Ok(_) | Err(_) => Err(problems),
    }
}

/// The parser's words in the operator's, and what exactly is meant.
fn syntax_words(message: &str, span: Span, text: &str, source: &Source) -> (Span, String, String) {
    let before = text.get(..span.start).unwrap_or("");
    let from = |ends: &str| before.rfind(|c: char| ends.contains(c)).map_or(0, |at| at + 1);
    let words =
        |span: &Span| -> String { source.masked(span).lines().next().unwrap_or("").trim().chars().take(60).collect() };
    match message {
        m if m.starts_with("string values must be quoted") || m.starts_with("invalid float") => {
            // The parser may stumble in the middle of what was meant as one value: 10.0.0.5.
            let span = from(" \t\r\n=[,{")..span.end;
            match words(&span) {
                value if value.is_empty() => (span, "there is no value".to_owned(), "write one after `=`".to_owned()),
                value if value.contains("**") => {
                    let mend = "a secret must not be in this file: write `.file = \"/PATH\"` for it".to_owned();
                    (span, "this value must be in quotes".to_owned(), mend)
                }
                value => (span, format!("`{value}` must be in quotes"), format!("write \"{value}\"")),
            }
        }
        "key with no value, expected `=`" => {
            let span = from("\n")..span.end;
            let message = format!("`{}` has no value", words(&span));
            (span, message, "write `KEY = VALUE`, or `#` before a comment".to_owned())
        }
        "duplicate key" => {
            let header = before.get(from("\n")..).unwrap_or("").trim_start().starts_with('[');
            let message = format!("`{}` is written twice", words(&span));
            let mend = if header {
                "write all keys of a table under one header; tables that may be several have [[double brackets]] each"
            } else {
                "take one of them out"
            };
            (span, message, mend.to_owned())
        }
        "invalid boolean, expected `true`" | "invalid boolean, expected `false`" => {
            let message = format!("`{}` is no value", words(&span));
            (span, message, "write a number, true or false, or a text in quotes".to_owned())
        }
        other => {
            let mend = match other {
                m if m.starts_with("unclosed") => "write the missing bracket",
                m if m.starts_with("invalid") && m.contains("string") => "end the text with the quote it begins with",
                _ => "haagent config example shows how it is written",
            };
            (span, format!("this is no TOML: {other}"), mend.to_owned())
        }
    }
}

/// Drops a document level by level: a key of 500,000 dots nests as many tables,
/// and dropping them within one another would overflow the stack.
fn dismantle(document: DeTable<'_>) {
    let mut waiting: Vec<DeValue<'_>> = vec![DeValue::Table(document)];
    while let Some(value) = waiting.pop() {
        match value {
            DeValue::Table(table) => waiting.extend(table.into_iter().map(|(_, value)| value.into_inner())),
            DeValue::Array(items) => waiting.extend(items.into_iter().map(toml::Spanned::into_inner)),
            _ => {}
        }
    }
}
