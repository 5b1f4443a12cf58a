//! From what the parts know to the one [`Status`]. Facts only: what follows from
//! them is judged in `view::judge`.

use std::net::Ipv4Addr;

use super::bulletin::GroupBulletin;
use super::knowledge::{GroupPart, Knowledge, PeerPart};
use super::probing::ProbePart;
use super::stamp;
use crate::heart::HeartView;
use crate::hooks::{self, Outcome};
use crate::proto::claim::event::{ClaimState, Holder, Look, Source};
use crate::proto::election::event::{self as election, PeerView};
use crate::proto::health::{Condition, Verdict};
use crate::proto::heartbeat::codec::VERSION as PROTOCOL;
use crate::proto::heartbeat::{GroupReport, HandOver, NodeState};
use crate::proto::ids::{NodeName, Term};
use crate::proto::link::Loss;
use crate::proto::node::LinkView;
use crate::proto::reach;
use crate::proto::time::{Duration, Time};
use crate::sys::clock;
use crate::view::status::{
    Act, Check, CheckVerdict, Claim, ClaimHolder, ClaimKind, Group, GroupFacts, Hook, HookState, Peer, Presence, Reach,
    Rejected, Stamp, State, Status, Waiting, Word, millis,
};
use crate::view::words;

/// What is wrong with a peer's datagrams shows for so long after the last of them.
const COMPLAINT: Duration = Duration::from_secs(10);

/// Lost news of the heart show for so long: what they were about has been told again many times since.
const DROPPED: Duration = Duration::from_secs(600);

/// A heart that was so late lost more than scheduling can explain.
const LATE: Duration = Duration::from_millis(200);

/// The evidence of a node that has not left its first state.
const LISTENS: &str = "the agent has just started, and listens for a master";

/// The snapshot before the heart has said anything.
pub(super) fn starting(know: &Knowledge) -> Status {
    let identity = &know.identity;
    let groups = know.groups.iter().map(|part| {
        let facts = GroupFacts {
            name: part.name.clone(),
            state: State::Init,
            reason: words::STARTING.to_owned(),
            evidence: Some(LISTENS.to_owned()),
            term: Term::default(),
            priority: part.priority,
            effective_priority: part.priority,
            rank: None,
            since: identity.started,
            master: None,
            master_since: None,
            master_reason: None,
            witness: false,
            deposed: false,
            candidate: false,
            healthy: None,
            ready: None,
            detail: None,
            reach: None,
            waiting: None,
            claims: vec![Claim {
                kind: ClaimKind::DigitalOcean,
                address: Some(part.address.to_string()),
                state: ClaimState::Idle,
                holder: None,
                word: None,
                verified_ms_ago: None,
                detail: None,
            }],
            checks: checks(part),
            hooks: hooks(part),
            probe: part.probe.as_ref().map(ProbePart::shown),
            peers: Vec::new(),
            acts: Vec::new(),
            last_move: None,
        };
        Group::new(&identity.name, facts)
    });
    status(know, groups.collect(), 0, Vec::new())
}

/// The snapshot of a view of the heart.
pub(super) fn of(know: &Knowledge, view: &HeartView) -> Status {
    let groups = know.groups.iter().zip(&view.node.groups).map(|(part, election)| {
        let facts = GroupSnapshot { know, part, election, links: &view.node.links, now: view.at }.facts();
        Group::new(&know.identity.name, facts)
    });
    status(know, groups.collect(), know.log.dropped(), warnings(know, view))
}

fn status(know: &Knowledge, groups: Vec<Group>, dropped: u64, warnings: Vec<String>) -> Status {
    let identity = &know.identity;
    Status {
        at: stamp(),
        node: identity.name.clone(),
        node_id: identity.name.id().to_string(),
        address: identity.address,
        interval_ms: millis(identity.interval),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: identity.started,
        uptime_ms: millis(clock::now() - identity.began),
        scheduling: know.scheduling.clone(),
        config: know.configuration.state(&know.groups),
        log_lines_dropped: dropped,
        warnings,
        groups,
    }
}

