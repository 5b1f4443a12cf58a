//! What may be written: tables, their keys, and what each key takes. Every value
//! is read on its own here; what one means beside another is `resolve`'s affair.
//!
//! The document is walked by hand: a derived deserializer stops at the first
//! mistake, and points at a whole table where one value is wrong.

mod hooks;
mod probe;
mod table;
mod value;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::num::{NonZeroI16, NonZeroU8, NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

pub(super) use hooks::RawHooks;
pub(super) use probe::RawProbe;
pub(super) use table::{Field, toml_key};

use table::{
    CHECK, CHECK_DOCKER, CLAIM, CLAIM_DIGITALOCEAN, CONTROL, DIGITALOCEAN, DOCKER, GROUP, Group, HEARTBEAT, NODE, ROOT,
    Shape, Table, called,
};
use value::{
    address, bad_name, boolean, choice, containers, discovered, duration, filter, host_address, maintenance, majority,
    path, peers, priorities, secret, socket, text, url, whole,
};

use super::problem::{Collector, Told};
use super::source::Span;
use super::types::{BaseUrl, Discovered, Heartbeat, MOST_CHECKS, MOST_GROUPS, Majority, OnStop, SecretSource};
use crate::proto::ids::{CheckName, DropletId, GroupName, NodeName, Priority};

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
    pub(super) probe: Result<Option<RawProbe>, Told>,
    pub(super) majority: Field<Majority>,
    pub(super) preempt: Field<bool>,
    pub(super) preempt_delay: Field<Duration>,
    pub(super) claim_timeout: Field<Duration>,
    pub(super) verify_interval: Field<Duration>,
    pub(super) readiness_interval: Field<Duration>,
    pub(super) checks: Field<Vec<RawCheck>>,
    pub(super) claims: Field<Vec<RawClaim>>,
    pub(super) hooks: RawHooks,
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
        probe: probe::probe(&table, told),
        majority: table.read(told, "majority", majority),
        preempt: table.read(told, "preempt", boolean),
        preempt_delay: table.read(told, "preempt_delay", duration(Duration::ZERO..=s(86_400))),
        claim_timeout: table.read(told, "claim_timeout", duration(s(1)..=s(3600))),
        verify_interval: table.read(told, "verify_interval", duration(ms(100)..=s(60))),
        readiness_interval: table.read(told, "readiness_interval", duration(s(10)..=s(86_400))),
        checks: each(&table, told, "check", &CHECK, MOST_CHECKS, check),
        claims: each(&table, told, "claim", &CLAIM, MOST_CHECKS, claim),
        hooks: hooks::read(&table, told),
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
