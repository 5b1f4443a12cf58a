use super::*;

mod chaos;

const INTERVAL: Duration = Duration::from_millis(500);
const A: NodeId = NodeId(0xa);
const B: NodeId = NodeId(0xb);

fn own(node: NodeId, boot: u64) -> Own {
    Own { node, boot: BootId(boot), interval: INTERVAL }
}

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

const fn accepted(echoed: bool, newest: bool, new_boot: bool) -> Result<Accepted, Dropped> {
    Ok(Accepted { echoed, newest, new_boot })
}

const PRESENCE: Result<Accepted, Dropped> = accepted(false, true, false);
const ECHOED: Result<Accepted, Dropped> = accepted(true, true, false);
const PROVEN: Result<Accepted, Dropped> = accepted(true, true, true);
const NO_PROOF: Result<Accepted, Dropped> = Err(Dropped::NewBootWithoutProof { answer: true });
const NO_PROOF_NO_ANSWER: Result<Accepted, Dropped> = Err(Dropped::NewBootWithoutProof { answer: false });

/// Sends one datagram at `now`; it arrives at once.
fn send(now: Time, from: &mut Link, to: &mut Link) -> Result<Accepted, Dropped> {
    let header = from.next_header(now, false);
    to.receive(now, now, &header)
}

/// Heartbeats both ways, from `start` on, `a` first. Gives what the first receives.
fn beat(start: u64, rounds: u64, a: &mut Link, b: &mut Link) -> Vec<Header> {
    (0..rounds)
        .map(|round| {
            let now = at(start + round * 500);
            let _ = send(now, a, b);
            let header = b.next_header(now, false);
            let _ = a.receive(now, now, &header);
            header
        })
        .collect()
}

/// Two nodes that hear each other since `start`, and what `b` sent.
fn acquainted(a_boot: u64, b_boot: u64, start: u64) -> (Link, Link, Vec<Header>) {
    let (mut a, mut b) = (Link::new(own(A, a_boot)), Link::new(own(B, b_boot)));
    let recorded = beat(start, 10, &mut a, &mut b);
    assert!(a.echoed() && b.echoed());
    (a, b, recorded)
}

#[test]
fn the_first_contact_is_presence_and_the_first_echo_is_two_way() {
    let (mut a, mut b) = (Link::new(own(A, 1)), Link::new(own(B, 2)));
    assert_eq!(send(at(0), &mut a, &mut b), accepted(false, true, true));
    assert_eq!((b.heard_at(), b.echoed_at(), b.echoed()), (Some(at(0)), None, false));
    assert_eq!(send(at(500), &mut b, &mut a), PROVEN);
    assert_eq!(send(at(1_000), &mut a, &mut b), ECHOED);
    assert_eq!((b.heard_at(), b.echoed_at(), b.echoed()), (Some(at(1_000)), Some(at(1_000)), true));
    assert_eq!((b.node(), b.boot(), b.interval()), (Some(A), Some(BootId(1)), Some(INTERVAL)));
}

#[test]
fn an_echo_of_another_run_or_of_a_number_never_sent_is_none() {
    let mut a = Link::new(own(A, 1));
    let mut b = Link::new(own(B, 2));
    let _ = send(at(0), &mut a, &mut b);
    let mut echo = |boot, seq| {
        let echo = Some(Echo { boot: BootId(boot), seq: Seq(seq), held: Duration::ZERO });
        a.receive(at(0), at(0), &Header { echo, ..b.next_header(at(0), false) }).unwrap().echoed
    };
    assert_eq!([echo(1, 2), echo(3, 1), echo(1, 0), echo(1, 1)], [false, false, false, true]);
}

#[test]
fn a_link_cut_in_one_direction_is_heard_but_not_echoed() {
    let (mut a, b, _) = acquainted(1, 2, 0);
    // b's new run hears a, and nothing of b reaches a any more: a goes on echoing b's old run.
    let mut b = Link::restore(own(B, 3), &b.persist());
    for round in 0..10 {
        let now = at(10_000 + round * 500);
        let _ = b.next_header(now, false);
        assert_eq!(send(now, &mut a, &mut b), PRESENCE);
    }
    assert_eq!((b.heard_at(), b.echoed_at(), b.echoed()), (Some(at(14_500)), None, false));
}

