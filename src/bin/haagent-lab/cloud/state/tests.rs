//! The model by itself: refusals, courses of actions, and who sees a move when.

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
    assert_eq!(cloud.poll_action(id).unwrap().ended, Some(ms(105)), "it ended in its own time, not when it was seen");
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
