//! From what is written to what it means: defaults, and the rules between values.

mod probe;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use super::problem::{Collector, Told};
use super::raw::{
    Field, Raw, RawCheck, RawClaim, RawDigitalOcean, RawDocker, RawGroup, RawHeartbeat, RawHooks, RawNode,
};
use super::source::Span;
use super::types::{
    Authentication, BaseUrl, Check, CheckKind, Claim, Config, Control, Count, DigitalOcean, Discovered, Docker,
    DockerCheck, Group, GroupTimes, Heartbeat, Hooks, Majority, Node, OnStop, Preempt, RuleError, Written,
};
use crate::proto::ids::{CheckName, GroupName, NodeName, Priority};

/// At this interval and below, the dead interval is within what a shared CPU may be away for.
const HASTY: Duration = Duration::from_millis(100);

/// The configuration that `raw` means.
///
/// # Errors
/// It means none, which has been told.
pub(super) fn resolve(raw: Raw, told: &mut Collector) -> Result<Config, Told> {
    let node = node(raw.node);
    let heartbeat = heartbeat(raw.heartbeat, told);
    let digitalocean = digitalocean(raw.digitalocean, told);
    let api_timeout = digitalocean.as_ref().map_or(DigitalOcean::TIMEOUT, |cloud| cloud.timeout);
    let mut failed = raw.group_told;
    let mut groups: Vec<Group> = Vec::new();
    let mut claimed: Option<(GroupName, Ipv4Addr, Span)> = None;
    for raw in raw.groups {
        match group(raw, &node, api_timeout, &mut claimed, told) {
            Ok(group) => groups.push(group),
            Err(proof) => failed = Some(proof),
        }
    }
    groups.sort_by(|a, b| a.name.cmp(&b.name));
    let config = Config {
        node,
        heartbeat: heartbeat?,
        control: Control { socket: raw.control_socket.or(PathBuf::from(Control::SOCKET)) },
        digitalocean: digitalocean?,
        docker: Docker { socket: raw.docker_socket.or(PathBuf::from(Docker::SOCKET)) },
        groups,
    };
    failed.map_or(Ok(config), Err)
}

fn node(raw: RawNode) -> Node {
    Node {
        name: raw.name.given(),
        address: raw.address.or(Discovered::Auto),
        state_dir: raw.state_dir.or(PathBuf::from(Node::STATE_DIR)),
        on_stop: raw.on_stop.or(OnStop::default()),
        realtime: raw.realtime.or(true),
    }
}

fn heartbeat(raw: RawHeartbeat, told: &mut Collector) -> Result<Heartbeat, Told> {
    if let Field::Given(interval, span) = &raw.interval
        && *interval <= HASTY
    {
        let dead = Written(interval.saturating_mul(3));
        let message =
            format!("a node that pauses for {dead} counts as dead, and a shared CPU may well pause that long");
        told.warning(Some(span), &message, "keep this for dedicated CPUs; the default is \"500ms\"");
    }
    let header = raw.header;
    let insecure_at = raw.insecure.span().cloned();
    let insecure = if raw.insecure.or(false) { insecure_at } else { None };
    let authentication = match (raw.key, raw.old_key, insecure) {
        (Field::Given(..) | Field::Wrong(_), _, Some(span)) => {
            Err(told.error(&span, "`insecure = true` beside a `key`: only one can be meant", "take one of them out"))
        }
        (_, Field::Given(..), Some(span)) => {
            Err(told.error(&span, "`insecure = true` beside an `old_key`: only one can be meant", "take one of them out"))
        }
        (Field::Wrong(proof), ..) | (_, Field::Wrong(proof), _) => Err(proof),
        (Field::Given(key, _), Field::Given(old_key, span), ..) if key == old_key => {
            let message = "`old_key` is read from the same place as `key`";
            Err(told.error(&span, message, "copy the old key to a file of its own, or take `old_key` out"))
        }
        (Field::Given(key, _), old_key, ..) => Ok(Authentication::Keyed { key, old_key: old_key.given() }),
        (Field::Absent, Field::Absent, Some(span)) => {
            told.warning(
                Some(&span),
                "heartbeats are not authenticated: whoever can send to the port decides who is master",
                "haagent keygen /etc/haagent/heartbeat.key, and `key.file` in the place of `insecure`",
            );
            Ok(Authentication::Insecure)
        }
        (Field::Absent, Field::Given(_, span), ..) => {
            Err(told.error(&span, "`old_key` without a `key`", "write `key.file = \"...\"` with the new key"))
        }
        (Field::Absent, Field::Absent, None) => Err(told.absent(
            header.as_ref(),
            "there is no heartbeat key",
            "haagent keygen /etc/haagent/heartbeat.key, and under [heartbeat] `key.file = \"/etc/haagent/heartbeat.key\"`",
        )),
    };
    Ok(Heartbeat {
        port: raw.port.or(Heartbeat::PORT),
        interval: raw.interval.or(Heartbeat::INTERVAL),
        authentication: authentication?,
    })
}

