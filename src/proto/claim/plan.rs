//! What a claim needs next, as pure functions of its situation: which reads at
//! which pace ([`plan`]), what an answer of the API means ([`judge_api`]) and
//! what one of the metadata service ([`judge_local`]).
//!
//! Nothing is remembered here and nothing is done. Rules 12 to 14 and the
//! table of `docs/design.md`, "The claim", are decided in this file; `mod.rs` keeps the books.

use crate::proto::claim::event::{ClaimState, Hold, Holder, Intent, Look};
use crate::proto::claim::retry::{self, Need};
use crate::proto::time::{Duration, Time};

/// S: how old an answer of the cloud may be at most. A guess (real stale reads
/// are unmeasured); beyond it, what a look says is believed.
pub const STALE_READ: Duration = Duration::from_secs(6);

/// How often a node that hears no master asks the metadata service.
const WATCH_LOCAL: Duration = Duration::from_millis(500);
/// How often a node whose assign was accepted asks it.
const ARRIVAL: Duration = Duration::from_millis(250);
/// How often a node that hears no master asks the API.
const WATCH_API: Duration = Duration::from_secs(2);
/// The shortest time between two looks at one unchanged question.
const LOOK: Duration = Duration::from_secs(1);
/// How long such looks back off at most.
const LOOK_CEILING: Duration = Duration::from_secs(10);
/// So many looks at [`LOOK`] before they back off: longer than S, and as long
/// as the election waits for an unknown truth (rule 13).
const STEADY_LOOKS: u32 = 10;

/// What is known of an own assign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// None is under way, and none ended just now.
    None,
    /// The request left; no answer yet.
    Asking,
    /// Accepted at `at`; the action is polled. `doubtful`: the last poll told nothing.
    Accepted { at: Time, doubtful: bool },
    /// Its answer, or its action's end, is lost since `at`. It may have worked.
    Unanswered { at: Time },
    /// It ended well at `at`. `already`: told only by a 422 "already assigned",
    /// which may also mean that the droplet has another address.
    Landed { at: Time, already: bool },
    /// Refused for an unknown reason: the address is looked at before that is believed.
    Refused,
}

impl Write {
    /// The word *sent* of `docs/design.md`, for the duel and the offers of the election.
    pub(super) fn sent(self, now: Time, verified: Option<Time>) -> bool {
        match self {
            Self::None | Self::Refused => false,
            Self::Asking | Self::Accepted { .. } | Self::Unanswered { .. } => true,
            Self::Landed { at, .. } => now < at + STALE_READ && verified.is_none_or(|verified| verified < at),
        }
    }
}

/// What the metadata service said last, in this intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Local {
    /// Nothing yet.
    Unasked,
    /// This droplet has the address.
    Mine,
    /// It has not, or not yet: the service lags.
    NotMine,
    /// It did not answer.
    Failed,
}

/// The promotion gate of a hold: nothing is assigned while it is shut, and what
/// is here already stays here (a gate keeps an address from coming, no more).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// This node is fit to serve, or need not prove it.
    Open,
    /// A promotion runs: this hold's, or the one of an earlier hold that must end first.
    Promoting,
    /// A promotion may be asked for, not before this.
    Shut(Time),
}

/// How a claim that was held, or that landed, was found elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Loss {
    /// When it was noticed.
    pub(super) at: Time,
    /// The metadata service said so (else the API).
    pub(super) by_local: bool,
    /// The election has judged it: it issued the hold again since.
    pub(super) judged: bool,
    /// Since when the claim is wanted and not held.
    pub(super) since: Time,
}

/// How far the claim is; each variant owns what exists only in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Not wanted here.
    Idle,
    /// Wanted since `since`, not verified.
    Claiming { since: Time, failing_since: Option<Time> },
    /// Verified. `trusted`: metadata has said "mine" since, so its "not mine"
    /// counts; `absent_since`: when the first of these was asked for.
    Held { trusted: bool, absent_since: Option<Time> },
    /// It is elsewhere.
    Lost(Loss),
}

