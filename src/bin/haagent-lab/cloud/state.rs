//! The model of the cloud: droplets, reserved IPs, actions, locks, and who sees a move how late.
//!
//! Pure: `now` (time since the lab's start) comes in, events go out. Nothing here knows a script:
//! an answer follows from what was accepted before and from the time that has gone by since.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

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

/// Why a call is refused, in the words of the API (those marked * are ours,
/// the true text is not known).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("The resource you requested could not be found.")]
    NotFound,
    #[error("The floating IP already has a pending event.")]
    AddressBusy,
    #[error("Droplet already has a pending event.")]
    DropletBusy,
    /// *
    #[error("Reserved IP is already assigned to this Droplet.")]
    AlreadyHere,
    /// *
    #[error("Droplet is already assigned a reserved IP.")]
    HasAnother,
    #[error("Droplet can't be blank")]
    NoDroplet,
    /// *
    #[error("Droplet and reserved IP must be in the same region.")]
    OtherRegion,
    /// *
    #[error("The reserved IP is not assigned to a Droplet.")]
    NotAssigned,
    #[error("Cannot specify Droplet and region, they are mutually exclusive.")]
    DropletAndRegion,
    /// *
    #[error("Droplet or region must be given.")]
    DropletOrRegion,
    /// *
    #[error("The reserved IP limit of the account is reached.")]
    NoAddressLeft,
    /// *
    #[error("Unknown action type.")]
    UnknownAction,
    /// *
    #[error("tag_name and name are mutually exclusive query parameters.")]
    TagAndName,
    #[error("error parsing request body")]
    BadBody,
}

impl Refusal {
    /// The status and the `id` of the error body.
    pub(crate) fn status(self) -> (u16, &'static str) {
        match self {
            Self::NotFound => (404, "not_found"),
            Self::BadBody => (400, "bad_request"),
            Self::AddressBusy
            | Self::DropletBusy
            | Self::AlreadyHere
            | Self::HasAnother
            | Self::NoDroplet
            | Self::OtherRegion
            | Self::NotAssigned
            | Self::DropletAndRegion
            | Self::DropletOrRegion
            | Self::NoAddressLeft
            | Self::UnknownAction
            | Self::TagAndName => (422, "unprocessable_entity"),
        }
    }
}

/// How an action will go; faults change it, settings give the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Course {
    /// None: it stays in progress for ever.
    pub(crate) takes: Option<Duration>,
    pub(crate) end: End,
    /// How often its number is not found when asked for; none: always (addresses of one's own range).
    pub(crate) hidden_polls: Option<u32>,
    /// What the API calls its end instead of `completed`.
    pub(crate) word: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Completes,
    /// Ends as `errored`; the address stays where it was.
    Errors,
    /// Ends as `errored`, and the address is with nobody.
    ErrorsUnassigned,
}

#[derive(Clone, Debug)]
pub(crate) struct Action {
    pub(crate) id: u64,
    pub(crate) kind: ActionKind,
    pub(crate) status: ActionStatus,
    pub(crate) started: Duration,
    pub(crate) ended: Option<Duration>,
    pub(crate) ip: Option<Ipv4Addr>,
    pub(crate) droplet: Option<u64>,
    pub(crate) region: String,
    pub(crate) word: Option<String>,
    by: String,
    due: Option<Duration>,
    end: End,
    hidden_polls: Option<u32>,
}

