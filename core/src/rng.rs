//! Random numbers from a seed that is handed in.

use crate::id::Text;

/// xoshiro256++, by Blackman and Vigna: small, fast, and repeatable. Not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Rng([u64; 4]);

impl Rng {
    pub(crate) fn new(seed: [u8; 32]) -> Rng {
        let mut state = [0u64; 4];
        for (word, bytes) in state.iter_mut().zip(seed.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().expect("eight bytes a chunk"));
        }
        if state == [0; 4] {
            state[0] = 0x9e37_79b9_7f4a_7c15; // The all-zero state would stay zero.
        }
        let mut rng = Rng(state);
        // Seeds that differ in a bit should not give ids that look alike.
        for _ in 0..16 {
            rng.next();
        }
        rng
    }

    pub(crate) fn next(&mut self) -> u64 {
        let s = &mut self.0;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A version 4 UUID in its usual text form.
    pub(crate) fn uuid(&mut self) -> Text {
        let (high, low) = (self.next(), self.next());
        let high = (high & !0xf000) | 0x4000;
        let low = (low & !(0xc0 << 56)) | (0x80 << 56);
        let text = alloc::format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff,
        );
        Text::from(text)
    }
}
