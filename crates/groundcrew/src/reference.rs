//! `docs/reference/{cli,exit-codes,events,records}.md` are generated from the code, so they cannot lag behind.
//!
//! `cargo xtask docs` writes them anew, with the configuration's.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory as _};

use crate::cli::Args;
use crate::exit::{CODES, Exit};

const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/");
const EVENTS: &str = include_str!("../../engine/src/machine/event.rs");

/// Sources that queue notices.
const NOTICES_IN: [&str; 4] = [
    include_str!("../../engine/src/agent/notices.rs"),
    include_str!("../../engine/src/freshness.rs"),
    include_str!("../../drivers/src/store/set_aside.rs"),
    include_str!("post_mortems.rs"),
];

/// What each command may end with beside 0; 2 is for every one.
const CODES_OF: [(&str, &[u8]); 56] = [
    ("init", &[1]),
    ("config check", &[]),
    ("config show", &[]),
    ("config schema", &[]),
    ("config apply", &[1, 3, 4, 5, 7, 8, 75]),
    ("install", &[1]),
    ("uninstall", &[1]),
    ("agent", &[1, 75]),
    ("recorder", &[1, 6, 75]),
    ("once", &[1, 3, 4, 5, 7, 8, 75]),
    ("check", &[1, 3, 4, 75]),
    ("update", &[1, 3, 4, 5, 7, 8, 75]),
    ("status", &[1, 3]),
    ("history", &[1, 3]),
    ("pin", &[1, 3, 75]),
    ("unpin", &[1, 3, 75]),
    ("approve", &[1, 3, 4, 75]),
    ("unblock", &[1, 3, 75]),
    ("rollback", &[1, 3, 4, 7, 8, 75]),
    ("migrate", &[1, 3, 4, 7, 8, 75]),
    ("pause", &[1, 3, 75]),
    ("resume", &[1, 3, 75]),
    ("start", &[1, 3, 4, 75]),
    ("stop", &[1, 3, 4, 75]),
    ("restart", &[1, 3, 4, 75]),
    ("logs", &[1]),
    ("snapshot list", &[1]),
    ("snapshot verify", &[1, 5, 6]),
    ("snapshot restore", &[1, 3, 4, 75]),
    ("bundle seal", &[1]),
    ("bundle verify", &[1]),
    ("bundle publish", &[1]),
    ("source check", &[1, 3, 4]),
    ("source tags", &[1, 3]),
    ("promote", &[1, 3, 4]),
    ("postmortem list", &[1]),
    ("postmortem show", &[1]),
    ("postmortem close", &[1, 4]),
    ("flight list", &[1]),
    ("flight cat", &[1, 6]),
    ("flight tail", &[1, 6]),
    ("flight verify", &[1, 6]),
    ("flight pull", &[1, 3, 4, 6, 75]),
    ("flight recover", &[1, 75]),
    ("flight summarise", &[1, 6]),
    ("flight report", &[1, 6]),
    ("flight diff", &[1, 6]),
    ("flight slice", &[1, 5, 6]),
    ("flight export", &[1, 6]),
    ("healthcheck", &[1, 64]),
    ("demo", &[1]),
    ("completions", &[1]),
    ("man", &[1]),
    ("config", &[]),
    ("snapshot", &[]),
    ("source", &[]),
];

/// Notices: their keys as the code writes them, how urgent, and when.
const NOTICES: [(&str, &str, &str); 10] = [
    ("{app}/{}/begins", "info", "an update stops the app"),
    (
        "{app}/{}/closed",
        "info, warning or alert",
        "an update ended: proven, aborted, rolled back or unproven",
    ),
    ("{app}/{}/stuck/{}", "page", "the way back does not work; a person is needed"),
    ("{app}/held/{}/{}/{}", "alert", "a candidate is held, and by what"),
    (
        "{app}/again/{}",
        "warning or alert",
        "an app was down: it was started again, or does not start",
    ),
    (
        "{app}/unwell/{}",
        "page",
        "an app is not well, and restarting it does not help: it is left running",
    ),
    ("{app}/silent/{}", "alert", "the source has not answered for too long"),
    (
        "{app}/{what}/{}/{}",
        "alert",
        "a candidate has been `waiting` for too long, or waits for `room`",
    ),
    ("groundcrew/store/{queued_ms}", "page", "the journal was lost or damaged"),
    ("postmortem/{}/overdue", "alert", "nobody closed a post-mortem in time"),
];

/// Writes a document if that is asked for; fails if it is not as it should be.
fn check(name: &str, wanted: &str) {
    let path = format!("{DIR}{name}");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), wanted.as_bytes())
            .unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "{name} is out of date: run cargo xtask docs");
}

