//! What a configuration means. A value of these types cannot be wrong: what the
//! types themselves cannot forbid, their constructors do.

mod probe;

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::num::{NonZeroI16, NonZeroU8, NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::time::Duration;

pub use probe::{HostPort, Probe, ProbeTarget};

use crate::proto::ids::{CheckName, DropletId, GroupName, NodeName, Priority};

/// The groups that a file may have.
pub const MOST_GROUPS: usize = 16;
/// The members that a group may have.
pub const MOST_MEMBERS: usize = 16;
/// The checks that a group may have.
pub const MOST_CHECKS: usize = 64;

/// One configuration file. The same file serves every node: what differs between
/// nodes may still be [`Discovered::Auto`] and is filled in by [`Config::for_node`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `[node]`
    pub node: Node,
    /// `[heartbeat]`
    pub heartbeat: Heartbeat,
    /// `[control]`
    pub control: Control,
    /// `[digitalocean]`
    pub digitalocean: DigitalOcean,
    /// `[docker]`
    pub docker: Docker,
    /// `[group.NAME]`, by name; 1 to [`MOST_GROUPS`].
    pub groups: Vec<Group>,
}

/// What the operator may give, or leave to be found out at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discovered<T> {
    /// Asked of the metadata service at start.
    Auto,
    /// As written.
    Given(T),
}

impl<T: Copy> Discovered<T> {
    /// What was written, if it was.
    #[must_use]
    pub const fn given(&self) -> Option<T> {
        match self {
            Self::Auto => None,
            Self::Given(value) => Some(*value),
        }
    }
}

/// `[node]`: this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// `name`; none is the host name.
    pub name: Option<NodeName>,
    /// `address`: the private IPv4 that heartbeats leave from.
    pub address: Discovered<Ipv4Addr>,
    /// `state_dir`: absolute.
    pub state_dir: PathBuf,
    /// `on_stop`
    pub on_stop: OnStop,
    /// `realtime`: ask for SCHED_RR and locked memory.
    pub realtime: bool,
}

impl Node {
    /// Where state is kept if nothing is said.
    pub const STATE_DIR: &str = "/var/lib/haagent";
}

/// What an orderly stop of the agent does to a mastership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnStop {
    /// A successor is named and takes over at once.
    #[default]
    Resign,
    /// Nothing: whoever stops for longer than the dead interval is replaced as if it had died.
    Keep,
}

impl OnStop {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resign => "resign",
            Self::Keep => "keep",
        }
    }
}

/// Where a secret is read from. The secret itself is never in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// `.file`: an absolute path.
    File(PathBuf),
    /// `.env`: a variable of the agent's environment.
    Environment(String),
    /// `.credential`: a systemd credential of the unit.
    Credential(String),
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "the environment variable {name}"),
            Self::Credential(name) => write!(f, "the systemd credential {name}"),
        }
    }
}

/// `[heartbeat]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// `port`: UDP, the same on all nodes.
    pub port: NonZeroU16,
    /// `interval`: I, [`Heartbeat::SHORTEST`] to [`Heartbeat::LONGEST`].
    #[doc(alias = "Advertisement_Interval")]
    pub interval: Duration,
    /// `key`, `old_key`, `insecure`
    pub authentication: Authentication,
}

impl Heartbeat {
    /// The UDP port if nothing is said.
    pub const PORT: NonZeroU16 = NonZeroU16::new(17112).expect("not zero");
    /// I if nothing is said.
    pub const INTERVAL: Duration = Duration::from_millis(500);
    /// Below this the kernel's own scheduling decides who is dead.
    pub const SHORTEST: Duration = Duration::from_millis(20);
    /// Above this a failover takes longer than a person with a shell.
    pub const LONGEST: Duration = Duration::from_secs(10);
}

/// How heartbeats are guarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// HMAC-SHA256 under a shared key.
    Keyed {
        /// What this node sends with, and accepts.
        key: SecretSource,
        /// Accepted too, while a key is rotated.
        old_key: Option<SecretSource>,
    },
    /// `insecure = true`: whoever can send to the port is believed.
    Insecure,
}

/// `[control]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// `socket`: absolute, at most 107 bytes (`sun_path`, unix(7)).
    pub socket: PathBuf,
}

impl Control {
    /// The socket if nothing is said.
    pub const SOCKET: &str = "/run/haagent/haagent.sock";
}

