//! The control socket's side of the agent: it passes acts on to the brain, waits for
//! what follows by looking at the snapshot, and answers in words.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::history_entries;
use crate::control::server::{Caller, Handler};
use crate::control::wait;
use crate::control::wire::{LONGEST_WAIT, Refusal, Request, Response, all_groups, one_group};
use crate::proto::claim::event::ClaimState;
use crate::proto::ids::{GroupName, NodeName};
use crate::view::history::History;
use crate::view::judge::peer_name;
use crate::view::status::{ActKind, ClaimHolder, GroupFacts, State, Status, Word};

/// Requests on their way to the brain: more than the connections that the server allows.
pub(super) const ASKS: usize = 64;

/// The brain answers within one turn of its loop, and a view of the heart takes one of the heart's.
const PROMPT: Duration = Duration::from_secs(3);

/// Longer than the files may take to be read, shorter than the server waits for an answer.
const RELOADING: Duration = Duration::from_secs(8);

/// What only the brain can do.
#[derive(Debug)]
pub(super) enum Ask {
    /// Publish a new snapshot.
    Refresh(oneshot::Sender<()>),
    /// Read the configuration again.
    Reload { reason: Option<String>, by: String, answer: oneshot::Sender<Response> },
    /// Do this; the answer is whether it was taken.
    Act { act: Act, by: String, answer: oneshot::Sender<Result<String, Refusal>> },
}

/// An act of an operator, its groups resolved.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Drain { groups: Vec<GroupName>, reason: Option<String>, lasts: Option<Duration> },
    Resume { groups: Vec<GroupName>, reason: Option<String> },
    Failover { group: GroupName, to: Option<NodeName>, take: bool, reason: Option<String> },
    Restart { reason: Option<String> },
}

/// Answers requests.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) asks: mpsc::Sender<Ask>,
    pub(super) snapshots: watch::Receiver<Arc<Status>>,
    pub(super) history: Arc<History>,
}

impl Handler for Desk {
    async fn handle(&self, request: Request, caller: Caller) -> Response {
        match request {
            Request::Status {} => match self.fresh().await {
                Some(status) => Response::Status { status: Box::new(Status::clone(&status)) },
                None => busy(),
            },
            Request::History { group, limit } => {
                let entries = history_entries(&self.history, group.as_ref(), limit);
                // A group that the configuration no longer has may still have a history.
                match self.groups(group.as_ref(), "history") {
                    Err(refusal) if entries.is_empty() => Response::Refused(refusal),
                    Ok(_) | Err(_) => Response::History { entries },
                }
            }
            Request::Wait { group, what, timeout_ms } => {
                let timeout = Duration::from_millis(timeout_ms).min(LONGEST_WAIT);
                wait::wait(self.snapshots.clone(), group, what, timeout, &caller).await
            }
            Request::Drain { group, reason, for_ms, timeout_ms } => {
                let groups = match self.groups(group.as_ref(), "drain") {
                    Ok(groups) => groups,
                    Err(refusal) => return Response::Refused(refusal),
                };
                let act = Act::Drain { groups: groups.clone(), reason, lasts: for_ms.map(Duration::from_millis) };
                self.act(act, &caller, timeout_ms, |status| not_handed_over(status, &groups)).await
            }
            Request::Resume { group, reason } => match self.groups(group.as_ref(), "resume") {
                Ok(groups) => self.act(Act::Resume { groups, reason }, &caller, 0, |_| None).await,
                Err(refusal) => Response::Refused(refusal),
            },
            Request::Failover { group, to, dry_run, take, reason, timeout_ms } => {
                let Some(status) = self.fresh().await else { return busy() };
                let names = names(&status);
                let group = match one_group(&names, group.as_ref(), "failover") {
                    Ok(group) => group.clone(),
                    Err(refusal) => return Response::Refused(refusal),
                };
                if let Some(to) = to.as_ref().filter(|to| is_there(&status, &group, to)) {
                    return Response::Done { message: format!("group {group} is on {to} already") };
                }
                if dry_run {
                    return dry(&status, &group, to.as_ref(), take);
                }
                let act = Act::Failover { group: group.clone(), to: to.clone(), take, reason };
                let moved = self.act(act, &caller, timeout_ms, |status| {
                    not_moved(status, &group, to.as_ref(), take).map(Lack::Yet)
                });
                match moved.await {
                    // Which node it was is known only now.
                    Response::Done { message } if to.is_none() => Response::Done {
                        message: holder(&self.snapshots.borrow(), &group)
                            .map_or(message, |holder| format!("group {group} is on {holder}")),
                    },
                    other => other,
                }
            }
            Request::Reload { reason } => self.reload(reason, &caller).await,
            Request::Restart { reason } => self.act(Act::Restart { reason }, &caller, 0, |_| None).await,
        }
    }
}