fn digitalocean(raw: RawDigitalOcean, told: &mut Collector) -> Result<DigitalOcean, Told> {
    if let Field::Given(url, span) = &raw.api_url
        && url.is_clear_text()
    {
        told.warning(Some(span), "the token would cross the network in clear text", "write `https://`");
    }
    let token = match raw.token {
        Field::Given(token, _) => Ok(token),
        Field::Wrong(proof) => Err(proof),
        Field::Absent => Err(told.absent(
            raw.header.as_ref(),
            "there is no API token",
            "under [digitalocean] write `token.file = \"/etc/haagent/do-token\"`",
        )),
    };
    // Constants; a test reads them.
    let base = |written: Field<BaseUrl>, default: &str, told: &mut Collector| match written {
        Field::Given(url, _) => Ok(url),
        Field::Wrong(proof) => Err(proof),
        Field::Absent => BaseUrl::new(default).map_err(|error| told.absent(None, &error.to_string(), "")),
    };
    let api_url = base(raw.api_url, DigitalOcean::API_URL, told);
    let metadata_url = match raw.metadata_url {
        Field::Given(url, span) if url.as_str().starts_with("https:") => Err(told.error(
            &span,
            "`metadata_url` must begin with http://: the metadata service has no TLS",
            &format!("leave it out for {}", DigitalOcean::METADATA_URL),
        )),
        written => base(written, DigitalOcean::METADATA_URL, told),
    };
    Ok(DigitalOcean {
        token: token?,
        api_url: api_url?,
        ca_file: raw.ca_file.given(),
        metadata_url: metadata_url?,
        droplet_id: raw.droplet_id.or(Discovered::Auto),
        timeout: raw.timeout.or(DigitalOcean::TIMEOUT),
        calls_per_minute: raw.calls_per_minute.or(DigitalOcean::CALLS_PER_MINUTE),
    })
}

fn group(
    raw: RawGroup,
    node: &Node,
    api_timeout: Duration,
    claimed: &mut Option<(GroupName, Ipv4Addr, Span)>,
    told: &mut Collector,
) -> Result<Group, Told> {
    let title = format!("[group.{}]", super::raw::toml_key(raw.name.as_str()));
    let claim = claim(&raw, &title, claimed, told);
    let peers = peers(raw.peers, claim.as_ref().ok().copied(), node, &raw.header, &title, told);
    let probe = raw.probe.and_then(|raw| probe::probe(raw, claim.as_ref().ok().copied(), &title, told));
    if let (Ok(peers), Majority::Auto) = (&peers, raw.majority.value().copied().unwrap_or_default())
        && peers.len() >= 3
    {
        let message = format!(
            "{} members could vote, but majority is not in this version yet: silence alone decides",
            peers.len()
        );
        told.warning(
            Some(raw.majority.span().unwrap_or(&raw.header)),
            &message,
            "write `majority = false` to say that this is known",
        );
    }
    let preempts = raw.preempt.value().copied().unwrap_or(false);
    if let (false, Some(span)) = (preempts, raw.preempt_delay.span()) {
        told.warning(
            Some(span),
            "`preempt_delay` does nothing without `preempt = true`",
            "add `preempt = true`, or take it out",
        );
    }
    let priority = raw.priority.or(Priority::DEFAULT);
    let priorities = raw.priorities.or(BTreeMap::new());
    let members = peers.as_ref().map_or(2, Vec::len);
    let standing = Standing::of(priority, &priorities, members);
    let checks = checks(raw.checks, preempts, &standing, raw.audited.map(|()| (&raw.header, title.as_str())), told);
    let claim_timeout = raw.claim_timeout.value().copied().unwrap_or(GroupTimes::CLAIM_TIMEOUT);
    let hooks = hooks(raw.hooks, claim_timeout, told);
    let times = times(raw.claim_timeout, raw.verify_interval, raw.readiness_interval, api_timeout, &raw.header, told);
    Ok(Group {
        name: raw.name,
        peers: peers?,
        priority,
        priorities,
        probe: probe?,
        majority: raw.majority.or(Majority::default()),
        preempt: if preempts { Preempt::After(raw.preempt_delay.or(Preempt::DELAY)) } else { Preempt::Sticky },
        times: times?,
        checks: checks?,
        claim: claim?,
        hooks: hooks?,
    })
}

