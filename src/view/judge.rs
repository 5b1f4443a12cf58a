//! What follows from the facts: does the address serve, would a failover work,
//! what blocks it, how bad is it. Pure; the only place that answers these.

use std::cmp::Reverse;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::facts::{
    Act, ActKind, Check, CheckVerdict, Claim, ClaimHolder, GroupFacts, Hook, HookState, Peer, Presence, Reach,
    Severity, State, Waiting, Word,
};
use super::words::{self, age};
use crate::proto::claim::event::ClaimState;
use crate::proto::heartbeat::codec::VERSION;
use crate::proto::ids::NodeName;

/// A holder's word that is older is a warning: verification by metadata comes
/// each second, by the API after at most 10 s and one timeout of 5 s.
const VERIFIED_WITHIN: Duration = Duration::from_secs(15);

/// What follows from the facts of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Every claim points at a live member whose checks pass; null if nobody here can tell.
    pub served: Option<bool>,
    /// If the master died now, somebody ready would take over; null if that is not known.
    pub failover_ready: Option<bool>,
    /// Who would: the nodes that could take over now, by name, or by address while the name is not known.
    pub successors: Vec<String>,
    /// What blocks a failover now, each with its mend. Empty while one would work.
    pub blocked_by: Vec<String>,
    /// Everything that makes `severity` worse than ok, the most urgent first.
    pub concerns: Vec<String>,
    /// How bad it is.
    pub severity: Severity,
}

impl Verdict {
    /// What stands against this node, if anything: what is told of a node begins with its name.
    #[must_use]
    pub fn against(&self, node: &str) -> Option<&str> {
        let all = self.blocked_by.iter().chain(&self.concerns);
        all.map(String::as_str).find(|text| text.strip_prefix(node).is_some_and(|rest| rest.starts_with(' ')))
    }
}

/// One thing that stands between a node and the mastership. As text: what it is, then the mend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The node that it is about, by name, or by address while the name is not known; none means the whole group.
    pub node: Option<String>,
    /// What it is.
    pub what: String,
    /// What ends it: a command where there is one. None where `what` says it, or nobody here knows.
    pub mend: Option<String>,
}

impl Block {
    fn of(node: &str, what: String) -> Self {
        Self { node: Some(node.to_owned()), what, mend: None }
    }

    fn mended_by(self, mend: String) -> Self {
        Self { mend: Some(mend), ..self }
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.mend.as_ref().map_or(Ok(()), |mend| write!(f, "; {mend}"))
    }
}

/// What `haagent wait` waits for, on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WaitFor {
    /// Every check passes, and the node has left `init`.
    Healthy,
    /// The node is master.
    Master,
    /// The node is backup.
    Backup,
    /// The cloud says that this node holds every claim.
    Held,
}

impl fmt::Display for WaitFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "healthy",
            Self::Master => "master",
            Self::Backup => "backup",
            Self::Held => "held",
        })
    }
}

/// Judges the facts as `this` node knows them.
#[must_use]
pub fn judge(this: &NodeName, facts: &GroupFacts) -> Verdict {
    let mut concerns = Concerns::default();
    let failover = failover(this, facts);
    let served = served(this, facts, &failover, &mut concerns);
    if let Some((severity, text)) = two_masters(this, facts) {
        concerns.add(severity, text);
    }
    for block in failover.blocks.iter().chain(&failover.against) {
        concerns.add(Severity::Warning, block.to_string());
    }
    master_itself(this, facts, &mut concerns);
    probe(this, facts, &mut concerns);
    checks_with_weight(facts, &mut concerns);
    hooks(facts, &mut concerns);
    other_peers(facts, &mut concerns);
    let (severity, concerns) = concerns.sorted();
    Verdict {
        served,
        failover_ready: failover.ready,
        successors: failover.successors,
        blocked_by: failover.blocks.iter().map(Block::to_string).collect(),
        concerns,
        severity,
    }
}

