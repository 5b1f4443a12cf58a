//! All settings of a configuration as one list: what `config show` prints, and
//! what peers compare by its hash.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::raw::toml_key;
use super::types::{
    Authentication, CheckKind, Config, Discovered, Group, Hooks, Majority, Preempt, Probe, ProbeTarget, Program,
    SecretSource, Written,
};

/// One setting with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The table's header as TOML has it; tables of one list have one header.
    pub header: String,
    /// The table in full: `group.web.check.0`.
    pub table: String,
    /// The key within the table: `docker.running`.
    pub key: &'static str,
    /// The value as TOML has it.
    pub value: Value,
    scope: Scope,
}

/// The value of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// As TOML has it.
    Toml(String),
    /// There is no word for it in TOML: what happens instead.
    Unset(&'static str),
}

impl Setting {
    /// The key in full: `group.web.check.0.docker.running`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}.{}", self.table, self.key)
    }
}

impl Config {
    /// All settings in the order in which they are documented.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        let mut list = List::default();
        list.table("[node]", "node");
        list.add(
            "name",
            self.node.name.as_ref().map_or(Value::Unset("the host name"), |name| string(name.as_str())),
            Scope::Node,
        );
        list.add("address", discovered(&self.node.address, |address| format!("\"{address}\"")), Scope::Node);
        list.add("state_dir", path(&self.node.state_dir), Scope::Node);
        list.add("on_stop", string(self.node.on_stop.as_str()), Scope::Node);
        list.add("realtime", plain(self.node.realtime), Scope::Node);

        list.table("[heartbeat]", "heartbeat");
        list.add("port", plain(self.heartbeat.port), Scope::Node);
        list.add("interval", duration(self.heartbeat.interval), Scope::Node);
        match &self.heartbeat.authentication {
            Authentication::Keyed { key, old_key } => {
                let names = ["key.file", "key.env", "key.credential"];
                list.source(names, key);
                let names = ["old_key.file", "old_key.env", "old_key.credential"];
                match old_key {
                    Some(old_key) => list.source(names, old_key),
                    None => list.add("old_key", Value::Unset("none"), Scope::Node),
                }
                list.add("insecure", plain(false), Scope::Node);
            }
            Authentication::Insecure => list.add("insecure", plain(true), Scope::Node),
        }

        list.table("[control]", "control");
        list.add("socket", path(&self.control.socket), Scope::Node);

        let cloud = &self.digitalocean;
        list.table("[digitalocean]", "digitalocean");
        list.source(["token.file", "token.env", "token.credential"], &cloud.token);
        list.add("api_url", string(cloud.api_url.as_str()), Scope::Node);
        list.add(
            "ca_file",
            cloud.ca_file.as_deref().map_or(Value::Unset("the system's authorities"), path),
            Scope::Node,
        );
        list.add("metadata_url", string(cloud.metadata_url.as_str()), Scope::Node);
        list.add("droplet_id", discovered(&cloud.droplet_id, ToString::to_string), Scope::Node);
        list.add("timeout", duration(cloud.timeout), Scope::Node);
        list.add("calls_per_minute", plain(cloud.calls_per_minute), Scope::Node);

        list.table("[docker]", "docker");
        list.add("socket", path(&self.docker.socket), Scope::Node);

        self.groups.iter().for_each(|group| list.group(group));
        list.settings
    }
}

impl Group {
    /// A number that is the same on all nodes whose settings of this group are, and
    /// that different versions agree on as long as the settings are written the same.
    /// Ask [`NodeGroup`](super::NodeGroup)'s group: its `peers` hold all members on every node.
    #[must_use]
    pub fn settings_hash(&self) -> u32 {
        let mut list = List::default();
        list.group(self);
        let mut digest = Sha256::new();
        for setting in list.settings.iter().filter(|setting| setting.scope == Scope::Group) {
            digest.update(format!("{} = {}\n", setting.path(), setting.value));
        }
        digest.finalize().iter().take(4).fold(0, |sum, byte| sum << 8 | u32::from(*byte))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Toml(text) => f.write_str(text),
            Self::Unset(text) => write!(f, "({text})"),
        }
    }
}

/// Whom a setting concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// This node alone.
    Node,
    /// The whole group: all members must have the same value.
    Group,
}

/// Settings as they are put together, table by table.
#[derive(Default)]
struct List {
    header: String,
    table: String,
    settings: Vec<Setting>,
}

impl List {
    fn table(&mut self, header: &str, table: &str) {
        self.header = header.to_owned();
        self.table = table.to_owned();
    }

    fn add(&mut self, key: &'static str, value: Value, scope: Scope) {
        self.settings.push(Setting { header: self.header.clone(), table: self.table.clone(), key, value, scope });
    }

