//! An app whose releases are images of a real registry: what a person sees, and tags that are moved.

use serde_json::Value;

use groundcrew_rig::host::Ran;

use crate::bench::Bench;
use rig::{Dir, Image, Kind, Registry};

#[path = "../../../drivers/tests/registry/rig.rs"]
#[allow(dead_code, reason = "a part of it is enough here")]
mod rig;

const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";

struct Fleet {
    bench: Bench,
    dir: Dir,
    registry: Registry,
}

impl Fleet {
    fn new() -> Fleet {
        let (bench, dir) = (Bench::new(), Dir::new());
        let registry = Registry::start(dir.path(), Kind::Plain);
        let fleet = Fleet { bench, dir, registry };
        fleet.configure("");
        std::fs::create_dir_all(fleet.bench.path("state")).unwrap();
        fleet
    }

    /// Follows `ledger:stage`, with more keys of the source.
    fn configure(&self, more: &str) {
        self.bench.configure("mode = \"notify\"\n");
        let main = self.bench.path("groundcrew.toml");
        let text = std::fs::read_to_string(&main).unwrap();
        let image = format!("{}/team/ledger", self.registry.address);
        let source = format!(
            "source = {{ kind = \"oci\", image = \"{image}\", channel = \"stage\", plain_http = true{more} }}"
        );
        let ours =
            |line: &str| if line.starts_with("source ") { source.clone() } else { line.to_owned() };
        let lines: Vec<String> = text.lines().map(ours).collect();
        self.bench.write("groundcrew.toml", &lines.join("\n"));
        self.bench.run(&["config", "check"]).ends(0);
    }

    fn push(&self, tag: &str, version: &str) -> String {
        let image = Image::of(version, REVISION);
        self.registry.index("team/ledger", tag, &[image]).to_string()
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.bench.run(args)
    }

    fn json(&self, args: &[&str], code: i32) -> Value {
        let ran = self.run(&[args, &["--json"]].concat());
        let text = ran.out.clone();
        ran.ends(code);
        serde_json::from_str(&text).unwrap()
    }
}

#[test]
fn a_person_sees_what_the_tag_names_and_why_it_cannot_be_run_here() {
    let fleet = Fleet::new();
    let looked = fleet.run(&["source", "check", "ledger"]);
    assert!(looked.err.contains("has no repository team/ledger"), "{}", looked.err);
    looked.ends(3);
    let digest = fleet.push("stage", "1.0.0");
    fleet.push("1.0.0", "1.0.0");
    let looked = fleet.run(&["source", "check", "ledger"]);
    let begins = format!("ledger: 1.0.0 at {}/team/ledger:stage\n", fleet.registry.address);
    for part in [begins.as_str(), &digest, REVISION, "linux/", "https://git.lan/tiles", "none"] {
        assert!(looked.out.contains(part), "{part}: {}", looked.out);
    }
    looked.ends(0);
    let found = fleet.json(&["source", "check", "ledger"], 0);
    assert_eq!(found["image"]["release"]["version"], "1.0.0");
    assert_eq!(found["digest"], digest.as_str());
    let tags = fleet.json(&["source", "tags", "ledger"], 0);
    assert_eq!(tags["tags"], serde_json::json!(["stage", "1.0.0"]));

    // An agent finds it, tells of it and does not touch anything.
    let checked = fleet.json(&["check", "ledger"], 4);
    assert_eq!(checked["checks"][0]["candidate"], "1.0.0");
    let updated = fleet.run(&["update", "ledger"]);
    let said = format!("{}{}", updated.out, updated.err);
    assert!(said.contains("an image cannot be run by the runtime \"process\""), "{said}");
    updated.ends(4);
    let pinned = fleet.run(&["pin", "ledger", "9.9.9"]);
    assert!(pinned.err.contains("there are: 1.0.0"), "{}", pinned.err);
    pinned.ends(2);
    fleet.run(&["pin", "ledger", "1.0.0"]).ends(0);
}

#[test]
fn an_image_that_would_be_held_ends_with_4() {
    let fleet = Fleet::new();
    fleet.push("stage", "1.0.0");
    rig::openssl(
        fleet.dir.path(),
        &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "a.key"],
    );
    rig::openssl(fleet.dir.path(), &["ec", "-in", "a.key", "-pubout", "-out", "a.pub"]);
    fleet.configure(&format!(", cosign_key = \"{}\"", fleet.dir.at("a.pub").display()));
    let looked = fleet.run(&["source", "check", "ledger"]);
    assert!(looked.out.contains("signed    NO"), "{}", looked.out);
    assert!(
        looked.out.contains("there is no signature of it; sign it: cosign sign"),
        "{}",
        looked.out
    );
    looked.ends(4);
}

