//! The probe: the service, asked through the reserved IP as a client asks it.
//!
//! No opinion here: each probe is begun, ends within its time limit, and is reported. While the core
//! wants probes ([`Input::Probe`](crate::proto::election::event::Input::Probe) takes them) a new one
//! begins every [`PERIOD`], whatever became of the ones before; at rest there is one at the start and
//! one each `readiness_interval`, so that a probe that can never answer is seen before it matters.
//!
//! One task, which owns all probes under way, [`IN_FLIGHT`] at most. Each has a connection of its own.
//! Dropping [`Running`] ends them all: a probe changes nothing in the world.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::select_ok;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::config::types::{Probe, ProbeTarget};
use crate::net::dns::Resolver;
use crate::net::{explain, http, plain};
use crate::proto::election::event::{ProbeOutcome, ProbeResult};
use crate::proto::time::{Duration, Time};
use crate::sys::clock;

/// From one probe to the next while they are wanted, where their time limit leaves room for it.
const PERIOD: Duration = Duration::from_millis(125);

/// Probes under way at most. They are spread over the time limit, so that none waits for others to end.
const IN_FLIGHT: u32 = 8;

/// At rest a probe that failed is repeated after this, so that a mended one is seen soon.
const AGAIN: Duration = Duration::from_secs(10);

/// Reports on their way to the brain. Full: the task waits, and begins none meanwhile.
pub const REPORTS: usize = 32;

/// One probe that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// For the core.
    pub result: ProbeResult,
    /// For people: one line.
    pub detail: Arc<str>,
}

/// A probe that runs; dropped, it stops.
#[derive(Debug)]
pub struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why no probe can be made.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] http::TlsError),
    /// The HTTP library refuses the settings.
    #[error("the probe's HTTP client cannot be made")]
    Client(#[source] reqwest::Error),
}

/// How the service is asked.
#[derive(Clone, Debug)]
enum Way {
    Http { client: reqwest::Client, url: String },
    Tcp { port: u16 },
}

/// One who can ask: all that may fail is done.
#[derive(Clone, Debug)]
pub struct Prober {
    way: Way,
    host: Arc<str>,
    limit: Duration,
    resolver: Resolver,
}

async fn run(prober: Prober, at_rest: Duration, mut wanted: watch::Receiver<bool>, reports: mpsc::Sender<Report>) {
    let mut under_way = FuturesUnordered::new();
    let mut next = clock::now();
    let period = PERIOD.max(prober.limit / IN_FLIGHT);
    loop {
        let active = *wanted.borrow_and_update();
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                if *wanted.borrow() {
                    next = clock::now();
                }
            }
            () = sleep(next - clock::now()), if under_way.len() < IN_FLIGHT as usize => {
                under_way.push(prober.ask());
                next = clock::now() + if active { period } else { at_rest };
            }
            Some(report) = under_way.next() => {
                let report: Report = report;
                if !active && report.result.outcome != ProbeOutcome::Answered {
                    next = next.min(clock::now() + AGAIN);
                }
                if reports.send(report).await.is_err() {
                    return;
                }
            }
        }
    }
}

impl Prober {
    /// Who asks what `settings` say. `ca_file` is trusted beside the system's authorities. Reads files.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn new(settings: &Probe, ca_file: Option<&Path>, resolver: Resolver) -> Result<Self, ProbeError> {
        let way = match &settings.target {
            ProbeTarget::Http(url) => {
                let tls = if url.as_str().starts_with("https:") { http::tls(ca_file)? } else { http::no_tls()? };
                let client = http::builder(tls, resolver.clone(), settings.timeout).pool_max_idle_per_host(0);
                Way::Http { client: client.build().map_err(ProbeError::Client)?, url: url.as_str().to_owned() }
            }
            ProbeTarget::Tcp(tcp) => Way::Tcp { port: tcp.port().get() },
        };
        Ok(Self { way, host: settings.target.host().into(), limit: settings.timeout, resolver })
    }

    /// Probes: at rest each `at_rest`, and again and again while `wanted`.
    ///
    /// To be called within a tokio runtime.
    #[must_use]
    pub fn start(self, at_rest: Duration, wanted: watch::Receiver<bool>, reports: mpsc::Sender<Report>) -> Running {
        Running(tokio::spawn(run(self, at_rest, wanted, reports)))
    }

    /// One probe. Ends within the name's lookup and the time limit.
    async fn ask(&self) -> Report {
        let asked = clock::now();
        let addresses = match self.resolver.addresses(&self.host).await {
            Ok(addresses) => addresses,
            Err(error) => return report(asked, ProbeOutcome::CouldNotAsk, &error.to_string()),
        };
        let begun = clock::now();
        match timeout(self.limit, self.answer(&addresses)).await {
            Ok((outcome, detail)) => report(begun, outcome, &detail),
            Err(_) => report(begun, ProbeOutcome::Failed, &format!("no answer within {:?}", self.limit)),
        }
    }

    async fn answer(&self, addresses: &[IpAddr]) -> (ProbeOutcome, String) {
        match &self.way {
            Way::Tcp { port } => {
                let attempts =
                    addresses.iter().map(|address| Box::pin(TcpStream::connect(SocketAddr::new(*address, *port))));
                match select_ok(attempts).await {
                    Ok(_) => (ProbeOutcome::Answered, "connected".to_owned()),
                    Err(error) => (outcome_of(&error), plain(&error)),
                }
            }
            // The head is all that counts: the body is dropped unread, and the connection with it.
            Way::Http { client, url } => match client.get(url).send().await {
                Ok(response) if response.status().is_server_error() => {
                    (ProbeOutcome::Failed, response.status().to_string())
                }
                Ok(response) => (ProbeOutcome::Answered, response.status().to_string()),
                Err(error) => {
                    (io_error(&error).map_or(ProbeOutcome::Failed, outcome_of), explain(&error.without_url()))
                }
            },
        }
    }
}

fn report(begun: Time, outcome: ProbeOutcome, detail: &str) -> Report {
    Report { result: ProbeResult { begun, ended: clock::now(), outcome }, detail: detail.into() }
}

/// What this host lacks says nothing of the service; all else is an answer that did not come.
fn outcome_of(error: &io::Error) -> ProbeOutcome {
    use nix::errno::Errno;
    let own = [
        Errno::EMFILE,
        Errno::ENFILE,
        Errno::ENOBUFS,
        Errno::ENOMEM,
        Errno::EADDRNOTAVAIL,
        Errno::EACCES,
        Errno::EPERM,
    ];
    match error.raw_os_error().map(Errno::from_raw) {
        Some(errno) if own.contains(&errno) => ProbeOutcome::CouldNotAsk,
        Some(_) | None => ProbeOutcome::Failed,
    }
}

/// The system's own error among the causes.
fn io_error<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e io::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<io::Error>().filter(|found| found.raw_os_error().is_some()) {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests;
