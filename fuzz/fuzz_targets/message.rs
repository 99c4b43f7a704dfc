#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tractor_harness::fuzz::message::run(data));