/// `[digitalocean]`: the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigitalOcean {
    /// `token`
    pub token: SecretSource,
    /// `api_url`
    pub api_url: BaseUrl,
    /// `ca_file`: absolute; trusted beside the system's authorities.
    pub ca_file: Option<PathBuf>,
    /// `metadata_url`
    pub metadata_url: BaseUrl,
    /// `droplet_id`
    pub droplet_id: Discovered<DropletId>,
    /// `timeout` of one request.
    pub timeout: Duration,
    /// `calls_per_minute`: this agent's own budget, at most 250 (the provider's burst limit for one token).
    pub calls_per_minute: NonZeroU32,
}

impl DigitalOcean {
    /// The public API.
    pub const API_URL: &str = "https://api.digitalocean.com";
    /// The droplet's own metadata service.
    pub const METADATA_URL: &str = "http://169.254.169.254";
    /// One request's time if nothing is said.
    pub const TIMEOUT: Duration = Duration::from_secs(5);
    /// The budget if nothing is said.
    pub const CALLS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(60).expect("not zero");
}

/// `[docker]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Docker {
    /// `socket`: absolute, at most 107 bytes.
    pub socket: PathBuf,
}

impl Docker {
    /// The engine's socket if nothing is said.
    pub const SOCKET: &str = "/var/run/docker.sock";
}

/// `[group.NAME]`: nodes that compete for one claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The NAME of the table.
    pub name: GroupName,
    /// `peers`: all members, this node among them or not; ascending, no two alike, 1 to [`MOST_MEMBERS`].
    pub peers: Vec<Ipv4Addr>,
    /// `priority` of whom `priorities` does not name.
    pub priority: Priority,
    /// `priorities` by node.
    pub priorities: BTreeMap<NodeName, Priority>,
    /// `probe`
    pub probe: Option<Probe>,
    /// `majority`
    pub majority: Majority,
    /// `preempt` and `preempt_delay`
    pub preempt: Preempt,
    /// `claim_timeout`, `verify_interval`, `readiness_interval`
    pub times: GroupTimes,
    /// `[[group.NAME.check]]` in the order of the file; no two of one name, at most [`MOST_CHECKS`].
    pub checks: Vec<Check>,
    /// `[[group.NAME.claim]]`
    pub claim: Claim,
    /// `[group.NAME.hooks]`
    pub hooks: Hooks,
}

/// `majority`: whether more than half must be heard before a node takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Majority {
    /// From three voters on.
    #[default]
    Auto,
    /// Never: silence is enough.
    Off,
}

/// `preempt`: whether a node of higher priority takes over from a working master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "Preempt_Mode")]
pub enum Preempt {
    /// No (the default).
    Sticky,
    /// Once it has been the best for this long.
    After(Duration),
}

impl Preempt {
    /// `preempt_delay` if nothing is said.
    pub const DELAY: Duration = Duration::from_secs(60);
}

/// Two values of a configuration that do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// One slow answer of the API would use up the whole time for a claim.
    #[error("`claim_timeout` ({}) must be longer than `timeout` in [digitalocean] ({}): one slow answer would end a claim", Written(*claim_timeout), Written(*api_timeout))]
    ClaimShorterThanCall {
        /// `claim_timeout`
        claim_timeout: Duration,
        /// `timeout` in `[digitalocean]`
        api_timeout: Duration,
    },
    /// A claim would be given up before it is looked at for the first time.
    #[error("`verify_interval` ({}) must be shorter than `claim_timeout` ({})", Written(*verify_interval), Written(*claim_timeout))]
    VerifySlowerThanClaim {
        /// `verify_interval`
        verify_interval: Duration,
        /// `claim_timeout`
        claim_timeout: Duration,
    },
    /// One slow promotion would end a claim.
    #[error("`timeout` of the hooks ({}) must be shorter than `claim_timeout` ({}): one slow promotion would end a claim", Written(*timeout), Written(*claim_timeout))]
    PromotionOutlastsClaim {
        /// `timeout` in `[group.NAME.hooks]`
        timeout: Duration,
        /// `claim_timeout`
        claim_timeout: Duration,
    },
    /// No number of containers would do.
    #[error("`min` ({min}) must not be above `max` ({max}): no number of containers is both")]
    MinAboveMax {
        /// `min`
        min: u32,
        /// `max`
        max: u32,
    },
    /// Every number of containers would do.
    #[error("`min` = 0 without `max` is passed by every number of containers")]
    AlwaysPasses,
}