/// Whether `this` node has reached, in this group, what `haagent wait` waits for.
#[must_use]
pub fn reached(what: WaitFor, facts: &GroupFacts) -> bool {
    let settled = facts.state != State::Init;
    match what {
        WaitFor::Healthy => {
            settled && facts.healthy == Some(true) && facts.checks.iter().all(|check| check.ok == Some(true))
        }
        WaitFor::Master => facts.state == State::Master,
        WaitFor::Backup => facts.state == State::Backup,
        WaitFor::Held => !facts.claims.is_empty() && facts.claims.iter().all(|claim| claim.state == ClaimState::Held),
    }
}

/// What `this` node still lacks to have reached `what`, in words; what `haagent wait` says while it waits.
#[must_use]
pub fn lacking(what: WaitFor, facts: &GroupFacts) -> String {
    match what {
        WaitFor::Healthy => match facts.checks.iter().find(|check| check.ok != Some(true)) {
            Some(check) => check_words(check),
            None => format!("the state is {}", words::state(facts.state)),
        },
        WaitFor::Master | WaitFor::Backup => format!("the state is {} ({})", words::state(facts.state), facts.reason),
        WaitFor::Held => match facts.claims.iter().find(|claim| claim.state != ClaimState::Held) {
            Some(claim) => {
                let state = words::claim(claim.state);
                let detail = claim.detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default();
                format!("{} is {state} here{detail}", address(claim))
            }
            None => "this group has no claim".to_owned(),
        },
    }
}

#[derive(Default)]
struct Concerns(Vec<(Severity, String)>);

impl Concerns {
    fn add(&mut self, severity: Severity, text: String) {
        if !self.0.iter().any(|(_, known)| *known == text) {
            self.0.push((severity, text));
        }
    }

    fn sorted(mut self) -> (Severity, Vec<String>) {
        self.0.sort_by_key(|(severity, _)| Reverse(*severity));
        let worst = self.0.first().map_or(Severity::Ok, |(severity, _)| *severity);
        (worst, self.0.into_iter().map(|(_, text)| text).collect())
    }
}

fn address(claim: &Claim) -> &str {
    claim.address.as_deref().unwrap_or("the address (not discovered yet)")
}

fn peer_named<'a>(facts: &'a GroupFacts, name: &NodeName) -> Option<&'a Peer> {
    facts.peers.iter().find(|peer| peer.node.as_ref() == Some(name) || peer.address.to_string() == name.as_str())
}

/// What a peer is called: its name, its address while the name is not known.
pub(crate) fn peer_name(peer: &Peer) -> String {
    peer.node.as_ref().map_or_else(|| peer.address.to_string(), ToString::to_string)
}

/// The drain of `node` that is in force, if there is one.
pub(super) fn drain_of<'a>(facts: &'a GroupFacts, node: &NodeName) -> Option<&'a Act> {
    facts.acts.iter().find(|act| act.kind == ActKind::Drain && act.node.as_ref().is_none_or(|drained| drained == node))
}

fn drained(who: &str, act: &Act) -> Block {
    Block::of(who, format!("{who} is drained by {}", act.by)).mended_by(format!("to end it: haagent resume (on {who})"))
}

/// A live droplet that is no member has the address: nobody takes it without being told to.
fn foreign(claim: &Claim) -> Option<Block> {
    let Some(ClaimHolder::Droplet(id)) = claim.holder else { return None };
    let what = format!("{} is held by droplet {id}, which is no member", address(claim));
    Some(Block { node: None, what, mend: Some("to take it from there: haagent failover --take".to_owned()) })
}

/// Question 1. One claim that does not serve, and the group does not.
fn served(this: &NodeName, facts: &GroupFacts, failover: &Failover, concerns: &mut Concerns) -> Option<bool> {
    if facts.claims.is_empty() && facts.master.is_none() {
        concerns.add(Severity::Critical, "no node is master".to_owned());
        return Some(false);
    }
    let mut all = Some(true);
    for claim in &facts.claims {
        let one = claim_served(this, facts, claim, failover, concerns);
        all = match (all, one) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (None, _) | (_, None) => None,
            (Some(true), Some(true)) => Some(true),
        };
    }
    all
}

