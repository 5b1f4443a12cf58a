//! Why this node is or is not master, and what would happen if the master died now: the answers
//! for somebody who was woken at three, and for the morning after.
//!
//! Made of a [`Status`], so it says nothing that a snapshot does not know, and what follows from
//! the facts is [`judge`]'s to say, here in its words. As JSON it is an interface, described in
//! `docs/status.md`, under the rules of [`status`](super::status).

use std::time::Duration;

use serde::Serialize;

use super::judge::{self, Block};
use super::status::{Act, Claim, Group, GroupFacts, Move, Peer, Presence, Stamp, State, Status, Waiting, millis};
use super::words::{self, age};
use crate::proto::claim::event::ClaimState;
use crate::proto::election::event::dead_interval;
use crate::proto::election::rank::{Contender, rank, skew};
use crate::proto::ids::{GroupName, NodeName, Priority, Term};

/// Of [`Failover::needs`].
pub(super) const PROBE: &str = "probe";

/// The answers of one node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Why {
    /// When the snapshot was taken. Ages on the screen are counted from here.
    pub at: Stamp,
    /// The node that was asked.
    pub node: NodeName,
    /// The groups, in the order of their names.
    pub groups: Vec<GroupWhy>,
}

/// The answers about one group.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupWhy {
    /// The group's name.
    pub name: GroupName,
    /// What this node is, and who is master, in one sentence.
    pub answer: String,
    /// Who is master, and why; none if none is heard.
    pub master: Option<Master>,
    /// Where the address is, by whose word, and how old that is.
    pub claims: Vec<Claim>,
    /// What is wrong beside what blocks a failover, the most urgent first.
    pub problems: Vec<String>,
    /// This node's state.
    pub state: State,
    /// Since when.
    pub since: Stamp,
    /// Why: a word of [`words::reason`].
    pub reason: String,
    /// The same as a sentence, with what it rests on.
    pub evidence: Option<String>,
    /// Why this node is master, or is not, as things stand now.
    pub because: Vec<String>,
    /// What it waits for; null if it is master.
    pub waiting: Option<Waiting>,
    /// What would happen if the master died now.
    pub failover: Failover,
    /// What people asked for and is still in force, anywhere in the group.
    pub acts: Vec<Act>,
    /// The last time that the address changed its node.
    pub last_move: Option<Move>,
    /// Commands that tell more.
    pub look_next: Vec<String>,
}

/// Who is master, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Master {
    /// Its name, or its address while the name is not known.
    pub node: NodeName,
    /// Since when.
    pub since: Option<Stamp>,
    /// By which term.
    pub term: Term,
    /// Why it became master: a word of [`words::reason`].
    pub reason: Option<String>,
    /// The same as a sentence; with what it rested on, if this node knows that.
    pub evidence: Option<String>,
}

/// What would happen if the master died now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failover {
    /// Somebody ready would take over; null if that is not known.
    pub ready: Option<bool>,
    /// Who would, and when, the first one first.
    pub turns: Vec<Turn>,
    /// What must be known for that: "silence", and "probe" where one is configured: it must fail.
    pub needs: Vec<&'static str>,
    /// What blocks it. Empty while it would work.
    pub blocks: Vec<Block>,
}

/// When a node would take over.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Turn {
    /// Its name, or its address while the name is not known.
    pub node: String,
    /// So long after the master's last heartbeat: the dead interval, and half an interval for each
    /// candidate before it. The provider's part, the assign, comes on top.
    pub after_ms: u64,
}

/// The answers to be had from a snapshot.
#[must_use]
pub fn why(status: &Status) -> Why {
    let groups = status.groups.iter().map(|group| one_group(status, group)).collect();
    Why { at: status.at, node: status.node.clone(), groups }
}

fn one_group(status: &Status, Group { facts, verdict }: &Group) -> GroupWhy {
    let failover = judge::failover(&status.node, facts);
    let blocks: Vec<Block> = failover.blocks.iter().cloned().map(|block| with_mend(&status.node, block)).collect();
    let because = because(&status.node, facts, &failover);
    let told = |concern: &&String| {
        let as_block = failover.blocks.iter().any(|block| block.to_string() == **concern);
        as_block || because.iter().any(|line| line.contains(concern.as_str()))
    };
    let problems = verdict.concerns.iter().filter(|concern| !told(concern)).cloned().collect();
    GroupWhy {
        name: facts.name.clone(),
        answer: answer(&status.node, facts),
        master: facts.master.as_ref().map(|master| why_master(&status.node, facts, master)),
        claims: facts.claims.clone(),
        problems,
        state: facts.state,
        since: facts.since,
        reason: facts.reason.clone(),
        evidence: facts.evidence.clone(),
        because,
        waiting: facts.waiting.clone(),
        failover: Failover {
            ready: failover.ready,
            turns: turns(status, facts, &failover.successors),
            needs: ["silence"].into_iter().chain(facts.probe.as_ref().map(|_| PROBE)).collect(),
            blocks,
        },
        acts: facts.acts.clone(),
        last_move: facts.last_move.clone(),
        look_next: look_next(&status.node, facts),
    }
}

