//! What a key takes: readers of one value each. What cannot be used is told with
//! its place and its mend.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::table::{Field, SECRET, Table, Value, called, either, nearest, toml_key};
use crate::config::problem::{Collector, Told};
use crate::config::source::{Span, mask_secrets, quoted};
use crate::config::types::{BaseUrl, Discovered, MOST_MEMBERS, Majority, SecretSource, Written};
use crate::proto::ids::{NodeName, Priority};

/// The bytes of a unix socket's path, the closing zero not counted (unix(7), `sun_path`).
const SOCKET_PATH: usize = 107;
/// The containers that a check may ask for.
const MOST_CONTAINERS: i64 = 10_000;

fn wrong_type(told: &mut Collector, key: &str, value: &Value<'_>, wanted: &str, mend: &str) -> Told {
    let found = called(value.get_ref());
    told.error(&value.span(), &format!("`{key}` must be {wanted}, not {found}"), &format!("write `{mend}`"))
}

pub(super) fn text<'d>(
    told: &mut Collector,
    key: &str,
    value: &'d Value<'d>,
    wanted: &str,
    example: &str,
) -> Result<&'d str, Told> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text),
        _ => Err(wrong_type(told, key, value, wanted, &format!("{key} = {example}"))),
    }
}

pub(super) fn boolean(told: &mut Collector, key: &'static str, value: &Value<'_>) -> Result<bool, Told> {
    match value.get_ref() {
        DeValue::Boolean(boolean) => Ok(*boolean),
        DeValue::String(text) if matches!(text.as_ref(), "true" | "false") => {
            let message = format!("`{key}` must be true or false, not a text");
            Err(told.error(&value.span(), &message, &format!("write {text} without quotes")))
        }
        _ => Err(wrong_type(told, key, value, "true or false", &format!("{key} = true"))),
    }
}

/// A whole number within `range` that `convert` takes. A number in quotes is told apart.
pub(super) fn whole<T>(
    range: RangeInclusive<i64>,
    convert: impl Fn(i64) -> Option<T>,
) -> impl Fn(&mut Collector, &'static str, &Value<'_>) -> Result<T, Told> {
    move |told, key, value| match value.get_ref() {
        DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix())
            .ok()
            .filter(|number| range.contains(number))
            .and_then(&convert)
            .ok_or_else(|| {
                let written: String = digits.as_str().chars().take(30).collect();
                let mend = format!("write a number from {} to {}", range.start(), range.end());
                told.error(&value.span(), &format!("`{key}` = {written} is out of range"), &mend)
            }),
        DeValue::String(text) if text.trim().parse().is_ok_and(|number| range.contains(&number)) => {
            let message = format!("`{key}` must be a whole number, not a text");
            Err(told.error(&value.span(), &message, &format!("write {} without quotes", text.trim())))
        }
        other => {
            let message = format!("`{key}` must be a whole number, not {}", called(other));
            let mend = format!("write a number from {} to {}", range.start(), range.end());
            Err(told.error(&value.span(), &message, &mend))
        }
    }
}

/// A duration within `range`: a string with a unit.
pub(super) fn duration(
    range: RangeInclusive<Duration>,
) -> impl Fn(&mut Collector, &'static str, &Value<'_>) -> Result<Duration, Told> {
    move |told, key, value| {
        let bounds = format!("from \"{}\" to \"{}\"", Written(*range.start()), Written(*range.end()));
        let text = match value.get_ref() {
            DeValue::String(text) => text,
            DeValue::Integer(digits) => {
                // Whoever writes a bare number thinks of seconds, as in keepalived's files; or else of
                // milliseconds, where so many seconds could not be.
                let digits = digits.as_str();
                let units = digits.parse::<u64>().ok().and_then(|number| {
                    let units = [("s", Duration::from_secs(number)), ("ms", Duration::from_millis(number))];
                    units.into_iter().find(|(_, duration)| range.contains(duration)).map(|(unit, _)| unit)
                });
                let mend = match units {
                    Some(unit) => format!("write `{key} = \"{digits}{unit}\"`"),
                    None => format!("write a duration {bounds}"),
                };
                let message = format!("`{key}` must be a duration with a unit, not a whole number");
                return Err(told.error(&value.span(), &message, &mend));
            }
            other => {
                let message = format!("`{key}` must be a duration with a unit, not {}", called(other));
                return Err(told.error(&value.span(), &message, &format!("write a duration {bounds}")));
            }
        };
        let parsed = humantime::parse_duration(text).map_err(|_| {
            let message = format!("`{key}` = {} is no duration", quoted(text));
            told.error(&value.span(), &message, "write a number and its unit: \"500ms\", \"1s\", \"5m\", \"1h\"")
        })?;
        if range.contains(&parsed) {
            return Ok(parsed);
        }
        let message = format!("`{key}` = {} is out of range", quoted(text));
        Err(told.error(&value.span(), &message, &format!("write a duration {bounds}")))
    }
}

