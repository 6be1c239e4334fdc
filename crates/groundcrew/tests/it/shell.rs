//! What makes the command line pleasant in a shell: tab completion, manual pages.

use std::process::Command;

use crate::bench::{BINARY, Bench};

/// What a real bash offers for the last of these words.
fn offered(bench: &Bench, words: &[&str]) -> Vec<String> {
    let bin = bench.path("bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::os::unix::fs::symlink(BINARY, bin.join("groundcrew")).ok();
    // As readline does it: the function that `complete -p` names, with the words.
    let script = r#"
        source <(groundcrew completions bash)
        [[ "$(complete -p groundcrew)" =~ -F\ ([^ ]+) ]] || exit 9
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9
        "${BASH_REMATCH[1]}" groundcrew "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["--norc", "-c", script, "bash"])
        .args(words)
        .env("PATH", path)
        .env("GROUNDCREW_CONFIG", bench.path("groundcrew.toml"))
        .env("GROUNDCREW_STATE", bench.path("state"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    // An empty word may also become an option.
    let plain = |line: &&str| !line.is_empty() && !line.starts_with('-');
    text.lines().map(str::trim).filter(plain).map(str::to_owned).collect()
}

#[test]
fn tab_knows_commands_apps_and_versions() {
    let bench = Bench::new();
    for version in ["1.9.0", "1.10.0", "2.0.0"] {
        bench.publish(version);
    }
    let config = bench.path("groundcrew.toml").display().to_string();
    for (words, wanted) in [
        (&["groundcrew", "postm"][..], &["postmortem"][..]),
        (&["groundcrew", "pin", "l"], &["ledger"]),
        (&["groundcrew", "pin", "x"], &[]),
        (&["groundcrew", "pin", "ledger", ""], &["1.9.0", "1.10.0", "2.0.0"]),
        (&["groundcrew", "--config", &config, "approve", "ledger", "2"], &["2.0.0"]),
        (&["groundcrew", "--config=/nowhere", "pin", "l"], &[]),
        (&["groundcrew", "pin", "--config", "=", "/nowhere", "l"], &[]),
        (&["groundcrew", "update", "ledger", "--version", "1.1"], &["1.10.0"]),
        (&["groundcrew", "update", "ledger", "--wait", "pr"], &["proven"]),
        (&["groundcrew", "status", "led"], &["ledger"]),
    ] {
        assert_eq!(offered(&bench, words), wanted, "{words:?}");
    }
    bench.configure("chanel = \"stable\"");
    assert_eq!(offered(&bench, &["groundcrew", "pin", "ledger", ""]), Vec::<String>::new());
    let wrong = bench.run(&["completions", "csh"]).ends(2);
    assert!(wrong.err.contains("there are: bash, "), "{wrong:?}");
}

#[test]
fn manual_pages_are_written_one_for_each_command() {
    let bench = Bench::new();
    let dir = bench.path("man");
    let page = bench.run(&["man"]).ends(0).out;
    assert!(page.contains(".TH") && page.contains("groundcrew\\-postmortem(1)"), "{page}");
    bench.run(&["man", "--dir", dir.to_str().unwrap()]).ends(0);
    for name in ["groundcrew", "groundcrew-update", "groundcrew-postmortem-close"] {
        let page = std::fs::read_to_string(dir.join(format!("{name}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{page}");
    }
    let hidden = dir.join("groundcrew-keep.1");
    assert!(!hidden.exists());
    bench.run(&["man", "--dir", "/proc/nowhere"]).ends(1);
}
