//! What all parts of the fake cloud share: the model, the faults, the event log, the doors of the
//! listeners and the routes of the data plane, behind one lock that is never held across a wait.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::event::{Event, Face};
use super::faults::Faults;
use super::limits::Meter;
use super::state::{Cloud, answers};
use super::world::{Token, World};
use crate::clock::Clock;
use crate::log::Log;

/// Events kept: an hour of two idle agents with metadata read each second.
const MAX_EVENTS: usize = 20_000;
/// How long the ticker sleeps when nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// Where clients of each reserved IP are led now.
pub(crate) type Routes = BTreeMap<Ipv4Addr, Option<SocketAddr>>;

/// What the lock protects.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) cloud: Cloud,
    pub(crate) faults: Faults,
    pub(crate) log: Log<Event>,
    pub(crate) tokens: Vec<(Token, Meter)>,
    /// Connections made and refused at the data plane, per address.
    pub(crate) traffic: BTreeMap<Ipv4Addr, Traffic>,
    doors: Vec<Door>,
}

/// What clients did at one address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Traffic {
    pub(crate) forwarded: u64,
    pub(crate) refused: u64,
    pub(crate) cut_by_moves: u64,
}

/// The switch of one listener.
#[derive(Debug)]
struct Door {
    face: Face,
    droplet: Option<u64>,
    open: watch::Sender<bool>,
}

/// The fake cloud's shared state.
#[derive(Debug)]
pub(crate) struct Lab {
    clock: Clock,
    inner: Mutex<Inner>,
    newest: watch::Sender<u64>,
    routes: watch::Sender<Routes>,
    stirred: Notify,
}

impl Lab {
    pub(crate) fn new(world: &World) -> Arc<Self> {
        let clock = Clock::start();
        let inner = Inner {
            cloud: Cloud::new(world, clock.unix_at_start()),
            faults: Faults::default(),
            log: Log::new(MAX_EVENTS, clock.unix_at_start()),
            tokens: world.tokens.iter().map(|token| (token.clone(), Meter::default())).collect(),
            traffic: BTreeMap::new(),
            doors: Vec::new(),
        };
        let lab = Self {
            clock,
            inner: Mutex::new(inner),
            newest: watch::Sender::new(0),
            routes: watch::Sender::new(Routes::new()),
            stirred: Notify::new(),
        };
        lab.with(|_, _| ());
        Arc::new(lab)
    }

    /// Time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Does something with the state as it is now, and tells everybody who waits for a change.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut Inner, Duration) -> R) -> R {
        let result = self.settle(act);
        self.stirred.notify_one();
        result
    }

    /// The number of the newest event, to wait on.
    pub(crate) fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Where clients are led, to wait on.
    pub(crate) fn routes(&self) -> watch::Receiver<Routes> {
        self.routes.subscribe()
    }

    /// A switch for a listener that `refuse` faults can shut.
    pub(crate) fn door(&self, face: Face, droplet: Option<u64>) -> watch::Receiver<bool> {
        let (open, receiver) = watch::channel(true);
        self.with(|inner, _| inner.doors.push(Door { face, droplet, open }));
        receiver
    }

    /// Lets what is due happen when it is due. Cancelled only with the whole lab.
    pub(crate) async fn tick(self: Arc<Self>) {
        loop {
            let next = self
                .settle(|inner, now| inner.cloud.next_change(now).into_iter().chain(inner.faults.next_expiry()).min());
            let wait = next.map_or(IDLE, |at| at.saturating_sub(self.now()));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stirred.notified() => {}
            }
        }
    }

    fn settle<R>(&self, act: impl FnOnce(&mut Inner, Duration) -> R) -> R {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock, so that the log's times never go back.
        let now = self.clock.now();
        inner.cloud.advance(now);
        inner.log_news();
        let result = act(&mut inner, now);
        inner.log_news();
        inner.faults.expire(now);
        for door in &inner.doors {
            let open = !inner.faults.refuses(door.face, door.droplet);
            door.open.send_if_modified(|is| std::mem::replace(is, open) != open);
        }
        let routes = inner.routes(now);
        self.routes.send_if_modified(|are| {
            *are != routes && {
                *are = routes;
                true
            }
        });
        let newest = inner.log.newest();
        self.newest.send_if_modified(|is| std::mem::replace(is, newest) != newest);
        result
    }
}

impl Inner {
    fn log_news(&mut self) {
        for (at, event) in self.cloud.take_news() {
            self.log.push(at, event);
        }
    }

    fn routes(&self, now: Duration) -> Routes {
        let service = |ip| {
            let holder = self.cloud.droplet(self.cloud.holder_reached(now, ip)?)?;
            holder.spec.service.filter(|_| answers(holder))
        };
        self.cloud.addresses(now).map(|(ip, _)| (ip, service(ip))).collect()
    }
}
