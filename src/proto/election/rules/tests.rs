//! The decision by table: each way to "not now", and what a probe changes in it.

use super::*;
use crate::proto::claim::event::Source;
use crate::proto::heartbeat::DeposedBy;
use crate::proto::ids::{DropletId, GroupId};

const INTERVAL: Duration = Duration::from_millis(500);
const DEAD: Duration = Duration::from_millis(1_500);
/// When the silence began.
const BEGAN: Time = Time::from_millis(100_000);
const MASTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
const MEMBER: Holder = Holder::Member(MASTER);
const BY: DeposedBy = DeposedBy::Member(MASTER);

fn params() -> Params {
    Params {
        group: GroupId(1),
        settings: 0,
        own: Ipv4Addr::new(10, 0, 0, 2),
        interval: INTERVAL,
        preempt: false,
        preempt_delay: Duration::from_secs(60),
        claim_timeout: Duration::from_secs(60),
        readiness_interval: Duration::from_secs(300),
        host_up: Time::ORIGIN,
        probe: None,
    }
}

fn look(holder: Holder, settled: bool) -> Option<Look> {
    let begun = BEGAN + Duration::from_millis(100);
    Some(Look { source: Source::Api, begun, ended: begun, holder, settled })
}

/// A master was followed and is silent for a millisecond.
fn vacancy() -> Vacancy {
    Vacancy {
        now: BEGAN + Duration::from_millis(1),
        silent_since: BEGAN,
        candidate: true,
        candidate_heard: false,
        followed: Some(MASTER),
        successor_heard: false,
        look: None,
        holder: Standing::Unheard { known: true },
        deposed: None,
        deposed_by_word: None,
        deposer_babbles: false,
        told_at: None,
        rank: Rank(0),
        base: Base::default(),
        booting: false,
        finding: Finding::NotConfigured,
        probe: ProbeEvidence::default(),
    }
}

/// None was followed; the truth names this holder.
fn masterless(holder: Holder) -> Vacancy {
    Vacancy { followed: None, look: look(holder, true), ..vacancy() }
}

fn deposition() -> Option<Deposition> {
    Some(Deposition { by: BY, since: BEGAN, chances: 1 })
}

fn failing() -> Finding {
    let since = BEGAN + Duration::from_millis(550);
    Finding::Failing { complete: since + probe::FAILING, since }
}

fn waits(vacancy: &Vacancy) -> (Hindrance, Option<Duration>) {
    match decide(&params(), vacancy) {
        Verdict::Wait { waiting, wake } => {
            assert!(wake.is_none_or(|wake| wake > vacancy.now), "{vacancy:?}");
            (waiting.hindrance, waiting.until.map(|until| until - BEGAN))
        }
        Verdict::TakeOver { reason, .. } => panic!("{reason:?} from {vacancy:?}"),
    }
}

fn takes(vacancy: &Vacancy) -> Reason {
    match decide(&params(), vacancy) {
        Verdict::TakeOver { reason, .. } => reason,
        Verdict::Wait { waiting, .. } => panic!("{waiting:?} from {vacancy:?}"),
    }
}

#[test]
fn each_hindrance_has_its_name_and_its_time() {
    let silence = |master| Hindrance::Silence { master };
    let deposed = |by_word| Hindrance::Deposed { by: BY, by_word };
    let no_candidate = Vacancy { candidate: false, ..vacancy() };
    let unheard = |booting| Vacancy { booting, holder: Standing::Unheard { known: false }, ..masterless(MEMBER) };
    let minute = Duration::from_secs(60);
    let table: Vec<(Vacancy, Hindrance, Option<Duration>)> = vec![
        // Rule 6.
        (Vacancy { look: look(Holder::Mine, true), ..vacancy() }, silence(Some(MASTER)), Some(DEAD)),
        (Vacancy { look: look(Holder::Mine, true), ..no_candidate }, Hindrance::NotCandidate, Some(DEAD * 4)),
        (
            Vacancy { look: look(Holder::Mine, true), candidate_heard: true, ..no_candidate },
            Hindrance::CandidateHeard,
            None,
        ),
        (no_candidate, Hindrance::NotCandidate, None),
        // Rule 8.
        (Vacancy { deposed: deposition(), ..vacancy() }, deposed(false), Some(minute * 2)),
        (Vacancy { deposed_by_word: deposition(), ..vacancy() }, deposed(true), Some(minute * 2 + DEAD)),
        (
            Vacancy { deposed: deposition(), deposer_babbles: true, ..vacancy() },
            Hindrance::DeposerBabbles { by: BY },
            None,
        ),
        // Rule 7.
        (vacancy(), silence(Some(MASTER)), Some(DEAD)),
        (Vacancy { rank: Rank(2), ..vacancy() }, silence(Some(MASTER)), Some(DEAD + INTERVAL)),
        (Vacancy { successor_heard: true, ..vacancy() }, Hindrance::Successor { master: MASTER }, Some(DEAD * 2)),
        (Vacancy { followed: None, ..vacancy() }, Hindrance::NoTruth, None),
        (masterless(Holder::Nobody), silence(None), Some(DEAD)),
        (Vacancy { holder: Standing::NoCandidate, ..masterless(MEMBER) }, silence(None), Some(DEAD)),
        (unheard(false), silence(None), Some(DEAD * 4)),
        (unheard(true), Hindrance::HolderBoots { holder: MASTER }, Some(BOOT_GRACE)),
        (
            Vacancy { holder: Standing::Candidate, ..masterless(MEMBER) },
            Hindrance::HolderFirst { holder: MASTER },
            Some(DEAD * 8),
        ),
        (
            Vacancy { holder: Standing::Babbling, ..masterless(MEMBER) },
            Hindrance::HolderBabbles { holder: MASTER },
            None,
        ),
        (masterless(Holder::Foreign(DropletId(7))), Hindrance::Foreign { droplet: DropletId(7) }, None),
        (masterless(Holder::Unknown), Hindrance::TruthUnsure, None),
        (Vacancy { look: look(Holder::Mine, false), ..masterless(MEMBER) }, Hindrance::TruthUnsure, None),
    ];
    for (vacancy, hindrance, until) in table {
        assert_eq!(waits(&vacancy), (hindrance, until), "{vacancy:?}");
    }
}