impl Stage {
    /// The stage in the words that the election knows.
    pub(super) fn claim_state(self) -> ClaimState {
        match self {
            Self::Idle => ClaimState::Idle,
            Self::Claiming { failing_since: None, .. } => ClaimState::Claiming,
            Self::Claiming { failing_since: Some(_), .. } => ClaimState::Failing,
            Self::Held { .. } => ClaimState::Held,
            Self::Lost(_) => ClaimState::Lost,
        }
    }
}

/// All that the next step depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Situation {
    pub(super) now: Time,
    pub(super) intent: Intent,
    pub(super) stage: Stage,
    pub(super) write: Write,
    /// Who held the address when the last own assign was sent.
    pub(super) over: Holder,
    pub(super) local: Local,
    pub(super) gate: Gate,
    /// No assign before this (backoff, `Retry-After`).
    pub(super) assign_from: Time,
    /// The last read of the API in this intent failed, or none may be made now.
    pub(super) api_unreadable: bool,
    /// I: two "not mine" closer together are one.
    pub(super) heartbeat_interval: Duration,
    pub(super) verify_interval: Duration,
}

/// Why the API is read, which decides how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// To prove that this node could claim: once each readiness interval.
    Proof,
    /// No master is heard: each 2 s.
    Watching,
    /// An answer is awaited that changes by itself, or for a new intent: at
    /// once, each second, after ten looks backing off to 10 s.
    Settling,
    /// Metadata is absent or disagrees: at once, then 1 s backing off to 10 s.
    Doubt,
    /// Before the next assign, when its backoff ends.
    Retry(Time),
}

impl Pace {
    /// From the beginning of the `looks`th look (from 1) at this pace to the
    /// next one. `None`: the pace names its time itself.
    pub(super) fn interval(self, looks: u32) -> Option<Duration> {
        match self {
            Self::Proof | Self::Retry(_) => None,
            Self::Watching => Some(WATCH_API),
            Self::Settling => Some(retry::doubled(LOOK, looks.saturating_sub(STEADY_LOOKS), LOOK_CEILING)),
            Self::Doubt => Some(retry::doubled(LOOK, looks.saturating_sub(1), LOOK_CEILING)),
        }
    }

    /// The first look at this pace, when the last look (at any) began at `last`.
    pub(super) fn first(self, now: Time, last: Option<Time>) -> Time {
        match self {
            Self::Proof | Self::Watching | Self::Settling => now,
            Self::Doubt => last.map_or(now, |last| now.max(last + LOOK)),
            Self::Retry(at) => at,
        }
    }

    /// Whether a late answer is worth a second connection (one read per
    /// readiness interval is a promise, P5).
    pub(super) fn urgent(self) -> bool {
        match self {
            Self::Proof => false,
            Self::Watching | Self::Settling | Self::Doubt | Self::Retry(_) => true,
        }
    }

    /// What part of the call budget these looks may use.
    pub(super) fn need(self) -> Need {
        match self {
            Self::Proof | Self::Watching => Need::Status,
            Self::Settling | Self::Doubt | Self::Retry(_) => Need::Look,
        }
    }
}

/// The reads that are wanted now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The time from one read of the metadata service to the next.
    pub(super) local: Option<Duration>,
    /// Why the API is read.
    pub(super) api: Option<Pace>,
}

/// The reads that a situation asks for.
pub(super) fn plan(s: &Situation) -> Plan {
    match s.intent {
        Intent::Yield => Plan { local: None, api: Some(Pace::Proof) },
        Intent::Warm => Plan { local: None, api: None },
        Intent::Watch => Plan { local: Some(WATCH_LOCAL), api: Some(Pace::Watching) },
        Intent::Hold(_) => Plan { local: Some(local_interval(s)), api: held_pace(s) },
    }
}

fn local_interval(s: &Situation) -> Duration {
    match (s.stage, s.write) {
        // The second "not mine" is asked for as soon as it counts.
        (Stage::Held { absent_since: Some(_), .. }, _) => s.verify_interval.min(s.heartbeat_interval),
        // It tells of the arrival sooner than the polls of the action, which back off.
        (Stage::Claiming { .. } | Stage::Lost(_), Write::Accepted { .. }) => s.verify_interval.min(ARRIVAL),
        (Stage::Held { absent_since: None, .. } | Stage::Idle | Stage::Claiming { .. } | Stage::Lost(_), _) => {
            s.verify_interval
        }
    }
}

