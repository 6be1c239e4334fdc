//! `demo`: the whole story on this machine.

use super::args::DemoArgs;
use crate::exit::{Exit, Refusal};

/// Plays it.
pub(super) fn run(args: DemoArgs, json: bool) -> Result<Exit, Refusal> {
    crate::demo::play(args.keep, json)
}
