//! One program for all targets; `ELYSIA_FUZZ_TARGET` names the one that it is. Its arguments are libFuzzer's.

#![no_main]

mod targets;

use std::sync::OnceLock;

static TARGET: OnceLock<targets::Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("ELYSIA_FUZZ_TARGET").unwrap_or_default();
        targets::find(&name).unwrap_or_else(|| panic!("ELYSIA_FUZZ_TARGET names no target: `{name}`"))
    });
    target(bytes);
});
