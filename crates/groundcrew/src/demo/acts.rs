//! The story, act by act.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::client::{Client, Seen, fate, rows_in};
use super::hands::{Hands, is_proven, text};
use super::say::Teller;
use super::scene::{APP, Scene};
use super::{Trouble, killing, script};
use crate::exit::Exit;

/// What the acts share: the person, the client, and what was counted so far.
pub(super) struct Play<'s> {
    pub(super) scene: &'s Scene,
    pub(super) hands: Hands<'s>,
    pub(super) client: Client,
    before: Seen,
    aside: BTreeSet<u64>,
}

/// Plays the whole story.
pub(super) fn play(scene: &Scene, teller: &mut Teller) -> Result<(), Trouble> {
    script::play(scene, teller)?;
    let mut play = install(scene, teller)?;
    good_release(&mut play, teller)?;
    bad_release(&mut play, teller)?;
    known_bad(&mut play, teller)?;
    major(&mut play, teller)?;
    busy(&mut play, teller)?;
    killing::play(&mut play, teller)?;
    teller.talk("");
    Ok(())
}

fn code(exit: Exit) -> i32 {
    i32::from(u8::from(exit))
}

fn install<'s>(scene: &'s Scene, teller: &mut Teller) -> Result<Play<'s>, Trouble> {
    teller.act("1.0.0 is installed by the agent, from a directory of releases");
    let mut hands = Hands::new(scene);
    scene.offer("1.0.0")?;
    hands.start_agent()?;
    let status = hands.wait("1.0.0 is proven", |status| is_proven(status, "1.0.0"))?;
    let observed = format!(
        "running {}, last-good {} ({})",
        text(&status, "/running/version"),
        text(&status, "/last_good/version"),
        text(&status, "/last_good/merit"),
    );
    teller.step("install", "1.0.0 runs and is proven", &observed, true);
    let client = Client::start(scene.port(), 1);
    script::wait_for_rows(&client, 20)?;
    let before = client.seen();
    Ok(Play { scene, hands, client, before, aside: BTreeSet::new() })
}

fn good_release(play: &mut Play<'_>, teller: &mut Teller) -> Result<(), Trouble> {
    teller.act("1.1.0 is good: it migrates the data, is accepted, watched and proven");
    play.scene.offer("1.1.0")?;
    let said = play.hands.run(&["update", APP, "--wait", "proven"])?;
    let status = play.hands.wait("1.1.0 is proven", |status| is_proven(status, "1.1.0"))?;
    let ok = said.code == code(Exit::Done);
    let runs = text(&status, "/running/version").to_owned();
    let observed = format!("`groundcrew update` exits {}, {runs} runs", said.code);
    teller.step("good release", "exit 0, 1.1.0 runs", &observed, ok && runs == "1.1.0");
    play.count("good release", teller, 0);
    Ok(())
}

fn bad_release(play: &mut Play<'_>, teller: &mut Teller) -> Result<(), Trouble> {
    teller.act("1.2.0 is bad: its migration loses rows, then its health fails");
    play.scene.offer("1.2.0")?;
    let said = play.hands.run(&["update", APP, "--wait", "proven"])?;
    let status = play.hands.wait("1.1.0 is back", |status| is_proven(status, "1.1.0"))?;
    let ok = said.code == code(Exit::RolledBack);
    let observed = format!(
        "`groundcrew update` exits {}, {} runs again, because: {}",
        said.code,
        text(&status, "/running/version"),
        text(&status, "/last_update/why"),
    );
    teller.step("bad release", "exit 7, 1.1.0 runs again with its data", &observed, ok);
    play.count("bad release", teller, 1);
    same_bytes(play, teller, text(&status, "/last_update/txn"))?;
    let found = first_file(&play.scene.root().join("state/postmortems"));
    let observed = match &found {
        Some(path) => format!("post-mortem written: {}", path.display()),
        None => "no post-mortem".to_owned(),
    };
    teller.step("post-mortem", "a prefilled post-mortem", &observed, found.is_some());
    Ok(())
}

/// The data that came back begins with the very bytes that lay there at the stop.
fn same_bytes(play: &Play<'_>, teller: &mut Teller, txn: &str) -> Result<(), Trouble> {
    let area = play.scene.root().join(".groundcrew").join(APP);
    let copy = files_below(&area.join("snapshots").join(txn), "rows.ledger");
    let copy = copy.first().with_context(|| format!("no snapshot {txn} in {}", area.display()))?;
    let size = std::fs::metadata(copy)?.len();
    let at_stop = format!("sha256sum < {}", copy.display());
    let now = format!("head -c {size} {} | sha256sum", play.scene.rows().display());
    let (one, other) = (sum(&at_stop)?, sum(&now)?);
    teller.talk(&format!("    $ {at_stop}\n      {one}\n    $ {now}\n      {other}"));
    let observed = format!("{size} bytes at the stop, the same {size} bytes now");
    let ok = one == other && !one.is_empty();
    teller.step("data", "the data is byte for byte what it was at the stop", &observed, ok);
    Ok(())
}