impl Action {
    fn running(&self) -> bool {
        self.status == ActionStatus::InProgress
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Droplet {
    pub(crate) spec: DropletSpec,
    /// What `/v1/maintenance_event` says; blank at rest.
    pub(crate) maintenance: String,
}

/// One change of the holder, and when each onlooker sees it.
#[derive(Clone, Debug)]
struct Move {
    from: Option<u64>,
    to: Option<u64>,
    at: Duration,
    api_at: Duration,
    winner_at: Duration,
    loser_at: Duration,
    dataplane_at: Duration,
}

#[derive(Clone, Debug)]
pub(crate) struct ReservedIp {
    pub(crate) region: String,
    /// The truth.
    pub(crate) holder: Option<u64>,
    /// The holder before the oldest of `moves`.
    base: Option<u64>,
    moves: VecDeque<Move>,
    found_from: Duration,
}

impl ReservedIp {
    fn new(region: String, holder: Option<u64>, found_from: Duration) -> Self {
        Self { region, holder, base: holder, moves: VecDeque::new(), found_from }
    }

    /// The holder by the newest move that `seen_at` makes visible by now.
    fn holder_by(&self, now: Duration, seen_at: impl Fn(&Move) -> Duration) -> Option<u64> {
        self.moves.iter().rev().find(|step| seen_at(step) <= now).map_or(self.base, |step| step.to)
    }

    /// What the metadata service of `droplet` knows: winner and loser learn at different times.
    fn known_to(&self, now: Duration, droplet: u64) -> bool {
        let newest = self.moves.iter().rev().find(|step| {
            step.to == Some(droplet) && step.winner_at <= now || step.from == Some(droplet) && step.loser_at <= now
        });
        newest.map_or(self.base == Some(droplet), |step| step.to == Some(droplet))
    }
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
mod tests {
    use super::*;

    const IP: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
    const OTHER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 11);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Droplets 1 (holds IP), 2, 3 (holds OTHER) in fra1, 4 in ams3; an action takes 100 ms.
    fn cloud() -> Cloud {
        let json = r#"{
            "settings": {"action_ms": 100},
            "droplet": [{"id":1,"name":"a"},{"id":2,"name":"b"},{"id":3,"name":"c"},{"id":4,"name":"d","region":"ams3"}],
            "reserved_ip": [{"ip":"203.0.113.10","holder":1},{"ip":"203.0.113.11","holder":3}]
        }"#;
        Cloud::new(&World::from_json(json).unwrap(), ms(1_000_000))
    }

    fn assign(cloud: &mut Cloud, now: Duration, ip: Ipv4Addr, droplet: u64) -> Result<u64, Refusal> {
        let course = cloud.usual_course();
        cloud.advance(now);
        cloud.assign(now, ip, droplet, "test", course)
    }

    fn moves(cloud: &mut Cloud) -> Vec<(u64, Option<u64>, Option<u64>)> {
        let news = cloud.take_news();
        let moved = news.into_iter().filter_map(|(at, event)| match event {
            Event::Moved { from, to, .. } => Some((u64::try_from(at.as_millis()).unwrap(), from, to)),
            _ => None,
        });
        moved.collect()
    }

    #[test]
    fn an_assign_steals_when_its_time_is_up() {
        let mut cloud = cloud();
        let id = assign(&mut cloud, ms(5), IP, 2).unwrap();
        cloud.advance(ms(104));
        assert_eq!(cloud.address(ms(104), IP).unwrap().holder, Some(1));
        assert!(cloud.address_locked(IP) && cloud.droplet_locked(2) && !cloud.droplet_locked(1));
        assert_eq!(cloud.next_change(ms(104)), Some(ms(105)));
        cloud.advance(ms(500));
        assert_eq!(
            cloud.poll_action(id).unwrap().ended,
            Some(ms(105)),
            "it ended in its own time, not when it was seen"
        );
        assert!(!cloud.address_locked(IP) && !cloud.droplet_locked(2));
        assert_eq!(moves(&mut cloud), [(105, Some(1), Some(2))]);
    }

    #[test]
    fn every_refusal_of_an_assign() {
        let nowhere = Ipv4Addr::new(192, 0, 2, 1);
        for (ip, droplet, refusal) in [
            (nowhere, 2, Refusal::NotFound),
            (IP, 9, Refusal::NoDroplet),
            (IP, 4, Refusal::OtherRegion),
            (IP, 1, Refusal::AlreadyHere),
            (IP, 3, Refusal::HasAnother),
        ] {
            assert_eq!(assign(&mut cloud(), ms(0), ip, droplet), Err(refusal), "{ip} to {droplet}");
        }
    }

    #[test]
    fn of_two_at_once_one_is_told_that_an_event_is_pending() {
        let mut cloud = cloud();
        assert!(assign(&mut cloud, ms(0), IP, 2).is_ok());
        assert_eq!(assign(&mut cloud, ms(0), IP, 3), Err(Refusal::AddressBusy));
        assert_eq!(assign(&mut cloud, ms(0), OTHER, 2), Err(Refusal::DropletBusy));
        assert_eq!(cloud.delete(ms(0), IP, "test"), Err(Refusal::AddressBusy));
        let course = cloud.usual_course();
        assert_eq!(cloud.unassign(ms(0), IP, "test", course), Err(Refusal::AddressBusy));
        assert!(assign(&mut cloud, ms(100), IP, 1).is_ok(), "after the end of the event the later one steals");
    }

    #[test]
    fn a_busy_droplet_refuses_until_its_event_ends() {
        let mut cloud = cloud();
        cloud.occupy(ms(0), 2, ms(50)).unwrap();
        assert_eq!(assign(&mut cloud, ms(49), IP, 2), Err(Refusal::DropletBusy));
        assert!(assign(&mut cloud, ms(50), IP, 2).is_ok());
    }

    #[test]
    fn an_unassigned_address_cannot_be_unassigned_again() {
        let mut cloud = cloud();
        let course = cloud.usual_course();
        cloud.unassign(ms(0), IP, HAND, course.clone()).unwrap();
        cloud.advance(ms(100));
        assert_eq!(moves(&mut cloud), [(100, Some(1), None)]);
        assert_eq!(cloud.unassign(ms(100), IP, HAND, course), Err(Refusal::NotAssigned));
    }

    #[test]
    fn an_errored_action_leaves_the_address_or_loses_it() {
        for (end, holder) in [(End::Errors, Some(1)), (End::ErrorsUnassigned, None)] {
            let mut cloud = cloud();
            let course = Course { end, ..cloud.usual_course() };
            let id = cloud.assign(ms(0), IP, 2, "test", course).unwrap();
            cloud.advance(ms(100));
            assert_eq!(cloud.poll_action(id).unwrap().status, ActionStatus::Errored);
            assert_eq!(cloud.address(ms(100), IP).unwrap().holder, holder, "{end:?}");
        }
    }

    #[test]
    fn a_stuck_action_keeps_the_lock() {
        let mut cloud = cloud();
        let course = Course { takes: None, ..cloud.usual_course() };
        cloud.assign(ms(0), IP, 2, "test", course).unwrap();
        assert_eq!(cloud.next_change(ms(0)), None);
        assert_eq!(assign(&mut cloud, ms(3_600_000), IP, 2), Err(Refusal::AddressBusy));
    }

    #[test]
    fn an_action_may_be_hidden_for_some_polls_or_always() {
        for (hidden_polls, seen) in [(Some(2), [false, false, true]), (None, [false, false, false])] {
            let mut cloud = cloud();
            let course = Course { hidden_polls, ..cloud.usual_course() };
            let id = cloud.assign(ms(0), IP, 2, "test", course).unwrap();
            cloud.advance(ms(100));
            assert_eq!([0, 1, 2].map(|_| cloud.poll_action(id).is_ok()), seen);
            assert_eq!(cloud.address(ms(100), IP).unwrap().holder, Some(2), "it moves all the same");
        }
    }

    #[test]
    fn each_onlooker_sees_a_move_after_its_own_lag() {
        let mut cloud = cloud();
        cloud.settings.api_lag_ms = 10;
        cloud.settings.winner_lag_ms = 20;
        cloud.settings.loser_lag_ms = 30;
        cloud.settings.dataplane_lag_ms = 40;
        assign(&mut cloud, ms(0), IP, 2).unwrap();
        let seen = |cloud: &mut Cloud, now| {
            cloud.advance(ms(now));
            (
                cloud.holder_shown(ms(now), IP),
                cloud.address_known_to(ms(now), 2).is_some(),
                cloud.address_known_to(ms(now), 1).is_some(),
                cloud.holder_reached(ms(now), IP),
            )
        };
        for (now, view) in [
            (99, (Some(1), false, true, Some(1))),
            (109, (Some(1), false, true, Some(1))),
            (110, (Some(2), false, true, Some(1))),
            (120, (Some(2), true, true, Some(1))),
            (130, (Some(2), true, false, Some(1))),
            (140, (Some(2), true, false, Some(2))),
        ] {
            assert_eq!(seen(&mut cloud, now), view, "at {now} ms");
        }
    }

    #[test]
    fn a_newer_move_is_never_hidden_by_an_older_ones_lag() {
        let mut cloud = cloud();
        cloud.settings.winner_lag_ms = 1000;
        assign(&mut cloud, ms(0), IP, 2).unwrap();
        cloud.advance(ms(100));
        assign(&mut cloud, ms(100), IP, 1).unwrap();
        cloud.advance(ms(5000));
        assert_eq!(cloud.address_known_to(ms(5000), 2), None);
        assert_eq!(cloud.address_known_to(ms(5000), 1), Some(IP));
    }

    #[test]
    fn what_is_shown_during_a_move_is_a_switch() {
        for (during, shown) in [(DuringMove::Old, Some(1)), (DuringMove::Nobody, None), (DuringMove::New, Some(2))] {
            let mut cloud = cloud();
            cloud.settings.during_move = during;
            assign(&mut cloud, ms(0), IP, 2).unwrap();
            assert_eq!(cloud.holder_shown(ms(50), IP), shown);
        }
    }

    #[test]
    fn clients_may_find_nobody_during_the_lag() {
        let mut cloud = cloud();
        cloud.settings.dataplane_lag_ms = 40;
        cloud.settings.dataplane_gap = true;
        assign(&mut cloud, ms(0), IP, 2).unwrap();
        cloud.advance(ms(100));
        assert_eq!([99, 100, 139, 140].map(|now| cloud.holder_reached(ms(now), IP)), [Some(1), None, None, Some(2)]);
    }

    #[test]
    fn a_destroyed_droplet_leaves_its_address_with_nobody_and_fails_what_was_on_its_way() {
        let mut cloud = cloud();
        let id = assign(&mut cloud, ms(0), IP, 2).unwrap();
        cloud.destroy_droplet(ms(10), 2).unwrap();
        assert_eq!(cloud.poll_action(id).unwrap().status, ActionStatus::Errored);
        cloud.destroy_droplet(ms(20), 1).unwrap();
        assert_eq!(moves(&mut cloud), [(20, Some(1), None)]);
        assert!(cloud.droplet(1).is_none());
        assert_eq!(cloud.destroy_droplet(ms(20), 1), Err(Refusal::NotFound));
    }

    #[test]
    fn a_new_address_is_assigned_by_an_action_or_at_rest() {
        let mut cloud = cloud();
        cloud.settings.created_lag_ms = 30;
        let course = cloud.usual_course();
        let (ip, action) = cloud.create(ms(0), Some(2), None, "test", course.clone()).unwrap();
        assert!(action.is_some() && cloud.address_locked(ip));
        assert!(cloud.address(ms(29), ip).is_err() && cloud.address(ms(30), ip).is_ok());
        cloud.advance(ms(100));
        assert_eq!(cloud.address(ms(100), ip).unwrap().holder, Some(2));
        let (other, action) = cloud.create(ms(100), None, Some("ams3".into()), "test", course.clone()).unwrap();
        assert!(action.is_none() && !cloud.address_locked(other) && other != ip);
        let both = cloud.create(ms(100), Some(2), Some("fra1".into()), "test", course.clone());
        assert_eq!(both, Err(Refusal::DropletAndRegion));
        assert_eq!(cloud.create(ms(100), Some(1), None, "test", course), Err(Refusal::HasAnother));
    }

    #[test]
    fn history_is_bounded_and_the_truth_outlives_it() {
        let mut cloud = cloud();
        for round in 0..3_000_u64 {
            let now = ms(round * 100);
            assign(&mut cloud, now, IP, 1 + (round + 1) % 2).unwrap();
        }
        cloud.advance(ms(300_000));
        assert!(cloud.actions.len() <= MAX_ACTIONS && cloud.addresses[&IP].moves.len() <= MAX_MOVES);
        assert_eq!(cloud.holder_shown(ms(300_000), IP), cloud.addresses[&IP].holder);
    }
}
