//! What people ask of this node: passed on to the heart, kept, and answered.

use tokio::sync::oneshot;

use super::reloading::Asker;
use super::{ASKED, Asked, Brain};
use crate::agent::acts::{self, FAILOVER_WITHIN, RESTART_WITHIN};
use crate::agent::desk::{Act, Ask};
use crate::agent::stamp;
use crate::control::wire::Refusal;
use crate::heart::{HeartStuck, ToHeart};
use crate::proto::claim::event::Holder;
use crate::proto::election::event::{self as election, Command};
use crate::proto::heartbeat::NodeState;
use crate::proto::ids::{GroupName, NodeName};
use crate::proto::node::GroupIndex;
use crate::view::history::{ActChange, Event as HistoryEvent};
use crate::view::render::clean;
use crate::view::status::ActKind;

impl Brain {
    pub(super) fn answer(&mut self, group: GroupIndex, command: Command, result: Result<(), election::Refusal>) {
        self.stale = true;
        let place = self.asked.iter().position(|asked| asked.group == group && asked.command == command);
        let Some(asked) = place.and_then(|place| self.asked.remove(place)) else { return };
        let answer = match result {
            Ok(()) => {
                self.record(group, HistoryEvent::Act(ActChange::new(asked.act.since, true, asked.act)));
                Ok(asked.done)
            }
            Err(refusal) => {
                if let Some(part) = self.know.groups.get(group.0) {
                    self.know.acts.end(&part.name, ActKind::Failover);
                }
                Err(self.refusal(group, refusal))
            }
        };
        // Whoever asked may be gone by now.
        let _ = asked.answer.send(answer);
    }

    pub(super) fn refusal(&self, group: GroupIndex, refusal: election::Refusal) -> Refusal {
        let snapshot = self.snapshots.borrow();
        let group = snapshot.groups.get(group.0);
        let master = group.and_then(|group| group.facts.master.clone());
        let against = |node: &str| group.and_then(|group| group.verdict.against(node)).map(str::to_owned);
        let (why, mend) = match refusal {
            election::Refusal::NotMaster => {
                let why = format!("{} is not master", self.know.identity.name);
                match master {
                    Some(master) => (why, format!("haagent failover, on {master}")),
                    None => (why, "no master is heard: haagent status says why".to_owned()),
                }
            }
            election::Refusal::NoCandidate(to) => {
                let to = self.know.name_of(to);
                let against = against(to.as_str()).unwrap_or_else(|| format!("{to} is not heard as a candidate"));
                (against, "haagent status shows what it is".to_owned())
            }
            election::Refusal::NotReady(to) => {
                let to = self.know.name_of(to);
                let against =
                    against(to.as_str()).unwrap_or_else(|| format!("{to} is not ready: a claim would not work there"));
                (against, "haagent status shows what stands against it".to_owned())
            }
            election::Refusal::Nobody => {
                let blocks = group.map(|group| group.verdict.blocked_by.join("; ")).filter(|blocks| !blocks.is_empty());
                let blocks = blocks.map(|blocks| format!(": {blocks}")).unwrap_or_default();
                (
                    format!("no ready candidate is heard{blocks}"),
                    "haagent status shows what blocks a failover".to_owned(),
                )
            }
            election::Refusal::Busy => ("too many commands came at once".to_owned(), "try it again".to_owned()),
            election::Refusal::NotTheHolder(_) => {
                ("no foreign droplet holds the address".to_owned(), "haagent failover, without --take".to_owned())
            }
        };
        Refusal { what: "failover".to_owned(), why, mend }
    }

    pub(super) fn obey(&mut self, ask: Ask) -> Result<(), HeartStuck> {
        match ask {
            Ask::Refresh(done) => {
                self.refreshes.push(done);
                self.ask_for_view()?;
            }
            Ask::Reload { reason, by, answer } => self.begin_reload(Asker { by, reason, answer: Some(answer) }),
            Ask::Act { act, by, answer } => match act {
                Act::Drain { groups, reason, lasts } => {
                    for name in &groups {
                        let Some(group) = self.index(name) else { continue };
                        tracing::info!(group = %name, "{by} drains this node{}", because(reason.as_deref()));
                        let act =
                            acts::act(ActKind::Drain, &self.know.identity.name, &by, reason.clone(), stamp(), lasts);
                        self.record(group, HistoryEvent::Act(ActChange::new(stamp(), true, act.clone())));
                        self.know.acts.begin(name, act);
                        self.heart.sender.send(ToHeart::Command(group, Command::Drain))?;
                    }
                    self.keep_acts();
                    let _ = answer.send(Ok(format!("{} is drained", self.know.identity.name)));
                }
                Act::Resume { groups, reason } => self.resume(&groups, &by, reason.as_deref(), Some(answer))?,
                Act::Failover { group, to, take, reason } => self.fail_over(&group, to, take, &by, reason, answer)?,
                Act::Restart { reason } => {
                    tracing::info!("{by} announces a restart{}", because(reason.as_deref()));
                    for group in self.know.groups.iter().map(|part| part.name.clone()).collect::<Vec<_>>() {
                        let (name, kind) = (&self.know.identity.name, ActKind::Restart);
                        let act = acts::act(kind, name, &by, reason.clone(), stamp(), Some(RESTART_WITHIN));
                        self.know.acts.begin(&group, act);
                    }
                    let within = RESTART_WITHIN.as_secs();
                    let message = format!("a stop within {within} s is a restart: nothing is handed over");
                    let _ = answer.send(Ok(message));
                }
            },
        }
        Ok(())
    }

