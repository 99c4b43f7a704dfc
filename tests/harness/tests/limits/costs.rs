//! What reading a body costs, whatever is in it; `cargo fuzz run message` looks for more.

use tractor_core::msg::codec::LIST_MAX;
use tractor_harness::fuzz::{message, seeds};
use tractor_harness::random::Source;
use tractor_harness::runs;

use crate::MEMORY;
use crate::bodies::{tagged, uid_bytes};

fn peak(run: &dyn Fn()) -> usize {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    run();
    MEMORY.peak_usage() - before
}

#[test]
fn bodies_cost_what_their_length_allows() {
    let _alone = crate::alone();
    let seeds = seeds::bodies();
    for n in 0..runs(8000) {
        message::costs(&seeds::mutated(&mut Source::seed(n), &seeds), peak);
    }
    // The most that a byte can cost: lists of entries that are two or three bytes long.
    let counts = [1, 2, 3, 5, 9, 17, 33, 1025, LIST_MAX as u16];
    for count in counts.into_iter().take(if cfg!(miri) { 4 } else { counts.len() }) {
        let head = [0xdc, count.to_be_bytes()[0], count.to_be_bytes()[1]];
        let pairs = [&head[..], &[0x92, 0xa0, 0xa0].repeat(count.into())].concat();
        let modules = [&[0xde], &head[1..], &[0xa0, 0xa0].repeat(count.into())].concat();
        let uid = uid_bytes(1);
        let error: &[(&str, &[u8])] = &[
            ("src_uid", &uid),
            ("src_type_str", b"\xa1x"),
            ("boxed_type_str", b"\xa1x"),
            ("cid", &[1]),
            ("relay_path", &pairs),
        ];
        let spec: &[(&str, &[u8])] = &[
            ("_parent_main_data", &[0x80]),
            ("_runtime_vars", &[0x80]),
            ("reg_addrs", &[0x90]),
            ("bind_addrs", &[0xc0]),
            ("enable_modules", &modules),
        ];
        for frame in [tagged("Error", error), tagged("SpawnSpec", spec)] {
            message::costs(&frame[4..], peak);
        }
    }
}
