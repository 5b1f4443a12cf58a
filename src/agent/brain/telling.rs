//! What this node tells: the snapshot to whoever asks, the bulletin to its peers; and what
//! theirs tell it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Brain, VIEW_SPACING, Viewing};
use crate::agent::bulletin::{self, Bulletin, CheckLine, GroupBulletin};
use crate::agent::knowledge::Dropped;
use crate::agent::snapshot;
use crate::agent::store::Member;
use crate::agent::timeline::Timeline;
use crate::heart::{HeartStuck, HeartView, ToHeart};
use crate::proto::election::event as election;
use crate::proto::heartbeat::NodeState;
use crate::proto::ids::{GroupName, NodeName};
use crate::proto::node::{GroupIndex, PeerIndex};
use crate::sys::clock;
use crate::view::history::Event as HistoryEvent;
use crate::view::status::Presence;
use crate::view::words::age;

impl Brain {
    pub(super) fn read_bulletin(&mut self, peer: PeerIndex, bytes: &[u8]) {
        let Some(part) = self.know.peers.get_mut(peer.0) else { return };
        let Some(bulletin) = Bulletin::from_bytes(bytes) else {
            tracing::debug!("the bulletin of {} cannot be read", part.address);
            return;
        };
        let member = self.know.known.members.entry(part.address).or_default();
        let said = Member { name: Some(bulletin.name.clone()), droplet: bulletin.droplet.or(member.droplet) };
        for group in &bulletin.groups {
            for told in group.moves.iter().filter(|told| told.to.as_ref() == Some(&bulletin.name)) {
                self.know.history.learn(&group.group, &bulletin.name, told);
            }
        }
        part.bulletin = Some(bulletin);
        self.stale = true;
        if *member != said {
            *member = said;
            self.know.store.keep(&self.know.known);
            self.publish_directories();
        }
        for group in (0..self.know.groups.len()).map(GroupIndex) {
            self.sign(group);
        }
    }

    pub(super) fn publish_directories(&self) {
        let known = self.know.known.members.iter();
        let droplets: BTreeMap<_, _> =
            known.filter_map(|(address, member)| Some((member.droplet?, *address))).collect();
        for part in &self.know.groups {
            part.directory.send_modify(|directory| directory.droplets.clone_from(&droplets));
        }
    }

    /// Adds to the newest move what the old master tells of it, whichever comes first: its bulletin or the move.
    pub(super) fn sign(&mut self, group: GroupIndex) {
        let Some(part) = self.know.groups.get(group.0) else { return };
        let Some(timeline) = &part.timeline else { return };
        let (by, fault) = (self.author_of(timeline, &part.name), self.fault_behind(timeline, &part.name));
        let Some(timeline) = self.know.groups.get_mut(group.0).and_then(|part| part.timeline.as_mut()) else { return };
        if let Some(moved) = timeline.learn(by, fault, &self.know.identity.name) {
            self.record(group, HistoryEvent::Move(moved));
            self.stale = true;
        }
    }

    /// Who asked for this move: of this node, or of the old master by its bulletin.
    pub(super) fn author_of(&self, timeline: &Timeline, group: &GroupName) -> Option<String> {
        let (kind, asked_of) = timeline.asked()?;
        let act = match asked_of {
            None => self.know.acts.of(group).find(|act| act.kind == kind),
            Some(node) => self.said_by(node, group)?.acts.iter().find(|act| act.kind == kind),
        };
        act.map(|act| act.by.clone())
    }

    /// The check that failed at the old master, by its bulletin.
    pub(super) fn fault_behind(&self, timeline: &Timeline, group: &GroupName) -> Option<String> {
        snapshot::fault(self.said_by(timeline.faulty()?, group)?)
    }

    pub(super) fn said_by(&self, node: &NodeName, group: &GroupName) -> Option<&GroupBulletin> {
        let mut bulletins = self.know.peers.iter().filter_map(|peer| peer.bulletin.as_ref());
        let bulletin = bulletins.find(|bulletin| bulletin.name == *node)?;
        bulletin.groups.iter().find(|said| said.group == *group)
    }

    pub(super) fn look_at_heart(&mut self) -> Result<(), HeartStuck> {
        if self.stale && !self.viewing.is_awaited() && clock::now() - self.viewed >= VIEW_SPACING {
            self.ask_for_view()?;
        }
        Ok(())
    }

    pub(super) fn ask_for_view(&mut self) -> Result<(), HeartStuck> {
        self.viewing.ask();
        self.stale = false;
        self.viewed = clock::now();
        self.heart.sender.send(ToHeart::View)
    }