/// The hooks of a group. Nothing follows from a promotion that outlasts its claim.
fn hooks(raw: RawHooks, claim_timeout: Duration, told: &mut Collector) -> Result<Hooks, Told> {
    let RawHooks { audited, promote, on_master, on_backup, on_fault, timeout } = raw;
    audited?;
    let at = timeout.span().or(promote.span()).cloned();
    let gated = promote.value().is_some();
    let hooks = Hooks {
        promote: promote.checked()?,
        on_master: on_master.checked()?,
        on_backup: on_backup.checked()?,
        on_fault: on_fault.checked()?,
        timeout: timeout.checked()?.unwrap_or(Hooks::TIMEOUT),
    };
    match at {
        Some(span) if gated && hooks.timeout >= claim_timeout => {
            let error = RuleError::PromotionOutlastsClaim { timeout: hooks.timeout, claim_timeout };
            Err(told.error(&span, &error.to_string(), "make `timeout` shorter, or `claim_timeout` longer"))
        }
        _ => Ok(hooks),
    }
}

fn times(
    claim_timeout: Field<Duration>,
    verify_interval: Field<Duration>,
    readiness_interval: Field<Duration>,
    api_timeout: Duration,
    header: &Span,
    told: &mut Collector,
) -> Result<GroupTimes, Told> {
    let spans = (claim_timeout.span().cloned(), verify_interval.span().cloned());
    GroupTimes::new(
        claim_timeout.or(GroupTimes::CLAIM_TIMEOUT),
        verify_interval.or(GroupTimes::VERIFY_INTERVAL),
        readiness_interval.or(GroupTimes::READINESS_INTERVAL),
        api_timeout,
    )
    .map_err(|error| {
        let span = match error {
            RuleError::VerifySlowerThanClaim { .. } => spans.1.or(spans.0),
            _ => spans.0.or(spans.1),
        };
        told.error(
            &span.unwrap_or_else(|| header.clone()),
            &error.to_string(),
            "make `claim_timeout` longer; its default is \"1m\"",
        )
    })
}

/// All members of a group, ascending.
fn peers(
    raw: Field<Vec<(Ipv4Addr, Span)>>,
    claim: Option<Claim>,
    node: &Node,
    header: &Span,
    title: &str,
    told: &mut Collector,
) -> Result<Vec<Ipv4Addr>, Told> {
    const MEND: &str = "list all members, this node too: `peers = [\"10.114.0.4\", \"10.114.0.5\"]`";
    let (listed, span) = match raw {
        Field::Given(listed, span) => (listed, span),
        Field::Wrong(proof) => return Err(proof),
        Field::Absent => return Err(told.absent(Some(header), &format!("{title} has no `peers`"), MEND)),
    };
    let mut failed = None;
    for (address, span) in &listed {
        if claim.is_some_and(|claim| claim.address() == *address) {
            let message = format!("{address} is the reserved IP: heartbeats to it would always reach the master");
            failed = Some(told.error(span, &message, "write the member's private address"));
        }
    }
    let own = node.address.given();
    if listed.iter().all(|(address, _)| own == Some(*address)) {
        failed = Some(told.error(&span, "besides this node nobody is left in `peers`", MEND));
    } else if let ([(address, span)], None) = (listed.as_slice(), own) {
        let message = format!("`peers` has one member: should {address} be this node, nobody is left");
        told.warning(Some(span), &message, MEND);
    }
    let mut peers: Vec<Ipv4Addr> = listed.into_iter().map(|(address, _)| address).collect();
    peers.sort_unstable();
    failed.map_or(Ok(peers), Err)
}

