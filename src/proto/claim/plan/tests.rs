//! The tables: each stage against each state of the own assign, for each answer.

use std::net::Ipv4Addr;

use super::*;
use crate::proto::claim::event::{Base, Source};
use crate::proto::ids::{DropletId, Term};

const OLD: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);
const I: Duration = Duration::from_millis(500);

/// The hold began at 100 s; what was written was written at 110 s.
fn at(secs: u64) -> Time {
    Time::from_millis(secs * 1_000)
}

fn situation(stage: Stage, write: Write) -> Situation {
    let base: Base = [OLD].into_iter().collect();
    Situation {
        now: at(120),
        intent: Intent::Hold(Hold { term: Term(3), since: at(100), base }),
        stage,
        write,
        over: Holder::Member(OLD),
        local: Local::NotMine,
        gate: Gate::Open,
        assign_from: Time::ORIGIN,
        api_unreadable: false,
        heartbeat_interval: I,
        verify_interval: Duration::from_secs(1),
    }
}

fn look(begun: u64, holder: Holder) -> Look {
    Look { source: Source::Api, begun: at(begun), ended: at(120), holder, settled: true }
}

const CLAIMING: Stage = Stage::Claiming { since: Time::from_millis(100_000), failing_since: None };
const FAILING: Stage =
    Stage::Claiming { since: Time::from_millis(100_000), failing_since: Some(Time::from_millis(105_000)) };
const HELD: Stage = Stage::Held { trusted: false, absent_since: None };
const TRUSTED: Stage = Stage::Held { trusted: true, absent_since: None };

fn lost(by_local: bool, judged: bool) -> Stage {
    Stage::Lost(Loss { at: at(112), by_local, judged, since: at(100) })
}

fn stages() -> [Stage; 9] {
    let suspicious = Stage::Held { trusted: true, absent_since: Some(at(119)) };
    let [a, b, c, d] = [lost(false, false), lost(false, true), lost(true, false), lost(true, true)];
    [CLAIMING, FAILING, HELD, TRUSTED, suspicious, a, b, c, d]
}

fn writes() -> [Write; 8] {
    [
        Write::None,
        Write::Asking,
        Write::Accepted { at: at(110), doubtful: false },
        Write::Accepted { at: at(110), doubtful: true },
        Write::Unanswered { at: at(110) },
        Write::Landed { at: at(110), already: false },
        Write::Landed { at: at(110), already: true },
        Write::Refused,
    ]
}

fn holders() -> [Holder; 6] {
    let foreign = Holder::Foreign(DropletId(9));
    [Holder::Mine, Holder::Member(OLD), Holder::Member(OTHER), Holder::Nobody, foreign, Holder::Unknown]
}

/// The six holders' verdicts as letters: V verified, . look again, A assign, L lost, U undone, R refused.
fn verdicts(s: &Situation, begun: u64) -> String {
    let letter = |holder| match judge_api(s, &look(begun, holder)) {
        Verdict::Verified => 'V',
        Verdict::LookAgain => '.',
        Verdict::Assign => 'A',
        Verdict::Promote => 'P',
        Verdict::Lost => 'L',
        Verdict::Undone => 'U',
        Verdict::Refused => 'R',
    };
    holders().into_iter().map(letter).collect()
}

#[test]
fn a_shut_gate_turns_an_assign_into_a_promotion_and_changes_nothing_else() {
    for stage in stages() {
        for write in writes() {
            let open = situation(stage, write);
            let judged = |gate| verdicts(&Situation { gate, ..open }, 119);
            let expected = verdicts(&open, 119);
            assert_eq!(judged(Gate::Shut(at(120))), expected.replace('A', "P"), "{stage:?} {write:?}");
            for gate in [Gate::Promoting, Gate::Shut(at(121))] {
                assert_eq!(judged(gate), expected.replace('A', "."), "{stage:?} {write:?} {gate:?}");
            }
            for mine in [true, false] {
                let local = |gate| judge_local(&Situation { gate, ..open }, at(119), mine);
                assert_eq!(local(Gate::Shut(at(120))), local(Gate::Open), "what is here stays here");
            }
            let held = matches!(stage, Stage::Held { .. });
            let shut = Situation { gate: Gate::Shut(at(121)), ..open };
            assert_eq!(promotion_due(&shut), held.then(|| at(121)), "{stage:?}");
            assert_eq!(promotion_due(&Situation { intent: Intent::Watch, ..shut }), None);
            assert_eq!(promotion_due(&open), None);
        }
    }
}

#[test]
fn the_looks_wait_with_the_promotion() {
    let waiting = Situation { gate: Gate::Shut(at(125)), ..situation(CLAIMING, Write::None) };
    assert_eq!(plan(&waiting).api, Some(Pace::Retry(at(125))));
    let later = Situation { assign_from: at(130), ..waiting };
    assert_eq!(plan(&later).api, Some(Pace::Retry(at(130))));
    assert_eq!(plan(&Situation { gate: Gate::Promoting, ..waiting }).api, Some(Pace::Settling), "it may go elsewhere");
}

