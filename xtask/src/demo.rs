//! Builds the binary and becomes `groundcrew demo`.

use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::steps::{cargo, replace_with, say};

const PACKAGE: &str = "groundcrew";

/// Builds in the profile of the tests, which shares most of the work with them, and plays.
pub(crate) fn play(args: &[&str]) -> Result<ExitCode> {
    say("[1/2] building groundcrew; the first time takes a few minutes …");
    let begun = Instant::now();
    let format = "--message-format=json-render-diagnostics";
    let mut build = cargo(&["build", "--package", PACKAGE, "--bin", PACKAGE, format]);
    let built = build.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let built = built.context("cannot start cargo")?;
    if !built.status.success() {
        bail!("cargo build ended with {}", built.status);
    }
    let program = executable(&String::from_utf8_lossy(&built.stdout))
        .context("cargo build named no executable")?;
    say(&format!("[1/2] building: ok, {:.1} s", begun.elapsed().as_secs_f64()));
    say("[2/2] demo …");
    let mut demo = Command::new(program);
    demo.arg("demo").args(args);
    replace_with(demo)
}

/// Where cargo put the program, from the messages it prints one per line.
fn executable(messages: &str) -> Option<String> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str(line).ok());
    let mut executables = messages.filter_map(|message: Value| {
        let name = message.pointer("/target/name")?.as_str()?;
        let path = message.get("executable")?.as_str()?;
        (name == PACKAGE).then(|| path.to_owned())
    });
    executables.next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_the_one_that_cargo_names() {
        let messages = r#"
            {"reason":"compiler-artifact","target":{"name":"serde"},"executable":null}
            {"reason":"compiler-artifact","target":{"name":"ledger"},"executable":"/t/ledger"}
            {"reason":"compiler-artifact","target":{"name":"groundcrew"},"executable":"/t/groundcrew"}
            {"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages).as_deref(), Some("/t/groundcrew"));
        assert_eq!(executable("{}\nnot json"), None);
    }
}
