//! `haagent-lab tell docker`.

use std::path::PathBuf;

use super::words::{list, table, time, word};
use super::{Running, TellError};
use crate::arguments::milliseconds;
use crate::client::Server;
use crate::engine::faults::{Change, Faults, Mode};
use crate::engine::wire::{Acted, Closed, FaultsNow, Order, Request, State};
use crate::log::Page;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The engine's socket
    #[arg(long, global = true, value_name = "PATH", env = "HAAGENT_LAB_DOCKER")]
    socket: Option<PathBuf>,
    /// Print the answer as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Containers, faults, open event streams
    State,
    #[command(flatten)]
    Container(Order),
    /// Let an endpoint answer in another way
    Fail {
        #[arg(value_enum)]
        endpoint: Endpoint,
        #[arg(value_enum)]
        mode: Mode,
    },
    /// Let every answer come so late; 0s ends it
    Slow {
        #[arg(value_name = "DURATION", value_parser = milliseconds)]
        delay: u64,
    },
    /// As when containerd is stopped: ping answers, the list stands still, events wait for its end
    HangContainerd,
    /// End all faults; calls that hang are answered
    Heal,
    /// End the event streams that are open
    CloseStreams,
    /// The calls that came
    Requests {
        /// Only those with a number above this
        #[arg(long, value_name = "N", default_value_t = 0)]
        after: u64,
    },
}

/// What of Docker's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Endpoint {
    Ping,
    Version,
    List,
    Inspect,
    Events,
    /// The five together
    All,
}

impl Options {
    pub(super) async fn tell(self) -> Result<(), TellError> {
        let whom = "the engine";
        let socket = self.socket.ok_or(TellError::Where {
            whom,
            option: "--socket PATH",
            variable: "HAAGENT_LAB_DOCKER",
            member: "socket",
        })?;
        let engine = Running { whom, server: Server::Unix(socket), json: self.json };
        let nothing = Change::default();
        let change = match self.command {
            Command::State => {
                let state: State = engine.get("/_lab/state").await?;
                return engine.say(&state, in_words);
            }
            Command::Container(order) => {
                let acted: Acted = engine.post(&order.path(), &()).await?;
                return engine.say(&acted, |acted| format!("done: {} ({})\n", acted.container, short(&acted.id)));
            }
            Command::Heal => {
                let now: FaultsNow = engine.delete("/_lab/faults").await?;
                return engine.say(&now, |now| faults(&now.faults) + "\n");
            }
            Command::CloseStreams => {
                let closed: Closed = engine.post("/_lab/streams/close", &()).await?;
                return engine.say(&closed, |closed| format!("{} event streams ended\n", closed.closed));
            }
            Command::Requests { after } => {
                let page: Page<Request> = engine.get(&format!("/_lab/requests?after={after}")).await?;
                return engine.say(&page, requests);
            }
            Command::Fail { endpoint, mode } => {
                let mode = Some(mode);
                match endpoint {
                    Endpoint::Ping => Change { ping: mode, ..nothing },
                    Endpoint::Version => Change { version: mode, ..nothing },
                    Endpoint::List => Change { list: mode, ..nothing },
                    Endpoint::Inspect => Change { inspect: mode, ..nothing },
                    Endpoint::Events => Change { events: mode, ..nothing },
                    Endpoint::All => Change { all: mode, ..nothing },
                }
            }
            Command::Slow { delay } => Change { delay_ms: Some(delay), ..nothing },
            Command::HangContainerd => Change { containerd_hung: Some(true), ..nothing },
        };
        let now: FaultsNow = engine.post("/_lab/faults", &change).await?;
        engine.say(&now, |now| faults(&now.faults) + "\n")
    }
}

fn in_words(state: &State) -> String {
    let rows: Vec<[String; 4]> = state
        .containers
        .iter()
        .map(|container| {
            let labels = container.labels.iter().map(|(key, value)| format!("{key}={value}"));
            let health = container.health.map_or("no HEALTHCHECK", |health| health.word());
            let status = format!("{}, {health}", container.status.word());
            [container.name.clone(), short(&container.id).to_owned(), status, list(labels, "")]
        })
        .collect();
    format!("{}\n{}; {} event streams are open\n", table(&rows), faults(&state.faults), state.streams)
}

fn faults(faults: &Faults) -> String {
    let Faults { ping, version, list: listing, inspect, events, delay_ms, containerd_hung } = *faults;
    let modes = [("ping", ping), ("version", version), ("list", listing), ("inspect", inspect), ("events", events)];
    let modes = modes.into_iter().filter(|(_, mode)| *mode != Mode::Ok);
    let modes = modes.map(|(endpoint, mode)| format!("{endpoint}: {}", word(&mode)));
    let late = (delay_ms > 0).then(|| format!("answers come {} late", time(delay_ms)));
    let hung = containerd_hung.then(|| "containerd hangs".to_owned());
    list(modes.chain(late).chain(hung), "no faults")
}

/// As `docker ps` shows a number.
fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn requests(page: &Page<Request>) -> String {
    let rows: Vec<[String; 3]> = page
        .events
        .iter()
        .map(|call| [call.seq.to_string(), time(call.at_ms), format!("{} {}", call.what.method, call.what.path)])
        .collect();
    format!("{}next: --after {}\n", table(&rows), page.next)
}
