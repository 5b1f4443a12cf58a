//! `haagent-lab tell network`.

use super::words::{list, table, time};
use super::{Running, TellError};
use crate::arguments::{milliseconds, share};
use crate::client::Server;
use crate::network::wire::{Between, Change, Changed, Counters, DirectionState, Faults, State};

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The network's control endpoint
    #[arg(long, global = true, value_name = "URL", env = "HAAGENT_LAB_NETWORK", value_parser = Server::parse_url)]
    at: Option<Server>,
    /// Print the answer as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Nodes, faults, and what became of the datagrams of each direction
    State,
    /// Let nothing pass, nor what is under way
    Cut {
        #[command(flatten)]
        nodes: Nodes,
        #[command(flatten)]
        way: Way,
    },
    /// Lose a share of the datagrams
    Loss {
        /// From 0 to 1, or in percent: 0.3, 30%
        #[arg(value_parser = share)]
        share: f64,
        #[command(flatten)]
        nodes: Nodes,
        #[command(flatten)]
        way: Way,
    },
    /// Let each datagram take so long; with --jitter they overtake each other
    Delay {
        /// At most a minute; 0s ends it
        #[arg(value_name = "DURATION", value_parser = milliseconds)]
        delay: u64,
        /// Up to so much more, drawn for each datagram
        #[arg(long, value_name = "DURATION", value_parser = milliseconds, default_value = "0s")]
        jitter: u64,
        #[command(flatten)]
        nodes: Nodes,
        #[command(flatten)]
        way: Way,
    },
    /// Let a share of the datagrams come twice
    Duplicate {
        /// From 0 to 1, or in percent: 0.3, 30%
        #[arg(value_parser = share)]
        share: f64,
        #[command(flatten)]
        nodes: Nodes,
        #[command(flatten)]
        way: Way,
    },
    /// End all faults, there or everywhere
    Heal {
        #[command(flatten)]
        nodes: Nodes,
        #[command(flatten)]
        way: Way,
    },
}

/// Between whom.
#[derive(Debug, clap::Args)]
struct Nodes {
    /// A node [default: every node]
    #[arg(value_name = "A")]
    a: Option<String>,
    /// Another one [default: every other node]
    #[arg(value_name = "B")]
    b: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Way {
    /// Only what A sends to B
    #[arg(long, requires = "a")]
    one_way: bool,
}

fn between(nodes: Nodes, way: &Way) -> Between {
    Between { from: nodes.a, to: nodes.b, one_way: way.one_way }
}

impl Options {
    pub(super) async fn tell(self) -> Result<(), TellError> {
        let whom = "the network";
        let server = self.at.ok_or(TellError::Where {
            whom,
            option: "--at URL",
            variable: "HAAGENT_LAB_NETWORK",
            member: "control",
        })?;
        let network = Running { whom, server, json: self.json };
        let nothing = Change::default();
        let change = match self.command {
            Command::State => {
                let state: State = network.get("/state").await?;
                return network.say(&state, in_words);
            }
            Command::Heal { nodes, way } => {
                let healed: Changed = network.send("DELETE", "/faults", &between(nodes, &way)).await?;
                return network.say(&healed, |healed| directions(&healed.directions));
            }
            Command::Cut { nodes, way } => Change { on: between(nodes, &way), cut: Some(true), ..nothing },
            Command::Loss { share, nodes, way } => Change { on: between(nodes, &way), loss: Some(share), ..nothing },
            Command::Delay { delay, jitter, nodes, way } => {
                Change { on: between(nodes, &way), delay_ms: Some(delay), jitter_ms: Some(jitter), ..nothing }
            }
            Command::Duplicate { share, nodes, way } => {
                Change { on: between(nodes, &way), duplicate: Some(share), ..nothing }
            }
        };
        let changed: Changed = network.post("/faults", &change).await?;
        network.say(&changed, |changed| directions(&changed.directions))
    }
}

fn in_words(state: &State) -> String {
    let nodes: Vec<[String; 2]> =
        state.nodes.iter().map(|(name, address)| [name.clone(), address.to_string()]).collect();
    format!("{}\n{}", table(&nodes), directions(&state.directions))
}

fn directions(directions: &[DirectionState]) -> String {
    let rows: Vec<[String; 3]> = directions
        .iter()
        .map(|way| [format!("{} -> {}", way.from, way.to), faults(&way.faults), counters(&way.counters)])
        .collect();
    table(&rows)
}

fn faults(faults: &Faults) -> String {
    let Faults { cut, loss, delay_ms, jitter_ms, duplicate } = *faults;
    let percent = |share: f64| format!("{} %", share * 100.0);
    let parts = [
        cut.then(|| "CUT".to_owned()),
        (loss > 0.0).then(|| format!("loses {}", percent(loss))),
        (delay_ms > 0 || jitter_ms > 0).then(|| match jitter_ms {
            0 => format!("delays {}", time(delay_ms)),
            _ => format!("delays {} to {}", time(delay_ms), time(delay_ms + jitter_ms)),
        }),
        (duplicate > 0.0).then(|| format!("doubles {}", percent(duplicate))),
    ];
    list(parts.into_iter().flatten(), "passes all")
}

fn counters(counters: &Counters) -> String {
    let Counters { arrived, passed, cut, lost, duplicated, overflowed, refused } = *counters;
    let rare = [
        (cut, "cut"),
        (lost, "lost"),
        (duplicated, "doubled"),
        (overflowed, "dropped by a full queue"),
        (refused, "refused by the receiver's host"),
    ];
    let rare = rare.into_iter().filter(|(count, _)| *count > 0);
    let all = [(arrived, "came"), (passed, "passed")].into_iter().chain(rare);
    list(all.map(|(count, what)| format!("{count} {what}")), "")
}
