//! A short run of every fuzz body, over noise and over mutated messages.

use tractor_harness::fuzz;
use tractor_harness::random::Source;

fn noise(source: &mut Source) -> Vec<u8> {
    (0..source.below(200)).map(|_| source.below(256) as u8).collect()
}

/// Runs a body over so many inputs; prints the one that fails.
fn smoke(count: u64, body: fn(&[u8])) {
    let seeds = fuzz::seeds();
    // Miri is a thousand times slower.
    let count = if cfg!(miri) { count.div_ceil(200) } else { count };
    for n in 0..count {
        let mut source = Source::seed(n);
        let input = match n % 4 {
            0 => noise(&mut source),
            _ => fuzz::mutated(&mut source, &seeds),
        };
        let result = std::panic::catch_unwind(|| body(&input));
        assert!(result.is_ok(), "input {n}: {input:?}");
    }
}

#[test]
fn frame() {
    smoke(4000, fuzz::frame);
}

#[test]
fn msg() {
    smoke(4000, fuzz::msg);
    smoke(8000, |input| {
        // Without the mode byte and its length, a mutated frame is a message's body.
        let Some((len, rest)) = input.get(1..).and_then(|i| i.split_first_chunk::<4>()) else {
            return;
        };
        let len = u32::from_le_bytes(*len) as usize;
        fuzz::msg(&rest[..rest.len().min(len)]);
    });
}

#[test]
fn channel() {
    smoke(3000, fuzz::channel);
}

#[test]
fn ops() {
    smoke(300, fuzz::ops);
}
