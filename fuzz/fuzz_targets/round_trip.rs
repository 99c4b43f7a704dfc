#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tractor_harness::fuzz::round_trip::run(data));
