//! What a new file changes for an agent that runs: what it takes over, and what waits
//! for its restart. Pure: two configurations in, a [`Plan`] out.
//!
//! [`EFFECTS`] says of every key which of the two it is. The code that takes keys over
//! names every field, so that a new one does not compile before somebody has decided; a test
//! compares the two, and another one compares the table with the documentation.

use std::collections::BTreeMap;
use std::fmt;

use super::listing::{Setting, Value};
use super::raw::toml_key;
use super::types::{
    Authentication, Check, Config, Control, DigitalOcean, Docker, Group, GroupTimes, Heartbeat, Node, RuleError,
};

/// What becomes of a changed key in a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It is in force at once.
    Live,
    /// It waits for a restart of the agent; until then the old value goes on.
    Restart,
}

use Effect::{Live, Restart};

/// Every key, once: its table, without the names of groups and the numbers of lists, and itself.
const EFFECTS: &[(&str, &[&str], Effect)] = &[
    ("node", &["on_stop"], Live),
    ("node", &["name", "address", "state_dir", "realtime"], Restart),
    ("heartbeat", &["key.file", "key.env", "key.credential"], Live),
    ("heartbeat", &["old_key", "old_key.file", "old_key.env", "old_key.credential"], Live),
    ("heartbeat", &["port", "interval", "insecure"], Restart),
    ("control", &["socket"], Restart),
    ("digitalocean", &["token.file", "token.env", "token.credential", "timeout", "calls_per_minute"], Live),
    ("digitalocean", &["api_url", "ca_file", "metadata_url", "droplet_id"], Restart),
    ("docker", &["socket"], Live),
    ("group", &["priority", "priorities", "majority", "preempt", "preempt_delay"], Live),
    ("group", &["claim_timeout", "verify_interval", "readiness_interval"], Live),
    ("group", &["probe.http", "probe.tcp", "probe.timeout"], Live),
    ("group", &["peers"], Restart),
    ("group.check", &["docker.running", "docker.min", "docker.max"], Live),
    ("group.check", &["docker.name", "docker.label", "docker.healthy"], Live),
    ("group.check", &["name", "interval", "timeout", "rise", "fall", "start_period", "weight"], Live),
    ("group.claim", &["digitalocean.reserved_ip"], Restart),
    ("group.hooks", &["promote", "on_master", "on_backup", "on_fault", "timeout"], Live),
];

impl Setting {
    /// What becomes of this key when it changes while the agent runs. Of whole groups see [`Plan`]:
    /// one that is new or gone waits for a restart. `None` is a key that nobody has thought of, which a test forbids.
    #[must_use]
    pub fn effect(&self) -> Option<Effect> {
        let table = kind(&self.table);
        let known = |(of, keys, _): &&(&str, &[&str], Effect)| *of == table && keys.contains(&self.key);
        EFFECTS.iter().find(known).map(|(.., effect)| *effect)
    }
}

/// `group.web.check.0` is `group.check`.
fn kind(table: &str) -> String {
    let Some(rest) = table.strip_prefix("group.") else { return table.to_owned() };
    let rest = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').map_or("", |(_, rest)| rest),
        None => rest.find('.').and_then(|dot| rest.get(dot..)).unwrap_or(""),
    };
    let words = rest.split('.').filter(|word| !word.is_empty() && !word.bytes().all(|b| b.is_ascii_digit()));
    std::iter::once("group").chain(words).collect::<Vec<_>>().join(".")
}

/// Two values of the file and of what must go on until a restart do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("group {group} is not in the file any more, and goes on until a restart: {rule}")]
pub struct PlanError {
    group: String,
    #[source]
    rule: RuleError,
}

/// What a reload does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The configuration to be in force from now on.
    pub next: Config,
    /// What it changes.
    pub applied: Vec<Change>,
    /// What of the file is not in it, and waits for a restart.
    pub waiting: Vec<Change>,
}

impl Plan {
    /// What an agent that runs with `running` does with `file`.
    ///
    /// # Errors
    /// What must go on until a restart does not go with what the file says.
    pub fn new(running: &Config, file: &Config) -> Result<Self, PlanError> {
        let next = take_over(running, file)?;
        let (applied, waiting) = (changes(running, &next), changes(&next, file));
        Ok(Self { next, applied, waiting })
    }
}