    pub(super) fn resume(
        &mut self,
        groups: &[GroupName],
        by: &str,
        reason: Option<&str>,
        answer: Option<oneshot::Sender<Result<String, Refusal>>>,
    ) -> Result<(), HeartStuck> {
        for name in groups {
            let Some(group) = self.index(name) else { continue };
            let ended = [ActKind::Drain, ActKind::Failover].map(|kind| self.know.acts.end(name, kind));
            for mut act in ended.into_iter().flatten() {
                tracing::info!(group = %name, "{by} resumed what {} began", act.by);
                // The end is written down with its own reason, where one was given.
                act.reason = reason.map(str::to_owned).or(act.reason);
                self.record(group, HistoryEvent::Act(ActChange::new(stamp(), false, act)));
            }
            self.heart.sender.send(ToHeart::Command(group, Command::Resume))?;
        }
        self.keep_acts();
        if let Some(answer) = answer {
            let _ = answer.send(Ok(format!("{} takes part", self.know.identity.name)));
        }
        Ok(())
    }

    pub(super) fn fail_over(
        &mut self,
        name: &GroupName,
        to: Option<NodeName>,
        take: bool,
        by: &str,
        reason: Option<String>,
        answer: oneshot::Sender<Result<String, Refusal>>,
    ) -> Result<(), HeartStuck> {
        let Some(group) = self.index(name) else { return Ok(()) };
        let refuse = |why: String, mend: &str| Refusal { what: "failover".to_owned(), why, mend: mend.to_owned() };
        let command = if take {
            let look = self.know.groups.get(group.0).and_then(|part| part.claim.look);
            match look.map(|look| look.holder) {
                Some(Holder::Foreign(droplet)) => Command::Take { droplet },
                _ => {
                    let why = "no foreign droplet holds the address".to_owned();
                    let _ = answer.send(Err(refuse(why, "haagent failover, without --take")));
                    return Ok(());
                }
            }
        } else {
            let address = match &to {
                None => None,
                Some(to) => match self.know.peers.iter().find(|peer| self.know.name_of(peer.address) == *to) {
                    Some(peer) => Some(peer.address),
                    None => {
                        let known: Vec<_> =
                            self.know.peers.iter().map(|p| self.know.name_of(p.address).to_string()).collect();
                        let mend = format!("one of: {}", known.join(", "));
                        let _ = answer.send(Err(refuse(format!("{to} is no peer of this node"), &mend)));
                        return Ok(());
                    }
                },
            };
            Command::Failover { to: address }
        };
        let done = match (&to, take) {
            (Some(to), _) => format!("group {name} is on {to}"),
            (None, true) => format!("group {name} is on {}", self.know.identity.name),
            (None, false) => format!("group {name} is on another node"),
        };
        // Whoever asked may have given up; an answer that a full queue swallowed must not be awaited for ever.
        self.asked.retain(|asked| !asked.answer.is_closed());
        if self.asked.len() >= ASKED {
            let why = "this agent waits for the answers to as many commands as it may".to_owned();
            let _ = answer.send(Err(refuse(why, "try again in some seconds")));
            return Ok(());
        }
        let act = acts::act(ActKind::Failover, &self.know.identity.name, by, reason, stamp(), Some(FAILOVER_WITHIN));
        let master = self.snapshots.borrow().groups.get(group.0).is_some_and(|g| g.facts.state == NodeState::Master);
        if master || take {
            let to = to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
            let what = if take { "a take from a foreign droplet".to_owned() } else { format!("a failover{to}") };
            tracing::info!(group = %name, "{by} asks for {what}{}", because(act.reason.as_deref()));
            // Before the answer, so that the node that takes over finds in the bulletin who asked for it.
            self.know.acts.begin(name, act.clone());
            self.send_bulletin()?;
        }
        self.asked.push_back(Asked { group, command, answer, done, act });
        self.heart.sender.send(ToHeart::Command(group, command))
    }

    pub(super) fn keep_acts(&mut self) {
        self.stale = true;
        self.know.store.keep_acts(&self.know.acts.lasting());
    }

    pub(super) fn index(&self, name: &GroupName) -> Option<GroupIndex> {
        self.know.groups.iter().position(|part| part.name == *name).map(GroupIndex)
    }
}

/// The reason that somebody gave, at the end of a line.
fn because(reason: Option<&str>) -> String {
    reason.map(|reason| format!(": {}", clean(reason))).unwrap_or_default()
}
