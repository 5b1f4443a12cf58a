//! The brain: one loop in which all news meets. It has no opinion about the protocol:
//! it passes on what the heart wants and what the world answers, and keeps what people ask later.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};

use super::desk::Ask;
use super::disk::{self, Progress};
use super::knowledge::Knowledge;
use super::news::News;
use super::snapshot;
use super::timeline::Timeline;
use super::{FAILED, stamp};
use crate::checks;
use crate::claims::{self, Happened};
use crate::config::types::OnStop;
use crate::control::wire::Refusal;
use crate::heart::{FromHeart, Heart, HeartStuck, ToHeart};
use crate::probe;
use crate::proto::claim::event::{ClaimReport, ClaimState};
use crate::proto::election::event::{Command, Reason, Transition};
use crate::proto::health;
use crate::proto::heartbeat::{HandOver, NodeState};
use crate::proto::ids::DropletId;
use crate::proto::node::GroupIndex;
use crate::proto::reach::Reach;
use crate::proto::time::Time;
use crate::sys::clock;
use crate::sys::notify::Notifier;
use crate::view::history::{Entry, Event as HistoryEvent, StateChange};
use crate::view::status::{self as view, ActKind, Stamp, Status};
use crate::view::words;

mod following;
mod orders;
mod probing;
mod reloading;
mod telling;

use reloading::{Asker, Reloads};

/// How often the brain comes round without news: it stamps its mark and looks at the heart.
const ROUND: Duration = Duration::from_millis(500);

/// Two views of the heart for changes are at least so far apart; what an operator asks for is not held up.
const VIEW_SPACING: Duration = Duration::from_millis(50);

/// A heart that was told to stop takes 35 ms; longer is a bug, and the process ends all the same.
const GOODBYE: Duration = Duration::from_secs(1);

/// A heart that owes a view for so many rounds of the brain, five seconds of its own life, is stuck.
/// Rounds, because a stopped process must not count the time in which neither ran.
const HEART_STUCK: u32 = 10;

/// Commands whose answer is awaited; the core keeps 16. One more is refused.
const ASKED: usize = 8;

/// Everything but the heart's own news.
#[derive(Debug)]
pub(super) enum Event {
    Check(GroupIndex, checks::Report),
    Claim(GroupIndex, Box<ClaimReport>),
    Happened(GroupIndex, claims::Event),
    Reach(Reach),
    Probe(GroupIndex, probe::Report),
    Droplet(DropletId),
    /// A hook runs, or has ended.
    Hooks,
}

/// A command on its way to the heart, and who waits for the answer.
#[derive(Debug)]
struct Asked {
    group: GroupIndex,
    command: Command,
    answer: oneshot::Sender<Result<String, Refusal>>,
    done: String,
    /// What goes into the history once it is accepted.
    act: view::Act,
}

/// The threads that write, watched.
#[derive(Debug, Default)]
struct Disks {
    state: disk::Watched,
    history: disk::Watched,
}

/// The view of the heart that was asked for and has not come, and for how many rounds.
#[derive(Debug, Default)]
struct Viewing(Option<u32>);

impl Viewing {
    fn is_awaited(&self) -> bool {
        self.0.is_some()
    }

    /// Another one is asked for. That is no sign of life.
    fn ask(&mut self) {
        self.0.get_or_insert(0);
    }

    /// The brain has come round.
    fn round(&mut self) -> Result<(), HeartStuck> {
        let Some(rounds) = &mut self.0 else { return Ok(()) };
        *rounds += 1;
        if *rounds > HEART_STUCK { Err(HeartStuck) } else { Ok(()) }
    }
}

/// The loop and what only it needs.
pub(super) struct Brain {
    know: Knowledge,
    heart: Heart,
    news: News,
    notifier: Arc<Notifier>,
    events: mpsc::Receiver<Event>,
    asks: mpsc::Receiver<Ask>,
    snapshots: watch::Sender<Arc<Status>>,
    viewing: Viewing,
    viewed: Time,
    stale: bool,
    refreshes: Vec<oneshot::Sender<()>>,
    asked: VecDeque<Asked>,
    reloads: Reloads,
    bulletin: Vec<u8>,
    ready: bool,
    disks: Disks,
    exit: Option<u8>,
}