fn claim_served(
    this: &NodeName,
    facts: &GroupFacts,
    claim: &Claim,
    failover: &Failover,
    concerns: &mut Concerns,
) -> Option<bool> {
    let what = address(claim);
    let Some(holder) = &claim.holder else {
        let why = claim.detail.as_deref().unwrap_or("nobody has answered yet");
        concerns.add(Severity::Unknown, format!("who holds {what} is not known: {why}"));
        return None;
    };
    let holder = match holder {
        ClaimHolder::Nobody => {
            concerns.add(Severity::Critical, format!("{what} is assigned to nobody"));
            return Some(false);
        }
        ClaimHolder::Droplet(_) => {
            if let Some(block) = foreign(claim) {
                concerns.add(Severity::Critical, block.to_string());
            }
            return Some(false);
        }
        ClaimHolder::Node(name) => name,
    };
    // Its holder stands by a claim that nothing can verify now (fail static). What was only
    // seen there, and is kept by nobody's word, may be anywhere by now.
    let held = claim.state == ClaimState::Held || claim.word == Some(Word::Peer);
    let old = claim.verified_ms_ago.map(Duration::from_millis).filter(|old| *old > VERIFIED_WITHIN);
    match old {
        Some(old) if held => concerns.add(Severity::Warning, format!("{what} was not verified for {}", age(old))),
        Some(old) => {
            let why = claim.detail.as_deref().unwrap_or("nobody has said more since");
            concerns.add(Severity::Unknown, format!("{what} was last seen at {holder} {} ago: {why}", age(old)));
        }
        None => {}
    }
    // Where it also keeps this node from a failover, that is told with the failover.
    let is_told = |detail: &&String| {
        let with_failover = failover.against.iter().any(|block| block.what.contains(detail.as_str()));
        with_failover || (old.is_some() && !held)
    };
    if let Some(detail) = claim.detail.as_ref().filter(|detail| !is_told(detail)) {
        concerns.add(Severity::Warning, detail.clone());
    }
    if facts.master.as_ref().is_some_and(|master| master != holder) {
        let master = facts.master.as_ref().map(ToString::to_string).unwrap_or_default();
        concerns.add(Severity::Warning, format!("{what} points at {holder}, and {master} is master"));
    }

    let healthy = if holder == this {
        facts.healthy
    } else {
        let Some(peer) = peer_named(facts, holder) else {
            concerns.add(Severity::Critical, format!("{what} points at {holder}, which is not among the peers"));
            return None;
        };
        match peer.presence {
            Presence::Heard => peer.healthy,
            // Its host is alive and nothing speaks against it; what is wrong is the key, or the release.
            Presence::Silent | Presence::Left | Presence::Never
                if peer.key_differs || peer.other_protocol.is_some() =>
            {
                None
            }
            // Its word is gone, and the service itself speaks.
            Presence::Silent | Presence::Left | Presence::Never if answers_now(facts) => {
                let mend = "mend the private network between the nodes, or the agent there";
                let put_off = if defers(facts) { ", so nothing is moved" } else { "" };
                concerns.add(
                    Severity::Warning,
                    format!(
                        "{what} points at {holder}, which is not heard; the service answers through it{put_off}: {mend}"
                    ),
                );
                return Some(true);
            }
            Presence::Silent | Presence::Left | Presence::Never => {
                concerns.add(
                    Severity::Critical,
                    format!("{what} points at {holder}, which is not heard: from here nobody knows whether it serves"),
                );
                return None;
            }
        }
    };
    if healthy == Some(false) {
        let why = if holder == this { failing_check(facts) } else { failing_there(facts, holder) };
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        let mend = format!("mend the service on {holder}; see haagent status and docker ps -a there");
        concerns.add(Severity::Critical, format!("{what} points at {holder}, whose checks fail{why}; {mend}"));
        return Some(false);
    }
    (held || old.is_none()).then_some(true)
}

