//! The groundcrew binary: from the command line to a role.

mod agent;
mod cli;
mod config;
mod crew;
mod demo;
mod exit;
mod install;
mod post_mortems;
mod promotions;
mod recorder;
#[cfg(test)]
mod reference;
mod service;

/// An error and all its causes, as `a: b: c`.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn main() -> std::process::ExitCode {
    cli::main()
}