impl Brain {
    pub(super) fn new(
        know: Knowledge,
        heart: Heart,
        news: News,
        notifier: Arc<Notifier>,
        events: mpsc::Receiver<Event>,
        asks: mpsc::Receiver<Ask>,
    ) -> Self {
        Self {
            snapshots: watch::Sender::new(Arc::new(snapshot::starting(&know))),
            heart,
            news,
            notifier,
            events,
            asks,
            viewing: Viewing::default(),
            viewed: know.identity.began,
            stale: true,
            refreshes: Vec::new(),
            asked: VecDeque::new(),
            reloads: Reloads::default(),
            bulletin: Vec::new(),
            ready: false,
            disks: Disks::default(),
            exit: None,
            know,
        }
    }

    /// The newest snapshot, again and again.
    pub(super) fn snapshots(&self) -> watch::Receiver<Arc<Status>> {
        self.snapshots.subscribe()
    }

    /// Runs until the process is told to stop, or cannot go on. The exit code.
    pub(super) async fn run(mut self, hang_up: Signal) -> u8 {
        let code = match self.rounds(hang_up).await {
            Ok(code) => code,
            Err(error) => {
                tracing::error!("{}", super::explained(&error));
                FAILED
            }
        };
        if !self.know.history.flush(super::FLUSH) {
            tracing::warn!("the last entries of the history are not written");
        }
        self.know.store.close(super::FLUSH);
        code
    }

    async fn rounds(&mut self, mut hang_up: Signal) -> Result<u8, BrainError> {
        let mut round = tokio::time::interval(ROUND);
        round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut signals = Signals::new()?;
        for group in (0..self.know.groups.len()).map(GroupIndex) {
            self.tell_health(group)?;
        }
        loop {
            self.heart.mark.stamp(clock::now());
            let until_health = self.until_health();
            tokio::select! {
                news = self.news.next() => match news {
                    Some(news) => self.hear(news)?,
                    None => return Err(BrainError::Heart(HeartStuck)),
                },
                Some(event) = self.events.recv() => self.note(event)?,
                Some(ask) = self.asks.recv() => self.obey(ask)?,
                _ = round.tick() => self.come_round()?,
                () = tokio::time::sleep(until_health) => self.expire_health()?,
                _ = signals.term.recv() => return self.stop().await,
                _ = signals.interrupt.recv() => return self.stop().await,
                _ = hang_up.recv() => self.begin_reload(Asker::signal()),
                outcome = self.reloads.ended() => self.end_reload(outcome)?,
            }
            if let Some(code) = self.exit {
                return Ok(code);
            }
            self.look_at_heart()?;
        }
    }

    // --- news of the heart ------------------------------------------------------------------

    fn hear(&mut self, news: FromHeart) -> Result<(), HeartStuck> {
        match news {
            FromHeart::Intent(group, intent) => {
                if let Some(part) = self.know.groups.get(group.0) {
                    part.intents.send_replace(intent);
                }
                self.tell_gate(group);
            }
            FromHeart::Probe(group, wanted) => self.probe(group, wanted),
            FromHeart::Transition(group, transition) => self.turn(group, &transition),
            FromHeart::Persist(memory) => {
                self.know.known.memory = *memory;
                self.know.store.keep(&self.know.known);
            }
            FromHeart::Bulletin(peer, bytes) => self.read_bulletin(peer, &bytes),
            FromHeart::Answer(group, command, result) => self.answer(group, command, result),
            FromHeart::View(view) => self.show(&view)?,
            FromHeart::Stopped => {}
        }
        Ok(())
    }

    fn turn(&mut self, group: GroupIndex, transition: &Transition) {
        self.stale = true;
        let name = |address| self.know.name_of(address);
        let previous_master = self.previous_master(transition);
        let mut evidence =
            words::evidence(&transition.reason, &transition.evidence, transition.at, |a| name(a).to_string());
        let at: Stamp = clock::wall_at(transition.at).into();
        let timeline = Timeline::begin(transition, at, name);
        let Some(part) = self.know.groups.get_mut(group.0) else { return };
        if let Reason::HandedOver { cause: HandOver::Fault, .. } = transition.reason
            && let Some(because) = &part.health.candidacy().because
        {
            evidence.push_str("; ");
            evidence.push_str(because);
        }
        let reason = words::reason(&transition.reason);
        let (from, to) = (words::state(transition.from), words::state(transition.to));
        tracing::info!(group = %part.name, from, to, reason, term = transition.term.0, "{evidence}");
        if transition.to != NodeState::Master {
            part.timeline = None;
        } else if timeline.is_some() {
            part.timeline = timeline;
        }
        following::turned(part, transition, reason, &evidence, previous_master);
        let entry = StateChange {
            at,
            from_state: transition.from,
            to_state: transition.to,
            reason: reason.to_owned(),
            evidence: Some(evidence),
            term: transition.term,
        };
        self.record(group, HistoryEvent::State(entry));
        if matches!(transition.reason, Reason::BrainStale) {
            tracing::error!("this agent gave no sign of life for seconds, and the heart fell silent; the process ends");
            self.exit = Some(FAILED);
        }
        if !self.ready && transition.from == NodeState::Init && transition.to != NodeState::Init {
            self.ready = true;
            if let Err(error) = self.notifier.ready(format!("{to}: {reason}")) {
                tracing::warn!("{}", super::explained(&error));
            }
        } else if let Err(error) = self.notifier.status(format!("{to}: {reason}")) {
            tracing::warn!("{}", super::explained(&error));
        }
    }

