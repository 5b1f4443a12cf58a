//! What the world shows of itself to the invariants and to the trace.

use std::fmt;

use haagent::proto::claim::event::{Action, ClaimReport, Intent, Outcome};
use haagent::proto::election::event::{Command, Refusal, Transition};

use crate::cloud::Move;
use crate::faults::{Fault, Host as HostIndex};

/// One thing that happened: what was done to the world, or what an agent did in it.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    Fault(Fault),
    Started { host: HostIndex },
    Ended { host: HostIndex },
    Woke { host: HostIndex },
    Transition { host: HostIndex, transition: Transition },
    Intent { host: HostIndex, intent: Intent },
    Report { host: HostIndex, report: ClaimReport },
    Called { host: HostIndex, action: Action },
    Answered { host: HostIndex, action: Action, outcome: Outcome },
    Command { host: HostIndex, command: Command, result: Result<(), Refusal> },
    Probing { host: HostIndex, wanted: bool },
    Moved(Move),
    Errored,
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => write!(f, "*  FAULT {fault}"),
            Self::Started { host } => write!(f, "{}  agent starts", letter(*host)),
            Self::Ended { host } => write!(f, "{}  agent ends", letter(*host)),
            Self::Woke { host } => write!(f, "{}  runs again", letter(*host)),
            Self::Transition { host, transition } => write!(
                f,
                "{}  {:?} -> {:?} term {} {:?} (look {:?}, probe {:?})",
                letter(*host),
                transition.from,
                transition.to,
                transition.term,
                transition.reason,
                transition.evidence.look.map(|look| look.holder),
                transition.evidence.probe,
            ),
            Self::Intent { host, intent: Intent::Hold(hold) } => {
                write!(f, "{}  wants Hold over {:?}", letter(*host), hold.base.members().collect::<Vec<_>>())
            }
            Self::Intent { host, intent } => write!(f, "{}  wants {intent:?}", letter(*host)),
            Self::Report { host, report } => write!(
                f,
                "{}  claim {:?} look {:?} sent {} verified {:?}",
                letter(*host),
                report.state,
                report.look.map(|look| (look.source, look.holder, look.settled)),
                report.sent,
                report.verified
            ),
            Self::Called { host, action } => write!(f, "{}  calls {action:?}", letter(*host)),
            Self::Answered { host, action, outcome } => write!(f, "{}  {action:?}: {outcome:?}", letter(*host)),
            Self::Command { host, command, result } => write!(f, "{}  {command:?}: {result:?}", letter(*host)),
            Self::Moved(change) => write!(
                f,
                "*  IP MOVES from {:?} to {:?} by {:?}",
                change.from.map(|droplet| droplet.0),
                change.to.map(|droplet| droplet.0),
                change.by
            ),
            Self::Probing { host, wanted: true } => write!(f, "{}  begins to probe", letter(*host)),
            Self::Probing { host, wanted: false } => write!(f, "{}  ends to probe", letter(*host)),
            Self::Errored => f.write_str("*  an action ends, the IP stays"),
        }
    }
}

fn letter(host: HostIndex) -> char {
    char::from(b'a' + u8::try_from(host).unwrap_or(25).min(25))
}