#[test]
fn the_reference_has_every_exit_code() {
    let mut text = "# Exit codes\n\n\
        Generated from the code.\n\
        Scripts may rely on these numbers; they are never given another meaning.\n\n\
        | code | meaning | for instance |\n|---|---|---|\n"
        .to_owned();
    for (exit, meaning, instance) in CODES {
        writeln!(text, "| {} | {meaning} | {instance} |", u8::from(exit)).unwrap();
    }
    text.push_str(
        "\n`groundcrew once` ends with the worst of its apps' codes: stuck, then rolled back, then failed, \
         and so on down to done.\n\n\
         `groundcrew healthcheck` has its own: 0 the agent answers and can write its journal, \
         1 it does not, or this user may not ask it, 64 it was called wrongly.\n\n\
         [The command line](cli.md) says which command ends with which.\n",
    );
    check("exit-codes.md", &text);
}

#[test]
fn the_reference_has_every_command_with_its_options_and_codes() {
    let mut root = Args::command();
    root.build();
    let mut text = "# The command line\n\n\
        Generated from the code; `groundcrew COMMAND --help` and the manual pages say the same.\n\
        What the codes mean is told in [exit codes](exit-codes.md), what `--json` prints in [JSON](cli-json.md).\n\n\
        ## Every command\n\n"
        .to_owned();
    let global: Vec<&Arg> = root.get_arguments().filter(|arg| arg.is_global_set()).collect();
    options(&mut text, &global);
    commands(&mut text, &root, "");
    check("cli.md", &text);
}

fn commands(text: &mut String, of: &Command, before: &str) {
    for command in of.get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = format!("{before}{}", command.get_name());
        if command.has_subcommands() {
            commands(text, command, &format!("{name} "));
            continue;
        }
        let said = command.get_about().map(ToString::to_string).unwrap_or_default();
        let arguments: Vec<&Arg> = command
            .get_arguments()
            .filter(|arg| !arg.is_global_set() && !arg.is_hide_set() && arg.get_id() != "help")
            .collect();
        let mut usage = format!("groundcrew {name}");
        for arg in arguments.iter().filter(|arg| arg.is_positional()) {
            let value = arg.get_id().as_str().to_uppercase();
            let word = if arg.is_required_set() { value } else { format!("[{value}]") };
            usage.push_str(&format!(" {word}"));
        }
        if arguments.iter().any(|arg| !arg.is_positional()) {
            usage.push_str(" [OPTIONS]");
        }
        write!(text, "\n## `{name}`\n\n{said}.\n\n```text\n{usage}\n```\n\n").unwrap();
        options(text, &arguments);
        let codes = CODES_OF.iter().find(|(of, _)| *of == name);
        let (_, codes) = codes.unwrap_or_else(|| panic!("which codes does {name} end with?"));
        let mut codes: Vec<u8> = codes.iter().chain(&[0, 2]).copied().collect();
        if name == "healthcheck" {
            codes.retain(|code| *code != 2);
        }
        codes.sort_unstable();
        let known = |code: &u8| *code == 64 || Exit::try_from(*code).is_ok();
        assert!(codes.iter().all(known), "{name}");
        let codes: Vec<String> = codes.iter().map(ToString::to_string).collect();
        writeln!(text, "Ends with {}.", codes.join(", ")).unwrap();
    }
}

fn options(text: &mut String, arguments: &[&Arg]) {
    if arguments.is_empty() {
        return;
    }
    text.push_str("| word | what it is |\n|---|---|\n");
    for arg in arguments {
        let mut word = match (arg.get_short(), arg.get_long()) {
            (Some(short), Some(long)) => format!("-{short}, --{long}"),
            (Some(short), None) => format!("-{short}"),
            (None, Some(long)) => format!("--{long}"),
            (None, None) => arg.get_id().as_str().to_uppercase(),
        };
        if !arg.is_positional() && arg.get_action().takes_values() {
            let names = arg.get_value_names().unwrap_or_default();
            names.iter().for_each(|name| word.push_str(&format!(" {name}")));
        }
        let mut said = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let choices = arg.get_possible_values();
        if arg.get_action().takes_values() && !choices.is_empty() {
            let names: Vec<&str> =
                choices.iter().map(clap::builder::PossibleValue::get_name).collect();
            said.push_str(&format!("; one of `{}`", names.join("`, `")));
        }
        if let [default] = arg.get_default_values() {
            said.push_str(&format!("; `{}` by default", default.to_string_lossy()));
        }
        if let Some(variable) = arg.get_env() {
            said.push_str(&format!("; also `{}`", variable.to_string_lossy()));
        }
        writeln!(text, "| `{word}` | {} |", said.replace('|', "\\|")).unwrap();
    }
    text.push('\n');
}

