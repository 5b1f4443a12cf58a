//! What a configuration means. A value of these types cannot be wrong: what the
//! types themselves cannot forbid, their constructors do.

mod check;
mod group;
mod hooks;
mod probe;
mod rule;
mod url;

use std::fmt;
use std::net::Ipv4Addr;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::time::Duration;

pub use check::{Check, CheckKind, Count, DockerCheck};
pub use group::{Claim, Group, GroupTimes, Majority, Preempt};
pub use hooks::{Hooks, Program};
pub use probe::{HostPort, Probe, ProbeTarget};
pub use rule::RuleError;
pub use url::{BaseUrl, UrlError};

use crate::proto::ids::{DropletId, NodeName};

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

/// A duration as the file has it: "500ms", "1m 30s".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written(pub(super) Duration);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}