/// The check that fails at a peer, by its own word.
fn failing_there(facts: &GroupFacts, holder: &NodeName) -> Option<String> {
    let detail = peer_named(facts, holder)?.detail.as_ref()?;
    detail.starts_with("check ").then(|| detail.clone())
}

/// The service was asked just now, through the address, and answered.
fn answers_now(facts: &GroupFacts) -> bool {
    facts.probe.as_ref().is_some_and(|probe| probe.probing && probe.answered == Some(true))
}

fn defers(facts: &GroupFacts) -> bool {
    facts.probe.as_ref().is_some_and(|probe| probe.defers)
}

/// A probe that is not answered while all is well would be taken for a death. What the holder itself
/// hears of it says nothing: its own packets need not come back to it.
fn probe(this: &NodeName, facts: &GroupFacts, concerns: &mut Concerns) {
    let Some(probe) = facts.probe.as_ref().filter(|probe| !probe.probing && probe.answered != Some(true)) else {
        return;
    };
    let (Some(master), Some(why)) = (facts.master.as_ref().filter(|master| *master != this), &probe.detail) else {
        return;
    };
    let held = facts.claims.iter().find(|claim| claim.holder.as_ref() == Some(&ClaimHolder::Node(master.clone())));
    let Some(claim) = held else { return };
    let (what, target) = (address(claim), &probe.target);
    concerns.add(
        Severity::Warning,
        match probe.answered {
            Some(_) => format!(
                "the probe {target} does not answer ({why}), though {master} holds {what}; as long as that lasts a cut \
                 link looks like a dead host; correct `probe`, or let the service answer there"
            ),
            None => format!(
                "the probe {target} cannot be asked: {why}; as long as that lasts nobody takes over from a silent master; \
                 write the address itself into `probe`, or mend that"
            ),
        },
    );
}

/// More than one master among the nodes that are heard, and how bad that is.
fn two_masters(this: &NodeName, facts: &GroupFacts) -> Option<(Severity, String)> {
    let held_here = facts.claims.iter().any(|claim| claim.state == ClaimState::Held);
    let heard = facts.peers.iter().filter(|peer| peer.presence == Presence::Heard);
    let masters: Vec<(String, bool)> = (facts.state == State::Master)
        .then(|| (this.to_string(), held_here))
        .into_iter()
        .chain(
            heard
                .filter(|peer| peer.state == Some(State::Master))
                .map(|peer| (peer_name(peer), peer.claim == Some(ClaimState::Held))),
        )
        .collect();
    let names = |only_holders: bool| {
        let chosen = masters.iter().filter(|(_, held)| *held || !only_holders);
        chosen.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" and ")
    };
    if masters.iter().filter(|(_, held)| *held).count() > 1 {
        Some((Severity::Critical, format!("two holders: {} each believe that they hold the address", names(true))))
    } else if masters.len() > 1 {
        Some((Severity::Warning, format!("two masters: {}; one will yield", names(false))))
    } else {
        None
    }
}

/// What one node would do if the master died now.
enum Successor {
    Ready,
    /// It may be ready; it has not said so.
    Perhaps(Block),
    Blocked(Block),
}

/// Question 3: what would happen if the master died now.
pub(super) struct Failover {
    /// Somebody ready would take over; none if that is not known.
    pub(super) ready: Option<bool>,
    /// Who could, in no order.
    pub(super) successors: Vec<String>,
    /// What blocks it. Empty while it would work.
    pub(super) blocks: Vec<Block>,
    /// What stands against single nodes, whether the failover works without them or not.
    pub(super) against: Vec<Block>,
}

