//! The simulator's own randomness: the same seed gives the same run, on every
//! machine and with every version of every dependency.

use std::ops::RangeInclusive;

use haagent::proto::time::Duration;

/// xoshiro256++ (Blackman and Vigna, public domain), seeded by splitmix64.
#[derive(Clone, Debug)]
pub(crate) struct Rng {
    state: [u64; 4],
}

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        let mut mix = seed;
        let mut next = || {
            mix = mix.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (mix ^ (mix >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        Self { state: [next(), next(), next(), next()] }
    }

    /// A stream of its own: what one part draws does not shift what another gets,
    /// so that a plan with one fault less is still nearly the same run.
    pub(crate) fn fork(&mut self) -> Self {
        Self::new(self.word())
    }

    pub(crate) fn word(&mut self) -> u64 {
        let s = &mut self.state;
        let word = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        word
    }

    /// A number below `end`, which is not zero. The bias of the remainder is below 2^-32 here.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.word() % end
    }

    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// True in `percent` of all cases; fractions count.
    pub(crate) fn percent(&mut self, percent: f64) -> bool {
        percent > 0.0 && (self.word() >> 11) as f64 * (100.0 / (1u64 << 53) as f64) < percent
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())].clone()
    }

    pub(crate) fn duration(&mut self, range: &RangeInclusive<Duration>) -> Duration {
        let (low, high) = (range.start().as_nanos() as u64, range.end().as_nanos() as u64);
        Duration::from_nanos(low + self.below(high.saturating_sub(low) + 1))
    }

    pub(crate) fn millis(&mut self, range: RangeInclusive<u64>) -> Duration {
        self.duration(&(Duration::from_millis(*range.start())..=Duration::from_millis(*range.end())))
    }
}

#[test]
fn the_stream_of_a_seed_never_changes() {
    let mut rng = Rng::new(7);
    let words: Vec<u64> = (0..3).map(|_| rng.word()).collect();
    assert_eq!(words, {
        let mut again = Rng::new(7);
        (0..3).map(|_| again.word()).collect::<Vec<_>>()
    });
    assert_ne!(words[0], Rng::new(8).word());
    assert!((0..10_000).filter(|_| rng.percent(3.0)).count().abs_diff(300) < 100);
}