#[test]
fn this_nodes_own_name_is_dropped_whatever_else_it_says() {
    let (mut a, _, _) = acquainted(1, 2, 0);
    let mut namesake = Link::new(own(A, 9));
    assert_eq!(send(at(9_000), &mut namesake, &mut a), Err(Dropped::OwnName));
}

#[test]
fn a_late_datagram_counts_once_and_replaces_nothing() {
    let (mut a, mut b, _) = acquainted(1, 2, 0);
    let late = b.next_header(at(6_000), false);
    let newer = b.next_header(at(6_010), false);
    assert_eq!(a.receive(at(6_020), at(6_020), &newer), ECHOED);
    assert_eq!(a.receive(at(6_030), at(6_030), &late), accepted(true, false, false));
    assert_eq!(a.receive(at(6_040), at(6_040), &late), Err(Dropped::Duplicate));
    assert_eq!(a.heard_at(), Some(at(6_030)));
    // What goes back is the newest, with its own arrival.
    let echo = a.next_header(at(6_050), false).echo.unwrap();
    assert_eq!((echo.seq, echo.held), (newer.seq, Duration::from_millis(30)));
    for _ in 0..64 {
        let _ = send(at(6_060), &mut b, &mut a);
    }
    assert_eq!(a.receive(at(6_070), at(6_070), &late), Err(Dropped::TooOld));
}

#[test]
fn a_time_stamp_from_the_future_is_now() {
    let (mut a, mut b, _) = acquainted(1, 2, 0);
    let header = b.next_header(at(6_000), false);
    assert_eq!(a.receive(at(6_000), at(9_000), &header), ECHOED);
    assert_eq!(a.heard_at(), Some(at(6_000)));
}

#[test]
fn loss_is_what_the_numbers_miss() {
    let (mut a, mut b, _) = acquainted(1, 2, 0);
    assert_eq!(a.loss(), Some(Loss { missing: 0, expected: 10 }));
    let _ = b.next_header(at(6_000), false);
    let _ = send(at(6_500), &mut b, &mut a);
    assert_eq!(a.loss(), Some(Loss { missing: 1, expected: 12 }));
    assert!((a.loss().unwrap().ratio() - 1.0 / 12.0).abs() < 1e-9);
}

#[test]
fn the_round_trip_leaves_out_what_the_peer_waited_and_is_smoothed() {
    let (mut a, mut b) = (Link::new(own(A, 1)), Link::new(own(B, 2)));
    let micros = |value: u64| Time::from_nanos(value * 1_000);
    let mut round = |start: u64, there: u64, waited: u64, back: u64| {
        let header = a.next_header(micros(start), false);
        let arrived = micros(start + there);
        b.receive(arrived, arrived, &header).unwrap();
        let header = b.next_header(micros(start + there + waited), false);
        let arrived = micros(start + there + waited + back);
        // Handled late: only the kernel's stamp counts.
        a.receive(arrived + Duration::from_secs(1), arrived, &header).unwrap();
        a.round_trip().unwrap()
    };
    assert_eq!(round(0, 200, 300_000, 100), Duration::from_micros(300));
    assert_eq!(round(1_000_000, 600, 77, 500), Duration::from_micros((300 * 7 + 1_100) / 8));
}

#[test]
fn an_echo_gives_one_round_trip_and_one_of_a_forgotten_number_gives_none() {
    let (mut a, mut b, _) = acquainted(1, 2, 0);
    let before = a.round_trip();
    let delayed = b.next_header(at(60_000), false);
    assert_eq!(a.receive(at(70_000), at(70_000), &delayed), ECHOED);
    assert_eq!(a.round_trip(), before, "the number was echoed before");
    let _ = send(at(71_000), &mut a, &mut b);
    for _ in 0..SENT_TIMES {
        let _ = a.next_header(at(90_000), false);
    }
    assert_eq!(send(at(91_000), &mut b, &mut a), ECHOED);
    assert_eq!(a.round_trip(), before, "nobody knows any more when it was sent");
}

