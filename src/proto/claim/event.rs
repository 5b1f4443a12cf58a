//! What goes into a claim reconciler and what comes out, and the words in which
//! it and the election speak of the cloud: holder, look, base, intent.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Params;
use crate::proto::ids::{DropletId, Term};
use crate::proto::time::{Duration, Time};

/// Who holds the address, as somebody who looked was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holder {
    /// This node.
    Mine,
    /// Another member of the group, by its private address.
    Member(Ipv4Addr),
    /// Nobody; also a droplet that is `off`, `archive` or gone.
    Nobody,
    /// A live droplet that is no member. It is never robbed.
    Foreign(DropletId),
    /// The answer did not say (no right to see droplets, for one). Not "nobody".
    Unknown,
}

/// Who was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The provider's API: says who holds the address, and whether an action is under way.
    Api,
    /// The droplet's metadata service: says only what this droplet holds, and may lag.
    Metadata,
}

/// The answer to one question about the holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Who was asked.
    pub source: Source,
    /// When the question was put: the answer is not older than this.
    pub begun: Time,
    /// When the answer came.
    pub ended: Time,
    /// What it said. From metadata only [`Holder::Mine`] is ever kept as a look.
    pub holder: Holder,
    /// The API said "not locked": no action is under way that could change the
    /// answer. A metadata "mine" counts as settled only while the API cannot be read.
    pub settled: bool,
}

/// The holders that a claim may replace (rule 12). "Nobody" may always be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Base {
    members: [Option<Ipv4Addr>; Self::MEMBERS],
    /// A foreign droplet that an operator named (`failover --take`).
    pub foreign: Option<DropletId>,
}

impl Base {
    /// The last known holder, the master that fell silent, its own base, the node that offered.
    pub const MEMBERS: usize = 4;

    /// An operator's word: this foreign droplet may be replaced, and nobody else.
    #[must_use]
    pub fn of_foreign(droplet: DropletId) -> Self {
        Self { foreign: Some(droplet), ..Self::default() }
    }

    /// The base with `member` in it. A full base forgets its oldest member:
    /// to claim over fewer is the safe side.
    pub fn insert(&mut self, member: Ipv4Addr) {
        if self.contains(member) {
            return;
        }
        match self.members.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(member),
            None => {
                self.members.rotate_left(1);
                self.members[Self::MEMBERS - 1] = Some(member);
            }
        }
    }

    /// Takes `member` out; the others keep their order.
    pub fn remove(&mut self, member: Ipv4Addr) {
        if let Some(place) = self.members.iter().position(|place| *place == Some(member)) {
            self.members[place] = None;
            self.members[place..].rotate_left(1);
        }
    }

    /// Whether `member` is in it.
    #[must_use]
    pub fn contains(&self, member: Ipv4Addr) -> bool {
        self.members.contains(&Some(member))
    }

    /// The members in it, oldest first.
    pub fn members(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        self.members.iter().flatten().copied()
    }

    /// Rule 12: whether an assign over this holder is allowed.
    #[must_use]
    pub fn allows(&self, holder: Holder) -> bool {
        match holder {
            Holder::Nobody => true,
            Holder::Member(member) => self.contains(member),
            Holder::Foreign(droplet) => self.foreign == Some(droplet),
            Holder::Mine | Holder::Unknown => false,
        }
    }
}

impl FromIterator<Ipv4Addr> for Base {
    fn from_iter<I: IntoIterator<Item = Ipv4Addr>>(members: I) -> Self {
        let mut base = Self::default();
        for member in members {
            base.insert(member);
        }
        base
    }
}

/// What the election wants of the claims of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Not master. Nothing is unassigned (make before break), nothing is read
    /// but the readiness proof at each readiness interval.
    Yield,
    /// Backup whose master missed a heartbeat: open a connection and keep it
    /// warm, so that the assign is one round trip. No request.
    Warm,
    /// No master is heard: go on looking, metadata every 500 ms and the API
    /// every 2 s, beginning at once.
    Watch,
    /// Master: make the address point here and keep it so.
    Hold(Hold),
}

/// The terms of a mastership, as the reconciler needs them. A changed base
/// comes as a new intent with the same `term` and `since`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The master's term.
    pub term: Term,
    /// When this node took over.
    pub since: Time,
    /// Whom the claim may replace.
    pub base: Base,
}

/// How far a claim is (`docs/design.md`, "Words"). Master is what the peers agreed, held is what the cloud says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClaimState {
    /// Not wanted here.
    Idle,
    /// Wanted, not yet verified.
    Claiming,
    /// Verified: a look begun after the takeover said "mine" and not locked.
    Held,
    /// Was held; local truth says otherwise.
    Lost,
    /// Wanted, and what stands against it does not pass by itself or has lasted.
    Failing,
}

/// What the reconciler tells its election. The newest one counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimReport {
    /// How far the claim is.
    pub state: ClaimState,
    /// The newest look that was answered with a holder, in this or an earlier intent.
    pub look: Option<Look>,
    /// The beginning of the newest look that verified the claim in this hold.
    pub verified: Option<Time>,
    /// An own assign is accepted or unanswered, or ended well less than S ago and is not yet verified.
    pub sent: bool,
    /// An assign was sent at least once in this hold.
    pub ever_sent: bool,
    /// Since when the claim is `Failing` without a break.
    pub failing_since: Option<Time>,
    /// When the API last answered a read of the claim's own object, with the right to see droplets shown.
    pub proof: Option<Time>,
    /// What stands against a claim from here now (token refused, API unreachable ...), with its mend.
    pub obstacle: Option<Arc<str>>,
    /// The [`Hold::since`] of the present hold, once its promotion gate is open: at once where there is none.
    pub promoted: Option<Time>,
}