/// One of a few words.
pub(super) fn choice<T: Copy + 'static>(
    words: &'static [(&'static str, T)],
) -> impl Fn(&mut Collector, &'static str, &Value<'_>) -> Result<T, Told> {
    move |told, key, value| {
        let known = || either(words.iter().map(|(word, _)| format!("\"{word}\"")));
        let first = words.first().map_or(String::new(), |(word, _)| format!("\"{word}\""));
        let written = text(told, key, value, &known(), &first)?;
        words.iter().find(|(word, _)| *word == written).map(|(_, meant)| *meant).ok_or_else(|| {
            let mend = match nearest(written, words.iter().map(|(word, _)| *word)) {
                Some(word) => format!("did you mean \"{word}\"?"),
                None => format!("write {}", known()),
            };
            told.error(&value.span(), &format!("`{key}` = {} is not known", quoted(written)), &mend)
        })
    }
}

pub(super) fn path(told: &mut Collector, key: &'static str, value: &Value<'_>) -> Result<PathBuf, Told> {
    let written = text(told, key, value, "a path in quotes", "\"/PATH\"")?;
    if written.starts_with('/') && !written.contains('\0') {
        return Ok(PathBuf::from(written));
    }
    let message = format!("`{key}` = {} is no absolute path", quoted(written));
    Err(told.error(&value.span(), &message, "write the path from the root: \"/...\""))
}

pub(super) fn socket(told: &mut Collector, key: &'static str, value: &Value<'_>) -> Result<PathBuf, Told> {
    if let DeValue::String(written) = value.get_ref()
        && let Some(path) = written.strip_prefix("unix://")
    {
        let message = format!("`{key}` = {} must be a path, not a URL", quoted(written));
        return Err(told.error(&value.span(), &message, &format!("write `{key} = {}`", quoted(path))));
    }
    let path = path(told, key, value)?;
    let length = path.as_os_str().len();
    if length <= SOCKET_PATH {
        return Ok(path);
    }
    let message = format!("`{key}` has {length} bytes; a socket's path has at most {SOCKET_PATH}");
    Err(told.error(&value.span(), &message, "choose a shorter path"))
}

pub(super) fn url(told: &mut Collector, key: &'static str, value: &Value<'_>) -> Result<BaseUrl, Told> {
    let written = text(told, key, value, "a URL in quotes", "\"https://HOST\"")?;
    BaseUrl::new(written).map_err(|error| {
        // A URL may hold a password: only its host is sure to hold none, and that may be what is wrong.
        told.error(
            &value.span(),
            &format!("`{key}` is no base URL: {error}"),
            "write `https://HOST` or `https://HOST:PORT`",
        )
    })
}

/// An IPv4 address that one host can have.
pub(super) fn host_address(told: &mut Collector, key: &str, written: &str, span: &Span) -> Result<Ipv4Addr, Told> {
    let address: Ipv4Addr = written.parse().map_err(|_| {
        let bare = written.split(['/', ':']).next().unwrap_or_default();
        let mend = if written.parse::<Ipv6Addr>().is_ok() {
            "IPv6 is not in this version yet: write an IPv4 address".to_owned()
        } else if bare.parse::<Ipv4Addr>().is_ok() {
            format!("write the address alone: \"{bare}\"")
        } else {
            "write four numbers: \"10.114.0.5\"".to_owned()
        };
        told.error(span, &format!("{} in `{key}` is no IPv4 address", quoted(written)), &mend)
    })?;
    if address.is_unspecified() || address.is_broadcast() || address.is_multicast() {
        let message = format!("{address} in `{key}` is not the address of one host");
        return Err(told.error(span, &message, "write the host's own address"));
    }
    Ok(address)
}

/// Either a value or the word "auto".
pub(super) fn discovered<'d, T>(
    parse: impl Fn(&mut Collector, &'static str, &'d Value<'d>) -> Result<T, Told>,
) -> impl Fn(&mut Collector, &'static str, &'d Value<'d>) -> Result<Discovered<T>, Told> {
    move |told, key, value| match value.get_ref() {
        DeValue::String(text) if text == "auto" => Ok(Discovered::Auto),
        _ => parse(told, key, value).map(Discovered::Given),
    }
}