/// Whether this peer is the master that `this` node goes by. One that uses this node's name is
/// not the master of that name.
pub(super) fn is_master(facts: &GroupFacts, peer: &Peer) -> bool {
    !peer.same_name && peer.node.is_some() && peer.node == facts.master
}

/// Question 3.
pub(super) fn failover(this: &NodeName, facts: &GroupFacts) -> Failover {
    let this_is_master = facts.master.as_ref() == Some(this);
    let own = (!facts.witness && !this_is_master).then(|| (this.to_string(), this_as_successor(this, facts)));
    let peers = facts.peers.iter().filter(|peer| !peer.witness && !is_master(facts, peer));
    let others = peers.map(|peer| (peer_name(peer), peer_as_successor(facts, peer)));

    let (mut successors, mut against, mut some_perhaps) = (Vec::new(), Vec::new(), false);
    for (name, successor) in own.into_iter().chain(others) {
        match successor {
            Successor::Ready => successors.push(name),
            Successor::Perhaps(block) => {
                some_perhaps = true;
                against.push(block);
            }
            Successor::Blocked(block) => against.push(block),
        }
    }
    if successors.is_empty() && against.is_empty() {
        let what = "no other node could take over: the group has none".to_owned();
        against.push(Block { node: None, what, mend: Some("add one to `peers`".to_owned()) });
    }

    if let Some(foreign) = facts.claims.iter().find_map(foreign) {
        let blocks = [foreign].into_iter().chain(against.iter().cloned()).collect();
        return Failover { ready: Some(false), successors: Vec::new(), blocks, against };
    }
    let (ready, blocks) = match (successors.is_empty(), some_perhaps) {
        // What stands against the others is a concern, and blocks nothing.
        (false, _) => (Some(true), Vec::new()),
        (true, true) => (None, against.clone()),
        (true, false) => (Some(false), against.clone()),
    };
    Failover { ready, successors, blocks, against }
}

fn this_as_successor(this: &NodeName, facts: &GroupFacts) -> Successor {
    let block = |what| Block::of(this.as_str(), what);
    if let Some(act) = drain_of(facts, this) {
        return Successor::Blocked(drained(this.as_str(), act));
    }
    if facts.state == State::Init {
        return Successor::Perhaps(block(format!("{this} is starting")));
    }
    if !facts.candidate {
        let why = failing_check(facts).or_else(|| facts.detail.clone()).unwrap_or_else(|| facts.reason.clone());
        let block = block(format!("{this} is no candidate: {why}"));
        let saw = deciding_failure(facts)
            .is_some_and(|check| check.kind == "docker" && check.verdict == CheckVerdict::Failed);
        return Successor::Blocked(if saw { block.mended_by("see docker ps -a".to_owned()) } else { block });
    }
    if facts.deposed {
        let what =
            format!("{this} was deposed: it waits until the holder of the address is heard, or known to be gone");
        let mend = "mend the private network to the holder, start its agent (systemctl start haagent there), or power \
                    its droplet off";
        return Successor::Blocked(block(what).mended_by(mend.to_owned()));
    }
    if let Some(waiting) = facts.waiting.as_ref().filter(|waiting| facts.master.is_none() && babbles(waiting)) {
        let mend = "make the heartbeats readable (the same key file, the same version of haagent), or stop that agent";
        let what = format!("{this} does not take over: {}", waiting.what);
        return Successor::Blocked(block(what).mended_by(mend.to_owned()));
    }
    readiness(this.as_str(), facts.ready, facts.reach, facts.detail.as_deref())
}

/// Whether it waits for a host that is not silent and says nothing.
fn babbles(waiting: &Waiting) -> bool {
    matches!(waiting.kind.as_str(), words::HOLDER_BABBLES | words::DEPOSER_BABBLES)
}

