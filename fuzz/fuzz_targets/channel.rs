#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tractor_harness::fuzz::channel::run(data));