fn sum(command: &str) -> Result<String, Trouble> {
    let output = Command::new("sh").args(["-c", command]).output().context("cannot run sh")?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.split_whitespace().next().unwrap_or_default().to_owned())
}

fn known_bad(play: &mut Play<'_>, teller: &mut Teller) -> Result<(), Trouble> {
    teller.act("1.2.0 is offered again");
    let said = play.hands.run(&["update", APP])?;
    let status = play.hands.status()?;
    let gate = holding(&status);
    let observed = format!("`groundcrew update` exits {}; held by {gate}", said.code);
    let ok = said.code == code(Exit::Waiting) && gate.starts_with("known-bad");
    teller.step("known-bad", "exit 4, held as known-bad", &observed, ok);
    Ok(())
}

fn major(play: &mut Play<'_>, teller: &mut Teller) -> Result<(), Trouble> {
    teller.act("2.0.0 is a major release whose notes ask for a person");
    play.scene.offer("2.0.0")?;
    let said = play.hands.run(&["update", APP])?;
    let status = play.hands.status()?;
    let gate = holding(&status);
    let approve = format!("groundcrew approve {APP} 2.0.0");
    let named = status.to_string().contains(&approve);
    let observed = format!(
        "`groundcrew update` exits {}; held by {gate}; to let it through: {approve}",
        said.code
    );
    let ok = said.code == code(Exit::Waiting) && named && gate.contains("version");
    teller.step("major", "exit 4, held with the command that lets it through", &observed, ok);
    Ok(())
}

fn busy(play: &mut Play<'_>, teller: &mut Teller) -> Result<(), Trouble> {
    teller.act("1.1.1 is offered while the busy flag is set");
    set_flag(&play.scene.busy_flag(), "flight 42\n")?;
    play.scene.offer("1.1.1")?;
    let said = play.hands.run(&["update", APP])?;
    let status = play.hands.status()?;
    let ok = said.code == code(Exit::Waiting) && text(&status, "/running/version") == "1.1.0";
    let observed = format!(
        "`groundcrew update` exits {}; state {}, {} still runs",
        said.code,
        text(&status, "/state"),
        text(&status, "/running/version"),
    );
    teller.step("busy", "exit 4, nothing is touched", &observed, ok);
    set_flag(&play.scene.busy_flag(), "")?;
    play.hands.wait("1.1.1 is proven", |status| is_proven(status, "1.1.1"))?;
    let observed = "the flag is cleared; the agent updates to 1.1.1 by itself";
    teller.step("busy cleared", "1.1.1 runs and is proven", observed, true);
    play.count("busy cleared", teller, 0);
    Ok(())
}

/// A launcher's way to set and clear its flag; it need not survive a power cut.
fn set_flag(path: &Path, text: &str) -> Result<(), Trouble> {
    let mut file = std::fs::File::create(path).context("cannot write the busy flag")?;
    Ok(file.write_all(text.as_bytes())?)
}

/// The gates that hold, with what they say.
fn holding(status: &serde_json::Value) -> String {
    let gates = status.pointer("/gates").and_then(serde_json::Value::as_array);
    let holds = |gate: &&serde_json::Value| text(gate, "/verdict/verdict") == "hold";
    let say = |gate: &serde_json::Value| {
        format!("{} ({})", text(gate, "/gate"), text(gate, "/verdict/reason"))
    };
    let holding: Vec<String> = gates.into_iter().flatten().filter(holds).map(say).collect();
    holding.join(", ")
}

impl Play<'_> {
    /// Counts what became of the client's rows since the step before. `aside_min`: so many rows at
    /// least were written to a release that went back.
    pub(super) fn count(&mut self, step: &str, teller: &mut Teller, aside_min: usize) {
        for file in files_below(
            &self.scene.root().join(".groundcrew").join(APP).join("failed"),
            "rows.ledger",
        ) {
            self.aside.extend(rows_in(&file));
        }
        let seen = self.client.seen();
        // What was acknowledged before this look lies in the file by now.
        let live = rows_in(&self.scene.rows());
        let all = fate(&seen.rows, &live, &self.aside);
        let new = seen.rows.difference(&self.before.rows).copied().collect();
        let now = fate(&new, &live, &self.aside);
        let refused = seen.refused.saturating_sub(self.before.refused);
        let observed = format!(
            "client: refused for {} ms, acknowledged {}, lost {}, set aside {}",
            refused.as_millis(),
            now.acknowledged,
            all.lost,
            now.set_aside
        );
        let ok = all.lost == 0 && now.acknowledged > 0 && now.set_aside >= aside_min;
        let name = format!("{step}: rows");
        teller.step(&name, "no acknowledged row is lost", &observed, ok);
        self.before = seen;
    }
}

fn first_file(dir: &Path) -> Option<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.into_iter().next()
}

/// Files of this name anywhere below a directory.
fn files_below(dir: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.file_name().is_some_and(|is| is == name) {
                found.push(path);
            }
        }
    }
    found
}
