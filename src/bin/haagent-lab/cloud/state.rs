//! The model of the cloud: droplets, reserved IPs, actions, locks, and who sees a move how late.
//!
//! Pure: `now` (time since the lab's start) comes in, events go out. Nothing here knows a script:
//! an answer follows from what was accepted before and from the time that has gone by since.

mod action;
mod refusal;
mod reserved_ip;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

pub(crate) use self::action::{Action, Course, End};
pub(crate) use self::refusal::Refusal;
use self::reserved_ip::Move;
pub(crate) use self::reserved_ip::ReservedIp;
use super::event::{ActionKind, ActionStatus, DropletDeed, Event};
use super::world::{DropletSpec, DuringMove, Power, Settings, World};

/// Actions kept; the oldest that have ended go first.
const MAX_ACTIONS: usize = 2_000;
/// Moves kept per reserved IP, to know who still sees an older one.
const MAX_MOVES: usize = 64;
/// The first action's number. Real ones are above 2^31.
const FIRST_ACTION: u64 = 2_300_000_001;
/// New reserved IPs come from here up, within 203.0.113.0/24 (RFC 5737).
const FIRST_NEW_ADDRESS: u8 = 100;
/// Who acts in the control panel.
pub(crate) const HAND: &str = "hand";

#[derive(Clone, Debug)]
pub(crate) struct Droplet {
    pub(crate) spec: DropletSpec,
    /// What `/v1/maintenance_event` says; blank at rest.
    pub(crate) maintenance: String,
}

/// The cloud.
#[derive(Debug)]
pub(crate) struct Cloud {
    pub(crate) settings: Settings,
    unix_at_start: Duration,
    droplets: BTreeMap<u64, Droplet>,
    addresses: BTreeMap<Ipv4Addr, ReservedIp>,
    actions: BTreeMap<u64, Action>,
    next_action: u64,
    news: Vec<(Duration, Event)>,
}

impl Cloud {
    pub(crate) fn new(world: &World, unix_at_start: Duration) -> Self {
        let droplet = |spec: &DropletSpec| Droplet { spec: spec.clone(), maintenance: String::new() };
        Self {
            settings: world.settings.clone(),
            unix_at_start,
            droplets: world.droplets.iter().map(|spec| (spec.id, droplet(spec))).collect(),
            addresses: world
                .reserved_ips
                .iter()
                .map(|spec| (spec.ip, ReservedIp::new(spec.region.clone(), spec.holder, Duration::ZERO)))
                .collect(),
            actions: BTreeMap::new(),
            next_action: FIRST_ACTION,
            news: Vec::new(),
        }
    }

    /// Wall time (since 1970) of a moment since the start.
    pub(crate) fn unix(&self, at: Duration) -> Duration {
        self.unix_at_start + at
    }

    /// Ends every action that is due, each at its own time. Call before anything else.
    pub(crate) fn advance(&mut self, now: Duration) {
        while let Some((at, id)) = self.next_end().filter(|(at, _)| *at <= now) {
            self.end_action(at, id);
        }
    }

    /// The next time at which something changes by itself: an action ends, or clients are led elsewhere.
    pub(crate) fn next_change(&self, now: Duration) -> Option<Duration> {
        let moves = self.addresses.values().flat_map(|address| &address.moves);
        let redirected = moves.map(|step| step.dataplane_at).filter(|at| *at > now).min();
        self.next_end().map(|(at, _)| at).into_iter().chain(redirected).min()
    }

    /// What happened since the last call.
    pub(crate) fn take_news(&mut self) -> Vec<(Duration, Event)> {
        std::mem::take(&mut self.news)
    }

    /// How an action goes without a fault.
    pub(crate) fn usual_course(&self) -> Course {
        let takes = Some(Duration::from_millis(self.settings.action_ms));
        Course { takes, end: End::Completes, hidden_polls: Some(0), word: None }
    }

    // What is there.

    pub(crate) fn droplets(&self) -> impl Iterator<Item = &Droplet> {
        self.droplets.values()
    }

    pub(crate) fn droplet(&self, id: u64) -> Option<&Droplet> {
        self.droplets.get(&id)
    }

    /// The addresses that can be found by now.
    pub(crate) fn addresses(&self, now: Duration) -> impl Iterator<Item = (Ipv4Addr, &ReservedIp)> {
        self.addresses.iter().filter(move |(_, address)| address.found_from <= now).map(|(ip, address)| (*ip, address))
    }

