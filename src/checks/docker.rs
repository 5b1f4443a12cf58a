//! The Docker check: do as many containers run as should?
//!
//! Every look is one full list, so nothing that was missed stays missed. Beside it a
//! task of its own (`follow_events`) keeps the engine's event stream open and says "look
//! now", and which containers the list does not know yet to have stopped (`departed`): a dead
//! container is known within milliseconds, and a stream that broke costs speed, never truth. After each subscription there is a look, and a look that
//! got no answer makes the stream begin anew, since it hangs on the same engine.
//!
//! Only `GET /containers/json` and `GET /events` are asked, so a read-only proxy of the
//! socket will do. What a look cannot see: an engine whose containerd hangs goes on
//! answering with what it knew last.

mod departed;
mod transport;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::error::Error as _;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bollard::errors::Error as EngineError;
use bollard::models::{ContainerSummary, ContainerSummaryHealthStatusEnum, ContainerSummaryStateEnum};
use bollard::query_parameters::{EventsOptions, EventsOptionsBuilder, ListContainersOptionsBuilder};
use futures_util::{FutureExt, StreamExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::checks::docker::departed::Departed;
use crate::checks::docker::transport::Transport;
use crate::checks::{Check, Look};
use crate::config::types::Count;
use crate::proto::health::Verdict;
use crate::sys::clock;

/// A list may be so long: about a thousand containers with many labels each.
const LIST_BYTES: usize = 2 << 20;

/// So much may come on the event stream between two events: one event with many
/// labels is 10 KiB, and a burst is read in one go.
const EVENT_BYTES: usize = 256 << 10;

/// The pause before a broken event stream is opened again: doubled from the first to
/// the second, full jitter. The poll goes on meanwhile.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Why a container does not run is a courtesy; the verdict does not wait longer for it.
const CAUSE_PATIENCE: Duration = Duration::from_millis(25);

/// So many containers are named in a detail.
const CAUSES: usize = 3;

/// So many running containers are remembered by name, to name the one that is missing.
const REMEMBERED: usize = 100;

/// What may change the number of running (or healthy) containers. The engine's words may
/// carry arguments ("health_status: unhealthy"), and HEALTHCHECKs flood the stream with
/// `exec_*`, of which none is asked for.
const ACTIONS: [&str; 6] = ["start", "die", "pause", "unpause", "rename", "health_status"];

/// Which containers must run, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerSettings {
    /// The engine's socket, or that of a read-only proxy.
    pub socket: PathBuf,
    /// How many must run. Paused and restarting ones do not.
    pub running: Count,
    /// Only those whose name matches, as `docker ps --filter name=` does: a regular
    /// expression that may match anywhere in the name (`web` also chooses `webmail`; `^web-` does not).
    pub name: Option<String>,
    /// Only those with this label: `key` or `key=value`.
    pub label: Option<String>,
    /// Only those whose HEALTHCHECK passes count; one without a HEALTHCHECK never does.
    pub healthy: bool,
}

/// `9 of 10 running`, where that is what is wrong.
fn compare(expected: Count, running: u32, adjective: &str) -> String {
    let exactly = expected.max() == Some(expected.min());
    if expected.accepts(running) {
        format!("{running} {adjective}")
    } else if exactly && running < expected.min() {
        format!("{running} of {} {adjective}", expected.min())
    } else {
        format!("{running} {adjective}, {expected} expected")
    }
}

/// Looks at the containers of one engine. Dropped, it closes its connections.
#[derive(Debug)]
pub(super) struct Docker {
    settings: DockerSettings,
    transport: Transport,
    signals: Arc<Signals>,
    /// The last look ended with an answer.
    answered: bool,
    /// The names that counted when last all was well.
    counted: BTreeSet<String>,
    events: JoinHandle<()>,
}

/// What the looks and the event stream tell each other.
#[derive(Debug, Default)]
struct Signals {
    look: Notify,
    subscribe: Notify,
    departed: Mutex<Departed>,
}

impl Signals {
    fn departed(&self) -> MutexGuard<'_, Departed> {
        self.departed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        self.events.abort();
    }
}

