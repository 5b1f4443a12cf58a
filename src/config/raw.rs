//! What may be written: tables, their keys, and what each key takes. Every value
//! is read on its own here; what one means beside another is `resolve`'s affair.
//!
//! The document is walked by hand: a derived deserializer stops at the first
//! mistake, and points at a whole table where one value is wrong.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::num::{NonZeroI16, NonZeroU8, NonZeroU16, NonZeroU32};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Collector, Told};
use super::source::{Span, mask_secrets, quoted};
use super::types::{
    BaseUrl, Discovered, Heartbeat, MOST_CHECKS, MOST_GROUPS, MOST_MEMBERS, Majority, OnStop, SecretSource, Written,
};
use crate::proto::ids::{CheckName, DropletId, GroupName, NodeName, Priority};

/// The bytes of a unix socket's path, the closing zero not counted (unix(7), `sun_path`).
const SOCKET_PATH: usize = 107;
/// The containers that a check may ask for.
const MOST_CONTAINERS: i64 = 10_000;

/// A value as it was written, or the word that there is none.
#[derive(Clone, Debug)]
pub(super) enum Field<T> {
    Absent,
    /// It was written and is wrong, which has been told.
    Wrong(Told),
    Given(T, Span),
}

impl<T> Field<T> {
    pub(super) fn given(self) -> Option<T> {
        match self {
            Self::Given(value, _) => Some(value),
            Self::Absent | Self::Wrong(_) => None,
        }
    }

    /// The default in the place of what is absent. Also of what is wrong: the file
    /// is refused, but its other values can still be judged.
    pub(super) fn or(self, default: T) -> T {
        self.given().unwrap_or(default)
    }

    pub(super) fn value(&self) -> Option<&T> {
        match self {
            Self::Given(value, _) => Some(value),
            Self::Absent | Self::Wrong(_) => None,
        }
    }

    pub(super) fn span(&self) -> Option<&Span> {
        match self {
            Self::Given(_, span) => Some(span),
            Self::Absent | Self::Wrong(_) => None,
        }
    }
}

pub(super) struct Raw {
    pub(super) node: RawNode,
    pub(super) heartbeat: RawHeartbeat,
    pub(super) control_socket: Field<PathBuf>,
    pub(super) digitalocean: RawDigitalOcean,
    pub(super) docker_socket: Field<PathBuf>,
    /// In the order of the file. A group that could not be read at all was told.
    pub(super) groups: Vec<RawGroup>,
    pub(super) group_told: Option<Told>,
}

pub(super) struct RawNode {
    pub(super) name: Field<NodeName>,
    pub(super) address: Field<Discovered<Ipv4Addr>>,
    pub(super) state_dir: Field<PathBuf>,
    pub(super) on_stop: Field<OnStop>,
    pub(super) realtime: Field<bool>,
}

pub(super) struct RawHeartbeat {
    pub(super) header: Option<Span>,
    pub(super) port: Field<NonZeroU16>,
    pub(super) interval: Field<Duration>,
    pub(super) key: Field<SecretSource>,
    pub(super) old_key: Field<SecretSource>,
    pub(super) insecure: Field<bool>,
}

pub(super) struct RawDigitalOcean {
    pub(super) header: Option<Span>,
    pub(super) token: Field<SecretSource>,
    pub(super) api_url: Field<BaseUrl>,
    pub(super) ca_file: Field<PathBuf>,
    pub(super) metadata_url: Field<BaseUrl>,
    pub(super) droplet_id: Field<Discovered<DropletId>>,
    pub(super) timeout: Field<Duration>,
    pub(super) calls_per_minute: Field<NonZeroU32>,
}

pub(super) struct RawGroup {
    pub(super) name: GroupName,
    pub(super) header: Span,
    /// Whether all its keys are known.
    pub(super) audited: Result<(), Told>,
    pub(super) peers: Field<Vec<(Ipv4Addr, Span)>>,
    pub(super) priority: Field<Priority>,
    pub(super) priorities: Field<BTreeMap<NodeName, Priority>>,
    pub(super) majority: Field<Majority>,
    pub(super) preempt: Field<bool>,
    pub(super) preempt_delay: Field<Duration>,
    pub(super) claim_timeout: Field<Duration>,
    pub(super) verify_interval: Field<Duration>,
    pub(super) readiness_interval: Field<Duration>,
    pub(super) checks: Field<Vec<RawCheck>>,
    pub(super) claims: Field<Vec<RawClaim>>,
}