impl Default for ClaimReport {
    fn default() -> Self {
        Self {
            state: ClaimState::Idle,
            look: None,
            verified: None,
            sent: false,
            ever_sent: false,
            failing_since: None,
            proof: None,
            obstacle: None,
            promoted: None,
        }
    }
}

/// The reconciler's number for one action that it asked for; results carry it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ticket(pub u64);

/// The provider's number of its action ("event").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloudActionId(pub u64);

/// One thing that the driver is asked to do. Each ends with exactly one
/// [`Input::Done`] of the same ticket, unless it was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read the droplet's own metadata service once.
    LookLocal,
    /// Read the claim's object from the API once. `fresh`: on a new connection,
    /// because the answer on the old one is lost or late.
    LookApi { fresh: bool },
    /// Open a connection to the API and keep it warm; no request.
    Warm,
    /// Ask for the assignment to this droplet. Never cancelled once sent.
    Assign,
    /// Ask how far the provider's action is.
    Poll { action: CloudActionId },
    /// Make this node fit to serve (the `promote` hook). Never cancelled: half a promotion is worse than a late one.
    Promote,
}

/// How an action ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Metadata answered: this droplet holds the claim's address, or it does not.
    Local { mine: bool },
    /// The API answered who holds the address and whether an action is under way on it.
    Api { holder: Holder, locked: bool },
    /// The connection is open.
    Warmed,
    /// The assign was accepted (201). Not success yet.
    Accepted { action: CloudActionId },
    /// How far the polled action is.
    Progress(Progress),
    /// This node is fit to serve.
    Promoted,
    /// It did not work.
    Failed(Failure),
}

/// The state of the provider's action, as far as its word can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// `in-progress`, `new`, or a word that nobody knows.
    Pending,
    /// `completed` or `done`.
    Completed,
    /// `errored`: the address is where it was, or nowhere.
    Errored,
    /// 404: not visible yet, or (BYOIP) never.
    Unknown,
}

/// Why an action failed: a class that decides what is done about it, and a text for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What is done about it.
    pub class: FailureClass,
    /// What failed, on what, why, and what to do about it. No secret is in it.
    pub text: Arc<str>,
}

/// The rows of the table in `docs/design.md`, "The claim".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// 5xx, refused connection, DNS, an answer that makes no sense: nothing was done; again with backoff.
    Again,
    /// The answer is lost (timeout, reset): an assign may have worked. Observe before anything else.
    Unanswered,
    /// 429: not before this much time has passed.
    NotBefore(Duration),
    /// 422 pending event, on the address or the droplet: it passes by itself.
    PendingEvent,
    /// 422 "already assigned": the address is here already, or the droplet has another one. Observe.
    AlreadyAssigned,
    /// 422 with another text: observe first, then show it as it came.
    Refused,
    /// 401, 403, 404, or a refusal that cannot heal by waiting: slow retry, and resign if somebody else can.
    Never,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The only way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The election wants something else (or the same: then nothing changes).
    Intent(Intent),
    /// An action ended.
    Done { ticket: Ticket, outcome: Outcome },
    /// Other settings of a running claim. Its seed stays.
    Params(Params),
    /// The driver asks with another token: what failed with the one before says nothing any more.
    Credentials,
    /// A deadline passed.
    Timer,
}

/// All that a reconciler can do to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Do this and report back with the ticket.
    Start { ticket: Ticket, action: Action },
    /// Nobody waits for this any more; drop it. Never an assign that was sent, never a promotion.
    Cancel { ticket: Ticket },
    /// Tell the election (the newest one counts).
    Report(ClaimReport),
    /// A step of a failover's timeline was reached.
    Milestone(Milestone),
    /// A failure to be logged and counted; the log prints a repeated one once.
    Failed(Failure),
}

/// The steps of a claim in the timeline of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Milestone {
    /// The promotion gate opened: at once where there is none, else when this node was found fit.
    Promoted,
    /// The request to assign left.
    AssignSent,
    /// The provider said that its action completed.
    ActionCompleted,
    /// A look verified the claim.
    Verified,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_base_forgets_its_oldest_member() {
        let address = |last| Ipv4Addr::new(10, 0, 0, last);
        let base: Base = (1..=5).map(address).collect();
        assert!(!base.contains(address(1)));
        assert_eq!(base.members().collect::<Vec<_>>(), (2..=5).map(address).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_taken_out_leaves_no_hole() {
        let address = |last| Ipv4Addr::new(10, 0, 0, last);
        let mut base: Base = (1..=4).map(address).collect();
        base.remove(address(2));
        base.insert(address(5));
        assert_eq!(base.members().collect::<Vec<_>>(), [1, 3, 4, 5].map(address));
        base.remove(address(4));
        assert_eq!(base, [1, 3, 5].map(address).into_iter().collect());
    }

    #[test]
    fn only_nobody_a_member_of_the_base_and_the_named_foreign_droplet_may_be_replaced() {
        let a = Ipv4Addr::new(10, 0, 0, 1);
        let b = Ipv4Addr::new(10, 0, 0, 2);
        let mut base: Base = [a].into_iter().collect();
        base.foreign = Some(DropletId(7));
        let allowed = [Holder::Nobody, Holder::Member(a), Holder::Foreign(DropletId(7))];
        let refused = [Holder::Member(b), Holder::Foreign(DropletId(8)), Holder::Unknown, Holder::Mine];
        assert!(allowed.into_iter().all(|holder| base.allows(holder)));
        assert!(!refused.into_iter().any(|holder| base.allows(holder)));
    }
}
