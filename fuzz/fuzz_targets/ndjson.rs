//! libFuzzer's way into `steadfast_fuzz::ndjson`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| steadfast_fuzz::ndjson(data));
