//! May I take over, and why: rules 6 to 9 of `docs/design.md` as one pure decision.
//!
//! [`decide`] is asked by a node that hears no master now. It answers with a takeover, or with
//! what it waits for and the time at which the answer may change by itself.

use std::net::Ipv4Addr;

use crate::proto::claim::event::{Base, Holder, Look};
use crate::proto::election::event::{Hindrance, Params, ProbeEvidence, Reason, Waiting};
use crate::proto::election::evidence::{self, Deposition};
use crate::proto::election::probe::{self, Finding};
use crate::proto::ids::Rank;
use crate::proto::time::{Duration, Time};

/// Rule 7: how long the holder is waited for when it and this host may both be booting.
pub(super) const BOOT_GRACE: Duration = Duration::from_secs(20);

/// A host that came up less than this before the agent listened counts as booting (rule 7).
pub(super) const BOOTING: Duration = Duration::from_secs(60);

/// What a member that holds the address is to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Heard, and it is a candidate (or was just started): rule 6 is its own to use.
    Candidate,
    /// Heard and echoed, and no candidate.
    NoCandidate,
    /// Not heard, or by a word without echo. `known`: it was, since this agent began to listen.
    Unheard { known: bool },
    /// Datagrams with a wrong key come from its host: not silent, so nothing is known.
    Babbling,
}

/// All that the decision rests on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vacancy {
    pub(super) now: Time,
    /// The silence: since the last of a master heard and my becoming `Backup`.
    pub(super) silent_since: Time,
    pub(super) candidate: bool,
    /// A candidate is heard (for rule 6's second sentence).
    pub(super) candidate_heard: bool,
    /// The one followed that fell silent; `None`: none was followed.
    pub(super) followed: Option<Ipv4Addr>,
    /// The master that left named a successor which is heard: D more (rule 5).
    pub(super) successor_heard: bool,
    /// The newest look, whenever it was.
    pub(super) look: Option<Look>,
    /// What the member in that look is to this node.
    pub(super) holder: Standing,
    pub(super) deposed: Option<Deposition>,
    /// A heard peer says first-hand that it is deposed by somebody whom I do not hear (rule 8).
    pub(super) deposed_by_word: Option<Deposition>,
    /// Datagrams with a wrong key come from the deposer's host: it is not silent.
    pub(super) deposer_babbles: bool,
    /// When the truth first said within this silence what it says now.
    pub(super) told_at: Option<Time>,
    pub(super) rank: Rank,
    /// The last known holder.
    pub(super) base: Base,
    /// This host booted at about the time that this agent began to listen.
    pub(super) booting: bool,
    /// Rule 9: what the probes say.
    pub(super) finding: Finding,
    /// The same in numbers, for people.
    pub(super) probe: ProbeEvidence,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    TakeOver {
        reason: Reason,
        base: Base,
    },
    /// Not now.
    Wait {
        /// What the first rule that applies waits for.
        waiting: Waiting,
        /// When the answer may be another one without any news.
        wake: Option<Time>,
    },
}

/// Decides by the first rule that holds.
pub(super) fn decide(params: &Params, vacancy: &Vacancy) -> Verdict {
    let mut wake: Option<Time> = None;
    let mut waiting: Option<Waiting> = None;
    for rule in [holder, deposed, silent, masterless] {
        let (hindrance, until, forbids) = match rule(params, vacancy) {
            Step::Take(reason, base) => return Verdict::TakeOver { reason, base },
            Step::Pass => continue,
            Step::Not(hindrance, until) => (hindrance, until, false),
            Step::Forbid(hindrance, until) => (hindrance, until, true),
        };
        wake = [wake, until].into_iter().flatten().min();
        waiting.get_or_insert(Waiting { hindrance, until });
        if forbids {
            break;
        }
    }
    // The last rule never passes.
    Verdict::Wait { waiting: waiting.unwrap_or(Waiting { hindrance: Hindrance::NoTruth, until: None }), wake }
}

enum Step {
    Take(Reason, Base),
    /// This rule does not apply; a later one may.
    Pass,
    /// This rule does not hold for this reason, and may at this time; a later one may before.
    Not(Hindrance, Option<Time>),
    /// The same, and this rule forbids the later ones.
    Forbid(Hindrance, Option<Time>),
}

impl Vacancy {
    /// A look that was begun within this silence.
    fn truth(&self) -> Option<Look> {
        self.look.filter(|look| look.begun >= self.silent_since)
    }

    fn due(&self, at: Time, hindrance: Hindrance, take: impl FnOnce() -> (Reason, Base)) -> Step {
        if self.now < at {
            return Step::Not(hindrance, Some(at));
        }
        let (reason, base) = take();
        Step::Take(reason, base)
    }

    /// Rule 9: when the evidence was complete, beside a silence that is over at `silence`.
    fn complete(&self, silence: Time, hindrance: Hindrance) -> Result<Time, Step> {
        let failing_since = self.probe.failing_since;
        let lacking = match self.finding {
            Finding::NotConfigured => return Ok(silence),
            Finding::Failing { complete, .. } => return Ok(silence.max(complete)),
            Finding::Answers => Hindrance::ProbeAnswers { answered: self.probe.answered },
            Finding::Incomplete => Hindrance::ProbeIncomplete { failing_since },
            Finding::NoUplink => Hindrance::ProbeWithoutUplink { failing_since },
        };
        // Before that, nobody would take over anyway.
        Err(if self.now < silence { Step::Not(hindrance, Some(silence)) } else { Step::Not(lacking, None) })
    }
}