fn held_pace(s: &Situation) -> Option<Pace> {
    match s.write {
        // The answer, or the poll, tells sooner than a look could.
        Write::Asking | Write::Accepted { doubtful: false, .. } => return None,
        Write::Accepted { doubtful: true, .. } | Write::Unanswered { .. } | Write::Refused => {
            return Some(Pace::Settling);
        }
        Write::Landed { .. } | Write::None => {}
    }
    match s.stage {
        Stage::Held { .. } => match s.local {
            Local::Mine | Local::Unasked => Some(Pace::Proof),
            // Rule 12: within S of an own action, each second.
            Local::NotMine | Local::Failed if fresh(s) => Some(Pace::Settling),
            Local::NotMine | Local::Failed => Some(Pace::Doubt),
        },
        Stage::Claiming { .. } | Stage::Lost(_) | Stage::Idle => {
            let landed = matches!(s.write, Write::Landed { .. });
            let from = match s.gate {
                Gate::Open | Gate::Promoting => s.assign_from,
                Gate::Shut(until) => s.assign_from.max(until),
            };
            if landed || from <= s.now {
                Some(Pace::Settling)
            } else if s.local == Local::Mine {
                // Somebody moved the address here while this node waits to ask for it.
                Some(Pace::Doubt)
            } else {
                Some(Pace::Retry(from))
            }
        }
    }
}

/// An own action ended well less than S ago.
fn fresh(s: &Situation) -> bool {
    matches!(s.write, Write::Landed { at, .. } if s.now < at + STALE_READ)
}

/// What an answer of the API means for a master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is here: `Held`.
    Verified,
    /// It says nothing that may be acted on. The look is reported all the same.
    LookAgain,
    /// Rule 12 permits an assign, now and on this look only.
    Assign,
    /// Rule 12 would permit one, and this node must be found fit first.
    Promote,
    /// It was here, or landed here, and is elsewhere.
    Lost,
    /// The assign whose end was lost has not worked.
    Undone,
    /// What refused the assign spoke the truth: `Failing`.
    Refused,
}

/// What `look` (of the API, begun in this hold, answered now) means.
pub(super) fn judge_api(s: &Situation, look: &Look) -> Verdict {
    let Intent::Hold(hold) = s.intent else { return Verdict::LookAgain };
    match look.holder {
        // "Mine" while an assign is in flight is unknown too: it may be a rival's.
        _ if !look.settled => Verdict::LookAgain,
        Holder::Unknown => Verdict::LookAgain,
        Holder::Mine => judge_mine(s, look),
        Holder::Nobody | Holder::Member(_) | Holder::Foreign(_) => judge_elsewhere(s, &hold, look),
    }
}

fn judge_mine(s: &Situation, look: &Look) -> Verdict {
    match s.stage {
        // Metadata said "not mine" twice; the API's "mine" may be older than that.
        Stage::Lost(loss) if loss.by_local && s.local != Local::Mine && look.begun < loss.at + STALE_READ => {
            Verdict::LookAgain
        }
        Stage::Idle | Stage::Claiming { .. } | Stage::Held { .. } | Stage::Lost(_) => match s.write {
            Write::Asking => Verdict::LookAgain,
            Write::None | Write::Accepted { .. } | Write::Unanswered { .. } | Write::Landed { .. } | Write::Refused => {
                Verdict::Verified
            }
        },
    }
}