fn peer_as_successor(facts: &GroupFacts, peer: &Peer) -> Successor {
    let name = peer_name(peer);
    let block = |what| Block::of(&name, what);
    if peer.key_differs {
        let mend = "put the same key file on every node, then haagent reload there";
        return Successor::Blocked(block(format!("key differs from {}", peer.address)).mended_by(mend.to_owned()));
    }
    if let Some(theirs) = peer.other_protocol {
        let what =
            format!("{} speaks version {theirs} of the heartbeat protocol, this node version {VERSION}", peer.address);
        let older = if theirs < VERSION { format!("on {name}") } else { "on this node".to_owned() };
        return Successor::Blocked(block(what).mended_by(format!("upgrade haagent {older}, the older one")));
    }
    if peer.same_name {
        let mend = "give one of them another node.name and restart its agent (systemctl restart haagent)".to_owned();
        return Successor::Blocked(block(format!("{} uses this node's name", peer.address)).mended_by(mend));
    }
    let look_there = format!("see ping -c 3 {}, and systemctl status haagent there", peer.address);
    match peer.presence {
        Presence::Heard => {}
        Presence::Silent => {
            let silence = peer.heard_ms_ago.map(|ms| format!(" for {}", age(Duration::from_millis(ms))));
            let what = format!(
                "{name} is silent{}: its host, its agent or the network between is down",
                silence.unwrap_or_default()
            );
            return Successor::Blocked(block(what).mended_by(look_there));
        }
        Presence::Left => {
            let mend = "systemctl start haagent there".to_owned();
            return Successor::Blocked(block(format!("{name} left: its agent was stopped")).mended_by(mend));
        }
        Presence::Never => {
            let what =
                format!("{name} was never heard: is haagent running there, and does the firewall let its UDP through?");
            return Successor::Blocked(block(what).mended_by(look_there));
        }
    }
    if peer.hears_us == Some(false) {
        let what = format!(
            "{name} is heard and does not hear this node: the network or a firewall is open in one direction only"
        );
        let mend = format!("let the heartbeats' UDP through from here to {}", peer.address);
        return Successor::Blocked(block(what).mended_by(mend));
    }
    if let Some(act) = peer.node.as_ref().and_then(|node| drain_of(facts, node)) {
        return Successor::Blocked(drained(&name, act));
    }
    if peer.state == Some(State::Init) {
        return Successor::Perhaps(block(format!("{name} is starting")));
    }
    if peer.candidate == Some(false) || peer.state == Some(State::Fault) {
        let why = peer.detail.as_deref().unwrap_or("see haagent status there");
        return Successor::Blocked(block(format!("{name} is no candidate: {why}")));
    }
    readiness(&name, peer.ready, peer.reach, peer.detail.as_deref())
}

fn readiness(name: &str, ready: Option<bool>, reach: Option<Reach>, detail: Option<&str>) -> Successor {
    let block = |what| Block::of(name, what);
    if reach == Some(Reach::Unreachable) {
        return Successor::Blocked(unreached(name));
    }
    match ready {
        Some(true) => Successor::Ready,
        Some(false) => {
            Successor::Blocked(block(format!("{name} could not claim: {}", detail.unwrap_or("it does not say why"))))
        }
        None => Successor::Perhaps(block(format!("{name} has not yet proved that it could claim"))),
    }
}

fn unreached(name: &str) -> Block {
    let mend = format!("see the uplink and the name servers of {name}, and the provider's status page");
    Block::of(name, format!("{name} does not reach the provider's API")).mended_by(mend)
}

/// A master that serves and has troubles of its own: they are those of the next failover.
fn master_itself(this: &NodeName, facts: &GroupFacts, concerns: &mut Concerns) {
    if facts.state != State::Master {
        return;
    }
    if let Some(act) = drain_of(facts, this) {
        concerns.add(Severity::Warning, drained(this.as_str(), act).to_string());
    }
    // What fails a claim is told with the claim.
    let told = facts.detail.is_some() && facts.claims.iter().any(|claim| claim.detail == facts.detail);
    if facts.reach == Some(Reach::Unreachable) {
        concerns.add(Severity::Warning, unreached(this.as_str()).to_string());
    } else if facts.ready == Some(false) && !told {
        let why = facts.detail.as_deref().unwrap_or("it does not say why");
        concerns.add(Severity::Warning, format!("{this} could not claim again: {why}"));
    }
}