pub(super) struct RawCheck {
    pub(super) header: Span,
    pub(super) name: Field<CheckName>,
    pub(super) interval: Field<Duration>,
    pub(super) timeout: Field<Duration>,
    pub(super) rise: Field<NonZeroU8>,
    pub(super) fall: Field<NonZeroU8>,
    pub(super) start_period: Field<Duration>,
    pub(super) weight: Field<NonZeroI16>,
    pub(super) kind: Result<RawDocker, Told>,
}

pub(super) struct RawDocker {
    pub(super) span: Span,
    pub(super) running: Field<u32>,
    pub(super) min: Field<u32>,
    pub(super) max: Field<u32>,
    pub(super) name: Field<String>,
    pub(super) label: Field<String>,
    pub(super) healthy: Field<bool>,
}

pub(super) struct RawClaim {
    pub(super) header: Span,
    pub(super) reserved_ip: Result<(Ipv4Addr, Span), Told>,
}

/// A kind of table: how it is headed, and which keys it has.
struct Shape {
    title: &'static str,
    /// Keys of this version.
    keys: &'static [&'static str],
    /// Keys that the documentation names and that this version does not have.
    later: &'static [&'static str],
}

const ROOT: Shape =
    Shape { title: "", keys: &["node", "heartbeat", "control", "digitalocean", "docker", "group"], later: &[] };
const NODE: Shape = Shape {
    title: "[node]",
    keys: &["name", "address", "state_dir", "on_stop", "realtime", "maintenance"],
    later: &[],
};
const HEARTBEAT: Shape =
    Shape { title: "[heartbeat]", keys: &["port", "interval", "key", "old_key", "insecure"], later: &[] };
const CONTROL: Shape = Shape { title: "[control]", keys: &["socket"], later: &["http"] };
const DIGITALOCEAN: Shape = Shape {
    title: "[digitalocean]",
    keys: &["token", "api_url", "ca_file", "metadata_url", "droplet_id", "timeout", "calls_per_minute"],
    later: &[],
};
const DOCKER: Shape = Shape { title: "[docker]", keys: &["socket"], later: &[] };
const GROUP: Shape = Shape {
    title: "[group.NAME]",
    keys: &[
        "peers",
        "priority",
        "priorities",
        "majority",
        "preempt",
        "preempt_delay",
        "claim_timeout",
        "verify_interval",
        "readiness_interval",
        "check",
        "claim",
    ],
    later: &["peers_tag", "witness", "witnesses", "probe", "flap", "hooks"],
};
const CHECK: Shape = Shape {
    title: "[[group.NAME.check]]",
    keys: &["docker", "name", "interval", "timeout", "rise", "fall", "start_period", "weight"],
    later: &["http", "tcp", "command", "disk", "systemd", "file"],
};
const CHECK_DOCKER: Shape = Shape {
    title: "docker",
    keys: &["running", "min", "max", "name", "label", "healthy"],
    later: &["project", "service"],
};
const CLAIM: Shape = Shape { title: "[[group.NAME.claim]]", keys: &["digitalocean"], later: &["address", "command"] };
const CLAIM_DIGITALOCEAN: Shape = Shape { title: "digitalocean", keys: &["reserved_ip"], later: &[] };
const SECRET: Shape = Shape { title: "", keys: &["file", "env", "credential"], later: &[] };

/// Where a key may stand, for those that stand somewhere else.
const TABLES: [&Shape; 8] = [&NODE, &HEARTBEAT, &CONTROL, &DIGITALOCEAN, &DOCKER, &GROUP, &CHECK, &CLAIM];

/// One table as it was written.
struct Table<'d> {
    shape: &'static Shape,
    /// How messages call it: `[group.web]`.
    title: String,
    /// What its keys are called in full: `group.web.check.0`.
    path: String,
    /// The group that it stands in.
    group: Option<Group<'d>>,
    header: Span,
    entries: &'d DeTable<'d>,
}

/// What a table within a group must know of it.
#[derive(Clone, Copy)]
struct Group<'d> {
    name: &'d str,
    /// Where its first check or claim begins: its own keys stand before it.
    first_inner: Option<usize>,
}

impl Group<'_> {
    /// "web", in quotes if TOML wants them.
    fn key(&self) -> String {
        toml_key(self.name)
    }
}