    pub(crate) fn address(&self, now: Duration, ip: Ipv4Addr) -> Result<&ReservedIp, Refusal> {
        self.addresses.get(&ip).filter(|address| address.found_from <= now).ok_or(Refusal::NotFound)
    }

    /// All actions, newest first.
    pub(crate) fn actions(&self) -> impl Iterator<Item = &Action> {
        self.actions.values().rev()
    }

    /// Looks an action up as a poll does: some are not found yet, or never.
    pub(crate) fn poll_action(&mut self, id: u64) -> Result<&Action, Refusal> {
        let action = self.actions.get_mut(&id).ok_or(Refusal::NotFound)?;
        match &mut action.hidden_polls {
            Some(0) => Ok(action),
            Some(left) => {
                *left -= 1;
                Err(Refusal::NotFound)
            }
            None => Err(Refusal::NotFound),
        }
    }

    /// An action runs on the address; new ones are refused.
    pub(crate) fn address_locked(&self, ip: Ipv4Addr) -> bool {
        self.actions.values().any(|action| action.running() && action.ip == Some(ip))
    }

    /// An action runs on the droplet; new ones are refused.
    pub(crate) fn droplet_locked(&self, id: u64) -> bool {
        self.actions.values().any(|action| action.running() && action.droplet == Some(id))
    }

    /// The holder that the API shows.
    pub(crate) fn holder_shown(&self, now: Duration, ip: Ipv4Addr) -> Option<u64> {
        let address = self.addresses.get(&ip)?;
        let moving = self.actions.values().find(|action| action.running() && action.ip == Some(ip));
        match (moving, self.settings.during_move) {
            (Some(_), DuringMove::Nobody) => None,
            (Some(action), DuringMove::New) => action.droplet,
            (Some(_), DuringMove::Old) | (None, _) => address.holder_by(now, |step| step.api_at),
        }
    }

    /// The address that the droplet's metadata service says it has.
    pub(crate) fn address_known_to(&self, now: Duration, droplet: u64) -> Option<Ipv4Addr> {
        self.addresses.iter().find(|(_, address)| address.known_to(now, droplet)).map(|(ip, _)| *ip)
    }

    /// Whom clients of the address reach.
    pub(crate) fn holder_reached(&self, now: Duration, ip: Ipv4Addr) -> Option<u64> {
        let address = self.addresses.get(&ip)?;
        let underway = address.moves.back().is_some_and(|step| step.at <= now && now < step.dataplane_at);
        if underway && self.settings.dataplane_gap {
            return None;
        }
        address.holder_by(now, |step| step.dataplane_at)
    }

    // What can be done.

    /// Assigns an address, wherever it is now: an assign steals.
    ///
    /// # Errors
    /// What the API would refuse it for.
    pub(crate) fn assign(
        &mut self,
        now: Duration,
        ip: Ipv4Addr,
        droplet: u64,
        by: &str,
        course: Course,
    ) -> Result<u64, Refusal> {
        let region = self.address(now, ip)?.region.clone();
        if self.address_locked(ip) {
            return Err(Refusal::AddressBusy);
        }
        let target = self.droplet(droplet).ok_or(Refusal::NoDroplet)?;
        if target.spec.region != region {
            return Err(Refusal::OtherRegion);
        }
        if self.droplet_locked(droplet) {
            return Err(Refusal::DropletBusy);
        }
        match self.addresses.iter().find(|(_, address)| address.holder == Some(droplet)) {
            Some((same, _)) if *same == ip => return Err(Refusal::AlreadyHere),
            Some(_) => return Err(Refusal::HasAnother),
            None => {}
        }
        Ok(self.begin(now, ActionKind::AssignIp, Some(ip), Some(droplet), region, by, course))
    }

    /// Takes an address from whoever has it.
    ///
    /// # Errors
    /// What the API would refuse it for.
    pub(crate) fn unassign(&mut self, now: Duration, ip: Ipv4Addr, by: &str, course: Course) -> Result<u64, Refusal> {
        let address = self.address(now, ip)?;
        let (region, holder) = (address.region.clone(), address.holder);
        if self.address_locked(ip) {
            return Err(Refusal::AddressBusy);
        }
        if holder.is_none() {
            return Err(Refusal::NotAssigned);
        }
        Ok(self.begin(now, ActionKind::UnassignIp, Some(ip), None, region, by, course))
    }