pub(super) fn address(told: &mut Collector, key: &'static str, value: &Value<'_>) -> Result<Ipv4Addr, Told> {
    let written = text(told, key, value, "an address in quotes", "\"10.114.0.5\"")?;
    host_address(told, key, written, &value.span())
}

pub(super) fn peers(told: &mut Collector, key: &'static str, value: &Value<'_>) -> Result<Vec<(Ipv4Addr, Span)>, Told> {
    let items = match value.get_ref() {
        DeValue::Array(items) => items,
        DeValue::String(text) if text.parse::<Ipv4Addr>().is_ok() => {
            let mend = format!("{key} = [\"{text}\", ...]` with all members, this node too");
            let message = format!("`{key}` must be a list, not a text");
            return Err(told.error(&value.span(), &message, &format!("write `{mend}")));
        }
        _ => return Err(wrong_type(told, key, value, "a list", &format!("{key} = [\"10.114.0.4\", \"10.114.0.5\"]"))),
    };
    let mut members: Vec<(Ipv4Addr, Span)> = Vec::new();
    let mut failed = None;
    for item in items.iter() {
        let read = text(told, key, item, "a list of addresses in quotes", "[\"10.114.0.4\", \"10.114.0.5\"]")
            .and_then(|written| host_address(told, key, written, &item.span()));
        match read {
            Ok(address) if members.iter().any(|(known, _)| *known == address) => {
                failed = Some(told.error(&item.span(), &format!("{address} is in `{key}` twice"), "take one out"));
            }
            Ok(address) if members.len() == MOST_MEMBERS => {
                let message = format!("{address} is one member too many: a group has at most {MOST_MEMBERS}");
                return Err(told.error(&item.span(), &message, "take some out"));
            }
            Ok(address) => members.push((address, item.span())),
            Err(proof) => failed = Some(proof),
        }
    }
    failed.map_or(Ok(members), Err)
}

pub(super) fn priorities(
    told: &mut Collector,
    key: &'static str,
    value: &Value<'_>,
) -> Result<BTreeMap<NodeName, Priority>, Told> {
    let DeValue::Table(entries) = value.get_ref() else {
        return Err(wrong_type(told, key, value, "a table", &format!("{key} = {{ \"node name\" = 150 }}")));
    };
    let mut failed = None;
    let mut found = BTreeMap::new();
    for (name, value) in entries {
        let node = NodeName::new(name.get_ref())
            .map_err(|_| bad_name(told, "the name of a node", name.get_ref(), &name.span()));
        let priority = whole(1..=254, Priority::new)(told, "priorities", value);
        match (node, priority) {
            (Ok(node), Ok(priority)) if found.len() < MOST_MEMBERS => {
                found.insert(node, priority);
            }
            (Ok(_), Ok(_)) => {
                let message = format!("`{key}` names more than the {MOST_MEMBERS} members that a group may have");
                return Err(told.error(&name.span(), &message, "take some out"));
            }
            (Err(proof), _) | (_, Err(proof)) => failed = Some(proof),
        }
    }
    failed.map_or(Ok(found), Err)
}

pub(super) fn bad_name(told: &mut Collector, what: &str, name: &str, span: &Span) -> Told {
    told.error(
        span,
        &format!("{} cannot be {what}", quoted(name)),
        "write 1 to 63 of a-z, A-Z, 0-9, '.', '_' and '-', beginning with a letter or digit",
    )
}

pub(super) fn majority(told: &mut Collector, key: &'static str, value: &Value<'_>) -> Result<Majority, Told> {
    match value.get_ref() {
        DeValue::Boolean(false) => Ok(Majority::Off),
        DeValue::String(text) if text == "auto" => Ok(Majority::Auto),
        DeValue::Boolean(true) => {
            Err(told.error(&value.span(), "`majority = true` is not in this version yet", "write \"auto\" or false"))
        }
        _ => Err(wrong_type(told, key, value, "\"auto\" or false", "majority = \"auto\"")),
    }
}

/// What a node does before its host is migrated: nothing is all that this version can.
pub(super) fn maintenance(told: &mut Collector, key: &'static str, value: &Value<'_>) -> Result<(), Told> {
    if choice(&[("ignore", false), ("drain", true)])(told, key, value)? {
        let message = "`maintenance = \"drain\"` is not in this version yet";
        return Err(told.error(&value.span(), message, "take it out, or write \"ignore\""));
    }
    Ok(())
}

