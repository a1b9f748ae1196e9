//! `command` for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| logsum_fuzz::command(data));