    /// Creates an address in a region, or in a droplet's region and with an assign under way.
    ///
    /// # Errors
    /// What the API would refuse it for.
    pub(crate) fn create(
        &mut self,
        now: Duration,
        droplet: Option<u64>,
        region: Option<String>,
        by: &str,
        course: Course,
    ) -> Result<(Ipv4Addr, Option<u64>), Refusal> {
        let region = match (droplet, region) {
            (Some(_), Some(_)) => return Err(Refusal::DropletAndRegion),
            (None, None) => return Err(Refusal::DropletOrRegion),
            (None, Some(region)) => region,
            (Some(id), None) => {
                let region = self.droplet(id).ok_or(Refusal::NoDroplet)?.spec.region.clone();
                if self.droplet_locked(id) {
                    return Err(Refusal::DropletBusy);
                }
                if self.addresses.values().any(|address| address.holder == Some(id)) {
                    return Err(Refusal::HasAnother);
                }
                region
            }
        };
        let ip = (FIRST_NEW_ADDRESS..=254)
            .map(|last| Ipv4Addr::new(203, 0, 113, last))
            .find(|ip| !self.addresses.contains_key(ip))
            .ok_or(Refusal::NoAddressLeft)?;
        let found_from = now + Duration::from_millis(self.settings.created_lag_ms);
        self.addresses.insert(ip, ReservedIp::new(region.clone(), None, found_from));
        self.news.push((now, Event::Created { ip, by: by.to_owned() }));
        let action =
            droplet.map(|id| self.begin(now, ActionKind::AssignIp, Some(ip), Some(id), region.clone(), by, course));
        if action.is_none() {
            let at_once = Course { takes: Some(Duration::ZERO), ..self.usual_course() };
            self.begin(now, ActionKind::ReserveIp, Some(ip), None, region, by, at_once);
            self.advance(now);
        }
        Ok((ip, action))
    }

    /// Deletes an address.
    ///
    /// # Errors
    /// It does not exist, or an action runs on it.
    pub(crate) fn delete(&mut self, now: Duration, ip: Ipv4Addr, by: &str) -> Result<(), Refusal> {
        self.address(now, ip)?;
        if self.address_locked(ip) {
            return Err(Refusal::AddressBusy);
        }
        self.hand_over(now, ip, None, by);
        self.addresses.remove(&ip);
        self.news.push((now, Event::Deleted { ip, by: by.to_owned() }));
        Ok(())
    }

    /// Lets something run on a droplet that locks it (a snapshot, a migration).
    ///
    /// # Errors
    /// There is no such droplet.
    pub(crate) fn occupy(&mut self, now: Duration, droplet: u64, takes: Duration) -> Result<u64, Refusal> {
        let region = self.droplet(droplet).ok_or(Refusal::NotFound)?.spec.region.clone();
        let course = Course { takes: Some(takes), ..self.usual_course() };
        Ok(self.begin(now, ActionKind::Snapshot, None, Some(droplet), region, HAND, course))
    }

    /// Adds a droplet, or replaces what is known of it.
    pub(crate) fn put_droplet(&mut self, now: Duration, spec: DropletSpec) {
        let id = spec.id;
        self.droplets.insert(id, Droplet { spec, maintenance: String::new() });
        self.news.push((now, Event::Droplet { droplet: id, change: DropletDeed::Added }));
    }

    /// Changes a droplet in place.
    ///
    /// # Errors
    /// There is no such droplet.
    pub(crate) fn alter_droplet(
        &mut self,
        now: Duration,
        id: u64,
        change: impl FnOnce(&mut Droplet),
    ) -> Result<(), Refusal> {
        change(self.droplets.get_mut(&id).ok_or(Refusal::NotFound)?);
        self.news.push((now, Event::Droplet { droplet: id, change: DropletDeed::Altered }));
        Ok(())
    }