/// Rule 6: no master is heard and the address is here. No write, so the silence is enough:
/// a probe would only be answered by this host itself.
fn holder(params: &Params, vacancy: &Vacancy) -> Step {
    let Some(Look { holder: Holder::Mine, settled: true, .. }) = vacancy.truth() else { return Step::Pass };
    let (wait, hindrance) = match (vacancy.candidate, vacancy.candidate_heard) {
        (true, _) => (params.dead_interval(), Hindrance::Silence { master: vacancy.followed }),
        // The second sentence: least bad, but everybody else goes first.
        (false, false) => (params.dead_interval() * 4, Hindrance::NotCandidate),
        (false, true) => return Step::Forbid(Hindrance::CandidateHeard, None),
    };
    vacancy.due(vacancy.silent_since + wait, hindrance, || (Reason::Holder, Base::default()))
}

/// Rule 8: a deposed node takes over only by its chance (other news ended the deposition).
/// What is no candidate uses no rule but the one before this.
fn deposed(params: &Params, vacancy: &Vacancy) -> Step {
    if !vacancy.candidate {
        return Step::Forbid(Hindrance::NotCandidate, None);
    }
    let (deposed, by_word) = match (vacancy.deposed, vacancy.deposed_by_word) {
        (Some(deposed), _) => (deposed, false),
        (None, Some(word)) => (word, true),
        (None, None) => return Step::Pass,
    };
    let by = deposed.by;
    if vacancy.deposer_babbles {
        return Step::Forbid(Hindrance::DeposerBabbles { by }, None);
    }
    let hindrance = Hindrance::Deposed { by, by_word };
    let chance = match vacancy.finding {
        Finding::NotConfigured => deposed.chance(deposed.since, evidence::CHANCE),
        Finding::Failing { since, .. } => deposed.chance(deposed.since.max(since), probe::CHANCE),
        Finding::Answers | Finding::Incomplete | Finding::NoUplink => return Step::Forbid(hindrance, None),
    };
    // It goes first who was deposed itself, if it may go at all.
    let later = if by_word { params.dead_interval() } else { Duration::ZERO };
    let at = chance + params.skew(vacancy.rank) + later;
    if vacancy.now < at {
        return Step::Forbid(hindrance, Some(at));
    }
    Step::Take(Reason::Chance { by }, deposed.member().into_iter().collect())
}

/// Rule 7, "Silent": the master followed is silent for D, the evidence is complete, and skew is over.
fn silent(params: &Params, vacancy: &Vacancy) -> Step {
    let Some(master) = vacancy.followed else { return Step::Pass };
    let (wait, hindrance) = match vacancy.successor_heard {
        false => (params.dead_interval(), Hindrance::Silence { master: Some(master) }),
        true => (params.dead_interval() * 2, Hindrance::Successor { master }),
    };
    let complete = match vacancy.complete(vacancy.silent_since + wait, hindrance) {
        Ok(complete) => complete,
        Err(lacking) => return lacking,
    };
    vacancy.due(complete + params.skew(vacancy.rank), hindrance, || {
        let mut base = vacancy.base;
        base.insert(master);
        (Reason::Silent { master }, base)
    })
}

/// Rule 7, "Masterless": none was followed; how long to wait is for the truth to say.
fn masterless(params: &Params, vacancy: &Vacancy) -> Step {
    let Some(look) = vacancy.truth() else { return Step::Not(Hindrance::NoTruth, None) };
    let dead = params.dead_interval();
    let silence = Hindrance::Silence { master: vacancy.followed };
    // Who is heard and says that it is no candidate speaks for itself, and nobody's address serves nobody:
    // what a probe would add is no news.
    let (wait, hindrance, probed) = match look.holder {
        Holder::Nobody => (dead, silence, false),
        Holder::Member(holder) => match vacancy.holder {
            Standing::NoCandidate => (dead, silence, false),
            Standing::Unheard { known: false } if vacancy.booting => {
                (BOOT_GRACE, Hindrance::HolderBoots { holder }, true)
            }
            Standing::Unheard { .. } => (dead * 4, silence, true),
            // It goes first, by rule 6.
            Standing::Candidate => (dead * 8, Hindrance::HolderFirst { holder }, true),
            Standing::Babbling => return Step::Not(Hindrance::HolderBabbles { holder }, None),
        },
        Holder::Foreign(droplet) => return Step::Not(Hindrance::Foreign { droplet }, None),
        // "Mine" that is not settled: the address is on its way to somebody.
        Holder::Mine | Holder::Unknown => return Step::Not(Hindrance::TruthUnsure, None),
    };
    // Skew counts from complete evidence: the answer may have come later than the silence lasted.
    let told = (vacancy.silent_since + wait).max(vacancy.told_at.unwrap_or(look.ended));
    let complete = match probed.then(|| vacancy.complete(told, hindrance)) {
        None => told,
        Some(Ok(complete)) => complete,
        Some(Err(lacking)) => return lacking,
    };
    vacancy.due(complete + params.skew(vacancy.rank), hindrance, || {
        let base = match look.holder {
            Holder::Member(member) => [member].into_iter().collect(),
            _ => Base::default(),
        };
        (Reason::Masterless { holder: look.holder }, base)
    })
}

#[cfg(test)]
mod tests;
