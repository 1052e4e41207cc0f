//! libFuzzer's way into `steadfast_fuzz::requests`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| steadfast_fuzz::requests(data));