#[test]
fn a_peers_new_run_proves_itself_and_the_old_one_never_comes_back() {
    let (mut a, mut old, recorded) = acquainted(1, 2, 0);
    let withheld = old.next_header(at(5_000), false);
    let mut new = Link::restore(own(B, 3), &old.persist());
    assert_eq!(send(at(5_100), &mut new, &mut a), NO_PROOF);
    assert_eq!(a.heard_at(), Some(at(4_500)), "what is dropped is not heard");
    assert_eq!(send(at(5_100), &mut a, &mut new), PRESENCE);
    assert_eq!(send(at(5_100), &mut new, &mut a), PROVEN);
    assert_eq!(send(at(5_500), &mut a, &mut new), ECHOED);

    for header in recorded.iter().chain([&withheld]) {
        assert_eq!(a.receive(at(6_000), at(6_000), header), Err(Dropped::BootLeft));
    }
    let mut restarted = Link::restore(own(A, 4), &a.persist());
    for header in recorded.iter().chain([&withheld]) {
        assert_eq!(restarted.receive(at(7_000), at(7_000), header), Err(Dropped::BootLeft));
    }
}

#[test]
fn an_echo_from_before_the_last_accepted_datagram_is_no_proof() {
    let (mut a, mut old, _) = acquainted(1, 2, 0);
    let mut new = Link::restore(own(B, 3), &old.persist());
    // The new run hears a, but the old one speaks after that.
    let _ = send(at(5_000), &mut a, &mut new);
    assert_eq!(send(at(5_010), &mut old, &mut a), ECHOED);
    assert_eq!(send(at(5_020), &mut new, &mut a), NO_PROOF);
    let _ = send(at(5_500), &mut a, &mut new);
    assert_eq!(send(at(5_520), &mut new, &mut a), PROVEN);
}

#[test]
fn a_run_forgotten_by_the_list_of_left_ones_still_lacks_a_proof() {
    let (mut a, b, recorded) = acquainted(1, 2, 0);
    let mut memory = b.persist();
    for boot in 3..43 {
        let mut b = Link::restore(own(B, boot), &memory);
        let now = at(boot * 10_000);
        let _ = send(now, &mut a, &mut b);
        assert_eq!(send(now, &mut b, &mut a), PROVEN);
        memory = b.persist();
    }
    assert!(!a.persist().left.contains(BootId(2)));
    for header in &recorded {
        assert!(matches!(a.receive(at(900_000), at(900_000), header), Err(Dropped::NewBootWithoutProof { .. })));
    }
    assert_eq!(a.boot(), Some(BootId(42)));
}

#[test]
fn what_was_recorded_before_this_nodes_restart_is_presence_at_most() {
    let (a, _, recorded) = acquainted(1, 2, 0);
    // With its memory not even that.
    let mut remembers = Link::restore(own(A, 3), &a.persist());
    let _ = remembers.next_header(at(9_000), false);
    for header in &recorded {
        assert_eq!(remembers.receive(at(9_000), at(9_000), header), Err(Dropped::Duplicate));
    }
    assert_eq!((remembers.heard_at(), remembers.boot()), (None, Some(BootId(2))));
    // Without it: heard, never echoed, each datagram once.
    let mut forgot = Link::new(own(A, 3));
    let _ = forgot.next_header(at(9_000), false);
    for (index, header) in recorded.iter().enumerate() {
        assert_eq!(forgot.receive(at(9_000), at(9_000), header), accepted(false, true, index == 0));
        assert_eq!(forgot.receive(at(9_000), at(9_000), header), Err(Dropped::Duplicate));
    }
    assert_eq!((forgot.echoed(), forgot.echoed_at()), (false, None));
}

#[test]
fn a_recorded_present_run_does_not_keep_that_run_out() {
    let (_, mut b, recorded) = acquainted(1, 2, 0);
    let mut a = Link::new(own(A, 3));
    for header in &recorded {
        let _ = a.receive(at(5_000), at(5_000), header);
    }
    assert_eq!(send(at(5_000), &mut b, &mut a), PRESENCE);
    // To b, a's new run is unproven; to a, b's is not.
    assert_eq!(send(at(5_010), &mut a, &mut b), PROVEN);
    assert_eq!(send(at(5_020), &mut b, &mut a), ECHOED);
}