    /// Where a secret is read from, under one of the three names.
    fn source(&mut self, [file, environment, credential]: [&'static str; 3], source: &SecretSource) {
        match source {
            SecretSource::File(from) => self.add(file, path(from), Scope::Node),
            SecretSource::Environment(name) => self.add(environment, string(name), Scope::Node),
            SecretSource::Credential(name) => self.add(credential, string(name), Scope::Node),
        }
    }

    fn group(&mut self, group: &Group) {
        let name = format!("group.{}", toml_key(group.name.as_str()));
        self.table(&format!("[{name}]"), &name);
        self.add("peers", list(group.peers.iter().map(|peer| format!("\"{peer}\""))), Scope::Group);
        self.add("priority", plain(group.priority), Scope::Node);
        if group.priorities.is_empty() {
            self.add("priorities", Value::Unset("none"), Scope::Group);
        } else {
            let entries = group.priorities.iter().map(|(node, priority)| format!("\"{node}\" = {priority}"));
            self.add(
                "priorities",
                Value::Toml(format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))),
                Scope::Group,
            );
        }
        match &group.probe {
            Some(Probe { target, timeout }) => {
                match target {
                    ProbeTarget::Http(url) => self.add("probe.http", string(url.as_str()), Scope::Group),
                    ProbeTarget::Tcp(tcp) => self.add("probe.tcp", string(&tcp.to_string()), Scope::Group),
                }
                self.add("probe.timeout", duration(*timeout), Scope::Group);
            }
            // A version that knows no probe, and has none, has the same settings.
            None => {
                self.add("probe.http", Value::Unset("none"), Scope::Node);
                self.add("probe.tcp", Value::Unset("none"), Scope::Node);
            }
        }
        let majority = match group.majority {
            Majority::Auto => string("auto"),
            Majority::Off => plain(false),
        };
        self.add("majority", majority, Scope::Group);
        match group.preempt {
            Preempt::Sticky => self.add("preempt", plain(false), Scope::Group),
            Preempt::After(delay) => {
                self.add("preempt", plain(true), Scope::Group);
                self.add("preempt_delay", duration(delay), Scope::Group);
            }
        }
        self.add("claim_timeout", duration(group.times.claim_timeout()), Scope::Group);
        self.add("verify_interval", duration(group.times.verify_interval()), Scope::Group);
        self.add("readiness_interval", duration(group.times.readiness_interval()), Scope::Group);
        for (at, check) in group.checks.iter().enumerate() {
            self.table(&format!("[[{name}.check]]"), &format!("{name}.check.{at}"));
            match &check.kind {
                CheckKind::Docker(docker) => {
                    let (min, max) = (docker.count.min(), docker.count.max());
                    if max == Some(min) {
                        self.add("docker.running", plain(min), Scope::Group);
                    } else {
                        self.add("docker.min", plain(min), Scope::Group);
                        self.add("docker.max", max.map_or(Value::Unset("no limit"), plain), Scope::Group);
                    }
                    let every = || Value::Unset("every container");
                    self.add("docker.name", docker.name.as_deref().map_or_else(every, string), Scope::Group);
                    self.add("docker.label", docker.label.as_deref().map_or_else(every, string), Scope::Group);
                    self.add("docker.healthy", plain(docker.healthy), Scope::Group);
                }
            }
            self.add("name", string(check.name.as_str()), Scope::Group);
            self.add("interval", duration(check.interval), Scope::Group);
            self.add("timeout", duration(check.timeout), Scope::Group);
            self.add("rise", plain(check.rise), Scope::Group);
            self.add("fall", plain(check.fall), Scope::Group);
            self.add("start_period", duration(check.start_period), Scope::Group);
            self.add("weight", check.weight.map_or(Value::Unset("failing means Fault"), plain), Scope::Group);
        }
        self.table(&format!("[[{name}.claim]]"), &format!("{name}.claim.0"));
        self.add("digitalocean.reserved_ip", Value::Toml(format!("\"{}\"", group.claim.address())), Scope::Group);
        self.table(&format!("[{name}.hooks]"), &format!("{name}.hooks"));
        self.hooks(&group.hooks);
    }

    /// Hooks that are not used are no setting of the group: its hash is compared with that of versions without them.
    fn hooks(&mut self, hooks: &Hooks) {
        let scope = |given| if given { Scope::Group } else { Scope::Node };
        let hook = |list: &mut Self, key, given: &Option<Program>, none| {
            list.add(key, given.as_ref().map_or(Value::Unset(none), program), scope(given.is_some()));
        };
        hook(self, "promote", &hooks.promote, "none: the address may come at once");
        hook(self, "on_master", &hooks.on_master, "none");
        hook(self, "on_backup", &hooks.on_backup, "none");
        hook(self, "on_fault", &hooks.on_fault, "none");
        self.add("timeout", duration(hooks.timeout), scope(hooks.programs().next().is_some()));
    }
}

fn plain(value: impl fmt::Display) -> Value {
    Value::Toml(value.to_string())
}

fn duration(value: Duration) -> Value {
    Value::Toml(format!("\"{}\"", Written(value)))
}

fn path(value: &Path) -> Value {
    string(&value.display().to_string())
}

fn list(items: impl Iterator<Item = String>) -> Value {
    Value::Toml(format!("[{}]", items.collect::<Vec<_>>().join(", ")))
}

fn program(program: &Program) -> Value {
    let words = program.arguments.iter().map(|argument| string(argument));
    list(std::iter::once(path(&program.path)).chain(words).map(|word| word.to_string()))
}

fn discovered<T>(value: &Discovered<T>, given: impl Fn(&T) -> String) -> Value {
    match value {
        Discovered::Auto => string("auto"),
        Discovered::Given(value) => Value::Toml(given(value)),
    }
}

/// A basic string of TOML.
fn string(text: &str) -> Value {
    let mut written = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => written.extend(['\\', letter]),
            control if control.is_control() => {
                // A `String` takes whatever is written to it.
                let _ = write!(written, "\\u{:04X}", u32::from(control));
            }
            other => written.push(other),
        }
    }
    written.push('"');
    Value::Toml(written)
}