/// One thing that two configurations have differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is: `group.web.preempt`, `group.web.check docker.running`, `group.web.check api`.
    pub setting: String,
    difference: Difference,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Difference {
    /// Another value; none is a key that the other settings of its table leave no room for.
    Value(Option<Value>, Option<Value>),
    /// A check or a group is new.
    Added,
    /// A check or a group is gone.
    Removed,
    /// The same place holds another secret.
    Secret,
}

impl Change {
    /// The secret that this key names is another one, whatever its place is.
    #[must_use]
    pub fn secret(setting: &str) -> Self {
        Self { setting: setting.to_owned(), difference: Difference::Secret }
    }

    /// As a change that waits for a restart: `heartbeat.port (17112 -> 17113)`.
    #[must_use]
    pub fn waiting(&self) -> String {
        format!("{} ({})", self.setting, self.difference)
    }
}

/// `group.web.check docker.running 10 -> 9`
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.setting, self.difference)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<Value>| value.as_ref().map_or_else(|| "(not set)".to_owned(), Value::to_string);
        match self {
            Self::Value(before, after) => write!(f, "{} -> {}", shown(before), shown(after)),
            Self::Added => f.write_str("added"),
            Self::Removed => f.write_str("removed"),
            Self::Secret => f.write_str("another secret"),
        }
    }
}

/// What an agent that runs with `running` takes over of `file`: every field is named here, so
/// that one that is new must be decided upon.
fn take_over(running: &Config, file: &Config) -> Result<Config, PlanError> {
    let Config { node, heartbeat, control, digitalocean, docker, groups: _ } = file;
    let Node { name: _, address: _, state_dir: _, on_stop, realtime: _ } = node;
    let Heartbeat { port: _, interval: _, authentication } = heartbeat;
    let Control { socket: _ } = control;
    let DigitalOcean { token, api_url: _, ca_file: _, metadata_url: _, droplet_id: _, timeout, calls_per_minute } =
        digitalocean;
    let Docker { socket } = docker;
    let mut next = running.clone();
    next.node.on_stop = *on_stop;
    match (&mut next.heartbeat.authentication, authentication) {
        (keys @ Authentication::Keyed { .. }, Authentication::Keyed { .. }) => keys.clone_from(authentication),
        // From keys to none, or back, all nodes change together: that is a restart.
        (Authentication::Keyed { .. }, Authentication::Insecure) | (Authentication::Insecure, _) => {}
    }
    next.digitalocean.token = token.clone();
    next.digitalocean.timeout = *timeout;
    next.digitalocean.calls_per_minute = *calls_per_minute;
    next.docker.socket.clone_from(socket);
    for group in &mut next.groups {
        match group_of(file, group) {
            Some(of) => take_over_group(group, of),
            None => {
                let times = group.times;
                GroupTimes::new(times.claim_timeout(), times.verify_interval(), times.readiness_interval(), *timeout)
                    .map_err(|rule| PlanError { group: group.name.to_string(), rule })?;
            }
        }
    }
    Ok(next)
}

fn take_over_group(group: &mut Group, file: &Group) {
    let Group { name: _, peers: _, priority, priorities, probe, majority, preempt, times, checks, claim: _, hooks } =
        file;
    group.priority = *priority;
    group.priorities.clone_from(priorities);
    group.probe.clone_from(probe);
    group.majority = *majority;
    group.preempt = *preempt;
    group.times = *times;
    group.checks.clone_from(checks);
    group.hooks.clone_from(hooks);
}

