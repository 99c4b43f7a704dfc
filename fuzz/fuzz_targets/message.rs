#![no_main]

use peak_alloc::PeakAlloc;
use tractor_harness::fuzz;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

fn peak(run: &dyn Fn()) -> usize {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    run();
    MEMORY.peak_usage() - before
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::message::run(data);
    fuzz::message::costs(data, peak);
});
