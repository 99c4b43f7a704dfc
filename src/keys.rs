//! Maps by the core's keys. These are numbers that the core itself hands out, so that no peer can
//! choose them to collide, and a multiplication is hash enough.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map by keys of the core.
pub(crate) type KeyMap<K, V> = HashMap<K, V, BuildHasherDefault<KeyHasher>>;

/// Odd, and with its bits well mixed: 2^64 divided by the golden ratio.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write_u64(&mut self, n: u64) {
        // The map looks at both ends of the hash: fold the product, so that every bit is in both.
        let product = u128::from(self.0.rotate_left(5) ^ n) * u128::from(MIX);
        self.0 = (product >> 64) as u64 ^ product as u64;
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }

    fn write_isize(&mut self, n: isize) {
        self.write_u64(n as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::hash::BuildHasher;

    use super::*;

    /// Keys are small indices below small generations: all of these differ in the bits that a map
    /// looks at first, and spread over the groups of a small one.
    #[test]
    fn small_keys_spread() {
        let build = BuildHasherDefault::<KeyHasher>::default();
        let keys = (0..64u64).flat_map(|generation| (0..64u64).map(move |i| generation << 32 | i));
        let hashes: BTreeSet<u64> = keys.map(|key| build.hash_one(key)).collect();
        assert_eq!(hashes.len(), 64 * 64, "every key has its own hash");
        let low: BTreeSet<u64> = hashes.iter().map(|hash| hash % 64).collect();
        assert_eq!(low.len(), 64);
        let high: BTreeSet<u64> = hashes.iter().map(|hash| hash >> 57).collect();
        assert_eq!(high.len(), 128);
    }
}
