//! Mutations that are the same on every machine, for the tests that run without a fuzzer.

/// Values at which programs go wrong.
const EDGES: [u64; 8] = [0, 1, 0x7f, 0xff, 0x7fff_ffff, 0xffff_ffff, u64::MAX >> 1, u64::MAX];

/// A stream of numbers from a seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The stream of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, 0 if that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX);
        let number = self.number().checked_rem(end).unwrap_or(0);
        usize::try_from(number).unwrap_or(0)
    }
}

/// Changes `bytes` in one to four places; `other` is where pieces come from.
#[must_use]
pub fn mutated(bytes: &[u8], other: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=chance.below(4) {
        change(&mut bytes, other, chance);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, other: &[u8], chance: &mut Chance) {
    let at = chance.below(bytes.len());
    match chance.below(8) {
        0 | 1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << chance.below(8);
            }
        }
        2 | 3 => {
            let edge = EDGES.get(chance.below(EDGES.len())).copied().unwrap_or(0).to_le_bytes();
            let width = 1 << chance.below(4);
            let places = bytes.iter_mut().skip(at).take(width);
            places.zip(edge).for_each(|(to, from)| *to = from);
        }
        4 => bytes.truncate(at),
        5 => {
            let len = chance.below(64);
            let end = (at + len).min(bytes.len());
            bytes.drain(at..end);
        }
        6 => {
            let from = chance.below(bytes.len());
            let piece: Vec<u8> = bytes.iter().copied().skip(from).take(chance.below(128)).collect();
            bytes.splice(at..at, piece);
        }
        _ => {
            let from = chance.below(other.len());
            let piece: Vec<u8> = other.iter().copied().skip(from).take(chance.below(256)).collect();
            let end = (at + chance.below(64)).min(bytes.len());
            bytes.splice(at..end, piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutations_follow_from_their_seed_and_change_something() {
        let all = |seed| {
            let mut chance = Chance::new(seed);
            (0..100)
                .map(|_| mutated(b"some bytes", b"other bytes", &mut chance))
                .collect::<Vec<_>>()
        };
        assert_eq!(all(1), all(1));
        assert_ne!(all(1), all(2));
        assert!(all(1).iter().filter(|bytes| *bytes != b"some bytes").count() > 80);
        let out_of_nothing = mutated(b"", b"", &mut Chance::new(3));
        assert!(out_of_nothing.is_empty());
    }
}
