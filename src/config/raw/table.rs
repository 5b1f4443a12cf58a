//! Tables as they were written: which keys each kind has, and what is told of one
//! that does not belong where it stands.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::problem::{Collector, Told};
use crate::config::source::{Span, quoted};

/// A value as it was written, or the word that there is none.
#[derive(Clone, Debug)]
pub(in crate::config) enum Field<T> {
    Absent,
    /// It was written and is wrong, which has been told.
    Wrong(Told),
    Given(T, Span),
}

impl<T> Field<T> {
    pub(in crate::config) fn given(self) -> Option<T> {
        match self {
            Self::Given(value, _) => Some(value),
            Self::Absent | Self::Wrong(_) => None,
        }
    }

    /// The default in the place of what is absent. Also of what is wrong: the file
    /// is refused, but its other values can still be judged.
    pub(in crate::config) fn or(self, default: T) -> T {
        self.given().unwrap_or(default)
    }

    /// What was written, none being none; or the word that it is wrong.
    pub(in crate::config) fn checked(self) -> Result<Option<T>, Told> {
        match self {
            Self::Given(value, _) => Ok(Some(value)),
            Self::Absent => Ok(None),
            Self::Wrong(proof) => Err(proof),
        }
    }

    pub(in crate::config) fn value(&self) -> Option<&T> {
        match self {
            Self::Given(value, _) => Some(value),
            Self::Absent | Self::Wrong(_) => None,
        }
    }

    pub(in crate::config) fn span(&self) -> Option<&Span> {
        match self {
            Self::Given(_, span) => Some(span),
            Self::Absent | Self::Wrong(_) => None,
        }
    }
}

pub(super) type Value<'d> = Spanned<DeValue<'d>>;

/// A kind of table: how it is headed, and which keys it has. Kinds are told apart by
/// their address, so each is a static.
pub(super) struct Shape {
    pub(super) title: &'static str,
    /// Keys of this version.
    pub(super) keys: &'static [&'static str],
    /// Keys that the documentation names and that this version does not have.
    pub(super) later: &'static [&'static str],
}

pub(super) static ROOT: Shape =
    Shape { title: "", keys: &["node", "heartbeat", "control", "digitalocean", "docker", "group"], later: &[] };
pub(super) static NODE: Shape = Shape {
    title: "[node]",
    keys: &["name", "address", "state_dir", "on_stop", "realtime", "maintenance"],
    later: &[],
};
pub(super) static HEARTBEAT: Shape =
    Shape { title: "[heartbeat]", keys: &["port", "interval", "key", "old_key", "insecure"], later: &[] };
pub(super) static CONTROL: Shape = Shape { title: "[control]", keys: &["socket"], later: &["http"] };
pub(super) static DIGITALOCEAN: Shape = Shape {
    title: "[digitalocean]",
    keys: &["token", "api_url", "ca_file", "metadata_url", "droplet_id", "timeout", "calls_per_minute"],
    later: &[],
};
pub(super) static DOCKER: Shape = Shape { title: "[docker]", keys: &["socket"], later: &[] };
pub(super) static GROUP: Shape = Shape {
    title: "[group.NAME]",
    keys: &[
        "peers",
        "priority",
        "priorities",
        "probe",
        "majority",
        "preempt",
        "preempt_delay",
        "claim_timeout",
        "verify_interval",
        "readiness_interval",
        "check",
        "claim",
        "hooks",
    ],
    later: &["peers_tag", "witness", "witnesses", "flap"],
};
pub(super) static GROUP_PROBE: Shape = Shape { title: "probe", keys: &["http", "tcp", "timeout"], later: &[] };
pub(super) static CHECK: Shape = Shape {
    title: "[[group.NAME.check]]",
    keys: &["docker", "name", "interval", "timeout", "rise", "fall", "start_period", "weight"],
    later: &["http", "tcp", "command", "disk", "systemd", "file"],
};
pub(super) static CHECK_DOCKER: Shape = Shape {
    title: "docker",
    keys: &["running", "min", "max", "name", "label", "healthy"],
    later: &["project", "service"],
};
pub(super) static CLAIM: Shape =
    Shape { title: "[[group.NAME.claim]]", keys: &["digitalocean"], later: &["address", "command"] };