    /// Destroys a droplet: what it held stays in the account, with nobody; what ran on it fails.
    ///
    /// # Errors
    /// There is no such droplet.
    pub(crate) fn destroy_droplet(&mut self, now: Duration, id: u64) -> Result<(), Refusal> {
        self.droplets.remove(&id).ok_or(Refusal::NotFound)?;
        self.news.push((now, Event::Droplet { droplet: id, change: DropletDeed::Destroyed }));
        let running = self.actions.values_mut().filter(|action| action.running() && action.droplet == Some(id));
        let failing: Vec<u64> = running
            .map(|action| {
                action.end = End::Errors;
                action.id
            })
            .collect();
        for action in failing {
            self.end_action(now, action);
        }
        let held: Vec<Ipv4Addr> =
            self.addresses.iter().filter(|(_, address)| address.holder == Some(id)).map(|(ip, _)| *ip).collect();
        for ip in held {
            self.hand_over(now, ip, None, HAND);
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments, reason = "the members of the action that it begins")]
    fn begin(
        &mut self,
        now: Duration,
        kind: ActionKind,
        ip: Option<Ipv4Addr>,
        droplet: Option<u64>,
        region: String,
        by: &str,
        course: Course,
    ) -> u64 {
        let id = self.next_action;
        self.next_action += 1;
        if self.actions.len() >= MAX_ACTIONS {
            let oldest = self.actions.values().find(|action| !action.running()).map(|action| action.id);
            oldest.and_then(|id| self.actions.remove(&id));
        }
        self.actions.insert(
            id,
            Action {
                id,
                kind,
                status: ActionStatus::InProgress,
                started: now,
                ended: None,
                ip,
                droplet,
                region,
                word: course.word,
                by: by.to_owned(),
                due: course.takes.map(|takes| now + takes),
                end: course.end,
                hidden_polls: course.hidden_polls,
            },
        );
        self.news.push((now, Event::Accepted { action: id, kind, ip, droplet, by: by.to_owned() }));
        id
    }

    fn next_end(&self) -> Option<(Duration, u64)> {
        let running = self.actions.values().filter(|action| action.running());
        running.filter_map(|action| Some((action.due?, action.id))).min()
    }

    fn end_action(&mut self, at: Duration, id: u64) {
        let Some(action) = self.actions.get_mut(&id) else { return };
        let (kind, end, ip, droplet, by) = (action.kind, action.end, action.ip, action.droplet, action.by.clone());
        action.status = match end {
            End::Completes => ActionStatus::Completed,
            End::Errors | End::ErrorsUnassigned => ActionStatus::Errored,
        };
        action.ended = Some(at);
        let took_ms = u64::try_from(at.saturating_sub(action.started).as_millis()).unwrap_or(u64::MAX);
        self.news.push((at, Event::Ended { action: id, status: action.status, ip, took_ms, by: by.clone() }));
        let Some(ip) = ip else { return };
        match (end, kind) {
            (End::Completes, ActionKind::AssignIp) => self.hand_over(at, ip, droplet, &by),
            (End::Completes, ActionKind::UnassignIp) | (End::ErrorsUnassigned, _) => {
                self.hand_over(at, ip, None, &by);
            }
            (End::Completes, ActionKind::ReserveIp | ActionKind::Snapshot) | (End::Errors, _) => {}
        }
    }

    fn hand_over(&mut self, at: Duration, ip: Ipv4Addr, to: Option<u64>, by: &str) {
        let lag = |ms| at + Duration::from_millis(ms);
        let settings = &self.settings;
        let Some(address) = self.addresses.get_mut(&ip).filter(|address| address.holder != to) else { return };
        let from = std::mem::replace(&mut address.holder, to);
        address.moves.push_back(Move {
            from,
            to,
            at,
            api_at: lag(settings.api_lag_ms),
            winner_at: lag(settings.winner_lag_ms),
            loser_at: lag(settings.loser_lag_ms),
            dataplane_at: lag(settings.dataplane_lag_ms),
        });
        if address.moves.len() > MAX_MOVES {
            address.base = address.moves.pop_front().and_then(|oldest| oldest.to);
        }
        self.news.push((at, Event::Moved { ip, from, to, by: by.to_owned() }));
    }
}

/// A droplet that is off still has its address, but nobody answers there.
pub(crate) fn answers(droplet: &Droplet) -> bool {
    match droplet.spec.status {
        Power::New | Power::Active => true,
        Power::Off | Power::Archive => false,
    }
}

#[cfg(test)]
mod tests;