fn judge_elsewhere(s: &Situation, hold: &Hold, look: &Look) -> Verdict {
    match s.write {
        Write::Asking | Write::Accepted { doubtful: false, .. } => Verdict::LookAgain,
        Write::Accepted { at, doubtful: true } | Write::Unanswered { at } => {
            if look.begun < at + STALE_READ {
                Verdict::LookAgain
            } else {
                Verdict::Undone
            }
        }
        Write::Refused => Verdict::Refused,
        Write::Landed { at, already } => {
            // Rule 12: for S the old holder (or "nobody", while it moves) is a
            // stale read. A holder that was off counted as nobody, and may be back.
            let was_off = s.over == Holder::Nobody && matches!(look.holder, Holder::Member(_));
            let stale = look.holder == s.over || look.holder == Holder::Nobody || was_off;
            if stale && look.begun < at + STALE_READ {
                Verdict::LookAgain
            } else if at < hold.since {
                Verdict::Undone // It landed in an earlier hold; this one has lost nothing yet.
            } else if already && !matches!(s.stage, Stage::Held { .. }) {
                Verdict::Refused // Not this address: the droplet has another one.
            } else {
                Verdict::Lost
            }
        }
        Write::None => match s.stage {
            Stage::Held { .. } => Verdict::Lost,
            Stage::Idle => Verdict::LookAgain,
            // The base is used up until the election has judged the loss; nobody
            // is robbed by claiming what nobody holds (rule 13).
            Stage::Lost(loss) if !loss.judged && look.holder != Holder::Nobody => Verdict::LookAgain,
            Stage::Lost(_) | Stage::Claiming { .. } if hold.base.allows(look.holder) => match s.gate {
                Gate::Open if s.assign_from <= s.now => Verdict::Assign,
                Gate::Shut(until) if until <= s.now => Verdict::Promote,
                Gate::Open | Gate::Shut(_) | Gate::Promoting => Verdict::LookAgain,
            },
            Stage::Lost(_) | Stage::Claiming { .. } => Verdict::LookAgain,
        },
    }
}

/// When a promotion is due for an address that is here already; it takes no look to permit it.
pub(super) fn promotion_due(s: &Situation) -> Option<Time> {
    match (s.intent, s.stage, s.gate) {
        (Intent::Hold(_), Stage::Held { .. }, Gate::Shut(until)) => Some(until),
        (Intent::Hold(_), Stage::Held { .. }, Gate::Open | Gate::Promoting) => None,
        (Intent::Hold(_), Stage::Idle | Stage::Claiming { .. } | Stage::Lost(_), _) => None,
        (Intent::Yield | Intent::Warm | Intent::Watch, _, _) => None,
    }
}

/// What an answer of the metadata service means for a master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LocalVerdict {
    /// It is here: `Held`.
    Verified,
    /// Nothing by itself; the pace of the API's looks may follow from it.
    Nothing,
    /// The first "not mine" of a service that had said "mine".
    Absent,
    /// "Not mine" so soon after an assign is the lag: only the API counts again.
    Distrust,
    /// The second "not mine", I after the first: `Lost` (rule 13).
    Lost,
}

/// What "mine" or "not mine", asked for at `begun` in this hold, means.
pub(super) fn judge_local(s: &Situation, begun: Time, mine: bool) -> LocalVerdict {
    let Intent::Hold(hold) = s.intent else { return LocalVerdict::Nothing };
    if !mine {
        return match s.stage {
            Stage::Held { trusted: true, absent_since } => match (s.write, absent_since) {
                (Write::Landed { at, .. }, _) if begun < at + STALE_READ => LocalVerdict::Distrust,
                (_, None) => LocalVerdict::Absent,
                (_, Some(first)) if begun >= first + s.heartbeat_interval => LocalVerdict::Lost,
                (_, Some(_)) => LocalVerdict::Nothing,
            },
            Stage::Held { trusted: false, .. } | Stage::Idle | Stage::Claiming { .. } | Stage::Lost(_) => {
                LocalVerdict::Nothing
            }
        };
    }
    // Rule 14's end: if the API cannot be read, "mine" later than S after the
    // last thing that could have left a stale one behind is enough.
    let enough = |since: Time| s.api_unreadable && begun >= since + STALE_READ;
    let verified = match (s.stage, s.write) {
        (Stage::Idle, _) => false,
        (Stage::Held { .. }, _) => true,
        (Stage::Claiming { .. }, Write::Landed { at, .. }) => begun >= at,
        (_, Write::Asking | Write::Accepted { .. }) => false,
        (_, Write::Unanswered { at }) => enough(at),
        (Stage::Claiming { .. }, Write::None | Write::Refused) => enough(hold.since),
        (Stage::Lost(loss), Write::None | Write::Refused | Write::Landed { .. }) => enough(loss.at),
    };
    if verified { LocalVerdict::Verified } else { LocalVerdict::Nothing }
}

#[cfg(test)]
mod tests;