/// All that differs: whole groups and checks, then settings in the order of the tables.
fn changes(before: &Config, after: &Config) -> Vec<Change> {
    let (old, new) = (Listed::of(before), Listed::of(after));
    let mut changes = Vec::new();
    let mut told = |setting: &str, difference| changes.push(Change { setting: setting.to_owned(), difference });
    old.wholes.iter().filter(|whole| new.lacks(whole)).for_each(|whole| told(&whole.title, Difference::Removed));
    new.wholes.iter().filter(|whole| old.lacks(whole)).for_each(|whole| told(&whole.title, Difference::Added));
    let only_new = new.entries.iter().filter(|entry| old.value(entry).is_none());
    for entry in old.entries.iter().chain(only_new).filter(|entry| old.has(&entry.within) && new.has(&entry.within)) {
        match (old.value(entry), new.value(entry)) {
            (before, after) if before == after => {}
            // Two spellings of nothing: `old_key`, and no `old_key.file`.
            (None | Some(Value::Unset(_)), None) | (None, Some(Value::Unset(_))) => {}
            (before, after) => told(&entry.title, Difference::Value(before.cloned(), after.cloned())),
        }
    }
    for (group, now) in before.groups.iter().filter_map(|was| Some((was, group_of(after, was)?))) {
        let names = |of: &Group, others: &Group| -> Vec<String> {
            let stays = |check: &&Check| others.checks.iter().any(|other| other.name == check.name);
            of.checks.iter().filter(stays).map(|check| check.name.to_string()).collect()
        };
        let (was, is) = (names(group, now), names(now, group));
        if was != is {
            let order = |names: Vec<String>| Some(Value::Toml(names.join(", ")));
            told(&format!("{} order of checks", title_of(group)), Difference::Value(order(was), order(is)));
        }
    }
    // From keys to none, or back, is one change: the keys mean nothing without it.
    if changes.iter().any(|change| change.setting == "heartbeat.insecure") {
        changes
            .retain(|change| !["heartbeat.key", "heartbeat.old_key"].iter().any(|key| change.setting.starts_with(key)));
    }
    changes
}

fn group_of<'c>(config: &'c Config, like: &Group) -> Option<&'c Group> {
    config.groups.iter().find(|group| group.name == like.name)
}

fn title_of(group: &Group) -> String {
    format!("group.{}", toml_key(group.name.as_str()))
}

/// A group or a check, which comes and goes as a whole.
struct Whole {
    title: String,
    /// The group of a check; empty for a group.
    within: String,
}

/// One setting, found by what it is about and not by its place in a list.
struct Entry {
    /// `node.on_stop`; `group.web.check docker.running`
    title: String,
    /// The table, with a check's name in the place of its number.
    table: String,
    key: &'static str,
    value: Value,
    /// The group or the check that it belongs to; empty for what is always there.
    within: String,
}

/// All settings of a configuration, to be compared.
struct Listed {
    wholes: Vec<Whole>,
    entries: Vec<Entry>,
    values: BTreeMap<(String, &'static str), Value>,
}

impl Listed {
    fn of(config: &Config) -> Self {
        let mut wholes = Vec::new();
        let mut checks = BTreeMap::new();
        for group in &config.groups {
            let title = title_of(group);
            for (place, check) in group.checks.iter().enumerate() {
                let whole = format!("{title}.check[{}]", check.name);
                checks.insert(format!("{title}.check.{place}"), (whole.clone(), group.checks.len() == 1));
                wholes.push(Whole { title: whole, within: title.clone() });
            }
            wholes.push(Whole { title, within: String::new() });
        }
        let entry = |Setting { table, key, value, .. }: Setting| match checks.get(&table) {
            Some((whole, only)) => {
                let shown = if *only { whole.split('[').next().unwrap_or(whole) } else { whole };
                Entry { title: format!("{shown} {key}"), table: whole.clone(), key, value, within: whole.clone() }
            }
            None => {
                let (shown, gap) = table.strip_suffix(".0").map_or((table.as_str(), "."), |list| (list, " "));
                let is_of = |group: &&Group| {
                    table.strip_prefix(&title_of(group)).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                };
                let within = config.groups.iter().find(is_of).map(title_of).unwrap_or_default();
                Entry { title: format!("{shown}{gap}{key}"), table, key, value, within }
            }
        };
        let entries: Vec<Entry> = config.settings().into_iter().map(entry).collect();
        let values = entries.iter().map(|entry| ((entry.table.clone(), entry.key), entry.value.clone())).collect();
        Self { wholes, entries, values }
    }

    fn value(&self, entry: &Entry) -> Option<&Value> {
        self.values.get(&(entry.table.clone(), entry.key))
    }

    /// Whether this group or check is there; what belongs to neither always is.
    fn has(&self, title: &str) -> bool {
        title.is_empty() || self.wholes.iter().any(|whole| whole.title == title)
    }

    /// Whether it is missing here, and not because the group around it is.
    fn lacks(&self, whole: &Whole) -> bool {
        !self.has(&whole.title) && self.has(&whole.within)
    }
}

#[cfg(test)]
mod tests;
