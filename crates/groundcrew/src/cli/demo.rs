//! `demo`: the whole story on this machine.

use super::args::DemoArgs;
use crate::exit::{Exit, Refusal};

/// Plays it.
pub(super) fn run(args: DemoArgs) -> Result<Exit, Refusal> {
    let keep = if args.keep { " --keep" } else { "" };
    Err(Refusal::failed(format!("demo{keep}: not in this release")))
}