/// The times of a group's claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupTimes {
    claim_timeout: Duration,
    verify_interval: Duration,
    readiness_interval: Duration,
}

impl GroupTimes {
    /// `claim_timeout` if nothing is said.
    pub const CLAIM_TIMEOUT: Duration = Duration::from_secs(60);
    /// `verify_interval` if nothing is said.
    pub const VERIFY_INTERVAL: Duration = Duration::from_secs(1);
    /// `readiness_interval` if nothing is said.
    pub const READINESS_INTERVAL: Duration = Duration::from_secs(300);

    /// Times that go together.
    ///
    /// # Errors
    /// A claim would end before one API call, or one look, can.
    pub fn new(
        claim_timeout: Duration,
        verify_interval: Duration,
        readiness_interval: Duration,
        api_timeout: Duration,
    ) -> Result<Self, RuleError> {
        if claim_timeout <= api_timeout {
            return Err(RuleError::ClaimShorterThanCall { claim_timeout, api_timeout });
        }
        if verify_interval >= claim_timeout {
            return Err(RuleError::VerifySlowerThanClaim { verify_interval, claim_timeout });
        }
        Ok(Self { claim_timeout, verify_interval, readiness_interval })
    }

    /// How long a master may fail to claim before it offers to another.
    #[must_use]
    pub const fn claim_timeout(&self) -> Duration {
        self.claim_timeout
    }

    /// How often a holder asks its own metadata service whether it still holds.
    #[must_use]
    pub const fn verify_interval(&self) -> Duration {
        self.verify_interval
    }

    /// How often each node proves that it could claim: one API read.
    #[must_use]
    pub const fn readiness_interval(&self) -> Duration {
        self.readiness_interval
    }
}

/// `[[group.NAME.check]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// `name`; the kind if nothing is said.
    pub name: CheckName,
    /// `interval` between two looks.
    pub interval: Duration,
    /// `timeout` of one look.
    pub timeout: Duration,
    /// `rise`: good looks in a row until the check passes.
    pub rise: NonZeroU8,
    /// `fall`: bad looks in a row until it fails.
    pub fall: NonZeroU8,
    /// `start_period` after the agent's start in which bad looks do not count.
    pub start_period: Duration,
    /// `weight`: as keepalived's. Below 0 it is taken from the priority while the
    /// check fails, above 0 added while it passes. None: failing means Fault.
    pub weight: Option<NonZeroI16>,
    /// What is looked at.
    pub kind: CheckKind,
}

impl Check {
    /// `interval` if nothing is said.
    pub const INTERVAL: Duration = Duration::from_secs(1);
    /// `timeout` if nothing is said.
    pub const TIMEOUT: Duration = Duration::from_secs(2);
    /// `rise` and `fall` if nothing is said.
    pub const TIMES: NonZeroU8 = NonZeroU8::new(2).expect("not zero");
}

/// The kinds of checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// Containers are counted.
    Docker(DockerCheck),
}

impl CheckKind {
    /// The key that names the kind, and the check's name if none is given.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Docker(_) => "docker",
        }
    }
}

/// `docker.*`: how many containers must run. Paused and restarting ones do not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerCheck {
    /// `running`, or `min` and `max`
    pub count: Count,
    /// `name`: count only containers of this name, by the engine's own filter.
    pub name: Option<String>,
    /// `label`: count only containers that have it; `KEY` or `KEY=VALUE`.
    pub label: Option<String>,
    /// `healthy`: count only those whose HEALTHCHECK passes.
    pub healthy: bool,
}

/// A number that must be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    min: u32,
    max: Option<u32>,
}

impl Count {
    /// `running = number`
    #[must_use]
    pub const fn exactly(number: u32) -> Self {
        Self { min: number, max: Some(number) }
    }

    /// `min` and `max`
    ///
    /// # Errors
    /// No number is in between, or every number is.
    pub const fn between(min: u32, max: Option<u32>) -> Result<Self, RuleError> {
        match max {
            Some(max) if min > max => Err(RuleError::MinAboveMax { min, max }),
            None if min == 0 => Err(RuleError::AlwaysPasses),
            _ => Ok(Self { min, max }),
        }
    }