    fn record(&self, group: GroupIndex, event: HistoryEvent) {
        if let Some(part) = self.know.groups.get(group.0) {
            self.know.history.record(Entry { group: part.name.clone(), node: self.know.identity.name.clone(), event });
        }
    }

    // --- news of the rest -------------------------------------------------------------------

    fn note(&mut self, event: Event) -> Result<(), HeartStuck> {
        match event {
            Event::Check(group, checks::Report { check, sample }) => {
                if let Some(part) = self.know.groups.get_mut(group.0) {
                    part.health.handle(clock::now(), health::Input::Sample { check, sample });
                }
                self.tell_health(group)?;
            }
            Event::Claim(group, report) => {
                if let Some(part) = self.know.groups.get_mut(group.0) {
                    self.stale |= part.claim.state != report.state || part.claim.obstacle != report.obstacle;
                    if part.claim.obstacle.is_some() && report.obstacle.is_none() {
                        tracing::info!(group = %part.name, "nothing stands against claiming {} here any more", part.address);
                    }
                    if part.claim.state != report.state && report.state == ClaimState::Lost {
                        tracing::warn!(group = %part.name, "{} is not here, says the metadata service: asking the API who has it", part.address);
                    }
                    part.claim = (*report).clone();
                }
                self.tell_gate(group);
                self.heart.sender.send(ToHeart::Claim(group, *report))?;
            }
            Event::Happened(group, event) => self.happened(group, event),
            Event::Reach(reach) => {
                if reach == Reach::Unreachable {
                    tracing::warn!("the API's host cannot be reached from here: three connections in a row failed");
                } else if self.know.reach == Reach::Unreachable {
                    tracing::info!("the API's host is reached again");
                }
                self.know.reach = reach;
                self.stale = true;
                self.heart.sender.send(ToHeart::Reach(reach != Reach::Unreachable))?;
            }
            Event::Probe(group, report) => self.probed(group, &report)?,
            Event::Droplet(droplet) => self.know.droplet = Some(droplet),
            Event::Hooks => self.stale = true,
        }
        Ok(())
    }

    fn happened(&mut self, group: GroupIndex, event: claims::Event) {
        let Some(part) = self.know.groups.get_mut(group.0) else { return };
        match event.what {
            Happened::Reached(step) => {
                let now = stamp();
                let Some(timeline) = &mut part.timeline else { return };
                let moved = timeline.reach(step, event.at, now, &self.know.identity.name);
                tracing::info!(group = %part.name, "{} {}", part.address, words::milestone(step));
                if let Some(moved) = moved {
                    self.record(group, HistoryEvent::Move(moved));
                    self.stale = true;
                }
                self.sign(group);
            }
            Happened::Failed(failure) => {
                let text = failure.to_string();
                tracing::warn!(group = %part.name, "{}", words::without_request_id(&text));
                tracing::debug!(group = %part.name, "in full: {text}");
            }
        }
    }

    fn tell_health(&mut self, group: GroupIndex) -> Result<(), HeartStuck> {
        let Some(part) = self.know.groups.get_mut(group.0) else { return Ok(()) };
        while let Some(output) = part.health.poll_output() {
            self.stale = true;
            match output {
                health::Output::Turned(check) => {
                    let (group, name, detail) = (&part.name, &check.name, &check.detail);
                    if check.condition.is_ok() {
                        tracing::info!(%group, "check {name} is ok: {detail}");
                    } else {
                        tracing::warn!(%group, "check {name} is not ok: {detail}");
                    }
                }
                health::Output::Candidacy(candidacy) => {
                    self.heart.sender.send(ToHeart::Candidacy(group, candidacy))?;
                }
            }
        }
        Ok(())
    }

    /// Until a check that fell silent is stale.
    fn until_health(&self) -> Duration {
        let due = self.know.groups.iter().filter_map(|part| part.health.next_deadline()).min();
        due.map_or(ROUND, |due| due - clock::now()).min(ROUND)
    }

