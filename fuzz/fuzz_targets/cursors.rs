//! libFuzzer's way into `steadfast_fuzz::cursors`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| steadfast_fuzz::cursors(data));
