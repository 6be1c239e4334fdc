//! The service as a program of its own: for its tests, and for whoever wants to look at it alone.

use std::error::Error as _;
use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Err(error) = groundcrew_demo_app::run(std::env::args_os().skip(1)) else {
        return ExitCode::SUCCESS;
    };
    let mut chain = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        chain.push_str(": ");
        chain.push_str(&error.to_string());
        cause = error.source();
    }
    // Nobody is left to tell when standard error is gone too; the exit code still says it.
    drop(writeln!(std::io::stderr(), "ledger: {chain}"));
    ExitCode::from(error.exit_code())
}
