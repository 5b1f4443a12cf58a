//! The engine's socket: what Docker's API has that an observer uses, and `/_lab` to steer it.
//!
//! | request | does |
//! | --- | --- |
//! | `GET /_lab/state` | every container, the faults |
//! | `GET /_lab/requests?after=N&wait_ms=MS` | which calls came, as a numbered log |
//! | `POST /_lab/containers/NAME/ACT` | `die?code=137`, `start`, `stop`, `pause`, `unpause`, `destroy`, `health?status=healthy` (`starting`, `unhealthy`, `none`) |
//! | | `restart?down_ms=800`, `crash?down_ms=800` (by the restart policy), `recreate?down_ms=800` (another number): down now, up later |
//! | `POST /_lab/faults` | changes [`Faults`]: `{"all":"hang"}`, `{"list":"huge"}`, `{"containerd_hung":true}` |
//! | `DELETE /_lab/faults` | none any more |
//! | `POST /_lab/streams/close` | ends the event streams that are open |

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{Stream, stream};
use hyper::body::Bytes;
use hyper::{Method, Response, StatusCode};
use serde_json::json;
use tokio::sync::{broadcast, watch};

use super::faults::{Change, Faults, GARBAGE, Mode, misbehave};
use super::filter::{FilterError, Filters};
use super::state::{Act, ActError, Container, Engine, Event};
use super::wire::{Acted, Closed, ContainerState, FaultsNow, Order, OrderError, Request, State};
use crate::clock::Clock;
use crate::http::{self, Asked, Body, Cut, Handler, Reply};
use crate::log::{self, Log, Page};

/// Events that a slow stream may be behind; then it is ended.
const STREAM_BEHIND: usize = 1024;
/// Calls kept in the log.
const MAX_REQUESTS: usize = 10_000;
/// Events withheld by a hung containerd.
const MAX_WITHHELD: usize = 256;
/// The oldest API version served, as in the real engine.
const MIN_MINOR: u32 = 24;
const VERSION: &str = "27.5.1-lab";

const LIST_FILTERS: &[&str] = &["id", "label", "name", "status", "health"];
const EVENT_FILTERS: &[&str] = &["type", "container", "event", "label"];
const EVENT_START: &str = "{\"Type\":\"container\",\"Action\":\"";
const LIST_START: &str = "[{\"Id\":\"";
const OBJECT_START: &str = "{\"Id\":\"";

/// What every connection shares.
#[derive(Debug)]
struct Shared {
    clock: Clock,
    /// The newest API version: 1.`minor`.
    minor: u32,
    inner: Mutex<Inner>,
    signals: broadcast::Sender<Signal>,
    faults: watch::Sender<Faults>,
    newest: watch::Sender<u64>,
}

#[derive(Debug)]
struct Inner {
    engine: Engine,
    /// What a hung containerd lets be seen.
    frozen: Option<Engine>,
    withheld: VecDeque<Event>,
    log: Log<Request>,
}

/// What event streams are told.
#[derive(Clone, Debug)]
enum Signal {
    Event(Event),
    Close,
}

/// The fake engine behind its socket.
#[derive(Clone, Debug)]
pub(crate) struct Api(Arc<Shared>);

impl Api {
    /// An engine whose containers `make` makes; it speaks API versions up to 1.`minor`.
    pub(crate) fn new(minor: u32, make: impl FnOnce(Duration) -> Engine) -> Self {
        let clock = Clock::start();
        let engine = make(clock.unix_at_start());
        let log = Log::new(MAX_REQUESTS, clock.unix_at_start());
        Self(Arc::new(Shared {
            clock,
            minor,
            inner: Mutex::new(Inner { engine, frozen: None, withheld: VecDeque::new(), log }),
            signals: broadcast::channel(STREAM_BEHIND).0,
            faults: watch::Sender::new(Faults::default()),
            newest: watch::Sender::new(0),
        }))
    }
}

impl Handler for Api {
    async fn handle(&self, asked: Asked) -> Reply {
        if let Some(path) = asked.path.strip_prefix("/_lab/") {
            return Reply::Answer(self.lab(path, &asked).await);
        }
        let request = Request { method: asked.method.to_string(), path: asked.path.clone() };
        let newest = self.with(|inner, at| {
            inner.log.push(at, request);
            inner.log.newest()
        });
        self.0.newest.send_replace(newest);
        let delay = Duration::from_millis(self.0.faults.borrow().delay_ms);
        http::pause(delay).await;
        self.docker(&asked).await
    }
}