impl Docker {
    /// Begins to follow the engine's events. An answer to that is waited for as long as for a look.
    pub(super) fn new(settings: DockerSettings, patience: Duration) -> Self {
        let transport = Transport::new(&settings.socket, LIST_BYTES);
        let signals = Arc::new(Signals::default());
        let stream = Transport::new(&settings.socket, EVENT_BYTES);
        let events = tokio::spawn(follow_events(stream, Arc::clone(&signals), patience));
        Self { settings, transport, signals, answered: true, counted: BTreeSet::new(), events }
    }

    async fn list(&self, all: bool) -> Result<Vec<ContainerSummary>, EngineError> {
        let filters = [("name", &self.settings.name), ("label", &self.settings.label)];
        let filters = filters.into_iter().filter_map(|(key, value)| Some((key, vec![value.as_deref()?])));
        let options = ListContainersOptionsBuilder::default().all(all).filters(&filters.collect()).build();
        self.transport.client()?.list_containers(Some(options)).await
    }

    fn counts(&self, container: &ContainerSummary) -> bool {
        self.runs(container) && (!self.settings.healthy || is_healthy(container))
    }

    /// By the list, unless the stream knows better.
    fn runs(&self, container: &ContainerSummary) -> bool {
        let departed = || container.id.as_deref().is_some_and(|id| self.signals.departed().contains(id, clock::now()));
        container.state == Some(ContainerSummaryStateEnum::RUNNING) && !departed()
    }

    async fn judge(&mut self, running: &[ContainerSummary]) -> Look {
        let counted: Vec<_> = running.iter().filter(|container| self.counts(container)).collect();
        let number = u32::try_from(counted.len()).unwrap_or(u32::MAX);
        let adjective = if self.settings.healthy { "healthy" } else { "running" };
        let mut detail = compare(self.settings.running, number, adjective);
        if self.settings.running.accepts(number) {
            self.counted = counted.into_iter().take(REMEMBERED).map(name).collect();
            return Look { verdict: Verdict::Ok, detail };
        }
        if number < self.settings.running.min()
            && let Ok(Ok(all)) = timeout(CAUSE_PATIENCE, self.list(true)).await
        {
            detail.push_str(&self.causes(&all));
            if all.is_empty() {
                detail.push_str(&self.chooses_nothing());
            }
        }
        Look { verdict: Verdict::Failed, detail }
    }

    /// `; no container has the label app=web`: the engine has none that the filters choose.
    fn chooses_nothing(&self) -> String {
        let name = self.settings.name.as_ref().map(|name| format!("a name that matches {name}"));
        let label = self.settings.label.as_ref().map(|label| format!("the label {label}"));
        let chosen: Vec<String> = [name, label].into_iter().flatten().collect();
        if chosen.is_empty() {
            "; there is no container".to_owned()
        } else {
            format!("; no container has {}", chosen.join(" and "))
        }
    }

    /// `; web-3: exited (137)`: those that counted before come first, then the youngest.
    fn causes(&self, all: &[ContainerSummary]) -> String {
        let mut missing: Vec<_> = all.iter().filter(|container| !self.counts(container)).collect();
        missing.sort_by_key(|container| {
            (!self.counted.contains(&name(container)), std::cmp::Reverse(container.created), name(container))
        });
        let named = missing
            .iter()
            .take(CAUSES)
            .map(|container| format!("; {}: {}", name(container), what(container, !self.runs(container))));
        let more = missing.len().saturating_sub(CAUSES);
        named.chain((more > 0).then(|| format!("; {more} more"))).collect()
    }
}

impl Check for Docker {
    async fn look(&mut self) -> Look {
        if !std::mem::replace(&mut self.answered, false) {
            self.signals.subscribe.notify_one();
        }
        match self.list(false).await {
            Ok(running) => {
                self.answered = true;
                self.judge(&running).await
            }
            Err(error) => Look { verdict: Verdict::CouldNotRun, detail: chain(&error) },
        }
    }

    async fn changed(&self) {
        self.signals.look.notified().await;
    }

    fn asked(&self) -> &str {
        "docker"
    }
}

fn name(container: &ContainerSummary) -> String {
    let name = container.names.as_deref().and_then(|names| names.first()).or(container.id.as_ref());
    name.map_or("?", |name| name.trim_start_matches('/')).to_owned()
}

