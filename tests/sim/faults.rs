//! What can go wrong, or be asked for by a person, as values: a plan is a list of
//! these with their times, so that it can be printed, repeated and shortened.

use std::fmt;

use haagent::proto::ids::DropletId;
use haagent::proto::time::Duration;

use crate::cloud::Api;

/// A host, by its place in the world.
pub(crate) type Host = usize;

/// Where a person moves the IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Member(Host),
    /// A live droplet that is no member.
    Foreign,
    Nobody,
}

/// The droplet that is no member.
pub(crate) const FOREIGN: DropletId = DropletId(9_999);

/// What a host's configuration file says of what a reload may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) preempt: bool,
    pub(crate) claim_timeout: Duration,
    pub(crate) priority: u8,
    /// It has a `probe`.
    pub(crate) probe: bool,
    /// It has a `promote` hook.
    pub(crate) gate: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fault {
    /// The host is gone at once. The API shows its droplet `off`, or (dead hypervisor) still `active`.
    HostDies {
        host: Host,
        shown_off: bool,
    },
    /// The host boots, and its agent with it.
    HostBoots {
        host: Host,
    },
    /// kill -9.
    AgentKilled {
        host: Host,
    },
    /// The agent starts, or the supervisor starts it again.
    AgentStarts {
        host: Host,
    },
    /// An orderly stop: the agent resigns.
    AgentStops {
        host: Host,
    },
    /// The agent's process stands still; the kernel goes on queueing datagrams with true stamps.
    Stopped {
        host: Host,
        length: Duration,
    },
    /// The whole machine stands still; what arrives in between is lost or stamped late.
    Frozen {
        host: Host,
        length: Duration,
    },
    Sick {
        host: Host,
    },
    Healthy {
        host: Host,
    },
    Priority {
        host: Host,
        priority: u8,
    },
    /// The file is another one, and the agent, if it runs, reads it again.
    Reload {
        host: Host,
        file: File,
    },
    Drain {
        host: Host,
    },
    Resume {
        host: Host,
    },
    Failover {
        host: Host,
        to: Option<Host>,
    },
    Take {
        host: Host,
    },
    Cut {
        from: Host,
        to: Host,
    },
    CutBoth {
        a: Host,
        b: Host,
    },
    Mend {
        a: Host,
        b: Host,
    },
    Loss {
        percent: f64,
    },
    Delay {
        from: Host,
        to: Host,
        most: Duration,
    },
    PublicCut {
        host: Host,
    },
    PublicMended {
        host: Host,
    },
    Api(Api),
    TokenRevoked {
        host: Host,
    },
    TokenRestored {
        host: Host,
    },
    MetadataDown {
        host: Host,
    },
    MetadataUp {
        host: Host,
    },
    MovedByHand {
        to: Target,
    },
    /// The `promote` hook of this host fails from now on.
    PromotionFails {
        host: Host,
    },
    PromotionWorks {
        host: Host,
    },
    /// The probes of this host cannot ask from now on (no resolver, no free port).
    ProbesBlind {
        host: Host,
    },
    ProbesSee {
        host: Host,
    },
    /// All that was ever recorded between two hosts is sent again.
    Replayed {
        from: Host,
        to: Host,
    },
    /// Everything is well again: hosts on, agents running, links mended, checks
    /// passing, drains over, the IP not on a foreign droplet.
    HealAll,
}

fn name(host: Host) -> char {
    char::from(b'a' + u8::try_from(host).unwrap_or(25).min(25))
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostDies { host, shown_off } => {
                write!(f, "host {} dies, shown {}", name(*host), if *shown_off { "off" } else { "active" })
            }
            Self::HostBoots { host } => write!(f, "host {} boots", name(*host)),
            Self::AgentKilled { host } => write!(f, "agent {} killed", name(*host)),
            Self::AgentStarts { host } => write!(f, "agent {} starts", name(*host)),
            Self::AgentStops { host } => write!(f, "agent {} stops", name(*host)),
            Self::Stopped { host, length } => write!(f, "agent {} stopped for {length:?}", name(*host)),
            Self::Frozen { host, length } => write!(f, "host {} frozen for {length:?}", name(*host)),
            Self::Sick { host } => write!(f, "{} sick", name(*host)),
            Self::Healthy { host } => write!(f, "{} healthy", name(*host)),
            Self::Priority { host, priority } => write!(f, "{} has priority {priority}", name(*host)),
            Self::Reload { host, file: File { preempt, claim_timeout, priority, probe, gate } } => write!(
                f,
                "{} reloads: priority {priority}, preempt {preempt}, claim_timeout {claim_timeout:?}, probe {probe}, \
                 gate {gate}",
                name(*host)
            ),
            Self::Drain { host } => write!(f, "drain {}", name(*host)),
            Self::Resume { host } => write!(f, "resume {}", name(*host)),
            Self::Failover { host, to: Some(to) } => write!(f, "failover at {} to {}", name(*host), name(*to)),
            Self::Failover { host, to: None } => write!(f, "failover at {}", name(*host)),
            Self::Take { host } => write!(f, "failover --take at {}", name(*host)),
            Self::Cut { from, to } => write!(f, "cut {} -> {}", name(*from), name(*to)),
            Self::CutBoth { a, b } => write!(f, "cut {} <-> {}", name(*a), name(*b)),
            Self::Mend { a, b } => write!(f, "mend {} <-> {}", name(*a), name(*b)),
            Self::Loss { percent } => write!(f, "loss {percent} %"),
            Self::Delay { from, to, most } => write!(f, "delay {} -> {} up to {most:?}", name(*from), name(*to)),
            Self::PublicCut { host } => write!(f, "{} cut from the provider", name(*host)),
            Self::PublicMended { host } => write!(f, "{} reaches the provider", name(*host)),
            Self::Api(api) => write!(f, "API {api:?}"),
            Self::TokenRevoked { host } => write!(f, "token of {} revoked", name(*host)),
            Self::TokenRestored { host } => write!(f, "token of {} restored", name(*host)),
            Self::MetadataDown { host } => write!(f, "metadata of {} down", name(*host)),
            Self::MetadataUp { host } => write!(f, "metadata of {} up", name(*host)),
            Self::MovedByHand { to: Target::Member(to) } => write!(f, "IP moved by hand to {}", name(*to)),
            Self::MovedByHand { to: Target::Foreign } => f.write_str("IP moved by hand to a foreign droplet"),
            Self::MovedByHand { to: Target::Nobody } => f.write_str("IP unassigned by hand"),
            Self::PromotionFails { host } => write!(f, "promotions of {} fail", name(*host)),
            Self::PromotionWorks { host } => write!(f, "promotions of {} work", name(*host)),
            Self::ProbesBlind { host } => write!(f, "probes of {} cannot ask", name(*host)),
            Self::ProbesSee { host } => write!(f, "probes of {} can ask", name(*host)),
            Self::Replayed { from, to } => write!(f, "datagrams {} -> {} replayed", name(*from), name(*to)),
            Self::HealAll => f.write_str("all heals"),
        }
    }
}