impl Api {
    /// Does something with the state; `at` is the time since the start.
    fn with<R>(&self, act: impl FnOnce(&mut Inner, Duration) -> R) -> R {
        let mut inner = self.0.inner.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut inner, self.0.clock.now())
    }

    /// Wall time, since 1970.
    fn unix(&self) -> Duration {
        self.0.clock.unix_at_start() + self.0.clock.now()
    }

    async fn docker(&self, asked: &Asked) -> Reply {
        let (minor, path) = match version_and_path(&asked.path) {
            (None, path) => (self.0.minor, path),
            (Some(minor), path) if (MIN_MINOR..=self.0.minor).contains(&minor) => (minor, path),
            (Some(minor), _) => {
                let newest = self.0.minor;
                let bound = if minor > newest { "new. Maximum" } else { "old. Minimum" };
                let limit = if minor > newest { newest } else { MIN_MINOR };
                let text = format!("client version 1.{minor} is too {bound} supported API version is 1.{limit}");
                return Reply::Answer(refusal(StatusCode::BAD_REQUEST, &text));
            }
        };
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let reads = asked.method == Method::GET || asked.method == Method::HEAD;
        match segments.as_slice() {
            ["_ping"] if reads => self.answer(|faults| faults.ping, "OK", || Ok(self.ping())).await,
            ["version"] if reads => self.answer(|faults| faults.version, OBJECT_START, || Ok(self.version())).await,
            ["containers", "json"] if reads => {
                self.answer(|faults| faults.list, LIST_START, || self.list(asked, minor)).await
            }
            ["containers", key, "json"] if reads => {
                self.answer(|faults| faults.inspect, OBJECT_START, || self.inspect(key)).await
            }
            ["events"] if reads => self.answer(|faults| faults.events, EVENT_START, || self.events(asked)).await,
            _ => Reply::Answer(refusal(StatusCode::NOT_FOUND, "page not found")),
        }
    }

    /// An endpoint's answer, unless its mode says otherwise.
    async fn answer(
        &self,
        mode: impl Fn(&Faults) -> Mode,
        prefix: &'static str,
        truth: impl FnOnce() -> Result<Response<Body>, EngineError>,
    ) -> Reply {
        let mut faults = self.0.faults.subscribe();
        let mode = match faults.wait_for(|faults| mode(faults) != Mode::Hang).await {
            Ok(faults) => mode(&faults),
            Err(_) => return Reply::Close,
        };
        misbehave(mode, prefix).unwrap_or_else(|| Reply::Answer(truth().unwrap_or_else(|error| error.response())))
    }

    fn ping(&self) -> Response<Body> {
        let mut response = http::answer(StatusCode::OK, "text/plain; charset=utf-8", "OK");
        let headers = response.headers_mut();
        headers.insert("ostype", hyper::header::HeaderValue::from_static("linux"));
        if let Ok(version) = format!("1.{}", self.0.minor).try_into() {
            headers.insert("api-version", version);
        }
        response
    }

    fn version(&self) -> Response<Body> {
        let newest = format!("1.{}", self.0.minor);
        let oldest = format!("1.{MIN_MINOR}");
        http::json(
            StatusCode::OK,
            &json!({
                "Platform": {"Name": "haagent-lab"}, "Version": VERSION, "ApiVersion": newest,
                "MinAPIVersion": oldest, "GitCommit": "lab", "GoVersion": "none", "Os": "linux", "Arch": "amd64",
                "KernelVersion": "6.1.0", "BuildTime": "2026-01-01T00:00:00.000000000+00:00",
                "Components": [{"Name": "Engine", "Version": VERSION, "Details": {"ApiVersion": newest}}],
            }),
        )
    }

    fn list(&self, asked: &Asked, minor: u32) -> Result<Response<Body>, EngineError> {
        let filters = Filters::parse(asked.query.value("filters"), LIST_FILTERS)?;
        let all = asked.query.value("all").is_some_and(|all| matches!(all, "1" | "true" | "True" | "TRUE"));
        let now = self.unix();
        let all = all || filters.of_status();
        let chosen = |container: &_| filters.container(container);
        let list = self.with(|inner, _| inner.seen().list(now, all, chosen, minor));
        Ok(http::json(StatusCode::OK, &list))
    }

    fn inspect(&self, key: &str) -> Result<Response<Body>, EngineError> {
        let details = self.with(|inner, _| inner.seen().find(key).map(Container::inspect))?;
        Ok(http::json(StatusCode::OK, &details))
    }

    fn events(&self, asked: &Asked) -> Result<Response<Body>, EngineError> {
        let filters = Filters::parse(asked.query.value("filters"), EVENT_FILTERS)?;
        let since = asked.query.value("since").map(moment).transpose()?;
        let until = asked.query.value("until").map(moment).transpose()?;
        let ends = until.is_some_and(|until| until <= self.unix());
        // Under one lock, so that no event is between the past and the stream.
        let (past, signals) = self.with(|inner, _| {
            let past = inner.engine.events().filter(|event| since.is_some_and(|since| event.at >= since));
            let past = past.filter(|event| until.is_none_or(|until| event.at <= until));
            let withheld = |event: &Event| inner.withheld.iter().any(|other| other == event);
            let past = past.filter(|event| !withheld(event) && filters.event(event)).cloned();
            (past.collect::<VecDeque<Event>>(), self.0.signals.subscribe())
        });
        let open = Open { past, signals, faults: self.0.faults.subscribe(), filters, ends, line_begun: false };
        let mut response = http::answer(StatusCode::OK, "application/json", Bytes::new());
        response.headers_mut().remove(hyper::header::CONTENT_LENGTH);
        *response.body_mut() = http::streamed(open.lines());
        Ok(response)
    }

    // The control paths.

    async fn lab(&self, path: &str, asked: &Asked) -> Response<Body> {
        let segments: Vec<&str> = path.split('/').collect();
        let done = match (asked.method.as_str(), segments.as_slice()) {
            ("GET", ["state"]) => Ok(http::json(StatusCode::OK, &self.state())),
            ("GET", ["requests"]) => {
                let read = |after, limit| self.with(|inner, _| inner.log.page(after, limit, |_| true));
                let page: Page<Request> = log::follow(&asked.query, self.0.newest.subscribe(), read).await;
                return http::json(StatusCode::OK, &page);
            }
            ("POST", ["containers", key, act]) => Order::parse(key, act, &asked.query)
                .map_err(EngineError::from)
                .and_then(|order| self.act(&order))
                .map(|acted| http::json(StatusCode::OK, &acted)),
            ("POST", ["faults"]) => serde_json::from_slice::<Change>(&asked.body)
                .map_err(EngineError::from)
                .map(|change| http::json(StatusCode::OK, &self.change_faults(|faults| faults.changed(change)))),
            ("DELETE", ["faults"]) => Ok(http::json(StatusCode::OK, &self.change_faults(|_| Faults::default()))),
            ("POST", ["streams", "close"]) => {
                let closed = self.0.signals.send(Signal::Close).unwrap_or(0);
                Ok(http::json(StatusCode::OK, &Closed { closed }))
            }
            (method, _) => Err(EngineError::NoSuchPath(format!("{method} /_lab/{path}"))),
        };
        done.unwrap_or_else(|error| error.response())
    }

    fn state(&self) -> State {
        let faults = *self.0.faults.borrow();
        self.with(|inner, _| {
            let containers = inner.engine.containers().iter().cloned().map(|container| {
                let Container { name, id, status, health, labels, .. } = container;
                ContainerState { name, id, status, health, labels }
            });
            State { containers: containers.collect(), faults, streams: self.0.signals.receiver_count() }
        })
    }

    fn change_faults(&self, change: impl FnOnce(Faults) -> Faults) -> FaultsNow {
        let faults = change(*self.0.faults.borrow());
        let now = self.unix();
        self.with(|inner, _| {
            if !faults.containerd_hung {
                inner.frozen = None;
                for event in inner.withheld.drain(..) {
                    let _ = self.0.signals.send(Signal::Event(Event { at: now, ..event }));
                }
            } else if inner.frozen.is_none() {
                inner.frozen = Some(inner.engine.clone());
            }
        });
        self.0.faults.send_replace(faults);
        FaultsNow { faults }
    }

    fn act(&self, order: &Order) -> Result<Acted, EngineError> {
        let container = self.with(|inner, _| inner.engine.find(order.container()).cloned())?;
        let (act, up_again) = match order {
            Order::Die { code, .. } => (Act::Die(i64::from(*code)), None),
            Order::Start { .. } => (Act::Start, None),
            Order::Stop { .. } => (Act::Stop, None),
            Order::Pause { .. } => (Act::Pause, None),
            Order::Unpause { .. } => (Act::Unpause, None),
            Order::Destroy { .. } => (Act::Destroy, None),
            Order::Health { status, .. } => (Act::Health(status.health()), None),
            Order::Restart { down, .. } => (Act::Stop, Some((UpAgain::Same, *down))),
            Order::Crash { down, .. } => (Act::BeginRestart, Some((UpAgain::Same, *down))),
            Order::Recreate { down, .. } => (Act::Destroy, Some((UpAgain::New, *down))),
        };
        self.tell(|engine, now| engine.act(now, &container.id, act))?;
        if let Some((up_again, down)) = up_again {
            let api = self.clone();
            let old = container.clone();
            tokio::spawn(async move {
                http::pause(Duration::from_millis(down.ms)).await;
                // Refused only if somebody started or destroyed it meanwhile: then that stands.
                let _ = api.tell(|engine, now| match up_again {
                    UpAgain::Same => engine.act(now, &old.id, Act::Start),
                    UpAgain::New => Ok(engine.start_again(now, &old)),
                });
            });
        }
        Ok(Acted { container: container.name, id: container.id })
    }

    /// Changes the engine and tells the streams, in one order for all.
    fn tell(&self, change: impl FnOnce(&mut Engine, Duration) -> Result<Vec<Event>, ActError>) -> Result<(), ActError> {
        self.with(|inner, at| {
            let events = change(&mut inner.engine, self.0.clock.unix_at_start() + at)?;
            for event in events {
                if inner.frozen.is_none() {
                    let _ = self.0.signals.send(Signal::Event(event)); // no stream is open: nobody to tell
                } else if inner.withheld.len() < MAX_WITHHELD {
                    inner.withheld.push_back(event);
                }
            }
            Ok(())
        })
    }
}

