//! Two links, a network that loses, delays, reorders and doubles, restarts of both
//! with and without memory, and somebody who recorded everything and replays it.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Act {
    /// One side sends; it arrives at once or is only recorded.
    Send { from: usize, arrives: bool },
    /// Any datagram ever sent arrives (again).
    Deliver(prop::sample::Index),
    /// One side restarts, with or without its memory.
    Restart { side: usize, remembers: bool },
    /// Time passes, in milliseconds.
    Wait(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => (0_usize..2, any::<bool>()).prop_map(|(from, arrives)| Act::Send { from, arrives }),
        4 => any::<prop::sample::Index>().prop_map(Act::Deliver),
        1 => (0_usize..2, any::<bool>()).prop_map(|(side, remembers)| Act::Restart { side, remembers }),
        3 => (0_u64..2_000).prop_map(Act::Wait),
    ];
    proptest::collection::vec(act, 0..200)
}

struct World {
    now: Time,
    links: [Link; 2],
    /// Every datagram ever sent, and to whom.
    recorded: Vec<(usize, Header)>,
    /// What each side accepted since it last forgot.
    accepted: [BTreeSet<(BootId, Seq)>; 2],
    /// The newest run of the peer that each side accepted with an echo in its present run; boot ids count up here.
    proven: [BootId; 2],
    next_boot: u64,
}

impl World {
    fn new() -> Self {
        Self {
            now: at(1_000),
            links: [Link::new(own(A, 1)), Link::new(own(B, 2))],
            recorded: Vec::new(),
            accepted: [BTreeSet::new(), BTreeSet::new()],
            proven: [BootId(0); 2],
            next_boot: 3,
        }
    }

    fn send(&mut self, from: usize) -> usize {
        let header = self.links[from].next_header(self.now, false);
        self.recorded.push((1 - from, header));
        self.recorded.len() - 1
    }

    fn deliver(&mut self, index: usize) {
        let (to, header) = self.recorded[index];
        let own_boot = self.links[to].own.boot;
        let Ok(told) = self.links[to].receive(self.now, self.now, &header) else { return };
        let first = self.accepted[to].is_empty();
        assert!(self.accepted[to].insert((header.boot, header.seq)), "accepted twice: {header:?}");
        assert!(!told.echoed || header.echo.unwrap().boot == own_boot, "the echo of a dead run: {header:?}");
        assert!(told.echoed || !told.new_boot || first, "another run without proof: {header:?}");
        if told.echoed {
            assert!(header.boot >= self.proven[to], "an old run after a newer one: {header:?}");
            self.proven[to] = header.boot;
        }
    }

    fn restart(&mut self, side: usize, remembers: bool) {
        let own = own([A, B][side], self.next_boot);
        self.next_boot += 1;
        self.proven[side] = BootId(0);
        self.links[side] = if remembers {
            Link::restore(own, &self.links[side].persist())
        } else {
            self.accepted[side].clear();
            Link::new(own)
        };
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Send { from, arrives } => {
                let index = self.send(*from);
                if *arrives {
                    self.deliver(index);
                }
            }
            Act::Deliver(_) if self.recorded.is_empty() => {}
            Act::Deliver(index) => self.deliver(index.index(self.recorded.len())),
            Act::Restart { side, remembers } => self.restart(*side, *remembers),
            Act::Wait(millis) => self.now += Duration::from_millis(*millis),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// No datagram counts twice, none of an ended run is echoed or returns; and once
    /// heartbeats flow, the two present runs find each other, replays or not.
    #[test]
    fn replays_gain_nothing_and_the_present_runs_meet(
        acts in acts(),
        replays in proptest::collection::vec(any::<prop::sample::Index>(), 40),
    ) {
        let mut world = World::new();
        for act in &acts {
            world.act(act);
        }
        let past = world.recorded.len();
        for round in replays.chunks(2) {
            world.now += INTERVAL;
            if past > 0 {
                round.iter().for_each(|replay| world.deliver(replay.index(past)));
            }
            for from in [0, 1] {
                let index = world.send(from);
                world.deliver(index);
            }
        }
        for (side, other) in [(0, 1), (1, 0)] {
            prop_assert_eq!(world.links[side].boot(), Some(world.links[other].own.boot));
            prop_assert!(world.links[side].echoed());
        }
    }
}