#[test]
fn an_agent_tells_of_each_new_image_once() {
    let mut fleet = Fleet::new();
    let told = fleet.bench.path("told");
    let sink = format!(
        "[notify.me]\nkind = \"command\"\ncommand = [\"sh\", \"-c\", \"cat >> {}\"]\n",
        told.display()
    );
    let text = std::fs::read_to_string(fleet.bench.path("groundcrew.toml")).unwrap();
    fleet.bench.write("groundcrew.toml", &format!("{text}\n{sink}"));
    fleet.push("stage", "1.0.0");
    fleet.bench.start_agent();
    let said = || std::fs::read_to_string(&told).unwrap_or_default();
    fleet.bench.until("1.0.0 is told of", || said().contains("1.0.0"));
    fleet.push("stage", "1.1.0");
    fleet.bench.until("1.1.0 is told of", || said().contains("1.1.0"));
    let mut looks = std::collections::BTreeSet::new();
    fleet.bench.until("it looked a few times more", || {
        looks.insert(fleet.bench.view()["last_check"]["at_ms"].as_i64());
        looks.len() > 5
    });
    for version in ["1.0.0", "1.1.0"] {
        let title = format!("\"ledger: {version} is held\"");
        assert_eq!(said().matches(&title).count(), 1, "{}", said());
    }
}

/// SRC-6: the manifest is written again under another name, once a person answers for it.
#[test]
fn a_tag_is_promoted_with_evidence_or_a_reason_and_goes_back() {
    let fleet = Fleet::new();
    let old = fleet.push("stage", "1.0.0");
    let new = fleet.push("dev", "1.1.0");
    let promote = ["promote", "ledger", "--from", "dev", "--to", "stage"];
    let ran = fleet.run(&promote);
    assert!(ran.err.contains("was not proven on this host"), "{}", ran.err);
    assert!(ran.err.contains("--force --why TEXT"), "{}", ran.err);
    ran.ends(4);
    fleet.run(&[&promote[..], &["--force"]].concat()).ends(2);
    let why = ["--force", "--why", "the other host proved it"];
    let done = fleet.json(&[&promote[..], &why].concat(), 0);
    let both = (done["digest"].as_str().unwrap(), done["before"].as_str().unwrap());
    assert_eq!(both, (new.as_str(), old.as_str()));
    assert_eq!(done["evidence"], "forced: the other host proved it");
    let version = |fleet: &Fleet| {
        fleet.json(&["source", "check", "ledger"], 0)["image"]["release"]["version"].clone()
    };
    assert_eq!(version(&fleet), "1.1.0");
    let kept = std::fs::read_dir(fleet.bench.path("state/promotions/ledger")).unwrap().count();
    assert_eq!(kept, 1, "it is written down");

    let back = ["rollback", "ledger", "--retag", "stage"];
    fleet.run(&[&back[..], &["--dry-run"]].concat()).ends(0);
    assert_eq!(version(&fleet), "1.1.0");
    fleet.run(&back).ends(0);
    assert_eq!(version(&fleet), "1.0.0", "by itself it goes where the promotion came from");
    fleet.run(&[&back[..], &[&new]].concat()).ends(0);
    assert_eq!(version(&fleet), "1.1.0");
    for (args, code) in [
        (&["promote", "ledger", "--from", "dev", "--to", "dev"][..], 2),
        (&["promote", "ledger", "--from", "nobody", "--to", "stage"], 1),
        (&["rollback", "ledger", "--retag", "dev"], 2),
        (&["rollback", "ledger", "--retag", "stage", "9.9.9"], 2),
    ] {
        fleet.run(args).ends(code);
    }
}

/// GATE-1, airborne: nothing goes out in flight, and everything that asks is told why.
#[test]
fn an_aircraft_asks_no_registry_in_flight() {
    let fleet = Fleet::new();
    fleet.push("stage", "1.0.0");
    let main = fleet.bench.path("groundcrew.toml");
    let text = std::fs::read_to_string(&main).unwrap();
    let look = ["source", "check", "ledger"];
    let all: [(&[&str], i32); 5] = [
        (&look, 4),
        (&["source", "tags", "ledger"], 4),
        (&["check", "ledger"], 3),
        (&["promote", "ledger", "--from", "stage", "--to", "prod", "--force", "--why", "x"], 4),
        (&["pin", "ledger", "1.0.0"], 3),
    ];
    fleet.bench.write("in-flight", "flight 7");
    fleet.run(&look).ends(0);
    fleet.bench.write(
        "groundcrew.toml",
        &text.replace("schema = 1", "schema = 1\nprofile = \"airborne\""),
    );
    for (args, code) in all {
        let ran = fleet.run(args);
        assert!(ran.err.contains("no registry is asked in flight: "), "{args:?}: {}", ran.err);
        ran.ends(code);
    }
    std::fs::remove_file(fleet.bench.path("in-flight")).unwrap();
    fleet.run(&look).ends(0);
}