impl Desk {
    /// A snapshot that is younger than the request.
    async fn fresh(&self) -> Option<Arc<Status>> {
        let (done, refreshed) = oneshot::channel();
        self.asks.try_send(Ask::Refresh(done)).ok()?;
        tokio::time::timeout(PROMPT, refreshed).await.ok()?.ok()?;
        Some(self.snapshots.borrow().clone())
    }

    async fn reload(&self, reason: Option<String>, caller: &Caller) -> Response {
        let (answer, answered) = oneshot::channel();
        let ask = Ask::Reload { reason, by: caller.user.clone(), answer };
        if self.asks.try_send(ask).is_err() {
            return busy();
        }
        match tokio::time::timeout(RELOADING, answered).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) | Err(_) => busy(),
        }
    }

    fn groups(&self, named: Option<&GroupName>, what: &str) -> Result<Vec<GroupName>, Refusal> {
        let names = names(&self.snapshots.borrow());
        all_groups(&names, named, what).map(|groups| groups.into_iter().cloned().collect())
    }

    /// Has the brain do it, then waits until `lacks` finds nothing more.
    async fn act(
        &self,
        act: Act,
        caller: &Caller,
        timeout_ms: u64,
        lacks: impl Fn(&Status) -> Option<Lack>,
    ) -> Response {
        let lasts = matches!(act, Act::Drain { .. });
        let (answer, taken) = oneshot::channel();
        if self.asks.try_send(Ask::Act { act, by: caller.user.clone(), answer }).is_err() {
            return busy();
        }
        let message = match tokio::time::timeout(PROMPT, taken).await {
            Ok(Ok(Ok(message))) => message,
            Ok(Ok(Err(refusal))) => return Response::Refused(refusal),
            Ok(Err(_)) | Err(_) => return busy(),
        };
        // A snapshot from before it has no word of what lasts, as if somebody had ended it.
        if lasts && self.fresh().await.is_none() {
            return busy();
        }
        let mut snapshots = self.snapshots.clone();
        let mut last = String::new();
        let finished = async {
            loop {
                match lacks(&snapshots.borrow_and_update()) {
                    None => return Ok(()),
                    Some(Lack::Yet(now)) => {
                        if now != last {
                            caller.progress(&now);
                            last = now;
                        }
                    }
                    Some(Lack::Never(refusal)) => return Err(refusal),
                }
                if snapshots.changed().await.is_err() {
                    return Ok(());
                }
            }
        };
        let timeout = Duration::from_millis(timeout_ms).min(LONGEST_WAIT);
        // The deadline's own margin: an answer must still leave before the server cuts it off.
        match tokio::time::timeout(timeout.saturating_sub(Duration::from_millis(100)), finished).await {
            Ok(Ok(())) => Response::Done { message },
            Ok(Err(refusal)) => Response::Refused(refusal),
            Err(_) => Response::Begun { message: if last.is_empty() { message } else { last } },
        }
    }
}

fn busy() -> Response {
    Response::Error { message: "the agent did not answer in time: look at journalctl -u haagent".to_owned() }
}

fn names(status: &Status) -> Vec<GroupName> {
    status.groups.iter().map(|group| group.facts.name.clone()).collect()
}

fn facts<'a>(status: &'a Status, group: &GroupName) -> Option<&'a GroupFacts> {
    status.groups.iter().map(|group| &group.facts).find(|facts| facts.name == *group)
}

/// The member that holds the address of a group, where that is known.
fn holder(status: &Status, group: &GroupName) -> Option<NodeName> {
    match &facts(status, group)?.claims.first()?.holder {
        Some(ClaimHolder::Node(holder)) => Some(holder.clone()),
        Some(ClaimHolder::Droplet(_) | ClaimHolder::Nobody) | None => None,
    }
}

/// What an act has not come to.
enum Lack {
    Yet(String),
    /// Nothing comes any more.
    Never(Refusal),
}