#[derive(Clone, Copy)]
enum UpAgain {
    Same,
    New,
}

impl Inner {
    fn seen(&self) -> &Engine {
        self.frozen.as_ref().unwrap_or(&self.engine)
    }
}

/// An event stream.
struct Open {
    past: VecDeque<Event>,
    signals: broadcast::Receiver<Signal>,
    faults: watch::Receiver<Faults>,
    filters: Filters,
    /// Nothing comes after the past.
    ends: bool,
    /// A line without end was begun.
    line_begun: bool,
}

impl Open {
    fn lines(self) -> impl Stream<Item = Result<Bytes, Cut>> + Send {
        stream::unfold(self, |mut open| async move { open.next().await.map(|line| (Ok(line), open)) })
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.past.pop_front() {
                return Some(line(&event));
            }
            if self.ends {
                return None;
            }
            let mode = self.faults.borrow_and_update().events;
            match mode {
                Mode::Ok | Mode::Silent | Mode::Hang => {}
                Mode::Garbage if self.line_begun => {}
                Mode::Garbage => {
                    self.line_begun = true;
                    return Some(Bytes::from_static(GARBAGE));
                }
                Mode::Huge | Mode::Endless => {
                    let start = if std::mem::replace(&mut self.line_begun, true) { "" } else { EVENT_START };
                    return Some(Bytes::from(format!("{start}{}", "x".repeat(64 * 1024))));
                }
                Mode::Error | Mode::Close => return None,
            }
            tokio::select! {
                signal = self.signals.recv() => match signal {
                    Ok(Signal::Event(event)) if mode == Mode::Ok && self.filters.event(&event) => {
                        return Some(line(&event));
                    }
                    Ok(Signal::Event(_)) => {}
                    Ok(Signal::Close) | Err(_) => return None,
                },
                changed = self.faults.changed() => if changed.is_err() { return None },
            }
        }
    }
}

