//! libFuzzer's way into `steadfast_fuzz::canonical_node`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| steadfast_fuzz::canonical_node(data));