fn warnings(know: &Knowledge, view: &HeartView) -> Vec<String> {
    let mut warnings = Vec::new();
    let links = view.node.links.iter();
    warnings.extend(links.filter_map(|link| complaint(link, view.at, know.identity.interval)));
    warnings.extend(know.trouble.iter().cloned());
    if view.lag > LATE {
        warnings.push(format!("heartbeats left {} ms late: the host has no CPU for them", view.lag.as_millis()));
    }
    if know.dropped.at.is_some_and(|at| view.at - at < DROPPED) {
        warnings.push(know.dropped.words());
    }
    warnings
}

/// What is wrong with the datagrams of a peer's host now, if anything.
pub(super) fn complaint(link: &LinkView, now: Time, interval: Duration) -> Option<String> {
    let lasts = COMPLAINT.max(interval * 4);
    let lately = |at: Option<Time>| at.is_some_and(|at| now - at < lasts);
    let from = link.address;
    if lately(link.wrong_key.map(|wrong| wrong.last)) {
        Some(format!("key differs from {from}"))
    } else if lately(link.own_name_at) {
        Some(format!("two nodes have one name: this one, and the one at {from}"))
    } else if let Some((version, _)) = link.other_version.filter(|(_, at)| lately(Some(*at))) {
        Some(format!("{from} speaks version {version} of the heartbeat protocol, this node version {PROTOCOL}"))
    } else if lately(link.malformed_at) {
        Some(format!("heartbeats that cannot be read (another version of haagent?) come from {from}"))
    } else if lately(link.old_key_at) {
        Some(format!("{from} sends with what is heartbeat.old_key here: finish the change of the key on both"))
    } else {
        // What it said before it fell silent may be mended by now.
        let theirs = link.interval.filter(|theirs| *theirs != interval && lately(link.heard_at))?;
        Some(format!("{from} beats every {theirs:?}, this node every {interval:?}: make heartbeat.interval the same"))
    }
}

/// The first group for which a peer that is heard has other settings.
pub(super) fn other_settings<'a>(know: &'a Knowledge, view: &HeartView, address: Ipv4Addr) -> Option<&'a GroupPart> {
    let mut groups = know.groups.iter().zip(&view.node.groups);
    let differs = |part: &GroupPart, election: &election::View| {
        let heard = election.peers.iter().find(|peer| peer.address == address && peer.heard);
        heard.and_then(|peer| peer.report).is_some_and(|report| report.settings != part.settings)
    };
    groups.find(|(part, election)| differs(part, election)).map(|(part, _)| part)
}

/// The checks of this node in a group.
pub(super) fn checks(part: &GroupPart) -> Vec<Check> {
    let verdict = |verdict| match verdict {
        None => CheckVerdict::Unknown,
        Some(Verdict::Ok) => CheckVerdict::Ok,
        Some(Verdict::Failed) => CheckVerdict::Failed,
        Some(Verdict::TimedOut) => CheckVerdict::TimedOut,
        Some(Verdict::CouldNotRun) => CheckVerdict::CouldNotRun,
    };
    let settings = part.checks.iter().map(|check| &check.settings);
    settings
        .zip(part.health.checks())
        .map(|(settings, status)| Check {
            name: settings.name.to_string(),
            kind: settings.kind.name().to_owned(),
            ok: match status.condition {
                Condition::Starting => None,
                Condition::Up => Some(true),
                Condition::Down | Condition::Stale => Some(false),
            },
            verdict: verdict(status.verdict),
            since: Some(clock::wall_at(status.since).into()),
            detail: (!status.detail.is_empty()).then(|| status.detail.to_string()),
            weight: settings.pace.weight,
        })
        .collect()
}

/// The hooks of this node in a group.
fn hooks(part: &GroupPart) -> Vec<Hook> {
    let one = |report: hooks::Report| Hook {
        name: report.hook.to_string(),
        state: match report.outcome {
            Outcome::Idle => HookState::Idle,
            Outcome::Running => HookState::Running,
            Outcome::Ok => HookState::Ok,
            Outcome::Failed => HookState::Failed,
            Outcome::TimedOut => HookState::Timeout,
            Outcome::Refused => HookState::Refused,
        },
        since: report.since.map(wall),
        duration_ms: report.took.map(millis),
        exit_code: report.exit_code,
        attempts: report.attempts,
        detail: report.detail,
    };
    part.hooks.reports().into_iter().map(one).collect()
}