/// A key as TOML wants it in a header or before `=`.
pub(super) fn toml_key(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if bare && key.len() <= 64 { key.to_owned() } else { quoted(key) }
}

/// `a`, `b` or `c`
fn either(words: impl IntoIterator<Item = String>) -> String {
    let words: Vec<String> = words.into_iter().collect();
    match words.as_slice() {
        [rest @ .., before, last] => {
            let rest: String = rest.iter().map(|word| format!("{word}, ")).collect();
            format!("{rest}{before} or {last}")
        }
        [one] => one.clone(),
        [] => String::new(),
    }
}

/// The known word that `written` was probably meant to be.
fn nearest<'w>(written: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    if written.len() > 64 {
        return None;
    }
    let written = written.to_ascii_lowercase().replace('-', "_");
    let distance = |word: &str| match (word.strip_prefix(&written), written.strip_prefix(word)) {
        (Some("s"), _) | (_, Some("s")) => 0, // plural and singular
        _ => strsim::osa_distance(&written, word),
    };
    known
        .into_iter()
        .map(|word| (distance(word), word))
        .filter(|(distance, word)| *distance <= (word.len() / 3).max(1))
        .min()
        .map(|(_, word)| word)
}

/// What a value is called in messages.
fn called(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

type Value<'d> = Spanned<DeValue<'d>>;

impl<'d> Table<'d> {
    /// Tells every key that does not belong here, and notes those that do.
    fn audit(&self, told: &mut Collector) -> Result<(), Told> {
        let mut audited = Ok(());
        for (key, value) in self.entries {
            let (name, span): (&str, Span) = (key.get_ref(), key.span());
            if self.shape.keys.contains(&name) {
                told.note(format!("{}{name}", self.prefix()), &span);
            } else if self.shape.later.contains(&name) {
                audited = Err(told.error(&span, &format!("`{name}` is not in this version yet"), "take it out"));
            } else {
                audited = Err(self.unknown(told, name, &span, value.get_ref()));
            }
        }
        audited
    }

    fn prefix(&self) -> String {
        if self.path.is_empty() { String::new() } else { format!("{}.", self.path) }
    }

    fn unknown(&self, told: &mut Collector, name: &str, span: &Span, value: &DeValue<'_>) -> Told {
        if let Some((owner, mend)) = self.belongs(told, name, span) {
            let place = if self.title.is_empty() { "above the first table".to_owned() } else { self.title.clone() };
            return told.error(span, &format!("`{name}` belongs in {owner}, not {place}"), &mend);
        }
        let known = self.shape.keys.iter().chain(self.shape.later).copied();
        let what = match (self.title.is_empty(), value) {
            (true, DeValue::Table(_) | DeValue::Array(_)) => format!("unknown table [{}]", toml_key(name)),
            (true, _) => format!("unknown key `{}` above the first table", toml_key(name)),
            (false, _) => format!("unknown key `{}` in {}", toml_key(name), self.title),
        };
        let mend = match nearest(name, known.clone()) {
            Some(word @ ("check" | "claim")) => match self.group {
                Some(group) => format!("did you mean `[[group.{}.{word}]]`?", group.key()),
                None => format!("did you mean `{word}`?"),
            },
            Some("group") => "did you mean `[group.NAME]`?".to_owned(),
            Some(word) if self.title.is_empty() => format!("did you mean `[{word}]`?"),
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("known here: {}", either(known.map(|word| format!("`{word}`")))),
        };
        told.error(span, &what, &mend)
    }

    /// Where a key that is unknown here has its place, and how to bring it there.
    fn belongs(&self, told: &Collector, name: &str, span: &Span) -> Option<(String, String)> {
        let has = |shape: &Shape| shape.keys.contains(&name) || shape.later.contains(&name);
        for (outer, inner) in [(&CHECK, &CHECK_DOCKER), (&CLAIM, &CLAIM_DIGITALOCEAN)] {
            if std::ptr::eq(self.shape, outer) && has(inner) {
                return Some((format!("`{}`", inner.title), format!("write `{}.{name}`", inner.title)));
            }
        }
        if let Some(group) = self.group.filter(|_| !std::ptr::eq(self.shape, &GROUP) && has(&GROUP)) {
            let owner = format!("[group.{}]", group.key());
            let before = group.first_inner.filter(|first| *first < span.start);
            let mend = before.map_or_else(
                || format!("move it under {owner}"),
                |first| {
                    let line = told.source.line_of(first) + 1;
                    format!("move it up under {owner}, before the first [[group.{}...]] (line {line})", group.key())
                },
            );
            return Some((owner, mend));
        }
        // A key of one of its outer tables may have slipped into an inner one.
        if let Some((outer, _)) = [(&CHECK, &CHECK_DOCKER), (&CLAIM, &CLAIM_DIGITALOCEAN)]
            .into_iter()
            .find(|(outer, inner)| std::ptr::eq(self.shape, *inner) && has(outer))
        {
            let owner = self.named(outer);
            return Some((owner.clone(), format!("write it under {owner}, without `{}.`", self.shape.title)));
        }
        let owners: Vec<String> =
            TABLES.into_iter().filter(|shape| has(shape)).map(|shape| self.named(shape)).collect();
        let owner = either(owners.clone());
        (!owners.is_empty()).then(|| (owner.clone(), format!("move it under {owner}")))
    }

    /// A shape's title with the group's name in it.
    fn named(&self, shape: &Shape) -> String {
        match self.group {
            Some(group) => shape.title.replace("NAME", &group.key()),
            None => shape.title.to_owned(),
        }
    }

    fn read<T>(
        &self,
        told: &mut Collector,
        key: &'static str,
        parse: impl FnOnce(&mut Collector, &'static str, &'d Value<'d>) -> Result<T, Told>,
    ) -> Field<T> {
        match self.entries.get(key) {
            None => Field::Absent,
            Some(value) => match parse(told, key, value) {
                Ok(parsed) => Field::Given(parsed, value.span()),
                Err(proof) => Field::Wrong(proof),
            },
        }
    }

    /// The table under `key`, if there is one.
    fn inner(&self, told: &mut Collector, key: &'static str, shape: &'static Shape) -> Result<Option<Table<'d>>, Told> {
        let Some((name, value)) = self.entries.get_key_value(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::Table(entries) => Ok(Some(Table {
                shape,
                title: if self.path.is_empty() { shape.title.to_owned() } else { format!("`{}`", shape.title) },
                path: format!("{}{key}", self.prefix()),
                group: self.group,
                header: name.span(),
                entries,
            })),
            DeValue::Array(_) if self.path.is_empty() => {
                let message = format!("[[{key}]] must have single brackets: there is one such table");
                Err(told.error(&name.span(), &message, &format!("write `[{key}]`")))
            }
            DeValue::Integer(digits) if std::ptr::eq(shape, &CHECK_DOCKER) => {
                let number: String = digits.as_str().chars().take(30).collect();
                let message = "`docker` must be a table, not a whole number";
                Err(told.error(&value.span(), message, &format!("write `docker.running = {number}`")))
            }
            other => {
                let mend = match shape.keys {
                    _ if self.path.is_empty() => format!("write `[{key}]`"),
                    [only] => format!("write `{key}.{only} = ...`"),
                    keys => format!("write {}", either(keys.iter().map(|inner| format!("`{key}.{inner} = ...`")))),
                };
                Err(told.error(&value.span(), &format!("`{key}` must be a table, not {}", called(other)), &mend))
            }
        }
    }
}

fn wrong_type(told: &mut Collector, key: &str, value: &Value<'_>, wanted: &str, mend: &str) -> Told {
    let found = called(value.get_ref());
    told.error(&value.span(), &format!("`{key}` must be {wanted}, not {found}"), &format!("write `{mend}`"))
}

fn text<'d>(
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

fn boolean(told: &mut Collector, key: &'static str, value: &Value<'_>) -> Result<bool, Told> {
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
fn whole<T>(
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
fn duration(
    range: RangeInclusive<Duration>,
) -> impl Fn(&mut Collector, &'static str, &Value<'_>) -> Result<Duration, Told> {
    move |told, key, value| {
        let bounds = format!("from \"{}\" to \"{}\"", Written(*range.start()), Written(*range.end()));
        let text = match value.get_ref() {
            DeValue::String(text) => text,
            DeValue::Integer(digits) => {
                // Whoever writes a bare number thinks of seconds, as in keepalived's files.
                let digits = digits.as_str();
                let mend = match digits.parse::<u32>() {
                    Ok(seconds) => format!("write `{key} = \"{seconds}s\"`"),
                    Err(_) => format!("write a duration {bounds}"),
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
fn choice<T: Copy + 'static>(
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

fn path(told: &mut Collector, key: &'static str, value: &Value<'_>) -> Result<PathBuf, Told> {
    let written = text(told, key, value, "a path in quotes", "\"/PATH\"")?;
    if written.starts_with('/') && !written.contains('\0') {
        return Ok(PathBuf::from(written));
    }
    let message = format!("`{key}` = {} is no absolute path", quoted(written));
    Err(told.error(&value.span(), &message, "write the path from the root: \"/...\""))
}

fn socket(told: &mut Collector, key: &'static str, value: &Value<'_>) -> Result<PathBuf, Told> {
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

fn url(told: &mut Collector, key: &'static str, value: &Value<'_>) -> Result<BaseUrl, Told> {
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
fn host_address(told: &mut Collector, key: &str, written: &str, span: &Span) -> Result<Ipv4Addr, Told> {
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
fn discovered<'d, T>(
    parse: impl Fn(&mut Collector, &'static str, &'d Value<'d>) -> Result<T, Told>,
) -> impl Fn(&mut Collector, &'static str, &'d Value<'d>) -> Result<Discovered<T>, Told> {
    move |told, key, value| match value.get_ref() {
        DeValue::String(text) if text == "auto" => Ok(Discovered::Auto),
        _ => parse(told, key, value).map(Discovered::Given),
    }
}

fn address(told: &mut Collector, key: &'static str, value: &Value<'_>) -> Result<Ipv4Addr, Told> {
    let written = text(told, key, value, "an address in quotes", "\"10.114.0.5\"")?;
    host_address(told, key, written, &value.span())
}

fn peers(told: &mut Collector, key: &'static str, value: &Value<'_>) -> Result<Vec<(Ipv4Addr, Span)>, Told> {
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

fn priorities(
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

fn bad_name(told: &mut Collector, what: &str, name: &str, span: &Span) -> Told {
    told.error(
        span,
        &format!("{} cannot be {what}", quoted(name)),
        "write 1 to 63 of a-z, A-Z, 0-9, '.', '_' and '-', beginning with a letter or digit",
    )
}

fn majority(told: &mut Collector, key: &'static str, value: &Value<'_>) -> Result<Majority, Told> {
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
fn maintenance(told: &mut Collector, key: &'static str, value: &Value<'_>) -> Result<(), Told> {
    if choice(&[("ignore", false), ("drain", true)])(told, key, value)? {
        let message = "`maintenance = \"drain\"` is not in this version yet";
        return Err(told.error(&value.span(), message, "take it out, or write \"ignore\""));
    }
    Ok(())
}

/// A visible text that is handed to the engine as a filter.
fn filter(told: &mut Collector, key: &'static str, value: &Value<'_>) -> Result<String, Told> {
    let written = text(told, key, value, "a text", "\"...\"")?;
    if (1..=255).contains(&written.len()) && !written.chars().any(char::is_control) {
        return Ok(written.to_owned());
    }
    Err(told.error(&value.span(), &format!("`{key}` must have 1 to 255 visible letters"), "leave it out to count all"))
}

/// `token.file = ...` and its like. The value is never quoted.
fn secret<'d>(table: &Table<'d>, told: &mut Collector, key: &'static str, example: &str) -> Field<SecretSource> {
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
pub(super) fn read(document: &DeTable<'_>, told: &mut Collector) -> Raw {
    let empty = DeTable::new();
    let root =
        Table { shape: &ROOT, title: String::new(), path: String::new(), group: None, header: 0..0, entries: document };
    // Whatever a table is told of, its other keys are read: all problems at once.
    let _ = root.audit(told);
    let mut table = |key, shape: &'static Shape| {
        let found = root.inner(told, key, shape).ok().flatten();
        let header = found.as_ref().map(|table| table.header.clone());
        let table = found.unwrap_or(Table {
            shape,
            title: shape.title.to_owned(),
            path: key.to_owned(),
            group: None,
            header: 0..0,
            entries: &empty,
        });
        let _ = table.audit(told);
        (table, header)
    };
    let (node, _) = table("node", &NODE);
    let (heartbeat, heartbeat_header) = table("heartbeat", &HEARTBEAT);
    let (control, _) = table("control", &CONTROL);
    let (digitalocean, digitalocean_header) = table("digitalocean", &DIGITALOCEAN);
    let (docker, _) = table("docker", &DOCKER);
    let (groups, group_told) = groups(&root, told);
    let _: Field<()> = node.read(told, "maintenance", maintenance);
    Raw {
        node: RawNode {
            name: node.read(told, "name", |told, key, value| {
                let name = text(told, key, value, "a name in quotes", "\"web-1\"")?;
                NodeName::new(name).map_err(|_| bad_name(told, "the name of a node", name, &value.span()))
            }),
            address: node.read(told, "address", discovered(address)),
            state_dir: node.read(told, "state_dir", path),
            on_stop: node.read(told, "on_stop", choice(&[("resign", OnStop::Resign), ("keep", OnStop::Keep)])),
            realtime: node.read(told, "realtime", boolean),
        },
        heartbeat: RawHeartbeat {
            header: heartbeat_header,
            port: heartbeat.read(told, "port", whole(1..=65535, |port| NonZeroU16::new(u16::try_from(port).ok()?))),
            interval: heartbeat.read(told, "interval", duration(Heartbeat::SHORTEST..=Heartbeat::LONGEST)),
            key: secret(&heartbeat, told, "key", "/etc/haagent/heartbeat.key"),
            old_key: secret(&heartbeat, told, "old_key", "/etc/haagent/heartbeat.key.old"),
            insecure: heartbeat.read(told, "insecure", boolean),
        },
        control_socket: control.read(told, "socket", socket),
        digitalocean: RawDigitalOcean {
            header: digitalocean_header,
            token: secret(&digitalocean, told, "token", "/etc/haagent/do-token"),
            api_url: digitalocean.read(told, "api_url", url),
            ca_file: digitalocean.read(told, "ca_file", path),
            metadata_url: digitalocean.read(told, "metadata_url", url),
            droplet_id: digitalocean.read(
                told,
                "droplet_id",
                discovered(whole(1..=i64::MAX, |id| u64::try_from(id).ok().map(DropletId))),
            ),
            timeout: digitalocean.read(told, "timeout", duration(ms(500)..=s(30))),
            calls_per_minute: digitalocean.read(
                told,
                "calls_per_minute",
                whole(1..=250, |calls| NonZeroU32::new(u32::try_from(calls).ok()?)),
            ),
        },
        docker_socket: docker.read(told, "socket", socket),
        groups,
        group_told,
    }
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn groups(root: &Table<'_>, told: &mut Collector) -> (Vec<RawGroup>, Option<Told>) {
    let Some((key, value)) = root.entries.get_key_value("group") else {
        let proof = told.absent(None, "there is no group", "add a table [group.NAME], NAME being yours to choose");
        return (Vec::new(), Some(proof));
    };
    let named = match value.get_ref() {
        DeValue::Table(named) => named,
        DeValue::Array(_) => {
            let proof =
                told.error(&key.span(), "[[group]] has no name", "write `[group.NAME]`: single brackets, and a name");
            return (Vec::new(), Some(proof));
        }
        other => {
            let message = format!("`group` must be a table, not {}", called(other));
            return (Vec::new(), Some(told.error(&value.span(), &message, "write `[group.NAME]`")));
        }
    };
    let mut failed = None;
    let mut groups = Vec::new();
    for (name, value) in named {
        let text: &str = name.get_ref();
        let entries = match value.get_ref() {
            DeValue::Table(entries) => entries,
            DeValue::Array(items)
                if matches!(text, "check" | "claim") && items.iter().any(|item| item.get_ref().is_table()) =>
            {
                let message = format!("[[group.{text}]] does not say of which group");
                failed = Some(told.error(&name.span(), &message, &format!("write `[[group.NAME.{text}]]`")));
                continue;
            }
            DeValue::Array(items) if items.iter().any(|item| item.get_ref().is_table()) => {
                let shown = toml_key(text);
                let message = format!("[[group.{shown}]] must have single brackets: there is one group of a name");
                failed = Some(told.error(&name.span(), &message, &format!("write `[group.{shown}]`")));
                continue;
            }
            _ if GROUP.keys.contains(&text) || GROUP.later.contains(&text) => {
                let message = format!("`{text}` belongs in [group.NAME], not [group]");
                failed = Some(told.error(&name.span(), &message, "give the group a name: `[group.NAME]`"));
                continue;
            }
            other => {
                let message = format!("`group.{}` must be a table, not {}", toml_key(text), called(other));
                failed = Some(told.error(&name.span(), &message, "write `[group.NAME]`"));
                continue;
            }
        };
        let Ok(group) = GroupName::new(text) else {
            failed = Some(bad_name(told, "the name of a group", text, &name.span()));
            continue;
        };
        if groups.len() == MOST_GROUPS {
            let message = format!("this is one group too many: a file has at most {MOST_GROUPS}");
            failed = Some(told.error(&name.span(), &message, "take some out"));
            break;
        }
        groups.push(self::group(group, text, value.span(), entries, told));
    }
    if named.is_empty() {
        failed = Some(told.absent(None, "there is no group", "add a table [group.NAME], NAME being yours to choose"));
    }
    groups.sort_by_key(|group: &RawGroup| group.header.start);
    (groups, failed)
}

fn group<'d>(name: GroupName, text: &'d str, header: Span, entries: &'d DeTable<'d>, told: &mut Collector) -> RawGroup {
    let first_inner = ["check", "claim"]
        .iter()
        .filter_map(|key| match entries.get(*key)?.get_ref() {
            DeValue::Array(items) => items.first().map(|first| first.span().start),
            DeValue::Table(_) => entries.get(*key).map(|value| value.span().start),
            _ => None,
        })
        .min();
    let group = Group { name: text, first_inner };
    let table = Table {
        shape: &GROUP,
        title: format!("[group.{}]", group.key()),
        path: format!("group.{}", group.key()),
        group: Some(group),
        header: header.clone(),
        entries,
    };
    let audited = table.audit(told);
    RawGroup {
        name,
        header,
        audited,
        peers: match (table.read(told, "peers", peers), audited) {
            // The word that members cannot be found by tag yet is all there is to say.
            (Field::Absent, Err(proof)) if entries.contains_key("peers_tag") => Field::Wrong(proof),
            (peers, _) => peers,
        },
        priority: table.read(told, "priority", whole(1..=254, Priority::new)),
        priorities: table.read(told, "priorities", priorities),
        majority: table.read(told, "majority", majority),
        preempt: table.read(told, "preempt", boolean),
        preempt_delay: table.read(told, "preempt_delay", duration(Duration::ZERO..=s(86_400))),
        claim_timeout: table.read(told, "claim_timeout", duration(s(1)..=s(3600))),
        verify_interval: table.read(told, "verify_interval", duration(ms(100)..=s(60))),
        readiness_interval: table.read(told, "readiness_interval", duration(s(10)..=s(86_400))),
        checks: each(&table, told, "check", &CHECK, MOST_CHECKS, check),
        claims: each(&table, told, "claim", &CLAIM, MOST_CHECKS, claim),
    }
}

/// The tables `[[group.NAME.key]]`. Single brackets are told, and read as one table all the same.
fn each<'d, T>(
    group: &Table<'d>,
    told: &mut Collector,
    key: &'static str,
    shape: &'static Shape,
    most: usize,
    read: impl Fn(&Table<'d>, Result<(), Told>, &mut Collector) -> T,
) -> Field<Vec<T>> {
    let Some((name, value)) = group.entries.get_key_value(key) else { return Field::Absent };
    let title = group.named(shape);
    let one = |told: &mut Collector, at: usize, header: Span, entries: &'d DeTable<'d>| {
        let path = format!("{}{key}.{at}", group.prefix());
        let table = Table { shape, title: title.clone(), path, group: group.group, header, entries };
        let audited = table.audit(told);
        read(&table, audited, told)
    };
    match value.get_ref() {
        DeValue::Table(entries) => {
            let single = title.trim_start_matches('[').trim_end_matches(']').to_owned();
            let proof = told.error(
                &value.span(),
                &format!("[{single}] must have double brackets: a group may have several"),
                &format!("write `{title}`"),
            );
            one(told, 0, value.span(), entries);
            Field::Wrong(proof)
        }
        DeValue::Array(items) => {
            let mut found = Vec::new();
            for (at, item) in items.iter().enumerate() {
                match item.get_ref() {
                    DeValue::Table(_) if at >= most => {
                        let message = format!("this is one {title} too many: a group has at most {most}");
                        return Field::Wrong(told.error(&item.span(), &message, "take some out"));
                    }
                    DeValue::Table(entries) => found.push(one(told, at, item.span(), entries)),
                    other => {
                        let message = format!("`{key}` must be a list of tables, not of {}", called(other));
                        return Field::Wrong(told.error(&item.span(), &message, &format!("write `{title}`")));
                    }
                }
            }
            Field::Given(found, name.span())
        }
        other => {
            let message = format!("`{key}` must be a table, not {}", called(other));
            Field::Wrong(told.error(&value.span(), &message, &format!("write `{title}`")))
        }
    }
}

fn check(table: &Table<'_>, audited: Result<(), Told>, told: &mut Collector) -> RawCheck {
    let times = || whole(1..=100, |times| NonZeroU8::new(u8::try_from(times).ok()?));
    RawCheck {
        header: table.header.clone(),
        name: table.read(told, "name", |told, key, value| {
            let name = text(told, key, value, "a name in quotes", "\"containers\"")?;
            CheckName::new(name).map_err(|_| bad_name(told, "the name of a check", name, &value.span()))
        }),
        interval: table.read(told, "interval", duration(ms(100)..=s(3600))),
        timeout: table.read(told, "timeout", duration(ms(50)..=s(300))),
        rise: table.read(told, "rise", times()),
        fall: table.read(told, "fall", times()),
        start_period: table.read(told, "start_period", duration(Duration::ZERO..=s(3600))),
        weight: table.read(told, "weight", |told, key, value| {
            let weight = whole(-253..=253, |weight| i16::try_from(weight).ok())(told, key, value)?;
            NonZeroI16::new(weight).ok_or_else(|| {
                told.error(
                    &value.span(),
                    "`weight` = 0 would make the check do nothing",
                    "leave it out: failing means Fault",
                )
            })
        }),
        kind: check_kind(table, audited, told),
    }
}

/// The one kind of a check.
fn check_kind(table: &Table<'_>, audited: Result<(), Told>, told: &mut Collector) -> Result<RawDocker, Told> {
    let Some(docker) = table.inner(told, "docker", &CHECK_DOCKER)? else {
        // A kind that is not there yet, or is misspelt, was told by the audit.
        audited?;
        let message = format!("{} does not say what to check", table.title);
        return Err(told.absent(Some(&table.header), &message, "add, for one, `docker.running = 10`"));
    };
    let audited = docker.audit(told);
    let docker = RawDocker {
        span: docker.header.clone(),
        running: docker.read(told, "running", containers()),
        min: docker.read(told, "min", containers()),
        max: docker.read(told, "max", containers()),
        name: docker.read(told, "name", filter),
        label: docker.read(told, "label", filter),
        healthy: docker.read(told, "healthy", boolean),
    };
    audited.map(|()| docker)
}

fn containers() -> impl Fn(&mut Collector, &'static str, &Value<'_>) -> Result<u32, Told> {
    whole(0..=MOST_CONTAINERS, |number| u32::try_from(number).ok())
}

fn claim(table: &Table<'_>, audited: Result<(), Told>, told: &mut Collector) -> RawClaim {
    RawClaim { header: table.header.clone(), reserved_ip: reserved_ip(table, audited, told) }
}

fn reserved_ip(table: &Table<'_>, audited: Result<(), Told>, told: &mut Collector) -> Result<(Ipv4Addr, Span), Told> {
    const EXAMPLE: &str = "`digitalocean.reserved_ip = \"203.0.113.10\"`";
    let Some(inner) = table.inner(told, "digitalocean", &CLAIM_DIGITALOCEAN)? else {
        audited?;
        let message = format!("{} does not say what to claim", table.title);
        return Err(told.absent(Some(&table.header), &message, &format!("add {EXAMPLE}")));
    };
    inner.audit(told)?;
    let field = inner.read(told, "reserved_ip", |told, key, value| {
        let written = text(told, key, value, "an address in quotes", "\"203.0.113.10\"")?;
        if written == "auto" {
            let message = "`reserved_ip = \"auto\"` is not in this version yet";
            return Err(told.error(&value.span(), message, "write the address itself"));
        }
        host_address(told, key, written, &value.span())
    });
    match field {
        Field::Given(address, span) => Ok((address, span)),
        Field::Wrong(proof) => Err(proof),
        Field::Absent => Err(told.absent(
            Some(&inner.header),
            "`digitalocean` does not say which address",
            &format!("write {EXAMPLE}"),
        )),
    }
}