fn answer(this: &NodeName, facts: &GroupFacts) -> String {
    let (group, is) = (&facts.name, standing(this, facts));
    let others: Vec<String> = other_masters(this, facts).map(judge::peer_name).collect();
    match (&facts.master, facts.state, others.as_slice()) {
        (_, State::Master, []) => format!("{this} is {is} in group {group}"),
        (_, State::Master, others) => format!("{this} is {is} in group {group}, and so is {}", others.join(" and ")),
        (Some(master), _, others) => {
            let more: Vec<String> = others.iter().filter(|other| **other != master.as_str()).cloned().collect();
            let more = if more.is_empty() { String::new() } else { format!(", and so is {}", more.join(" and ")) };
            format!("{this} is {is} in group {group}: {master} is master{more}")
        }
        (None, _, []) => format!("{this} is {is} in group {group}: no master is heard"),
        (None, _, others) => {
            format!("{this} is {is} in group {group}: {} says that it is master", others.join(" and "))
        }
    }
}

/// The state, in the words of whoever asks: a drain is no fault.
fn standing(this: &NodeName, facts: &GroupFacts) -> &'static str {
    match facts.state {
        _ if facts.witness => "a witness",
        State::Fault if judge::drain_of(facts, this).is_some() => "drained",
        State::Fault => "in fault",
        State::Init => "in init",
        State::Backup | State::Master => words::state(facts.state),
    }
}

/// The peers that are heard and say that they are master.
fn other_masters<'a>(this: &NodeName, facts: &'a GroupFacts) -> impl Iterator<Item = &'a Peer> {
    let this = this.clone();
    let heard = facts.peers.iter().filter(|peer| peer.presence == Presence::Heard);
    heard.filter(move |peer| peer.state == Some(State::Master) && peer.node.as_ref() != Some(&this))
}

fn why_master(this: &NodeName, facts: &GroupFacts, master: &NodeName) -> Master {
    // The move that made it master is in every node's history.
    let made = facts.last_move.as_ref().filter(|made| made.to.as_ref() == Some(master) && made.term == facts.term);
    // It may have learnt more of it since than it knew when it took over.
    let own = facts.evidence.as_ref().filter(|_| master == this);
    let evidence = made.and_then(|made| made.evidence.as_ref()).or(own).cloned();
    let in_general = || facts.master_reason.as_deref().and_then(words::became_master).map(str::to_owned);
    Master {
        node: master.clone(),
        since: facts.master_since,
        term: facts.term,
        reason: facts.master_reason.clone(),
        evidence: evidence.or_else(in_general),
    }
}

fn because(this: &NodeName, facts: &GroupFacts, failover: &judge::Failover) -> Vec<String> {
    if facts.state == State::Master {
        return as_master(this, facts);
    }
    if facts.witness {
        return vec!["a witness votes, and is never master".to_owned()];
    }
    let mut lines = Vec::new();
    // The group's own block is one of this node too.
    let group_wide = failover.blocks.iter().filter(|block| block.node.is_none());
    let own = failover.against.iter().filter(|block| block.node.as_deref() == Some(this.as_str()));
    lines.extend(group_wide.chain(own).map(Block::to_string));
    if facts.candidate {
        lines.push(format!("it is a candidate: {}", place(facts)));
    }
    let master = facts.peers.iter().find(|peer| judge::is_master(facts, peer)).filter(|_| facts.candidate);
    let below =
        master.and_then(|peer| Some((peer, peer.priority.filter(|theirs| facts.effective_priority > *theirs)?)));
    if let Some((peer, theirs)) = below {
        lines.push(format!(
            "its priority is above {}'s ({theirs}): with `preempt = true` it asks for the mastership after \
             `preempt_delay`",
            judge::peer_name(peer)
        ));
    }
    lines
}