/// One group at one moment.
struct GroupSnapshot<'a> {
    know: &'a Knowledge,
    part: &'a GroupPart,
    election: &'a election::View,
    links: &'a [LinkView],
    now: Time,
}

impl GroupSnapshot<'_> {
    fn facts(&self) -> GroupFacts {
        let Self { know, part, election, .. } = self;
        let reason = election.reason.as_ref();
        let said = self.said_by_master();
        let me = election.state == NodeState::Master;
        let own_reason = reason.map_or(words::STARTING, words::reason).to_owned();
        GroupFacts {
            name: part.name.clone(),
            state: election.state,
            evidence: Some(reason.map_or_else(
                || LISTENS.to_owned(),
                |reason| {
                    let name = |address| know.name_of(address).to_string();
                    words::evidence(reason, &election.evidence, election.since, name)
                },
            )),
            term: election.term,
            priority: part.priority,
            effective_priority: election.priority,
            rank: election.rank.map(|rank| rank.0),
            since: wall(election.since),
            master: election.master.map(|master| know.name_of(master)),
            master_since: if me { Some(wall(election.since)) } else { self.master_since() },
            master_reason: if me { Some(own_reason.clone()) } else { said.map(|said| said.reason.clone()) },
            reason: own_reason,
            witness: false,
            deposed: election.deposed.is_some(),
            candidate: election.candidate,
            healthy: (election.state != NodeState::Init || part.health.candidacy().healthy)
                .then(|| part.health.candidacy().healthy),
            ready: (election.ready || election.claim.proof.is_some() || election.claim.obstacle.is_some())
                .then_some(election.ready),
            detail: self.detail(),
            reach: match know.reach {
                reach::Reach::Unknown => None,
                reach::Reach::Reachable => Some(Reach::Reachable),
                reach::Reach::Unreachable => Some(Reach::Unreachable),
            },
            waiting: election.waiting.as_ref().map(|waiting| self.waiting(waiting)),
            claims: vec![self.claim()],
            checks: checks(part),
            hooks: hooks(part),
            probe: part.probe.as_ref().map(ProbePart::shown),
            peers: election.peers.iter().map(|peer| self.peer(peer)).collect(),
            acts: self.acts(),
            // Peers' moves are in the history as soon as their bulletins tell them.
            last_move: know.history.last_move(&part.name),
        }
    }

    fn waiting(&self, waiting: &election::Waiting) -> Waiting {
        let name = |address| self.know.name_of(address).to_string();
        Waiting {
            kind: words::hindrance(&waiting.hindrance).to_owned(),
            what: words::waits(&waiting.hindrance, self.now, name),
            until: waiting.until.map(wall),
        }
    }

    /// What stands against a claim from here.
    fn detail(&self) -> Option<String> {
        let claim = &self.election.claim;
        // A host that does not reach the API is not ready for that alone, and that is told.
        let reached = self.know.reach != reach::Reach::Unreachable;
        let held_down = !self.election.ready && claim.proof.is_some() && reached;
        claim.obstacle.as_deref().map(str::to_owned).or_else(|| {
            held_down.then(|| {
                "it gave up a failing claim, or its last proof is too old: it waits before it claims".to_owned()
            })
        })
    }

    fn peer_view(&self, address: Ipv4Addr) -> Option<&PeerView> {
        self.election.peers.iter().find(|peer| peer.address == address)
    }

    fn bulletin_of(&self, address: Ipv4Addr) -> Option<&GroupBulletin> {
        let part = self.peer_part(address)?;
        part.bulletin.as_ref()?.groups.iter().find(|said| said.group == self.part.name)
    }

    fn peer_part(&self, address: Ipv4Addr) -> Option<&PeerPart> {
        self.know.peers.iter().find(|peer| peer.address == address)
    }

    /// What the master says, if it says so as the master that is heard: its bulletin may be older.
    fn said_by_master(&self) -> Option<&GroupBulletin> {
        let master = self.election.master?;
        let term = self.peer_view(master)?.report?.term;
        self.bulletin_of(master).filter(|said| said.master == Some(term))
    }

    fn master_since(&self) -> Option<Stamp> {
        let peer = self.peer_view(self.election.master?)?;
        Some(wall(peer.heard_at?.before(peer.report?.takeover_ago?)))
    }

    /// Who holds the address, by the best word there is: what this node holds; what the master says
    /// that it holds; else the newest of a look from here and of what anybody said who held it. A look
    /// is as old as it is: a backup takes one in minutes.
    fn claim(&self) -> Claim {
        let claim = &self.election.claim;
        let held_here = self.election.state == NodeState::Master && claim.state == ClaimState::Held;
        let (holder, word, at) = match (held_here, self.held_by_master(), claim.look) {
            (true, _, look) => {
                let word = look.map_or(Word::Api, |look| word(look.source));
                (Some(ClaimHolder::Node(self.know.identity.name.clone())), Some(word), claim.verified)
            }
            (false, Some((holder, at)), _) => (Some(ClaimHolder::Node(holder)), Some(Word::Peer), at),
            (false, None, look) => match (look, self.last_held()) {
                (Some(look), told) if told.as_ref().is_none_or(|(_, at)| *at <= look.begun) => {
                    (self.holder(&look), Some(word(look.source)), Some(look.begun))
                }
                (_, Some((holder, at))) => (Some(ClaimHolder::Node(holder)), Some(Word::Peer), Some(at)),
                (_, None) => (None, None, None),
            },
        };
        Claim {
            kind: ClaimKind::DigitalOcean,
            address: Some(self.part.address.to_string()),
            state: claim.state,
            holder,
            word,
            verified_ms_ago: at.map(|at| millis(self.now - at)),
            detail: claim.obstacle.as_deref().map(str::to_owned),
        }
    }

    fn held_by_master(&self) -> Option<(NodeName, Option<Time>)> {
        let master = self.election.master.filter(|_| self.election.state != NodeState::Master)?;
        let peer = self.peer_view(master).filter(|peer| peer.heard)?;
        let report = peer.report.filter(|report| report.claim == ClaimState::Held)?;
        let at = peer.heard_at.zip(report.verified_ago).map(|(heard, ago)| heard.before(ago));
        Some((self.know.name_of(master), at))
    }

    /// Who last said that it held the address, and when that was verified there; also of one that fell silent.
    fn last_held(&self) -> Option<(NodeName, Time)> {
        let held = self.election.peers.iter().filter_map(|peer| {
            let report = peer.report.filter(|report| report.claim == ClaimState::Held)?;
            Some((peer.address, peer.heard_at?.before(report.verified_ago?)))
        });
        held.max_by_key(|(_, at)| *at).map(|(address, at)| (self.know.name_of(address), at))
    }

    fn holder(&self, look: &Look) -> Option<ClaimHolder> {
        match look.holder {
            Holder::Mine => Some(ClaimHolder::Node(self.know.identity.name.clone())),
            Holder::Member(member) => Some(ClaimHolder::Node(self.know.name_of(member))),
            Holder::Nobody => Some(ClaimHolder::Nobody),
            Holder::Foreign(droplet) => Some(ClaimHolder::Droplet(droplet)),
            Holder::Unknown => None,
        }
    }

    fn peer(&self, peer: &PeerView) -> Peer {
        let part = self.peer_part(peer.address);
        let bulletin = part.and_then(|part| part.bulletin.as_ref());
        let said = self.bulletin_of(peer.address);
        let link = self.links.iter().find(|link| link.address == peer.address);
        let report = peer.report.as_ref();
        let heard = report.filter(|_| peer.heard);
        Peer {
            node: bulletin
                .map(|bulletin| bulletin.name.clone())
                .or_else(|| self.know.known.members.get(&peer.address)?.name.clone()),
            address: peer.address,
            presence: presence(peer),
            state: report.map(|report| report.state),
            priority: report.map(|report| report.priority),
            term: report.map(|report| report.term),
            claim: report.map(|report| report.claim),
            witness: false,
            candidate: heard.map(|report| report.candidate),
            healthy: heard.and_then(|report| healthy(report, said)),
            heard_ms_ago: peer.heard_at.map(|at| millis(self.now - at)),
            hears_us: heard.map(|_| peer.echoed),
            loss: link.and_then(|link| link.loss).map(Loss::ratio),
            loss_of: link.and_then(|link| link.loss).map(|loss| loss.expected),
            rtt_us: link.and_then(|link| link.rtt).map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
            ready: heard.map(|report| report.readiness.ready),
            detail: said.and_then(|said| said.obstacle.clone().or_else(|| failing(said))),
            version: bulletin.map(|bulletin| bulletin.version.clone()),
            config_ok: heard.map(|report| report.settings == self.part.settings),
            reach: heard.map(|report| if report.reach { Reach::Reachable } else { Reach::Unreachable }),
            key_differs: peer.wrong_key_at.is_some_and(|at| self.now - at < COMPLAINT),
            other_protocol: link
                .and_then(|link| link.other_version)
                .filter(|(_, at)| self.now - *at < COMPLAINT)
                .map(|(version, _)| version),
            same_name: link.and_then(|link| link.own_name_at).is_some_and(|at| self.now - at < COMPLAINT),
            rejected: link.map(|link| link.counts).map_or_else(Rejected::default, |counts| Rejected {
                wrong_key: counts.wrong_key,
                replayed: counts.replayed,
                malformed: counts.malformed,
                other_version: counts.other_version,
                own_name: counts.own_name,
            }),
        }
    }

    /// Acts in force anywhere in the group.
    fn acts(&self) -> Vec<Act> {
        let own = self.know.acts.of(&self.part.name).cloned();
        let theirs = self.election.peers.iter().filter_map(|peer| self.bulletin_of(peer.address));
        own.chain(theirs.flat_map(|said| said.acts.iter().cloned())).collect()
    }
}