/// What a drain still waits for: whoever drains a host is about to switch it off.
fn not_handed_over(status: &Status, groups: &[GroupName]) -> Option<Lack> {
    groups.iter().find_map(|name| {
        let facts = facts(status, name)?;
        if !facts.acts.iter().any(|act| act.kind == ActKind::Drain && act.node.as_ref() == Some(&status.node)) {
            return Some(Lack::Never(Refusal {
                what: "drain".to_owned(),
                why: format!("group {name}: the drain was ended before it had come so far"),
                mend: "haagent history says by whom".to_owned(),
            }));
        }
        if facts.state == State::Master {
            return Some(Lack::Yet(format!(
                "group {name}: drained; {} stays master until somebody ready takes over",
                status.node
            )));
        }
        // The snapshot before the drain took effect says nothing yet.
        if facts.state == State::Backup && facts.candidate {
            return Some(Lack::Yet(format!("group {name}: the drain takes effect")));
        }
        let here = holder(status, name).is_some_and(|holder| holder == status.node);
        let next = facts.master.as_ref().map_or("another node", NodeName::as_str);
        here.then(|| Lack::Yet(format!("group {name}: drained; waiting until {next} holds the address")))
    })
}

/// What a failover still waits for.
fn not_moved(status: &Status, group: &GroupName, to: Option<&NodeName>, take: bool) -> Option<String> {
    let facts = facts(status, group)?;
    let claim = facts.claims.first()?;
    if take {
        let held = claim.state == ClaimState::Held;
        return (!held).then(|| format!("group {group}: {} is being claimed", status.node));
    }
    let Some(ClaimHolder::Node(holder)) = &claim.holder else {
        return Some(format!("group {group}: who holds the address is not known"));
    };
    let moved = to.map_or(*holder != status.node, |to| holder == to);
    let verified = facts.state == State::Backup || facts.state == State::Fault;
    (!moved || !verified).then(|| match to {
        Some(to) => format!("group {group}: waiting until {to} holds the address"),
        None => format!("group {group}: waiting until another node holds the address"),
    })
}

/// `failover --dry-run`.
fn dry(status: &Status, group: &GroupName, to: Option<&NodeName>, take: bool) -> Response {
    let Some(judged) = status.groups.iter().find(|judged| judged.facts.name == *group) else { return busy() };
    let facts = &judged.facts;
    let refuse = |why: String, mend: &str| {
        Response::Refused(Refusal { what: "failover".to_owned(), why, mend: mend.to_owned() })
    };
    if take {
        return match facts.claims.first().and_then(|claim| claim.holder.as_ref()) {
            Some(ClaimHolder::Droplet(droplet)) => {
                Response::Done { message: format!("would take the address from droplet {droplet} to {}", status.node) }
            }
            Some(ClaimHolder::Node(_) | ClaimHolder::Nobody) | None => {
                refuse("no foreign droplet holds the address".to_owned(), "haagent failover, without --take")
            }
        };
    }
    if facts.state != State::Master {
        let mend = match &facts.master {
            Some(master) => format!("haagent failover, on {master}"),
            None => "no master is heard: haagent status says why".to_owned(),
        };
        return refuse(format!("{} is not master", status.node), &mend);
    }
    let chosen = match to {
        Some(to) => judged.verdict.successors.iter().find(|name| *name == to.as_str()),
        None => judged.verdict.successors.first(),
    };
    if let Some(to) = chosen {
        return Response::Done { message: format!("would hand group {group} over to {to}") };
    }
    let shows = "haagent status shows what blocks a failover";
    match to {
        Some(to) => match judged.verdict.against(to.as_str()) {
            Some(against) => refuse(against.to_owned(), shows),
            None => {
                let peers: Vec<String> = facts.peers.iter().map(peer_name).collect();
                refuse(format!("{to} is no peer of this node"), &format!("one of: {}", peers.join(", ")))
            }
        },
        None => {
            let blocks = judged.verdict.blocked_by.join("; ");
            refuse(format!("no ready candidate is heard: {blocks}"), shows)
        }
    }
}

/// Whether the named node is master and holds the address already: then there is nothing to do.
fn is_there(status: &Status, group: &GroupName, to: &NodeName) -> bool {
    let Some(facts) = facts(status, group) else { return false };
    let Some(claim) = facts.claims.first() else { return false };
    let holds = claim.state == ClaimState::Held || claim.word == Some(Word::Peer);
    facts.master.as_ref() == Some(to) && claim.holder == Some(ClaimHolder::Node(to.clone())) && holds
}
