//! The reads of one claim that are under way, and when the next are due.

use crate::proto::claim::event::Ticket;
use crate::proto::claim::plan::Pace;
use crate::proto::time::{Duration, Time};

/// The time after which a late answer of the API is asked for on a second connection.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// One question under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    pub(super) ticket: Ticket,
    pub(super) begun: Time,
}

/// Which read a ticket belonged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    Local,
    Api,
}

/// At most one read of the metadata service and two of the API.
#[derive(Clone, Debug, Default)]
pub(super) struct Reads {
    local: Option<Flight>,
    local_begun: Option<Time>,
    api: Option<Flight>,
    second: Option<Flight>,
    /// The look under way had its second connection.
    second_tried: bool,
    api_begun: Option<Time>,
    pace: Option<Pace>,
    looks: u32,
    api_due: Time,
    /// No look before this: the backoff of failed ones.
    retry_at: Time,
    failures: u32,
}

impl Reads {
    /// Takes the flight of this ticket, if it is one of these reads.
    pub(super) fn land(&mut self, ticket: Ticket) -> Option<(Read, Flight)> {
        let places = [(Read::Local, &mut self.local), (Read::Api, &mut self.api), (Read::Api, &mut self.second)];
        places
            .into_iter()
            .find_map(|(read, place)| place.take_if(|flight| flight.ticket == ticket).map(|flight| (read, flight)))
    }

    /// Forgets the reads of the API under way; they are to be cancelled.
    pub(super) fn drop_api(&mut self) -> impl Iterator<Item = Ticket> + use<> {
        [self.api.take(), self.second.take()].into_iter().flatten().map(|flight| flight.ticket)
    }

    /// Forgets all reads and their pace: the next ones answer another question.
    pub(super) fn drop_all(&mut self) -> impl Iterator<Item = Ticket> + use<> {
        let local = self.local.take();
        self.look_soon();
        local.map(|flight| flight.ticket).into_iter().chain(self.drop_api())
    }

    /// Something happened that a new look may show: both are due now.
    pub(super) fn look_soon(&mut self) {
        self.pace = None;
        self.local_begun = None;
    }

    /// No look is wanted.
    pub(super) fn rest(&mut self) {
        self.pace = None;
    }

    /// A new takeover does not wait for the backoff of earlier reads.
    pub(super) fn forget_failures(&mut self) {
        (self.retry_at, self.failures) = (Time::ORIGIN, 0);
    }

    /// When the next read of the metadata service is due; `None` while one is under way.
    pub(super) fn local_due(&self, interval: Duration) -> Option<Time> {
        match self.local {
            Some(_) => None,
            None => Some(self.local_begun.map_or(Time::ORIGIN, |begun| begun + interval)),
        }
    }

    /// When the next look is due at this pace, `proof` being when the next
    /// readiness proof is; `None` while one is under way.
    pub(super) fn api_due(&mut self, now: Time, pace: Pace, proof: Time) -> Option<Time> {
        if self.pace != Some(pace) {
            (self.pace, self.looks) = (Some(pace), 0);
            self.api_due = pace.first(now, self.api_begun);
        }
        let due = if pace == Pace::Proof { proof } else { self.api_due };
        (self.api.is_none() && self.second.is_none()).then_some(due.max(self.retry_at))
    }

    /// When the look under way is worth a second connection.
    pub(super) fn second_due(&self, pace: Pace) -> Option<Time> {
        let wanted = pace.urgent() && !self.second_tried;
        self.api.filter(|_| wanted).map(|flight| flight.begun + SECOND_LOOK)
    }

    pub(super) fn local_started(&mut self, flight: Flight) {
        (self.local, self.local_begun) = (Some(flight), Some(flight.begun));
    }

    pub(super) fn api_started(&mut self, flight: Flight) {
        (self.api, self.second_tried) = (Some(flight), false);
        self.api_begun = Some(flight.begun);
        self.looks = self.looks.saturating_add(1);
    }

    pub(super) fn second_started(&mut self, flight: Flight) {
        (self.second, self.second_tried) = (Some(flight), true);
    }

    /// A look that began at `begun` was answered.
    pub(super) fn api_answered(&mut self, begun: Time) {
        self.forget_failures();
        self.api_due = self.following(begun);
    }

    /// A look failed: whether the other connection may still answer it.
    pub(super) fn api_still_asked(&self) -> bool {
        self.api.is_some() || self.second.is_some()
    }

    /// The look that began at `begun` failed on all its connections; the next one not before `retry_at`.
    pub(super) fn api_failed(&mut self, begun: Time, retry_at: Time) {
        self.failures = self.failures.saturating_add(1);
        self.retry_at = retry_at;
        // What is waited for now is a first answer, not a changed one.
        self.api_due = if self.pace == Some(Pace::Settling) { retry_at } else { self.following(begun) };
    }

    /// How many looks in a row failed.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    fn following(&self, begun: Time) -> Time {
        self.pace.and_then(|pace| pace.interval(self.looks)).map_or(self.api_due, |interval| begun + interval)
    }
}