pub(super) fn presence(peer: &PeerView) -> Presence {
    let left = peer.report.is_some_and(|report| report.leaving.is_some());
    match (peer.heard, left, peer.heard_at) {
        (_, true, _) => Presence::Left,
        (true, false, _) => Presence::Heard,
        (false, false, Some(_)) => Presence::Silent,
        (false, false, None) => Presence::Never,
    }
}

/// A candidate is healthy by its heartbeat, which is newer than any bulletin; why it is
/// none only the bulletin says.
fn healthy(report: &GroupReport, said: Option<&GroupBulletin>) -> Option<bool> {
    let by_offer = report.offer.map(|offer| offer.cause == HandOver::Fault);
    match (report.candidate, by_offer) {
        (true, _) => Some(true),
        (false, Some(true)) => Some(false),
        (false, _) => said.map(|said| said.healthy),
    }
}

/// The first check that fails at a peer, in its own words.
pub(super) fn failing(said: &GroupBulletin) -> Option<String> {
    let check = said.checks.iter().find(|check| !check.ok)?;
    let detail = check.detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default();
    // It passed again, and has not yet done so `rise` times.
    let recovers = check.verdict == CheckVerdict::Ok;
    let verdict = if recovers { "recovering".to_owned() } else { check.verdict.to_string() };
    Some(format!("check {} {verdict}{detail}", check.name))
}

/// The fault for which a master handed over, in its own words. A check that recovers meanwhile is none.
pub(super) fn fault(said: &GroupBulletin) -> Option<String> {
    let fails = said.checks.iter().any(|check| !check.ok && check.verdict != CheckVerdict::Ok);
    fails.then(|| failing(said)).flatten()
}

fn word(source: Source) -> Word {
    match source {
        Source::Api => Word::Api,
        Source::Metadata => Word::Metadata,
    }
}

fn wall(at: Time) -> Stamp {
    clock::wall_at(at).into()
}