    pub(super) fn show(&mut self, view: &HeartView) -> Result<(), HeartStuck> {
        self.viewing = Viewing::default();
        self.complain(view);
        self.tell_presence(view);
        self.tell_deferrals(view);
        self.snapshots.send_replace(Arc::new(snapshot::of(&self.know, view)));
        for done in self.refreshes.drain(..) {
            let _ = done.send(());
        }
        self.send_bulletin()
    }

    /// Says once what only a view shows: a wrong key, two nodes of one name, settings that differ.
    pub(super) fn complain(&mut self, view: &HeartView) {
        let differ = view.node.links.iter().map(|link| snapshot::other_settings(&self.know, view, link.address));
        let differ: Vec<Option<GroupName>> = differ.map(|part| part.map(|part| part.name.clone())).collect();
        for ((peer, link), group) in self.know.peers.iter_mut().zip(&view.node.links).zip(differ) {
            let now = snapshot::complaint(link, view.at, self.know.identity.interval);
            if peer.complaint != now {
                match &now {
                    Some(words) => tracing::warn!("{words}"),
                    None => tracing::info!("heartbeats from {} are in order again", peer.address),
                }
                peer.complaint = now;
            }
            match &group {
                Some(group) if !peer.settings_differ => {
                    tracing::warn!(%group, "{} has other settings for this group: put the same file on every node", peer.address);
                }
                Some(_) | None => {}
            }
            peer.settings_differ = group.is_some();
        }
        if view.dropped > self.know.dropped.count {
            self.know.dropped = Dropped { count: view.dropped, at: Some(view.at) };
            tracing::warn!("{}", self.know.dropped.words());
        }
    }

    /// Says once that a peer fell silent, and once that it is heard again: of a standby's host nothing else tells. Each is
    /// a transition: a warning that comes again within a minute would only be counted.
    /// Each is a transition, and none is to be counted as a repeated warning.
    fn tell_presence(&mut self, view: &HeartView) {
        for index in 0..self.know.peers.len() {
            let Some(part) = self.know.peers.get(index) else { continue };
            let (address, was) = (part.address, part.silent_since);
            let said = |group: &election::View| group.peers.iter().find(|peer| peer.address == address).copied();
            let Some(peer) = view.node.groups.iter().find_map(said) else { continue };
            let name = self.know.name_of(address);
            let silent = snapshot::presence(&peer) == Presence::Silent;
            // One whose datagrams cannot be read is not silent, and that is told.
            let now = peer.heard_at.filter(|_| silent && part.complaint.is_none());
            match (was, now) {
                (None, Some(heard)) => {
                    let silence = age(view.at - heard);
                    tracing::info!(
                        "{name} is silent: last heard {silence} ago; see ping -c 3 {address}, and its agent"
                    );
                }
                (Some(since), None) if peer.heard => {
                    let silence = age(view.at - since);
                    tracing::info!("{name} is heard again, after {silence}");
                }
                (Some(_) | None, _) => {}
            }
            if let Some(part) = self.know.peers.get_mut(index) {
                part.silent_since = now.map(|heard| was.unwrap_or(heard));
            }
        }
    }

    pub(super) fn send_bulletin(&mut self) -> Result<(), HeartStuck> {
        let snapshot = Arc::clone(&self.snapshots.borrow());
        let groups = self.know.groups.iter().zip(&snapshot.groups).map(|(part, group)| GroupBulletin {
            group: part.name.clone(),
            master: (group.facts.state == NodeState::Master).then_some(group.facts.term),
            reason: group.facts.reason.clone(),
            since: group.facts.since,
            healthy: part.health.candidacy().healthy,
            obstacle: group.facts.detail.clone(),
            checks: snapshot::checks(part)
                .into_iter()
                .map(|check| CheckLine {
                    name: check.name,
                    verdict: check.verdict,
                    ok: check.ok == Some(true),
                    detail: check.detail,
                })
                .collect(),
            acts: self.know.acts.of(&part.name).cloned().collect(),
            moves: self.know.history.moves_of(&part.name, &self.know.identity.name, bulletin::MOVES),
        });
        let bulletin = Bulletin {
            name: self.know.identity.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            droplet: self.know.droplet,
            groups: groups.collect(),
        };
        let bytes = bulletin.to_bytes();
        if bytes != self.bulletin {
            self.bulletin.clone_from(&bytes);
            self.heart.sender.send(ToHeart::Bulletin(bytes))?;
        }
        Ok(())
    }
}