    fn expire_health(&mut self) -> Result<(), HeartStuck> {
        for group in (0..self.know.groups.len()).map(GroupIndex) {
            if let Some(part) = self.know.groups.get_mut(group.0) {
                part.health.handle(clock::now(), health::Input::Timer);
            }
            self.tell_health(group)?;
        }
        Ok(())
    }

    fn come_round(&mut self) -> Result<(), HeartStuck> {
        for (group, kind) in self.know.acts.over(stamp()) {
            match kind {
                ActKind::Drain => {
                    tracing::info!(%group, "the drain is over");
                    self.resume(&[group], "haagent", None, None)?;
                }
                ActKind::Failover | ActKind::Restart | ActKind::Reload => {
                    self.know.acts.end(&group, kind);
                }
            }
        }
        for part in &self.know.groups {
            let verified = self.know.history.last_move(&part.name).filter(|last| last.phases_ms.verified.is_some());
            if verified.is_some_and(|last| self.know.acts.failover_done(&part.name, last.at, stamp())) {
                self.know.acts.end(&part.name, ActKind::Failover);
            }
        }
        self.look_at_disk();
        self.stale = true;
        self.viewing.round()
    }

    /// What ails the disk, once when it begins and once when it is over.
    fn look_at_disk(&mut self) {
        let now = clock::now();
        let (asked, ended) = self.know.history.progress();
        let hangs = self.disks.state.hangs(now, self.know.store.progress())
            || self.disks.history.hangs(now, Progress { asked, ended });
        let hung = hangs.then(|| {
            "the disk under node.state_dir hangs: what happens is kept in memory only, and a restart would forget it"
                .to_owned()
        });
        let trouble: Vec<String> =
            hung.into_iter().chain(self.know.store.trouble()).chain(self.know.history.trouble()).collect();
        for new in trouble.iter().filter(|text| !self.know.trouble.contains(text)) {
            tracing::warn!("{new}");
        }
        if trouble.is_empty() && !self.know.trouble.is_empty() {
            tracing::info!("node.state_dir takes what is written again");
        }
        self.know.trouble = trouble;
    }

    // --- the end ----------------------------------------------------------------------------

    /// TERM does what `on_stop` says, unless a restart was announced.
    async fn stop(&mut self) -> Result<u8, BrainError> {
        let restart = self.know.acts.restarting(stamp());
        let master = self.snapshots.borrow().groups.iter().any(|group| group.facts.state == NodeState::Master);
        let resign = self.know.identity.on_stop == OnStop::Resign && !restart;
        let how = match (restart, resign) {
            (true, _) => "for a restart: nothing is handed over",
            (false, true) if master => "and hands over",
            (false, true) => "and takes leave",
            (false, false) => "and hands nothing over (on_stop = \"keep\")",
        };
        tracing::info!("{} stops {how}", self.know.identity.name);
        if let Err(error) = self.notifier.stopping() {
            tracing::warn!("{}", super::explained(&error));
        }
        self.heart.sender.send(ToHeart::Stop { resign })?;
        let stopped = async {
            loop {
                match self.news.next().await {
                    Some(FromHeart::Stopped) | None => return,
                    Some(FromHeart::Transition(group, transition)) => self.turn(group, &transition),
                    Some(FromHeart::Persist(memory)) => {
                        self.know.known.memory = *memory;
                        self.know.store.keep(&self.know.known);
                    }
                    Some(
                        FromHeart::Intent(..)
                        | FromHeart::Probe(..)
                        | FromHeart::Bulletin(..)
                        | FromHeart::Answer(..)
                        | FromHeart::View(_),
                    ) => {}
                }
            }
        };
        if tokio::time::timeout(GOODBYE, stopped).await.is_err() {
            tracing::warn!("the heart did not end within {GOODBYE:?}");
        }
        Ok(0)
    }
}

/// Why the brain cannot go on.
#[derive(Debug, thiserror::Error)]
enum BrainError {
    #[error(transparent)]
    Heart(#[from] HeartStuck),
    #[error("cannot listen for signals")]
    Signals(#[from] io::Error),
}

struct Signals {
    term: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heart_that_owes_a_view_for_five_seconds_is_stuck_however_often_it_is_asked() {
        let mut viewing = Viewing::default();
        for _ in 0..100 {
            assert!(viewing.round().is_ok(), "nothing was asked for");
        }
        viewing.ask();
        for _ in 0..HEART_STUCK {
            assert!(viewing.round().is_ok());
            viewing.ask();
        }
        assert!(viewing.round().is_err());
        assert!(Viewing::default().round().is_ok(), "it came");
    }
}