fn checks_with_weight(facts: &GroupFacts, concerns: &mut Concerns) {
    for check in facts.checks.iter().filter(|check| check.weight.is_some() && check.ok == Some(false)) {
        concerns.add(Severity::Warning, check_words(check));
    }
}

/// Hooks of the present state that do not succeed. Those of a state that is over are past.
fn hooks(facts: &GroupFacts, concerns: &mut Concerns) {
    let present = |hook: &&Hook| match facts.state {
        State::Master => matches!(hook.name.as_str(), "promote" | "on_master"),
        State::Backup => hook.name == "on_backup",
        State::Fault => hook.name == "on_fault",
        State::Init => false,
    };
    for hook in facts.hooks.iter().filter(present) {
        match hook.state {
            HookState::Failed | HookState::Timeout | HookState::Refused => {
                concerns.add(Severity::Warning, format!("{}; it is run again until it succeeds", hook_words(hook)));
            }
            // The run before did not succeed, or this would be the first.
            HookState::Running if hook.attempts > 1 => {
                concerns.add(
                    Severity::Warning,
                    format!("hook {} failed, and runs for the {} time", hook.name, nth(hook.attempts)),
                );
            }
            HookState::Idle | HookState::Running | HookState::Ok => {}
        }
    }
}

fn hook_words(hook: &Hook) -> String {
    let code = hook.exit_code.map(|code| format!("exit code {code}"));
    let attempt = (hook.attempts > 1).then(|| format!("attempt {}", hook.attempts));
    let facts: Vec<String> = code.into_iter().chain(attempt).collect();
    let facts = if facts.is_empty() { String::new() } else { format!(" ({})", facts.join(", ")) };
    let detail = hook.detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default();
    format!("hook {} {}{facts}{detail}", hook.name, hook.state)
}

fn nth(number: u32) -> String {
    let ending = match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// What is wrong with peers beside their being successors.
fn other_peers(facts: &GroupFacts, concerns: &mut Concerns) {
    for peer in &facts.peers {
        let name = peer_name(peer);
        if peer.config_ok == Some(false) {
            concerns.add(
                Severity::Warning,
                format!("{name} has other settings for this group: put the same file on every node"),
            );
        }
        if peer.presence == Presence::Heard
            && peer.state == Some(State::Master)
            && let Some(claim @ (ClaimState::Lost | ClaimState::Failing)) = peer.claim
        {
            // What this node last saw of the cloud may be older than its master's trouble.
            concerns.add(Severity::Warning, format!("{name} is master, and its claim is {}", words::claim(claim)));
        }
        if peer.witness && peer.presence != Presence::Heard {
            concerns.add(Severity::Warning, format!("witness {name} is not heard"));
        }
    }
}

/// The first check that makes the node no candidate, in words.
pub(super) fn failing_check(facts: &GroupFacts) -> Option<String> {
    deciding_failure(facts).map(check_words)
}

fn deciding_failure(facts: &GroupFacts) -> Option<&Check> {
    facts.checks.iter().find(|check| check.weight.is_none() && check.ok == Some(false))
}

fn check_words(check: &Check) -> String {
    let verdict = match (check.ok, check.verdict) {
        // It passed again, and has not yet done so `rise` times.
        (Some(false), CheckVerdict::Ok) => "recovering".to_owned(),
        (_, verdict) => verdict.to_string(),
    };
    match &check.detail {
        Some(detail) => format!("check {} {verdict}: {detail}", check.name),
        None => format!("check {} {verdict}", check.name),
    }
}

#[cfg(test)]
mod tests;