/// The one claim of a group.
fn claim(
    raw: &RawGroup,
    title: &str,
    claimed: &mut Option<(GroupName, Ipv4Addr, Span)>,
    told: &mut Collector,
) -> Result<Claim, Told> {
    let claims: &[RawClaim] = match &raw.claims {
        Field::Given(claims, _) => claims,
        Field::Wrong(proof) => return Err(*proof),
        Field::Absent => &[],
    };
    let [first, more @ ..] = claims else {
        // A misspelt `claim` was told.
        raw.audited?;
        let key = title.trim_start_matches('[').trim_end_matches(']');
        let mend = format!("add a table [[{key}.claim]] with `digitalocean.reserved_ip = \"203.0.113.10\"`");
        return Err(told.absent(Some(&raw.header), &format!("{title} claims nothing"), &mend));
    };
    let mut failed = None;
    for second in more {
        let message = format!("a second claim in {title}: a droplet holds at most one reserved IPv4 at a time");
        failed = Some(told.error(&second.header, &message, "take one of them out"));
    }
    let (address, span) = first.reserved_ip.clone()?;
    match claimed {
        Some((other, taken, at)) => {
            let line = told.source.line_of(at.start) + 1;
            let (message, mend) = if *taken == address {
                let message = format!("{address} is claimed by [group.{other}] already (line {line})");
                (message, "let one group claim it: two would take it from each other".to_owned())
            } else {
                let message = format!(
                    "[group.{other}] claims {taken} on the same nodes already (line {line}): a droplet holds at most one reserved IPv4 at a time"
                );
                (message, "run the other group on droplets of its own".to_owned())
            };
            failed = Some(told.error(&span, &message, &mend));
        }
        None => *claimed = Some((raw.name.clone(), address, span)),
    }
    failed.map_or(Ok(Claim::ReservedIpv4(address)), Err)
}

fn checks(
    raw: Field<Vec<RawCheck>>,
    preempts: bool,
    standing: &Standing,
    group: Result<(&Span, &str), Told>,
    told: &mut Collector,
) -> Result<Vec<Check>, Told> {
    let raw = match raw {
        Field::Given(checks, _) => checks,
        Field::Wrong(proof) => return Err(proof),
        Field::Absent => Vec::new(),
    };
    // If a key of the group is unknown, that may be the check.
    if let (true, Ok((header, title))) = (raw.is_empty(), group) {
        let key = title.trim_start_matches('[').trim_end_matches(']');
        let message = format!("{title} has no check: only a dead host or agent moves the address");
        told.warning(
            Some(header),
            &message,
            &format!("add a table [[{key}.check]] with, for one, `docker.running = 10`"),
        );
    }
    let mut failed = None;
    let mut checks: Vec<Check> = Vec::new();
    let mut names: BTreeMap<String, (usize, bool)> = BTreeMap::new();
    for raw in raw {
        let span = raw.name.span().unwrap_or(&raw.header).clone();
        let named = raw.name.value().map(|name| name.as_str().to_owned());
        match check(raw, preempts, standing, told) {
            Ok(check) => {
                let line = told.source.line_of(span.start) + 1;
                let given = named.is_some();
                let taken = names.insert(check.name.as_str().to_owned(), (line, given));
                match taken {
                    Some((other, false)) if !given => {
                        let kind = check.kind.as_str();
                        let message = format!("a second {kind} check without a `name` (the first: line {other})");
                        failed = Some(told.error(&span, &message, "give each a name: `name = \"...\"`"));
                    }
                    Some((other, _)) => {
                        let message = format!("a second check called \"{}\" (the first: line {other})", check.name);
                        failed = Some(told.error(&span, &message, "give it another name: `name = \"...\"`"));
                    }
                    None => checks.push(check),
                }
            }
            Err(proof) => failed = Some(proof),
        }
    }
    failed.map_or(Ok(checks), Err)
}