/// What the node waits for, unless it is told anyway, as what stands against it.
#[must_use]
pub(super) fn untold_waiting(group: &GroupWhy) -> Option<&Waiting> {
    group.waiting.as_ref().filter(|waiting| match waiting.kind.as_str() {
        words::NOT_CANDIDATE | words::FOREIGN | words::HOLDER_BABBLES | words::DEPOSER_BABBLES => {
            waiting.until.is_some()
        }
        // What is no candidate waits for more than that.
        words::MASTER_HEARD => group.state == State::Backup,
        _ => true,
    })
}

fn place(facts: &GroupFacts) -> String {
    let rank = facts.rank.map(|rank| format!(", rank {rank} (0 goes first)")).unwrap_or_default();
    let of =
        if facts.priority == facts.effective_priority { String::new() } else { format!(" (of {})", facts.priority) };
    format!("priority {}{of}{rank}", facts.effective_priority)
}

fn as_master(this: &NodeName, facts: &GroupFacts) -> Vec<String> {
    let mut lines = Vec::new();
    for claim in &facts.claims {
        let what = claim.address.as_deref().unwrap_or("the address");
        let detail = claim.detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default();
        lines.push(match claim.state {
            ClaimState::Held => match claim.verified_ms_ago {
                Some(ms) => format!("it holds {what}, verified {} ago", age(Duration::from_millis(ms))),
                None => format!("it holds {what}, not verified since the takeover"),
            },
            ClaimState::Claiming => format!("it claims {what}, which is not verified yet{detail}"),
            ClaimState::Failing => format!("its claim of {what} fails, and is tried again{detail}"),
            ClaimState::Lost => format!("{what} was taken away from it: it looks where it is now{detail}"),
            ClaimState::Idle => format!("it has not begun to claim {what}{detail}"),
        });
    }
    if !facts.candidate {
        let why = judge::drain_of(facts, this).map_or_else(
            || judge::failing_check(facts).unwrap_or_else(|| "it is no candidate".to_owned()),
            |act| format!("it is drained by {}", act.by),
        );
        lines.push(format!("it stays master until somebody ready takes it: {why}"));
    } else {
        lines.push(format!("it is a candidate: {}", place(facts)));
    }
    lines
}

/// A block of another node whose mend nobody here knows: that node does.
fn with_mend(this: &NodeName, block: Block) -> Block {
    let elsewhere = block.node.clone().filter(|node| *node != this.as_str());
    Block {
        mend: block.mend.or_else(|| elsewhere.map(|node| format!("to see more: haagent why (on {node})"))),
        ..block
    }
}

/// Rule 7's order among the candidates that are heard, if the master were gone.
fn turns(status: &Status, facts: &GroupFacts, successors: &[String]) -> Vec<Turn> {
    let interval = Duration::from_millis(status.interval_ms);
    let own = (facts.candidate && facts.state != State::Master).then_some((
        status.node.to_string(),
        Contender { address: status.address, priority: facts.effective_priority },
    ));
    let others = facts.peers.iter().filter(|peer| {
        let candidate = peer.presence == Presence::Heard && peer.candidate == Some(true);
        candidate && !peer.witness && !judge::is_master(facts, peer)
    });
    let others = others.map(|peer| {
        let priority = peer.priority.unwrap_or(Priority::DEFAULT);
        (judge::peer_name(peer), Contender { address: peer.address, priority })
    });
    let all: Vec<(String, Contender)> = own.into_iter().chain(others).collect();
    let mut turns: Vec<Turn> = all
        .iter()
        .filter(|(node, _)| successors.contains(node))
        .map(|(node, me)| {
            let ahead = all.iter().map(|(_, other)| *other).filter(|other| other.address != me.address);
            let after = dead_interval(interval) + skew(interval, rank(*me, None, ahead));
            Turn { node: node.clone(), after_ms: millis(after) }
        })
        .collect();
    turns.sort_by_key(|turn| turn.after_ms);
    turns
}

fn look_next(this: &NodeName, facts: &GroupFacts) -> Vec<String> {
    let elsewhere = facts.master.as_ref().filter(|master| *master != this).into_iter();
    let told =
        facts.peers.iter().filter(|peer| peer.presence == Presence::Heard && facts.master.as_ref() == Some(this));
    let others = elsewhere.map(ToString::to_string).chain(told.map(judge::peer_name));
    ["haagent status".to_owned(), "haagent history".to_owned()]
        .into_iter()
        .chain(others.map(|node| format!("haagent why (on {node})")))
        .collect()
}