    /// Whether `found` is enough and not too many.
    #[must_use]
    pub fn accepts(&self, found: u32) -> bool {
        found >= self.min && self.max.is_none_or(|max| found <= max)
    }

    /// The least number that is accepted.
    #[must_use]
    pub const fn min(&self) -> u32 {
        self.min
    }

    /// The greatest number that is accepted, if there is one.
    #[must_use]
    pub const fn max(&self) -> Option<u32> {
        self.max
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (min, Some(max)) if min == max => write!(f, "{min}"),
            (0, Some(max)) => write!(f, "at most {max}"),
            (min, Some(max)) => write!(f, "{min} to {max}"),
            (min, None) => write!(f, "at least {min}"),
        }
    }
}

/// `[group.NAME.hooks]`: programs of the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hooks {
    /// `promote`: must have succeeded before the address may come.
    pub promote: Option<Program>,
    /// `on_master`: this node is master, and its promotion gate is open.
    pub on_master: Option<Program>,
    /// `on_backup`
    pub on_backup: Option<Program>,
    /// `on_fault`
    pub on_fault: Option<Program>,
    /// `timeout` of one run.
    pub timeout: Duration,
}

impl Hooks {
    /// The time of one run if nothing is said.
    pub const TIMEOUT: Duration = Duration::from_secs(30);

    /// Those that are given, by their keys.
    pub fn programs(&self) -> impl Iterator<Item = (&'static str, &Program)> {
        let all = [
            ("promote", &self.promote),
            ("on_master", &self.on_master),
            ("on_backup", &self.on_backup),
            ("on_fault", &self.on_fault),
        ];
        all.into_iter().filter_map(|(key, program)| Some((key, program.as_ref()?)))
    }
}

impl Default for Hooks {
    fn default() -> Self {
        Self { promote: None, on_master: None, on_backup: None, on_fault: None, timeout: Self::TIMEOUT }
    }
}

/// A program and its arguments; no shell reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Absolute.
    pub path: PathBuf,
    /// What follows it.
    pub arguments: Vec<String>,
}

/// What follows the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// `digitalocean.reserved_ip`
    ReservedIpv4(Ipv4Addr),
}

impl Claim {
    /// The reserved IPv4.
    #[must_use]
    pub const fn address(&self) -> Ipv4Addr {
        match self {
            Self::ReservedIpv4(address) => *address,
        }
    }
}

/// Where a service answers: `http` or `https`, a host, perhaps a port and a path; no slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(String);

/// Why a text is no base URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Neither of the two schemes.
    #[error("it must begin with http:// or https://")]
    Scheme,
    /// A user name or password.
    #[error("it must not hold a user name or a password")]
    User,
    /// `?` or `#`
    #[error("it must not have a query or a fragment")]
    Query,
    /// Nobody to ask.
    #[error("its host is no name and no address")]
    Host,
    /// Not 1 to 65535.
    #[error("its port is no number from 1 to 65535")]
    Port,
    /// A letter that a path must not have as it is.
    #[error("its path has a letter that must be escaped")]
    Path,
}

/// Host, without the brackets of an IPv6 address, and port (RFC 3986, section 3.2).
fn authority(text: &str) -> Result<(&str, Option<NonZeroU16>), UrlError> {
    if text.contains('@') {
        return Err(UrlError::User);
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inner, port) = rest.split_once(']').ok_or(UrlError::Host)?;
            inner.parse::<std::net::Ipv6Addr>().map_err(|_| UrlError::Host)?;
            (inner, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or(UrlError::Port)?) })
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let named = text.starts_with('[')
        || (1..=253).contains(&host.len())
            && host.split('.').all(|label| {
                (1..=63).contains(&label.len())
                    && !label.starts_with('-')
                    && !label.ends_with('-')
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            });
    // A host that ends in a number is an IPv4 address or nothing (the URL standard's own rule).
    let numeric = host.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit()));
    if !named || (!text.starts_with('[') && numeric && host.parse::<Ipv4Addr>().is_err()) {
        return Err(UrlError::Host);
    }
    let digits = |port: &str| if port.bytes().all(|b| b.is_ascii_digit()) { port.parse().ok() } else { None };
    match port {
        Some(port) => Ok((host, Some(digits(port).ok_or(UrlError::Port)?))),
        None => Ok((host, None)),
    }
}

