//! Random worlds, random faults, random intents: what [`World`] asserts at each
//! step holds in all of them, and when the faults end the claim is held.

use proptest::prelude::*;

use super::super::event::*;
use super::world::{Call, Fault, ME, OLD, OTHER, World, is_request, params};
use super::{HOUR, Params, secs};
use crate::proto::ids::DropletId;
use crate::proto::time::Duration;

#[derive(Clone, Debug)]
enum Event {
    Hold(Vec<Holder>),
    HoldAgain(Vec<Holder>),
    Let(Intent),
    Move(Holder),
    Fault(u64, Call, Fault),
    Lock(u64),
    Lags(u64, u64),
    Assign(u64, bool),
    Promotion(u64, bool),
    Stray(u64),
    Retune(Params),
    Credentials,
}

fn retuned() -> impl Strategy<Value = Params> {
    let numbers = (100_u64..60_000, 10_u64..86_400, 1_u64..3_600, 6_u32..90, any::<bool>());
    numbers.prop_map(|(verify, readiness, timeout, calls, gated)| Params {
        verify_interval: Duration::from_millis(verify),
        readiness_interval: secs(readiness),
        claim_timeout: secs(timeout),
        calls_per_minute: calls,
        gated,
        ..params()
    })
}

fn holder() -> impl Strategy<Value = Holder> {
    prop_oneof![Just(ME), Just(OLD), Just(OTHER), Just(Holder::Nobody), Just(Holder::Foreign(DropletId(9)))]
}

fn fault() -> impl Strategy<Value = Fault> {
    use FailureClass::*;
    prop_oneof![
        prop_oneof![
            Just(Again),
            Just(Unanswered),
            Just(PendingEvent),
            Just(AlreadyAssigned),
            Just(Refused),
            Just(Never)
        ]
        .prop_map(Fault::Fail),
        (0_u64..40).prop_map(|wait| Fault::Fail(NotBefore(secs(wait)))),
        Just(Fault::Lost),
        Just(Fault::LostUnlessFresh),
        Just(Fault::Hidden),
        prop_oneof![
            Just(Progress::Pending),
            Just(Progress::Completed),
            Just(Progress::Errored),
            Just(Progress::Unknown)
        ]
        .prop_map(Fault::Says),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let call = prop_oneof![Just(Call::Local), Just(Call::Look), Just(Call::Assign), Just(Call::Poll)];
    let intent = prop_oneof![Just(Intent::Yield), Just(Intent::Warm), Just(Intent::Watch)];
    let base = || prop::collection::vec(holder(), 0..3);
    prop_oneof![
        3 => base().prop_map(Event::Hold),
        2 => base().prop_map(Event::HoldAgain),
        1 => intent.prop_map(Event::Let),
        2 => holder().prop_map(Event::Move),
        4 => (1_u64..40_000, call, fault()).prop_map(|(millis, call, fault)| Event::Fault(millis, call, fault)),
        1 => (1_u64..20_000).prop_map(Event::Lock),
        1 => (0_u64..6_000, 0_u64..20_000).prop_map(|(api, local)| Event::Lags(api, local)),
        1 => (100_u64..40_000, any::<bool>()).prop_map(|(takes, well)| Event::Assign(takes, well)),
        1 => (100_u64..40_000, any::<bool>()).prop_map(|(takes, well)| Event::Promotion(takes, well)),
        1 => (0_u64..50).prop_map(Event::Stray),
        2 => retuned().prop_map(Event::Retune),
        1 => Just(Event::Credentials),
    ]
}

fn play(w: &mut World, held: &mut bool, event: Event) {
    match event {
        Event::Hold(base) => {
            w.hold(&base);
            *held = true;
        }
        Event::HoldAgain(base) if *held => w.hold_again(&base),
        Event::HoldAgain(_) => {}
        Event::Retune(params) => {
            let (state, assigns) = (w.state(), w.assigns.len());
            w.retune(params);
            let allowed = match state {
                // The time that it may take can be over by the new number.
                ClaimState::Claiming => vec![ClaimState::Claiming, ClaimState::Failing],
                other => vec![other],
            };
            assert!(allowed.contains(&w.state()), "settings alone made {:?} of {state:?}", w.state());
            assert_eq!(w.assigns.len(), assigns, "settings alone assign nothing");
        }
        Event::Credentials => {
            let (state, assigns) = (w.state(), w.assigns.len());
            w.feed(Input::Credentials);
            assert_eq!((w.state(), w.assigns.len()), (state, assigns), "a token alone decides nothing");
        }
        Event::Let(intent) => {
            w.intend(intent);
            *held = false;
        }
        Event::Move(holder) => w.move_to(holder),
        Event::Fault(millis, call, fault) => w.fault(Duration::from_millis(millis), call, fault),
        Event::Lock(millis) => w.lock_for(Duration::from_millis(millis)),
        Event::Lags(api, local) => {
            (w.api_lag, w.local_lag) = (Duration::from_millis(api), Duration::from_millis(local));
        }
        Event::Assign(takes, well) => {
            (w.assign_takes, w.assign_ends_well) = (Duration::from_millis(takes), well);
        }
        Event::Promotion(takes, well) => {
            (w.promotion_takes, w.promotion_ends_well) = (Duration::from_millis(takes), well);
        }
        // A ticket that is not, or no longer, under way: a cancelled read's late answer.
        Event::Stray(back) => {
            w.feed(Input::Done {
                ticket: Ticket(u64::MAX - back),
                outcome: Outcome::Api { holder: ME, locked: false },
            });
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_rules_are_kept_and_the_claim_is_held_in_the_end(
        first in holder(),
        seed: u64,
        calls_per_minute in 6_u32..90,
        gated: bool,
        events in prop::collection::vec((event(), 0_u64..15_000), 1..40),
    ) {
        let mut w = World::with(Params { seed, calls_per_minute, gated, ..params() }, first);
        let mut held = false;
        for (event, millis) in events {
            play(&mut w, &mut held, event);
            w.run_ms(millis);
        }
        // All heals: faults end, a takeover with the holder in its base. Slow
        // retries and the longest stuck action are over within this time.
        (w.api_lag, w.local_lag, w.assign_ends_well) = (Duration::ZERO, Duration::ZERO, true);
        w.promotion_ends_well = true;
        w.retune(Params { calls_per_minute, gated, ..params() });
        w.run(secs(120));
        if let Holder::Foreign(_) = w.truth() {
            w.move_to(Holder::Nobody);
        }
        w.hold(&[OLD, OTHER]);
        w.run(secs(200));
        prop_assert_eq!(w.state(), ClaimState::Held);
        prop_assert_eq!(w.truth(), ME);
        prop_assert!(w.report().promoted.is_some(), "the gate is open in the end");
        let (assigns, quiet) = (w.assigns.len(), w.now);
        w.run(HOUR);
        prop_assert_eq!(w.assigns.len(), assigns, "at rest nothing is written");
        prop_assert!(w.count(quiet, is_request) <= 12);
    }

    #[test]
    fn a_holder_of_no_base_keeps_the_address_whatever_fails(
        seed: u64,
        faults in prop::collection::vec((1_u64..20_000, fault(), 0_u64..10_000), 1..20),
    ) {
        let mut w = World::with(Params { seed, ..params() }, OTHER);
        w.hold(&[OLD]);
        for (millis, fault, wait) in faults {
            w.fault(Duration::from_millis(millis), Call::Look, fault);
            w.run_ms(wait);
        }
        prop_assert_eq!(w.truth(), OTHER);
        prop_assert!(!w.report().ever_sent && w.state() != ClaimState::Held);
    }
}