#[test]
fn every_answer_of_the_api_in_every_stage_and_state_of_the_own_assign() {
    // Columns: mine, old holder (base), other member, nobody, foreign, unknown;
    // first for a look within S of the write, then for one after it.
    let rows = [
        (
            CLAIMING,
            [
                "VA.A.. VA.A..",
                "...... ......",
                "V..... V.....",
                "V..... VUUUU.",
                "V..... VUUUU.",
                "V.L.L. VLLLL.",
                "V.R.R. VRRRR.",
                "VRRRR. VRRRR.",
            ],
        ),
        (
            FAILING,
            [
                "VA.A.. VA.A..",
                "...... ......",
                "V..... V.....",
                "V..... VUUUU.",
                "V..... VUUUU.",
                "V.L.L. VLLLL.",
                "V.R.R. VRRRR.",
                "VRRRR. VRRRR.",
            ],
        ),
        (
            HELD,
            [
                "VLLLL. VLLLL.",
                "...... ......",
                "V..... V.....",
                "V..... VUUUU.",
                "V..... VUUUU.",
                "V.L.L. VLLLL.",
                "V.L.L. VLLLL.",
                "VRRRR. VRRRR.",
            ],
        ),
        (
            lost(false, false),
            [
                "V..A.. V..A..",
                "...... ......",
                "V..... V.....",
                "V..... VUUUU.",
                "V..... VUUUU.",
                "V.L.L. VLLLL.",
                "V.R.R. VRRRR.",
                "VRRRR. VRRRR.",
            ],
        ),
        (
            lost(false, true),
            [
                "VA.A.. VA.A..",
                "...... ......",
                "V..... V.....",
                "V..... VUUUU.",
                "V..... VUUUU.",
                "V.L.L. VLLLL.",
                "V.R.R. VRRRR.",
                "VRRRR. VRRRR.",
            ],
        ),
        (
            lost(true, false),
            [
                "...A.. V..A..",
                "...... ......",
                "...... V.....",
                "...... VUUUU.",
                "...... VUUUU.",
                "..L.L. VLLLL.",
                "..R.R. VRRRR.",
                ".RRRR. VRRRR.",
            ],
        ),
    ];
    for (stage, cells) in rows {
        for (write, cell) in writes().into_iter().zip(cells) {
            let s = situation(stage, write);
            let seen = format!("{} {}", verdicts(&s, 114), verdicts(&s, 118));
            assert_eq!(seen, cell, "{stage:?} {write:?}");
        }
    }
}

#[test]
fn nothing_is_believed_while_locked_or_out_of_a_hold() {
    for stage in stages() {
        for write in writes() {
            let s = situation(stage, write);
            for holder in holders() {
                let locked = Look { settled: false, ..look(118, holder) };
                assert_eq!(judge_api(&s, &locked), Verdict::LookAgain);
                for intent in [Intent::Yield, Intent::Warm, Intent::Watch] {
                    assert_eq!(judge_api(&Situation { intent, ..s }, &look(118, holder)), Verdict::LookAgain);
                    for mine in [true, false] {
                        assert_eq!(judge_local(&Situation { intent, ..s }, at(119), mine), LocalVerdict::Nothing);
                    }
                }
            }
        }
    }
}

#[test]
fn only_the_backoff_and_the_base_stand_between_a_look_and_an_assign() {
    let s = situation(CLAIMING, Write::None);
    assert_eq!(
        judge_api(&Situation { assign_from: at(121), ..s }, &look(118, Holder::Member(OLD))),
        Verdict::LookAgain
    );
    assert_eq!(judge_api(&Situation { assign_from: at(120), ..s }, &look(118, Holder::Member(OLD))), Verdict::Assign);
}

#[test]
fn what_landed_before_the_takeover_is_no_loss_of_this_hold() {
    for already in [false, true] {
        let s = situation(CLAIMING, Write::Landed { at: at(99), already });
        assert_eq!(verdicts(&s, 104), "V.U.U.");
        assert_eq!(verdicts(&s, 106), "VUUUU.");
    }
}

#[test]
fn metadata_that_agrees_makes_the_api_s_mine_after_a_loss_good_at_once() {
    let s = situation(lost(true, false), Write::None);
    assert_eq!(judge_api(&Situation { local: Local::Mine, ..s }, &look(114, Holder::Mine)), Verdict::Verified);
}