impl BaseUrl {
    /// A checked URL: a small part of what RFC 3986 allows.
    ///
    /// # Errors
    /// Anything else than scheme, host, port and path.
    pub fn new(text: &str) -> Result<Self, UrlError> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or(UrlError::Scheme)?;
        if rest.contains(['?', '#']) {
            return Err(UrlError::Query);
        }
        let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        self::authority(authority)?;
        if !path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~".contains(&b)) {
            return Err(UrlError::Path);
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }

    /// A name, or an address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let host = match rest.strip_prefix('[') {
            Some(inner) => inner.split(']').next(),
            None => rest.split([':', '/']).next(),
        };
        host.unwrap_or_default()
    }

    /// The URL as text, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether what is sent there crosses a network unencrypted.
    #[must_use]
    pub fn is_clear_text(&self) -> bool {
        self.0.strip_prefix("http://").is_some_and(|rest| {
            let host = rest.split([':', '/']).next().unwrap_or_default();
            let loopback = host == "localhost" || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback());
            !loopback && !rest.starts_with("[::1]")
        })
    }
}

/// A duration as the file has it: "500ms", "1m 30s".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written(pub(super) Duration);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_says_what_it_accepts() {
        let few = Count::between(2, Some(3)).unwrap();
        assert_eq!([1, 2, 3, 4].map(|found| few.accepts(found)), [false, true, true, false]);
        let many = Count::between(2, None).unwrap();
        assert!(!many.accepts(1) && many.accepts(u32::MAX));
        let none = Count::exactly(0);
        assert!(none.accepts(0) && !none.accepts(1));
        assert_eq!(
            [few, many, none, Count::between(0, Some(4)).unwrap()].map(|count| count.to_string()),
            ["2 to 3", "at least 2", "0", "at most 4"]
        );
        assert_eq!(Count::between(4, Some(3)), Err(RuleError::MinAboveMax { min: 4, max: 3 }));
        assert_eq!(Count::between(0, None), Err(RuleError::AlwaysPasses));
    }

    #[test]
    fn a_base_url_is_scheme_host_port_and_path() {
        for (good, kept) in [
            ("https://api.digitalocean.com", "https://api.digitalocean.com"),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("http://[::1]:1/a/b-c", "http://[::1]:1/a/b-c"),
        ] {
            assert_eq!(BaseUrl::new(good).unwrap().as_str(), kept);
        }
        for (bad, why) in [
            ("api.digitalocean.com", UrlError::Scheme),
            ("ftp://a", UrlError::Scheme),
            ("https://", UrlError::Host),
            ("https:///v2", UrlError::Host),
            ("https://a b", UrlError::Host),
            ("http://1.2.3", UrlError::Host),
            ("http://1.2.3.400", UrlError::Host),
            ("http://[::1", UrlError::Host),
            ("http://[zz]", UrlError::Host),
            ("https://user:word@host", UrlError::User),
            ("https://host:0", UrlError::Port),
            ("https://host:+1", UrlError::Port),
            ("https://host:70000", UrlError::Port),
            ("https://host/?a=1", UrlError::Query),
            ("https://host/a b", UrlError::Path),
        ] {
            assert_eq!(BaseUrl::new(bad), Err(why), "{bad}");
        }
    }

    #[test]
    fn clear_text_is_told_unless_it_stays_on_the_host() {
        for (url, clear) in [
            ("https://a", false),
            ("http://127.0.0.1:1", false),
            ("http://localhost", false),
            ("http://[::1]", false),
            ("http://10.0.0.1", true),
            ("http://127.0.0.1.example.com", true),
        ] {
            assert_eq!(BaseUrl::new(url).unwrap().is_clear_text(), clear, "{url}");
        }
    }

    #[test]
    fn times_that_do_not_go_together_are_told_with_both_numbers() {
        let s = Duration::from_secs;
        let text = |claim, verify| GroupTimes::new(s(claim), s(verify), s(300), s(5)).unwrap_err().to_string();
        assert_eq!(
            text(5, 1),
            "`claim_timeout` (5s) must be longer than `timeout` in [digitalocean] (5s): one slow answer would end a claim"
        );
        assert_eq!(text(10, 10), "`verify_interval` (10s) must be shorter than `claim_timeout` (10s)");
        assert!(GroupTimes::new(s(60), s(1), s(300), s(5)).is_ok());
    }
}