pub(super) static CLAIM_DIGITALOCEAN: Shape = Shape { title: "digitalocean", keys: &["reserved_ip"], later: &[] };
pub(super) static HOOKS: Shape = Shape {
    title: "[group.NAME.hooks]",
    keys: &["promote", "on_master", "on_backup", "on_fault", "timeout"],
    later: &["demote", "rejoin", "on_claim_failing"],
};
pub(super) static SECRET: Shape = Shape { title: "", keys: &["file", "env", "credential"], later: &[] };

/// Where a key may stand, for those that stand somewhere else.
static TABLES: [&Shape; 9] = [&NODE, &HEARTBEAT, &CONTROL, &DIGITALOCEAN, &DOCKER, &GROUP, &CHECK, &CLAIM, &HOOKS];

/// One table as it was written.
pub(super) struct Table<'d> {
    pub(super) shape: &'static Shape,
    /// How messages call it: `[group.web]`.
    pub(super) title: String,
    /// What its keys are called in full: `group.web.check.0`.
    pub(super) path: String,
    /// The group that it stands in.
    pub(super) group: Option<Group<'d>>,
    pub(super) header: Span,
    pub(super) entries: &'d DeTable<'d>,
}

/// What a table within a group must know of it.
#[derive(Clone, Copy)]
pub(super) struct Group<'d> {
    pub(super) name: &'d str,
    /// Where its first check or claim begins: its own keys stand before it.
    pub(super) first_inner: Option<usize>,
}

impl Group<'_> {
    /// "web", in quotes if TOML wants them.
    pub(super) fn key(&self) -> String {
        toml_key(self.name)
    }
}

/// A key as TOML wants it in a header or before `=`.
pub(in crate::config) fn toml_key(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if bare && key.len() <= 64 { key.to_owned() } else { quoted(key) }
}

/// `a`, `b` or `c`
pub(super) fn either(words: impl IntoIterator<Item = String>) -> String {
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
pub(super) fn nearest<'w>(written: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
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
pub(super) fn called(value: &DeValue<'_>) -> &'static str {
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

impl<'d> Table<'d> {
    /// Tells every key that does not belong here, and notes those that do.
    pub(super) fn audit(&self, told: &mut Collector) -> Result<(), Told> {
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

    pub(super) fn prefix(&self) -> String {
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
        // What keepalived calls them.
        let named = name.replace("notify_", "on_");
        let mend = match nearest(&named, known) {
            // keepalived's word for the default here; the nearest word would say the opposite.
            Some("preempt") if name == "nopreempt" => {
                "take it out: without `preempt = true` nobody preempts".to_owned()
            }
            Some(word @ ("check" | "claim")) => match self.group {
                Some(group) => format!("did you mean `[[group.{}.{word}]]`?", group.key()),
                None => format!("did you mean `{word}`?"),
            },
            Some("group") => "did you mean `[group.NAME]`?".to_owned(),
            Some(word) if self.title.is_empty() => format!("did you mean `[{word}]`?"),
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("known here: {}", either(self.shape.keys.iter().map(|word| format!("`{word}`")))),
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
    pub(super) fn named(&self, shape: &Shape) -> String {
        match self.group {
            Some(group) => shape.title.replace("NAME", &group.key()),
            None => shape.title.to_owned(),
        }
    }

    pub(super) fn read<T>(
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
    pub(super) fn inner(
        &self,
        told: &mut Collector,
        key: &'static str,
        shape: &'static Shape,
    ) -> Result<Option<Table<'d>>, Told> {
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