/// The peer's old run was recorded long ago. This node restarts without memory, and
/// the recording is there before the peer, and goes on.
#[test]
fn a_replayed_old_run_does_not_keep_the_present_one_out() {
    let (mut a, mut b, mut recording) = acquainted(1, 2, 0);
    recording.extend(beat(5_000, 100, &mut a, &mut b));
    let mut b = Link::restore(own(B, 3), &b.persist());
    beat(100_000, 10, &mut a, &mut b);
    assert_eq!(a.boot(), Some(BootId(3)));

    let mut a = Link::new(own(A, 4));
    let mut replay = recording.iter();
    let mut proven_at = None;
    for round in 0..20_u64 {
        let now = at(105_000 + round * 500);
        for header in replay.by_ref().take(3) {
            let told = a.receive(now, now, header);
            match (proven_at, a.node()) {
                (Some(_), _) => assert!(matches!(told, Err(Dropped::NewBootWithoutProof { .. })), "{told:?}"),
                (None, Some(_)) if round > 0 => assert_eq!(told, PRESENCE),
                (None, _) => assert!(told.is_ok_and(|accepted| !accepted.echoed)),
            }
        }
        let _ = send(now, &mut a, &mut b);
        if send(now, &mut b, &mut a) == PROVEN {
            proven_at = Some(round);
        }
    }
    // As soon as b's echo of a's dead run is D old, and b's turn came.
    assert!(proven_at.is_some_and(|round| round <= 4), "{proven_at:?}");
    assert!(a.echoed() && b.echoed() && a.boot() == Some(BootId(3)) && b.boot() == Some(BootId(4)));
}

/// Recordings that come faster than a round trip: were they to move the bar, every proof would come too late.
#[test]
fn a_flood_of_presence_does_not_outrun_the_proof() {
    let (_, _, recorded) = acquainted(1, 2, 0);
    let mut a = Link::new(own(A, 3));
    let mut b = Link::new(own(B, 4));
    let _ = a.receive(at(9_000), at(9_000), &recorded[0]);
    let _ = send(at(9_001), &mut a, &mut b);
    let proof = b.next_header(at(9_002), false);
    let _ = a.next_header(at(9_003), false);
    assert_eq!(a.receive(at(9_003), at(9_003), &recorded[1]), PRESENCE);
    assert_eq!(a.receive(at(9_004), at(9_004), &proof), PROVEN);
}

#[test]
fn two_nodes_that_restarted_and_remember_only_the_other_ones_past_meet_in_two_round_trips() {
    let (a, b, _) = acquainted(1, 2, 0);
    let mut a = Link::restore(own(A, 3), &a.persist());
    let mut b = Link::restore(own(B, 4), &b.persist());
    assert_eq!(send(at(9_000), &mut a, &mut b), NO_PROOF);
    assert_eq!(send(at(9_001), &mut b, &mut a), PROVEN, "the refused run is echoed, and this proves the echoing one");
    assert_eq!(send(at(9_002), &mut a, &mut b), PROVEN);
    assert_eq!(send(at(9_003), &mut b, &mut a), ECHOED);
}

/// The run before was heard for the last time after the present one was heard for the first.
#[test]
fn a_late_proof_of_the_run_before_does_not_lock_the_present_one_out() {
    let (mut a, mut old) = (Link::new(own(A, 1)), Link::new(own(B, 2)));
    let _ = send(at(0), &mut a, &mut old);
    let late = old.next_header(at(10), false);
    let mut new = Link::restore(own(B, 3), &old.persist());
    assert_eq!(send(at(100), &mut new, &mut a), accepted(false, true, true));
    assert_eq!(a.receive(at(101), at(101), &late), PROVEN);
    assert_eq!(send(at(500), &mut a, &mut new), PRESENCE);
    assert_eq!(send(at(510), &mut new, &mut a), PROVEN);
    assert_eq!(a.receive(at(520), at(520), &late), Err(Dropped::BootLeft));
}