/// One variant of an enum in a source: its name on disk, what it says, its members.
fn variants(source: &str, name: &str) -> Vec<(String, String, Vec<String>)> {
    let (_, body) = source.split_once(&format!("pub enum {name} {{\n")).unwrap();
    let lines = body.lines().take_while(|line| *line != "}");
    let (mut found, mut said) = (Vec::<(String, String, Vec<String>)>::new(), String::new());
    for line in lines {
        let code = line.trim();
        if let Some(doc) = code.strip_prefix("/// ") {
            if !said.is_empty() {
                said.push(' ');
            }
            said.push_str(doc);
            continue;
        }
        let own = line.len() - line.trim_start().len() == 4;
        if own && code.starts_with(|letter: char| letter.is_ascii_uppercase()) {
            let word: String = code.chars().take_while(|letter| letter.is_alphanumeric()).collect();
            found.push((kebab(&word), std::mem::take(&mut said), Vec::new()));
        } else if let (Some((member, _)), Some(last)) = (code.split_once(": "), found.last_mut()) {
            let said = std::mem::take(&mut said);
            last.2.push(format!("`{member}`: {}", said.trim_end_matches('.').to_lowercase()));
        }
        if !code.starts_with("#[") {
            said.clear();
        }
    }
    found
}

fn kebab(word: &str) -> String {
    let mut text = String::new();
    for letter in word.chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

#[test]
fn the_reference_has_every_event_and_every_notice() {
    let mut text = "# Events and notices\n\n\
        Generated from the code.\n\n\
        ## Events\n\n\
        What the journal holds, one kind per line; the state of an app is their fold.\n\
        Kinds are only added, and a groundcrew that meets one that it does not know refuses that app by name.\n\n\
        | kind | when | members |\n|---|---|---|\n"
        .to_owned();
    for (kind, said, members) in variants(EVENTS, "Event") {
        writeln!(text, "| `{kind}` | {said} | {} |", members.join("; ")).unwrap();
    }
    text.push_str("\n## Steps\n\nWhat an `intent` begins; its outcome is an event of its own, or `failed`.\n\n");
    text.push_str("| step | what it does |\n|---|---|\n");
    for (step, said, _) in variants(EVENTS, "Step") {
        writeln!(text, "| `{step}` | {said} |").unwrap();
    }
    text.push_str(
        "\n## Notices\n\n\
         What people are told, through the ways in `[notify.NAME]`; each key is told once.\n\
         `{}` stands for the update, a digest, a count or a moment.\n\n\
         | key | severity | when |\n|---|---|---|\n",
    );
    for (key, severity, when) in NOTICES {
        writeln!(text, "| `{key}` | {severity} | {when} |").unwrap();
    }
    let keys = |source: &'static str| source.split("key: format!(").skip(1);
    for key in NOTICES_IN.into_iter().flat_map(keys) {
        let key = key.split('"').nth(1).unwrap();
        assert!(NOTICES.iter().any(|(known, ..)| *known == key), "the reference leaves {key} out");
    }
    check("events.md", &text);
}

#[test]
fn an_event_is_called_in_the_reference_as_on_disk() {
    use groundcrew_engine::machine::Event;
    let all = variants(EVENTS, "Event");
    for event in [Event::Paused, Event::Cleared, Event::BusyAgain { reason: String::new() }] {
        assert!(all.iter().any(|(kind, ..)| *kind == event.name()), "{}", event.name());
    }
}

#[test]
fn the_reference_has_every_record_type() {
    use groundcrew_recorder::body::{Kind, types};
    let mut text = "# Records\n\n\
        Generated from the code.\n\
        What a recording holds, type by type; [the format](../internals/recorder-format.md) says how it is written.\n\
        0x0001 to 0x00ff belong to flights, 0x0100 to 0x01ff to groundcrew's own work, 0x8000 and above to users, who describe theirs with a [TypeSchema](#0x0018-typeschema).\n\
        Numbers are never used again, and fields are only ever added at the end.\n"
        .to_owned();
    for schema in types::all() {
        let (kind, name, said) = (schema.kind, &schema.name, schema.doc.trim());
        write!(text, "\n## {kind:#06x} {name}\n\n{said}\n\n").unwrap();
        text.push_str("| field | kind | what it is |\n|---|---|---|\n");
        for field in schema.fields.iter() {
            let kind = match &field.kind {
                Kind::Label(labels) => {
                    let labels: Vec<String> =
                        labels.iter().map(|label| format!("`{label}`")).collect();
                    format!("label: {}", labels.join(", "))
                }
                kind => kind.name().to_owned(),
            };
            writeln!(text, "| `{}` | {kind} | {} |", field.name, field.doc.trim()).unwrap();
        }
    }
    check("records.md", &text);
}
