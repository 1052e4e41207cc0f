//! libFuzzer's way into `steadfast_fuzz::canonical`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| steadfast_fuzz::canonical(data));