/// Both restarted and somebody replays the past to both, loudest before each heartbeat.
#[test]
fn a_replay_to_both_after_both_restarted_hinders_neither() {
    for remembering in [false, true] {
        let (mut a, mut b, mut from_b) = acquainted(1, 2, 0);
        let mut from_a = Vec::new();
        for round in 0..60 {
            from_b.push(b.next_header(at(6_000 + round), false));
            from_a.push(a.next_header(at(6_000 + round), false));
        }
        let memory = |link: &Link| if remembering { link.persist() } else { LinkMemory::default() };
        let mut a = Link::restore(own(A, 3), &memory(&a));
        let mut b = Link::restore(own(B, 4), &memory(&b));
        for round in 0..12_usize {
            let now = at(10_000 + round as u64 * 500);
            for index in round * 5..round * 5 + 5 {
                let told = [a.receive(now, now, &from_b[index]), b.receive(now, now, &from_a[index])];
                assert!(!told.iter().flatten().any(|accepted| accepted.echoed), "{told:?}");
            }
            let _ = send(now, &mut a, &mut b);
            let _ = send(now, &mut b, &mut a);
        }
        assert!(a.echoed() && b.echoed(), "remembering: {remembering}");
        assert_eq!((a.boot(), b.boot()), (Some(BootId(4)), Some(BootId(3))));
    }
}

#[test]
fn an_unproven_run_is_answered_at_most_five_times_an_interval_and_a_looped_recording_once() {
    let (mut a, b, _) = acquainted(1, 2, 0);
    let mut new = Link::restore(own(B, 3), &b.persist());
    let looped = new.next_header(at(5_000), false);
    assert_eq!(a.receive(at(5_000), at(5_000), &looped), NO_PROOF);
    assert_eq!(a.receive(at(5_900), at(5_900), &looped), NO_PROOF_NO_ANSWER);
    assert_eq!(send(at(5_099), &mut new, &mut a), NO_PROOF_NO_ANSWER);
    assert_eq!(send(at(5_100), &mut new, &mut a), NO_PROOF);
}

#[test]
fn the_runs_that_wait_for_a_proof_are_echoed_in_turn() {
    let mut a = Link::new(own(A, 1));
    let _ = send(at(0), &mut Link::new(own(B, 2)), &mut a);
    for boot in [3, 4] {
        let _ = send(at(0), &mut Link::new(own(B, boot)), &mut a);
    }
    let mut turns = |now| (0..4).map(|_| a.next_header(at(now), false).echo.unwrap().boot.0).collect::<Vec<_>>();
    assert_eq!(turns(1), [3, 4, 2, 3]);
    assert_eq!(turns(9_000), [2; 4], "nothing is alive: the one that is accepted");
}

#[test]
fn a_proven_run_that_is_alive_is_echoed_whatever_else_arrives() {
    let (mut a, mut b, _) = acquainted(1, 2, 0);
    let mut other = Link::new(own(B, 3));
    for round in 0..20 {
        let now = at(5_000 + round * 500);
        for _ in 0..3 {
            let _ = send(now, &mut other, &mut a);
        }
        assert_eq!(send(now, &mut a, &mut b), ECHOED);
        assert_eq!(send(now, &mut b, &mut a), ECHOED);
    }
}

#[test]
fn a_peer_that_comes_back_under_another_name_must_prove_itself_too() {
    let (mut a, mut b, _) = acquainted(1, 2, 0);
    let _ = send(at(5_000), &mut a, &mut b);
    let unechoed = Header { sender: NodeId(0xc), echo: None, ..b.next_header(at(5_000), false) };
    assert_eq!(a.receive(at(5_000), at(5_000), &unechoed), NO_PROOF);
    assert_eq!(a.node(), Some(B));
}

#[test]
fn a_spell_of_wrong_keys_has_a_beginning_an_end_and_a_count() {
    let mut link = Link::new(own(A, 1));
    assert_eq!(link.wrong_key(), None);
    for now in [1_000, 1_500, 2_900] {
        link.note_wrong_key(at(now));
    }
    assert_eq!(link.wrong_key(), Some(WrongKey { since: at(1_000), last: at(2_900), count: 3 }));
    link.note_wrong_key(at(4_400));
    assert_eq!(link.wrong_key(), Some(WrongKey { since: at(4_400), last: at(4_400), count: 1 }));
}
