//! The targets, by name.

mod body;
mod frame;
mod manifest;
mod recorder;
mod recovery;
mod ring;
mod segment;

/// A function of bytes that panics where a promise is broken.
#[derive(Debug)]
pub struct Target {
    /// Its name on the command line, and that of its directory in `regressions/`.
    pub name: &'static str,
    /// What is promised.
    pub promise: &'static str,
    /// The function.
    pub run: fn(&[u8]),
    /// Inputs that the product itself would make.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Memory that one run may hold at a time, bytes, with inputs of at most [`INPUT_MAX`].
    pub memory_max: u64,
}

/// Inputs are no longer, bytes.
pub const INPUT_MAX: usize = 16 << 10;

/// All targets.
pub const TARGETS: [Target; 7] = [
    Target {
        name: "frame",
        promise: "what is taken from a stream of frames is written again as the same bytes",
        run: frame::run,
        seeds: frame::seeds,
        memory_max: 4 << 20,
    },
    Target {
        name: "segment",
        promise: "a segment reads the same however its bytes arrive, and nothing is left out",
        run: segment::run,
        seeds: segment::seeds,
        // A scanner has four mebibytes.
        memory_max: 16 << 20,
    },
    Target {
        name: "manifest",
        promise: "a manifest is refused, or reads back as it was written",
        run: manifest::run,
        seeds: manifest::seeds,
        memory_max: 1 << 20,
    },
    Target {
        name: "body",
        promise: "every type's body and every program's own schema is read, or said to be bad",
        run: body::run,
        seeds: body::seeds,
        memory_max: 4 << 20,
    },
    Target {
        name: "recovery",
        promise: "recovery keeps what was intact, and a second one changes nothing",
        run: recovery::run,
        seeds: recovery::seeds,
        memory_max: 24 << 20,
    },
    Target {
        name: "ring",
        promise: "a ring gives what was pushed, whatever is written into it; one beside it all",
        run: ring::run,
        seeds: ring::seeds,
        memory_max: 8 << 20,
    },
    Target {
        name: "recorder",
        promise: "whatever a ring holds, the recording is whole and its neighbors lose nothing",
        run: recorder::run,
        seeds: recorder::seeds,
        memory_max: 32 << 20,
    },
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