/// Engines from API 1.52 on say it in a field, older ones only in their text for people.
fn is_healthy(container: &ContainerSummary) -> bool {
    match container.health.as_ref().and_then(|health| health.status) {
        Some(status) => status == ContainerSummaryHealthStatusEnum::HEALTHY,
        None => container.status.as_deref().is_some_and(|status| status.ends_with("(healthy)")),
    }
}

/// `exited (137)`, `paused`, `unhealthy`: without the age, which would make it a new text each second.
fn what(container: &ContainerSummary, stopped: bool) -> String {
    let status = container.status.as_deref().unwrap_or_default();
    let code = status.strip_prefix("Exited ").and_then(|rest| rest.split_inclusive(')').next());
    match (container.state, code) {
        (Some(ContainerSummaryStateEnum::EXITED), Some(code)) => format!("exited {code}"),
        (Some(ContainerSummaryStateEnum::RUNNING), _) if stopped => "stopped just now".to_owned(),
        (Some(ContainerSummaryStateEnum::RUNNING), _) => "not healthy".to_owned(),
        (Some(state), _) => state.to_string(),
        (None, _) => "in no known state".to_owned(),
    }
}

/// Says "look" whenever something may have changed, until it is cancelled.
async fn follow_events(transport: Transport, signals: Arc<Signals>, patience: Duration) {
    let (first, longest) = RETRY;
    let mut pause = first;
    loop {
        let begun = clock::now();
        let broken = follow_stream(&transport, &signals, patience).await;
        signals.departed().clear();
        tracing::warn!("the stream of Docker events ended, the poll goes on: {broken}");
        // One that is closed as soon as it is opened is no reason to hurry.
        if clock::now().since(begun) > longest {
            pause = first;
        }
        sleep(pause.mul_f64(fastrand::f64())).await;
        pause = longest.min(pause * 2);
    }
}

/// Why the event stream cannot be followed any further.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("docker did not answer within {0:?}")]
    TimedOut(Duration),
    #[error("docker closed it")]
    Closed,
    #[error("docker did not answer a look")]
    Unanswered,
    #[error("{}", chain(.0))]
    Engine(#[from] EngineError),
}

async fn follow_stream(transport: &Transport, signals: &Signals, patience: Duration) -> Broken {
    let client = match transport.client() {
        Ok(client) => client,
        Err(error) => return error.into(),
    };
    let mut events = pin!(client.events(Some(since(clock::wall()))));
    // The stream sends its request when it is first asked for an event.
    let mut event = tokio::select! {
        biased;
        event = events.next() => Some(event),
        () = transport.answered() => None,
        () = sleep(patience) => return Broken::TimedOut(patience),
    };
    signals.look.notify_one();
    // Looks that failed before this moment say nothing of this stream.
    signals.subscribe.notified().now_or_never();
    loop {
        match event {
            Some(Some(Ok(event))) => {
                transport.refill();
                // The engine was asked for these actions only; a proxy may not pass that on.
                let action = event.action.unwrap_or_default();
                if ACTIONS.iter().any(|known| action.starts_with(known)) {
                    let id = event.actor.and_then(|actor| actor.id).unwrap_or_default();
                    signals.departed().note(&action, &id, clock::now());
                    signals.look.notify_one();
                }
            }
            Some(Some(Err(error))) => return error.into(),
            Some(None) => return Broken::Closed,
            None => {}
        }
        event = tokio::select! {
            event = events.next() => Some(event),
            () = signals.subscribe.notified() => return Broken::Unanswered,
        };
    }
}

/// What is asked of the event stream. The engine answers a moment before it listens to
/// its own events; with a time in the past it tells those of that moment too.
fn since(now: SystemTime) -> EventsOptions {
    let past = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().saturating_sub(Duration::from_secs(1));
    let filters = HashMap::from([("type", vec!["container"]), ("event", ACTIONS.to_vec())]);
    EventsOptionsBuilder::default().since(&past.as_secs().to_string()).filters(&filters).build()
}

/// An error with its causes, as far as they say anything new.
fn chain(error: &EngineError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
