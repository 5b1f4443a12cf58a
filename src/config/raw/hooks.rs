//! `[group.NAME.hooks]` as it was written.

use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::table::{Field, HOOKS, Table, Value, called};
use super::value::{duration, text};
use super::{ms, s};
use crate::config::problem::{Collector, Told};
use crate::config::source::quoted;
use crate::config::types::Program;

/// The words of one argument list, and the bytes of one word. Beyond it is no list that a person wrote.
const MOST_WORDS: usize = 64;
const MOST_BYTES: usize = 4096;
/// The bytes of a command line that a mend rewrites; no word of it is clipped.
const MOST_SHOWN: usize = 60;

pub(in crate::config) struct RawHooks {
    /// Whether it is a table, and all its keys are known.
    pub(in crate::config) audited: Result<(), Told>,
    pub(in crate::config) promote: Field<Program>,
    pub(in crate::config) on_master: Field<Program>,
    pub(in crate::config) on_backup: Field<Program>,
    pub(in crate::config) on_fault: Field<Program>,
    pub(in crate::config) timeout: Field<Duration>,
}

pub(super) fn read(group: &Table<'_>, told: &mut Collector) -> RawHooks {
    let none = |audited| RawHooks {
        audited,
        promote: Field::Absent,
        on_master: Field::Absent,
        on_backup: Field::Absent,
        on_fault: Field::Absent,
        timeout: Field::Absent,
    };
    let Some((name, value)) = group.entries.get_key_value("hooks") else { return none(Ok(())) };
    let title = group.named(&HOOKS);
    let entries = match value.get_ref() {
        DeValue::Table(entries) => entries,
        DeValue::Array(items) if items.iter().any(|item| item.get_ref().is_table()) => {
            let message = format!("{title} must have single brackets: a group has one such table");
            return none(Err(told.error(&name.span(), &message, &format!("write `{title}`"))));
        }
        other => {
            let message = format!("`hooks` must be a table, not {}", called(other));
            return none(Err(told.error(&value.span(), &message, &format!("write `{title}`"))));
        }
    };
    let path = format!("{}hooks", group.prefix());
    let table = Table { shape: &HOOKS, title, path, group: group.group, header: value.span(), entries };
    RawHooks {
        audited: table.audit(told),
        promote: table.read(told, "promote", program),
        on_master: table.read(told, "on_master", program),
        on_backup: table.read(told, "on_backup", program),
        on_fault: table.read(told, "on_fault", program),
        timeout: table.read(told, "timeout", duration(ms(100)..=s(3600))),
    }
}

/// A command line as the list that was meant, if its words can be told apart without a shell.
fn as_list(line: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@ ".contains(c);
    if !line.starts_with('/') || !line.chars().all(plain) || line.len() > MOST_SHOWN {
        return None;
    }
    let words: Vec<String> = line.split_whitespace().map(quoted).collect();
    Some(format!("[{}]", words.join(", ")))
}

/// `["/path/to/program", "argument"]`
fn program(told: &mut Collector, key: &'static str, value: &Value<'_>) -> Result<Program, Told> {
    let example = format!("write `{key} = [\"/usr/local/lib/haagent/{key}\"]`");
    let items = match value.get_ref() {
        DeValue::Array(items) => items,
        DeValue::Table(entries) if entries.contains_key("unit") => {
            let message = format!("`{key} = {{ unit = ... }}` is not in this version yet");
            return Err(told.error(&value.span(), &message, &example));
        }
        DeValue::String(line) => {
            let message = format!("`{key}` must be a list, the program and its arguments: no shell reads it");
            let mend = as_list(line).map_or(example, |list| format!("write `{key} = {list}`"));
            return Err(told.error(&value.span(), &message, &mend));
        }
        other => {
            let message = format!("`{key}` must be a list, the program and its arguments, not {}", called(other));
            return Err(told.error(&value.span(), &message, &example));
        }
    };
    if items.len() > MOST_WORDS {
        let message = format!("`{key}` has {} words; at most {MOST_WORDS} are taken", items.len());
        return Err(told.error(&value.span(), &message, "write a script, and name it here"));
    }
    let mut words = Vec::new();
    for item in items.iter() {
        let word = text(told, key, item, "a list of texts in quotes", "[\"/PATH\", \"ARGUMENT\"]")?;
        if word.contains('\0') || word.len() > MOST_BYTES {
            let message = format!("a word of `{key}` has a zero byte in it, or more than {MOST_BYTES} bytes");
            return Err(told.error(&item.span(), &message, "write a script, and name it here"));
        }
        words.push(word.to_owned());
    }
    let mut words = words.into_iter();
    match words.next() {
        Some(path) if path.starts_with('/') => Ok(Program { path: PathBuf::from(path), arguments: words.collect() }),
        Some(path) => {
            let message = format!("{} in `{key}` is no absolute path: nothing is searched for", quoted(&path));
            Err(told.error(&value.span(), &message, "write the path from the root: \"/...\""))
        }
        None => Err(told.error(&value.span(), &format!("`{key}` names no program"), &example)),
    }
}