/// Rule 9: from a silence that is long over, by what the probes say.
#[test]
fn rule_7_over_a_silent_member_waits_for_the_probe_and_for_nothing_else_it_does() {
    let answered = Some(BEGAN + DEAD);
    let failing_since = Some(BEGAN + DEAD * 9);
    let over = BEGAN + DEAD * 10;
    let silent = Vacancy { now: over, ..vacancy() };
    let holders = [Standing::Unheard { known: true }, Standing::Candidate];
    let members = holders.map(|holder| Vacancy { holder, now: over, ..masterless(MEMBER) });
    for vacancy in [silent, members[0], members[1]] {
        let with = |finding, probe| Vacancy { finding, probe, ..vacancy };
        let fails = ProbeEvidence { answered: None, failing_since };
        let table = [
            (Finding::Answers, ProbeEvidence { answered, failing_since: None }, Hindrance::ProbeAnswers { answered }),
            (Finding::Incomplete, ProbeEvidence::default(), Hindrance::ProbeIncomplete { failing_since: None }),
            (Finding::Incomplete, fails, Hindrance::ProbeIncomplete { failing_since }),
            (Finding::NoUplink, fails, Hindrance::ProbeWithoutUplink { failing_since }),
        ];
        for (finding, probe, hindrance) in table {
            assert_eq!(waits(&with(finding, probe)), (hindrance, None));
        }
        takes(&with(failing(), fails));
        takes(&with(Finding::NotConfigured, ProbeEvidence::default()));
    }
    // Who says that it is no candidate, nobody, and this node itself need no probe.
    let spoken = Vacancy { holder: Standing::NoCandidate, ..masterless(MEMBER) };
    for vacancy in [spoken, masterless(Holder::Nobody), masterless(Holder::Mine)] {
        for finding in [Finding::Answers, Finding::Incomplete, Finding::NoUplink] {
            takes(&Vacancy { finding, now: over, ..vacancy });
        }
    }
}

#[test]
fn before_the_silence_is_over_an_answer_is_no_news() {
    let early = Vacancy { finding: Finding::Answers, ..vacancy() };
    assert_eq!(waits(&early), (Hindrance::Silence { master: Some(MASTER) }, Some(DEAD)));
}

#[test]
fn the_skew_counts_from_complete_evidence() {
    let since = BEGAN + DEAD * 2;
    let finding = Finding::Failing { complete: since + probe::FAILING, since };
    let second = Vacancy { finding, rank: Rank(1), now: since + probe::FAILING, ..vacancy() };
    let until = DEAD * 2 + probe::FAILING + INTERVAL / 2;
    assert_eq!(waits(&second), (Hindrance::Silence { master: Some(MASTER) }, Some(until)));
    takes(&Vacancy { now: BEGAN + until, ..second });
}

#[test]
fn rule_8_with_a_probe_the_chance_is_25_s_of_failure_after_the_last_move_doubled() {
    let deposed = Vacancy { deposed: deposition(), ..vacancy() };
    let hindrance = Hindrance::Deposed { by: BY, by_word: false };
    for finding in [Finding::Answers, Finding::Incomplete, Finding::NoUplink] {
        let hour = Vacancy { finding, now: BEGAN + Duration::from_secs(3_600), ..deposed };
        assert_eq!(waits(&hour), (hindrance, None));
    }
    let chance = Duration::from_secs(50);
    // It had failed before it moved: only what came after counts.
    let before = Finding::Failing { complete: BEGAN, since: BEGAN.before(Duration::from_secs(100)) };
    assert_eq!(waits(&Vacancy { finding: before, ..deposed }), (hindrance, Some(chance)));
    let later = Vacancy { finding: failing(), now: BEGAN + chance, ..deposed };
    assert_eq!(waits(&later), (hindrance, Some(Duration::from_millis(550) + chance)));
    assert_eq!(
        takes(&Vacancy { now: BEGAN + Duration::from_millis(550) + chance, ..later }),
        Reason::Chance { by: BY }
    );
}
