//! The model cloud: one reserved IP, the API that moves it and the metadata
//! service that lags behind. It has no compare-and-swap: the last accepted
//! assign wins, and the only lock is the pending event.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use haagent::proto::claim::event::{Action, CloudActionId, Failure, FailureClass, Holder, Outcome, Progress};
use haagent::proto::ids::DropletId;
use haagent::proto::time::{Duration, Time};

use crate::rng::Rng;

/// How the provider behaves when nothing is wrong with it, and how often something is.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    /// From the accepted assign to its landing.
    pub(crate) assign: RangeInclusive<Duration>,
    /// For how long after a move a read may still show the old holder; at most `S` less a round trip.
    pub(crate) stale: Duration,
    /// For how long after a move a droplet's metadata may still show the old state.
    pub(crate) metadata_lag: Duration,
    /// For how long after a move clients may still be led to the old holder.
    pub(crate) data_lag: Duration,
    /// One way to the API, or back.
    pub(crate) latency: RangeInclusive<Duration>,
    pub(crate) lost_request_percent: f64,
    pub(crate) lost_reply_percent: f64,
    pub(crate) errored_percent: f64,
}

impl Profile {
    /// Seconds for an assign, stale reads, lag: the facts page's provider.
    pub(crate) fn slow() -> Self {
        Self {
            assign: Duration::from_secs(1)..=Duration::from_secs(15),
            stale: Duration::from_secs(5),
            metadata_lag: Duration::from_secs(5),
            data_lag: Duration::from_secs(20),
            latency: Duration::from_millis(20)..=Duration::from_millis(200),
            lost_request_percent: 0.0,
            lost_reply_percent: 0.0,
            errored_percent: 0.0,
        }
    }

    /// As fast as the fake of the process tests.
    pub(crate) fn fast() -> Self {
        Self {
            assign: Duration::from_millis(50)..=Duration::from_millis(50),
            stale: Duration::ZERO,
            metadata_lag: Duration::from_millis(20),
            data_lag: Duration::from_millis(20),
            latency: Duration::from_millis(1)..=Duration::from_millis(5),
            ..Self::slow()
        }
    }

    /// Answers get lost and actions fail, rarely.
    pub(crate) fn with_errors(mut self) -> Self {
        self.lost_request_percent = 2.0;
        self.lost_reply_percent = 4.0;
        self.errored_percent = 10.0;
        self
    }
}

/// What the API does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Up,
    /// Each request is answered 503.
    Down,
    /// Its host cannot be reached, which each agent's probe notices in its own time.
    Unreachable,
    /// Reads work, each write is answered 503.
    ReadOnly,
    /// Each request is answered 429.
    Limited,
}

/// Who moved the IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mover {
    /// A member droplet's agent.
    Agent(DropletId),
    /// A person in the provider's console.
    Hand,
}

/// The IP changed its holder.
#[derive(Clone, Debug)]
pub(crate) struct Move {
    pub(crate) from: Option<DropletId>,
    pub(crate) to: Option<DropletId>,
    pub(crate) by: Mover,
    api_shows: Time,
    winner_shows: Time,
    loser_shows: Time,
    clients_follow: Time,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    id: CloudActionId,
    to: Option<DropletId>,
    by: Mover,
    errs: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Cloud {
    pub(crate) profile: Profile,
    pub(crate) api: Api,
    first_holder: Option<DropletId>,
    members: BTreeMap<DropletId, Ipv4Addr>,
    /// Droplets that the API shows as `off`.
    off: Vec<DropletId>,
    pending: Option<Pending>,
    finished: BTreeMap<u64, Progress>,
    actions: u64,
    moves: Vec<Move>,
    rng: Rng,
}

impl Cloud {
    pub(crate) fn new(
        profile: Profile,
        members: BTreeMap<DropletId, Ipv4Addr>,
        holder: Option<DropletId>,
        rng: Rng,
    ) -> Self {
        Self {
            profile,
            api: Api::Up,
            first_holder: holder,
            members,
            off: Vec::new(),
            pending: None,
            finished: BTreeMap::new(),
            actions: 0,
            moves: Vec::new(),
            rng,
        }
    }

    /// The truth.
    pub(crate) fn holder(&self) -> Option<DropletId> {
        self.moves.last().map_or(self.first_holder, |change| change.to)
    }

    /// The droplet to which clients of the IP are led.
    pub(crate) fn client_side(&self, now: Time) -> Option<DropletId> {
        let shown = self.moves.iter().rev().find(|change| now >= change.clients_follow);
        shown.map_or(self.first_holder, |change| change.to)
    }

    pub(crate) fn moves(&self) -> &[Move] {
        &self.moves
    }

    /// A live droplet that is no member.
    pub(crate) fn is_foreign(&self, droplet: DropletId) -> bool {
        !self.members.contains_key(&droplet) && !self.off.contains(&droplet)
    }

    pub(crate) fn is_locked(&self) -> bool {
        self.pending.is_some()
    }