/// A visible text that is handed to the engine as a filter.
pub(super) fn filter(told: &mut Collector, key: &'static str, value: &Value<'_>) -> Result<String, Told> {
    let written = text(told, key, value, "a text", "\"...\"")?;
    if (1..=255).contains(&written.len()) && !written.chars().any(char::is_control) {
        return Ok(written.to_owned());
    }
    Err(told.error(&value.span(), &format!("`{key}` must have 1 to 255 visible letters"), "leave it out to count all"))
}

/// `token.file = ...` and its like. The value is never quoted.
pub(super) fn secret<'d>(
    table: &Table<'d>,
    told: &mut Collector,
    key: &'static str,
    example: &str,
) -> Field<SecretSource> {
    table.read(told, key, |told, key, value| {
        let sources = || either(SECRET.keys.iter().map(|source| format!("`{key}.{source}`")));
        let DeValue::Table(entries) = value.get_ref() else {
            let message = format!("`{key}` must not be in this file: everybody who may see the file would know it");
            let mend = format!("put it into a file of its own and write `{key}.file = \"{example}\"`");
            return Err(told.error(&value.span(), &message, &mend));
        };
        let inner = Table {
            shape: &SECRET,
            title: format!("`{key}`"),
            path: format!("{}{key}", table.prefix()),
            group: None,
            header: value.span(),
            entries,
        };
        for name in entries.keys() {
            let name_text: &str = name.get_ref();
            if SECRET.keys.contains(&name_text) {
                told.note(format!("{}{name_text}", inner.prefix()), &name.span());
            } else {
                let mend = match nearest(name_text, SECRET.keys.iter().copied()) {
                    Some(word) => format!("did you mean `{key}.{word}`?"),
                    None => format!("write {}", sources()),
                };
                return Err(told.error(
                    &name.span(),
                    &format!("unknown key `{}` in `{key}`", toml_key(name_text)),
                    &mend,
                ));
            }
        }
        let file = inner.read(told, "file", |told, key, value| match value.get_ref() {
            // Not to be quoted: it may be the secret itself.
            DeValue::String(written) if !written.starts_with('/') => {
                let mend = format!("write the path from the root: \"{example}\"");
                Err(told.error(&value.span(), "`file` is no absolute path", &mend))
            }
            _ => path(told, key, value),
        });
        let environment = inner.read(told, "env", |told, key, value| {
            let name = text(told, key, value, "the name of a variable", "\"DO_TOKEN\"")?;
            let fits = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            if fits && name.len() <= 255 && mask_secrets(name) == name {
                return Ok(name.to_owned());
            }
            Err(told.error(&value.span(), "`env` must be the name of a variable, not its value", "write \"DO_TOKEN\""))
        });
        let credential = inner.read(told, "credential", |told, key, value| {
            let name = text(told, key, value, "the name of a credential", "\"do-token\"")?;
            let fits = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) && !name.starts_with('.');
            if fits && (1..=255).contains(&name.len()) && mask_secrets(name) == name {
                return Ok(name.to_owned());
            }
            Err(told.error(&value.span(), "`credential` must be a name, not a path or a value", "write \"do-token\""))
        });
        match (file, environment, credential) {
            (Field::Given(file, _), Field::Absent, Field::Absent) => Ok(SecretSource::File(file)),
            (Field::Absent, Field::Given(name, _), Field::Absent) => Ok(SecretSource::Environment(name)),
            (Field::Absent, Field::Absent, Field::Given(name, _)) => Ok(SecretSource::Credential(name)),
            (Field::Wrong(proof), _, _) | (_, Field::Wrong(proof), _) | (_, _, Field::Wrong(proof)) => Err(proof),
            (Field::Absent, Field::Absent, Field::Absent) => Err(told.error(
                &inner.header,
                &format!("`{key}` says no place"),
                &format!("write one of {}", sources()),
            )),
            _ => Err(told.error(&inner.header, &format!("`{key}` says several places"), "leave one")),
        }
    })
}

/// Reads a whole document, and tells what is wrong with each key of it.
pub(super) fn containers() -> impl Fn(&mut Collector, &'static str, &Value<'_>) -> Result<u32, Told> {
    whole(0..=MOST_CONTAINERS, |number| u32::try_from(number).ok())
}
