//! What libFuzzer calls: the target that the environment names.

#![no_main]

use std::sync::OnceLock;

use groundcrew_fuzz::{TARGET_ENV, Target, target};

fn chosen() -> &'static Target {
    static CHOSEN: OnceLock<&Target> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let name = std::env::var(TARGET_ENV).expect("whoever starts this names the target");
        target(&name).expect("there is such a target")
    })
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| (chosen().run)(data));