#[test]
fn mine_of_metadata_verifies_what_was_held_or_landed_and_else_only_without_the_api() {
    use LocalVerdict::{Nothing, Verified};
    for write in writes() {
        let landed = matches!(write, Write::Landed { .. });
        let under_way = matches!(write, Write::Asking | Write::Accepted { .. });
        let want = |yes| if yes { Verified } else { Nothing };
        for stage in [HELD, TRUSTED] {
            assert_eq!(judge_local(&situation(stage, write), at(119), true), Verified);
        }
        for stage in [CLAIMING, FAILING] {
            let s = situation(stage, write);
            assert_eq!(judge_local(&s, at(119), true), want(landed), "{write:?}");
            let s = Situation { api_unreadable: true, ..s };
            assert_eq!(judge_local(&s, at(119), true), want(!under_way), "{write:?}");
        }
        for judged in [false, true] {
            let s = situation(lost(true, judged), write);
            assert_eq!(judge_local(&s, at(119), true), Nothing);
            assert_eq!(
                judge_local(&Situation { api_unreadable: true, ..s }, at(117), true),
                want(matches!(write, Write::Unanswered { .. })),
                "{write:?}: S from the loss, or from the lost answer"
            );
        }
    }
    let s = Situation { api_unreadable: true, ..situation(CLAIMING, Write::None) };
    assert_eq!(judge_local(&s, at(105), true), Nothing, "less than S after the takeover");
    let s = situation(CLAIMING, Write::Landed { at: at(110), already: false });
    assert_eq!(judge_local(&s, at(109), true), Nothing, "asked before it landed");
}

#[test]
fn not_mine_counts_only_from_metadata_that_said_mine_and_twice_i_apart() {
    for stage in [CLAIMING, FAILING, HELD, lost(true, false), lost(false, true)] {
        for write in writes() {
            assert_eq!(judge_local(&situation(stage, write), at(119), false), LocalVerdict::Nothing);
        }
    }
    let suspicious = Stage::Held { trusted: true, absent_since: Some(at(119)) };
    assert_eq!(judge_local(&situation(TRUSTED, Write::None), at(119), false), LocalVerdict::Absent);
    assert_eq!(judge_local(&situation(suspicious, Write::None), at(119), false), LocalVerdict::Nothing);
    assert_eq!(judge_local(&situation(suspicious, Write::None), at(119) + I, false), LocalVerdict::Lost);
    let landed = Write::Landed { at: at(114), already: false };
    assert_eq!(judge_local(&situation(suspicious, landed), at(119) + I, false), LocalVerdict::Distrust);
}

#[test]
fn the_reads_of_every_situation() {
    let retry = Pace::Retry(at(125));
    for stage in stages() {
        for write in writes() {
            for local in [Local::Unasked, Local::Mine, Local::NotMine, Local::Failed] {
                for assign_from in [at(100), at(125)] {
                    let s = Situation { local, assign_from, ..situation(stage, write) };
                    let agrees = matches!(local, Local::Mine | Local::Unasked);
                    let want = match (write, stage) {
                        (Write::Asking | Write::Accepted { doubtful: false, .. }, _) => None,
                        (Write::Accepted { .. } | Write::Unanswered { .. } | Write::Refused, _) => Some(Pace::Settling),
                        (_, Stage::Held { .. }) => Some(if agrees { Pace::Proof } else { Pace::Doubt }),
                        (Write::Landed { .. }, _) => Some(Pace::Settling),
                        (Write::None, _) if assign_from == at(100) => Some(Pace::Settling),
                        (Write::None, _) => Some(if local == Local::Mine { Pace::Doubt } else { retry }),
                    };
                    assert_eq!(plan(&s).api, want, "{s:?}");
                    let suspicious = matches!(stage, Stage::Held { absent_since: Some(_), .. });
                    let arriving = matches!(stage, Stage::Claiming { .. } | Stage::Lost(_))
                        && matches!(write, Write::Accepted { .. });
                    let local = match (suspicious, arriving) {
                        (true, _) => I,
                        (false, true) => ARRIVAL,
                        (false, false) => Duration::from_secs(1),
                    };
                    assert_eq!(plan(&s).local, Some(local), "{s:?}");
                    for (intent, want) in [
                        (Intent::Yield, Plan { local: None, api: Some(Pace::Proof) }),
                        (Intent::Warm, Plan { local: None, api: None }),
                        (Intent::Watch, Plan { local: Some(I), api: Some(Pace::Watching) }),
                    ] {
                        assert_eq!(plan(&Situation { intent, ..s }), want);
                    }
                }
            }
        }
    }
}

#[test]
fn the_paces_back_off_as_promised() {
    let waits = |pace: Pace| -> Vec<u64> { (1..=15).filter_map(|n| pace.interval(n)).map(|d| d.as_secs()).collect() };
    assert_eq!(waits(Pace::Settling), [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 8, 10, 10]);
    assert_eq!(waits(Pace::Doubt)[..6], [1, 2, 4, 8, 10, 10]);
    assert_eq!(waits(Pace::Watching), [2; 15]);
    assert!(waits(Pace::Proof).is_empty() && waits(Pace::Retry(at(1))).is_empty());
}

#[test]
fn sent_is_what_may_still_land_or_landed_within_s_unverified() {
    let sent: Vec<_> = writes().into_iter().map(|write| write.sent(at(112), None)).collect();
    assert_eq!(sent, [false, true, true, true, true, true, true, false]);
    let landed = Write::Landed { at: at(110), already: false };
    assert!(landed.sent(at(112), Some(at(109))) && !landed.sent(at(112), Some(at(110))));
    assert!(!landed.sent(at(116), None));
}