fn line(event: &Event) -> Bytes {
    Bytes::from(format!("{}\n", event.json()))
}

/// `/v1.47/x` as 47 and `/x`; without a version nothing is said about it.
fn version_and_path(path: &str) -> (Option<u32>, &str) {
    let versioned = path.strip_prefix("/v1.").and_then(|rest| {
        let (minor, _) = rest.split_once('/')?;
        Some((minor.parse().ok()?, rest.get(minor.len()..)?))
    });
    versioned.map_or((None, path), |(minor, path)| (Some(minor), path))
}

/// `since` and `until`: seconds since 1970, with a fraction if any.
fn moment(text: &str) -> Result<Duration, EngineError> {
    let seconds: f64 = text.parse().map_err(|_| EngineError::Time(text.to_owned()))?;
    Duration::try_from_secs_f64(seconds.max(0.0)).map_err(|_| EngineError::Time(text.to_owned()))
}

fn refusal(status: StatusCode, message: &str) -> Response<Body> {
    http::json(status, &json!({"message": message}))
}

/// Why a call is refused, in Docker's words where it has some.
#[derive(Debug, thiserror::Error)]
enum EngineError {
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error(transparent)]
    Act(#[from] ActError),
    #[error("the body is not what this takes: {0}")]
    Body(#[from] serde_json::Error),
    #[error("failed to parse value as time: {0:?}")]
    Time(String),
    #[error(transparent)]
    Order(#[from] OrderError),
    #[error("there is no {0}")]
    NoSuchPath(String),
}

impl EngineError {
    fn response(&self) -> Response<Body> {
        let status = match self {
            Self::Act(ActError::NoSuch(_)) | Self::Order(OrderError::NoSuchAct(_)) | Self::NoSuchPath(_) => {
                StatusCode::NOT_FOUND
            }
            Self::Act(ActError::Wrong { .. }) => StatusCode::CONFLICT,
            Self::Filter(_) | Self::Body(_) | Self::Time(_) | Self::Order(OrderError::Health(_)) => {
                StatusCode::BAD_REQUEST
            }
        };
        refusal(status, &self.to_string())
    }
}
