#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tractor_harness::fuzz::world::run(data));