    pub(crate) fn set_off(&mut self, droplet: DropletId, off: bool) {
        self.off.retain(|other| *other != droplet);
        if off {
            self.off.push(droplet);
        }
    }

    /// Whether this droplet's metadata says that it holds the IP.
    pub(crate) fn metadata(&self, now: Time, droplet: DropletId) -> bool {
        let shown = self.moves.iter().rev().find_map(|change| {
            if change.to == Some(droplet) && now >= change.winner_shows {
                Some(true)
            } else if change.from == Some(droplet) && now >= change.loser_shows {
                Some(false)
            } else {
                None
            }
        });
        shown.unwrap_or(self.first_holder == Some(droplet))
    }

    /// A request arrives. The second value: an action was begun, and lands after this time.
    pub(crate) fn request(
        &mut self,
        now: Time,
        by: DropletId,
        action: Action,
    ) -> (Outcome, Option<(Duration, CloudActionId)>) {
        if action == Action::LookLocal {
            return (Outcome::Local { mine: self.metadata(now, by) }, None);
        }
        let write = matches!(action, Action::Assign);
        match self.api {
            Api::Down => return (failed(FailureClass::Again, "503"), None),
            Api::Unreachable => return (failed(FailureClass::Again, "connection refused"), None),
            Api::ReadOnly if write => return (failed(FailureClass::Again, "503 on a write"), None),
            Api::Limited => {
                return (failed(FailureClass::NotBefore(Duration::from_secs(5)), "429"), None);
            }
            Api::Up | Api::ReadOnly => {}
        }
        match action {
            Action::LookLocal | Action::Warm | Action::Promote => (Outcome::Warmed, None),
            Action::LookApi { .. } => (self.look(now, by), None),
            Action::Poll { action } => (Outcome::Progress(self.progress(action)), None),
            Action::Assign => {
                if self.pending.is_some() {
                    return (failed(FailureClass::PendingEvent, "422 pending event"), None);
                }
                if self.holder() == Some(by) {
                    return (failed(FailureClass::AlreadyAssigned, "422 already assigned"), None);
                }
                let (after, id) = self.begin(Some(by), Mover::Agent(by));
                (Outcome::Accepted { action: id }, Some((after, id)))
            }
        }
    }

    /// A person moves the IP; `None` while another event is pending.
    pub(crate) fn move_by_hand(&mut self, to: Option<DropletId>) -> Option<(Duration, CloudActionId)> {
        if self.pending.is_some() {
            return None;
        }
        Some(self.begin(to, Mover::Hand))
    }

    fn begin(&mut self, to: Option<DropletId>, by: Mover) -> (Duration, CloudActionId) {
        self.actions += 1;
        let id = CloudActionId(self.actions);
        let errs = by != Mover::Hand && self.rng.percent(self.profile.errored_percent);
        self.pending = Some(Pending { id, to, by, errs });
        (self.rng.duration(&self.profile.assign.clone()), id)
    }

    /// The pending action ends. Whether the IP moved.
    pub(crate) fn land(&mut self, now: Time, id: CloudActionId) -> bool {
        let Some(pending) = self.pending.take_if(|pending| pending.id == id) else { return false };
        let progress = if pending.errs { Progress::Errored } else { Progress::Completed };
        self.finished.insert(id.0, progress);
        let from = self.holder();
        if pending.errs || from == pending.to {
            return false;
        }
        let lag = Duration::ZERO..=self.profile.metadata_lag;
        let stale = Duration::ZERO..=self.profile.stale;
        self.moves.push(Move {
            from,
            to: pending.to,
            by: pending.by,
            api_shows: now + self.rng.duration(&stale),
            winner_shows: now + self.rng.duration(&lag),
            loser_shows: now + self.rng.duration(&lag),
            clients_follow: now + self.rng.duration(&(Duration::ZERO..=self.profile.data_lag)),
        });
        true
    }

    fn look(&mut self, now: Time, asker: DropletId) -> Outcome {
        let mut seen = self.first_holder;
        for change in self.moves.iter().rev() {
            // Until all replicas have it, a read shows the old holder or the new one.
            if now >= change.api_shows || self.rng.percent(50.0) {
                seen = change.to;
                break;
            }
            seen = change.from;
        }
        let holder = match seen {
            None => Holder::Nobody,
            Some(droplet) if droplet == asker => Holder::Mine,
            Some(droplet) if self.off.contains(&droplet) => Holder::Nobody,
            Some(droplet) => match self.members.get(&droplet) {
                Some(address) => Holder::Member(*address),
                None => Holder::Foreign(droplet),
            },
        };
        Outcome::Api { holder, locked: self.pending.is_some() }
    }

    fn progress(&self, id: CloudActionId) -> Progress {
        if self.pending.is_some_and(|pending| pending.id == id) {
            return Progress::Pending;
        }
        self.finished.get(&id.0).copied().unwrap_or(Progress::Unknown)
    }
}

pub(crate) fn failed(class: FailureClass, text: &str) -> Outcome {
    Outcome::Failed(Failure { class, text: Arc::from(text) })
}
