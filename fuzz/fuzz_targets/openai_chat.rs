//! libFuzzer's way into `steadfast_fuzz::openai_chat`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| steadfast_fuzz::openai_chat(data));