fn check(raw: RawCheck, preempts: bool, standing: &Standing, told: &mut Collector) -> Result<Check, Told> {
    let kind = CheckKind::Docker(docker(raw.kind?, told)?);
    let name = match raw.name {
        Field::Given(name, _) => name,
        Field::Wrong(proof) => return Err(proof),
        Field::Absent => {
            CheckName::new(kind.as_str()).map_err(|error| told.absent(Some(&raw.header), &error.to_string(), ""))?
        }
    };
    if let Field::Given(weight, span) = &raw.weight {
        if !preempts {
            let message = format!(
                "if check {name} fails on the master nothing moves: `preempt` is false, and with a `weight` it is no fault"
            );
            told.warning(Some(span), &message, "take `weight` out, or add `preempt = true` to the group");
        } else if let Some(message) = standing.unmoved(&name, weight.get()) {
            told.warning(Some(span), &message, "choose a greater weight, or take it out: failing then means Fault");
        }
    }
    Ok(Check {
        name,
        interval: raw.interval.or(Check::INTERVAL),
        timeout: raw.timeout.or(Check::TIMEOUT),
        rise: raw.rise.or(Check::TIMES),
        fall: raw.fall.or(Check::TIMES),
        start_period: raw.start_period.or(Duration::ZERO),
        weight: raw.weight.given(),
        kind,
    })
}

fn docker(raw: RawDocker, told: &mut Collector) -> Result<DockerCheck, Told> {
    let min_span = raw.min.span().cloned();
    let count = match (raw.running, raw.min, raw.max) {
        (Field::Wrong(proof), ..) | (_, Field::Wrong(proof), _) | (_, _, Field::Wrong(proof)) => return Err(proof),
        (Field::Given(number, _), Field::Absent, Field::Absent) => Count::exactly(number),
        (Field::Given(_, span), ..) => {
            let message = "`running` beside `min` or `max`: `running` already says the exact number";
            return Err(told.error(&span, message, "leave `running`, or `min` and `max`"));
        }
        (Field::Absent, Field::Absent, Field::Absent) => {
            let message = "`docker` does not say how many containers";
            return Err(told.absent(
                Some(&raw.span),
                message,
                "add `docker.running = 10`, or `docker.min` or `docker.max`",
            ));
        }
        (Field::Absent, min, max) => {
            let span = min_span.or_else(|| max.span().cloned()).unwrap_or_else(|| raw.span.clone());
            Count::between(min.or(0), max.given()).map_err(|error| {
                told.error(&span, &error.to_string(), "write `min` = 1 or more, and `max` not below it")
            })?
        }
    };
    let check = DockerCheck { count, name: raw.name.given(), label: raw.label.given(), healthy: raw.healthy.or(false) };
    if check.name.is_none() && check.label.is_none() {
        let message = "every container of this host counts, also one started by hand or by another service";
        told.warning(Some(&raw.span), message, "choose them: `docker.label = \"app=web\"` or `docker.name = \"web\"`");
    }
    Ok(check)
}

/// The priorities that the members of a group start from, as far as the file knows them.
struct Standing {
    best: Priority,
    second: Priority,
}

impl Standing {
    fn of(priority: Priority, priorities: &BTreeMap<NodeName, Priority>, members: usize) -> Self {
        let mut known: Vec<Priority> = priorities.values().copied().collect();
        known.resize(known.len().max(members.max(2)), priority);
        known.sort_unstable_by(|a, b| b.cmp(a));
        let at = |place: usize| known.get(place).copied().unwrap_or(priority);
        Self { best: at(0), second: at(1) }
    }

    /// What to say if a failing check of this weight leaves the best node the best.
    fn unmoved(&self, name: &CheckName, weight: i16) -> Option<String> {
        let (best, second) = (self.best, self.second);
        let weight = i32::from(weight);
        if weight < 0 {
            let failing = best.weighted(weight);
            (failing > second).then(|| {
                let sum = format!("{best} - {} = {failing}", -weight);
                format!("if check {name} fails on the node of priority {best} ({sum}) it still outranks {second}: nothing moves")
            })
        } else {
            let passing = second.weighted(weight);
            (best > passing).then(|| {
                let sum = format!("{second} + {weight} = {passing}");
                format!("if check {name} fails on the node of priority {best} it still outranks the other ({sum}): nothing moves")
            })
        }
    }
}
