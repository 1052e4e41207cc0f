//! libFuzzer's way into `steadfast_fuzz::bodies`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| steadfast_fuzz::bodies(data));
