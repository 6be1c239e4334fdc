//! Bundles as a publisher makes them: sealed, checked, published, without an agent or configuration.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use groundcrew_rig::host::Ran;

use crate::bench::Bench;

const DRAFT: &str = r#"# What people wrote stays.
schema = 1
app = "ledger"
version = "1.0.0"
platform = "any"  # runs anywhere

[run]
command = ["bin/serve", "1.0.0", "{volume.data}"]
"#;

/// A directory with a bundle in it that its author has just made.
struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(desk.dir.path().join("root")).unwrap();
        desk.put("b/release.toml", DRAFT);
        desk.put("b/files/bin/serve", "#!/bin/sh\n");
        desk.put("b/notes/1.0.0.md", "# First\n");
        let program = desk.dir.path().join("b/files/bin/serve");
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
        desk
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::File::create(path)
            .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
            .unwrap();
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.dir.path().join(path)).unwrap()
    }

    /// Runs `groundcrew bundle …` in the directory, with no configuration to be found.
    fn run(&self, args: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_groundcrew"));
        command.arg("bundle").args(args).current_dir(self.dir.path());
        command.env("GROUNDCREW_CONFIG", "/nonexistent/groundcrew.toml");
        command.env("TMPDIR", self.dir.path());
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap_or(-1);
        Ran { code, out: text(output.stdout), err: text(output.stderr) }
    }

    fn publish(&self, more: &[&str]) -> Value {
        let args = [&["publish", "b", "--to", "root", "--json"][..], more].concat();
        self.run(&args).ends(0).json()
    }

    fn names(&self, dir: &str) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path().join(dir)).unwrap().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn tool(dir: &Path, program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).current_dir(dir).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
}

#[test]
fn sealing_puts_digests_in_and_leaves_the_rest_as_it_was_written() {
    let desk = Desk::new();
    let sealed = desk.run(&["seal", "b", "--json"]).ends(0).json();
    assert_eq!(sealed["changed"], serde_json::json!(["content", "notes_content"]));
    let text = desk.text("b/release.toml");
    let kept: Vec<&str> = text.lines().filter(|line| !line.contains("content")).collect();
    assert_eq!(kept, DRAFT.lines().collect::<Vec<_>>(), "{text}");
    let again = desk.run(&["seal", "b", "--json"]).ends(0).json();
    assert_eq!((&again["changed"], &again["digest"]), (&Value::Array(vec![]), &sealed["digest"]));

    desk.put("b/files/share/data", "1");
    desk.put("b/release.toml.minisig", "of before");
    fs::remove_dir_all(desk.dir.path().join("b/notes")).unwrap();
    let third = desk.run(&["seal", "b"]).ends(0);
    assert!(third.out.contains("content and notes_content changed in b/release.toml"), "{third:?}");
    assert!(third.out.contains("release.toml.minisig no longer fits"), "{third:?}");
    assert!(!desk.text("b/release.toml").contains("notes_content"));
}

#[test]
fn a_description_that_no_host_would_take_is_refused_with_its_place_and_left_alone() {
    let commands = "command = [\"bin/serve\"";
    let cases = [
        ("platform = \"any\"", "platfrom = \"any\"", 2, "b/release.toml:5:1: unknown field"),
        ("version = \"1.0.0\"", "version = \"../1\"", 2, "b/release.toml:4:11: "),
        ("schema = 1", "schema = 9", 2, "has schema 9, this groundcrew reads schema 1"),
        ("app = \"ledger\"", "app = \"ledger\"\ncontent = \"x\"", 2, "b/release.toml:4:11: "),
        (commands, "command = [\"bin/none\"", 1, "b/files/bin/none is refused: run.command"),
        (commands, "command = [\"./share/x\"", 1, "not an executable file"),
    ];
    for (from, to, code, wanted) in cases {
        let desk = Desk::new();
        desk.put("b/files/share/x", "");
        desk.put("b/release.toml", &DRAFT.replace(from, to));
        let before = desk.text("b/release.toml");
        let ran = desk.run(&["seal", "b"]).ends(code);
        assert!(ran.err.contains(wanted), "{wanted}: {ran:?}");
        assert!(ran.err.contains("correct it and seal again"), "{ran:?}");
        assert_eq!(desk.text("b/release.toml"), before);
    }
    let desk = Desk::new();
    desk.put("b/README", "");
    let ran = desk.run(&["seal", "b"]).ends(1);
    assert!(ran.err.contains("b/README is refused") && ran.err.contains("move it away"), "{ran:?}");
    desk.run(&["seal", "nowhere"]).ends(2);
    let unsealed = desk.run(&["verify", "b"]).ends(2);
    assert!(unsealed.err.contains("`groundcrew bundle seal` puts it in"), "{unsealed:?}");
}

#[test]
fn a_bundle_is_verified_as_a_host_would_whether_directory_or_archive() {
    let desk = Desk::new();
    let at = desk.dir.path();
    tool(at, "minisign", &["-G", "-W", "-p", "key.pub", "-s", "key"]);
    desk.run(&["seal", "b"]).ends(0);
    let plain = desk.run(&["verify", "b", "--json"]).ends(0).json();
    assert_eq!(plain["signature"], "none");
    for command in ["seal", "verify"] {
        let ran = desk.run(&[command, "b/release.toml"]).ends(2);
        assert!(ran.err.contains("name the") && ran.err.contains("release.toml\n"), "{ran:?}");
    }
    let ran = desk.run(&["verify", "b", "--minisign-key", "key.pub"]).ends(1);
    assert!(ran.err.contains("there is none; sign it again"), "{ran:?}");

    tool(at, "minisign", &["-S", "-W", "-s", "key", "-m", "b/release.toml", "-t", "built by us"]);
    assert_eq!(desk.run(&["verify", "b", "--json"]).ends(0).json()["signature"], "unchecked");
    let parts = ["release.toml", "release.toml.minisig", "files", "notes"];
    tool(&at.join("b"), "tar", &[&["-cf", "../b.tar"][..], &parts].concat());
    let packed = zstd(&fs::read(at.join("b.tar")).unwrap());
    fs::File::create(at.join("b.tar.zst"))
        .and_then(|mut file| std::io::Write::write_all(&mut file, &packed))
        .unwrap();
    for path in ["b", "b.tar.zst"] {
        let good = desk.run(&["verify", path, "--minisign-key", "key.pub", "--json"]).ends(0);
        let good = good.json();
        assert_eq!((&good["signature"], &good["digest"]), (&"good".into(), &plain["digest"]));
        assert_eq!(good["comment"], "built by us");
    }
    desk.put("b/files/bin/serve", "#!/bin/ash\n");
    let ran = desk.run(&["verify", "b"]).ends(1);
    assert!(
        ran.err.contains("the content is sha256:") && ran.err.contains("bundle seal"),
        "{ran:?}"
    );
    desk.run(&["verify", "b", "--minisign-key", "none.pub"]).ends(2);
    let left: Vec<String> =
        desk.names("").into_iter().filter(|name| name.contains("verify")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A Zstandard frame with the bytes as they are; no compressor is needed to make one.
fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    let mut blocks = bytes.chunks(64 * 1024).peekable();
    while let Some(block) = blocks.next() {
        let last = u32::from(blocks.peek().is_none());
        let head = (u32::try_from(block.len()).unwrap() << 3) | last;
        frame.extend(&head.to_le_bytes()[..3]);
        frame.extend(block);
    }
    frame
}

#[test]
fn publishing_copies_once_and_moves_the_channel() {
    let desk = Desk::new();
    desk.run(&["publish", "b", "--to", "nowhere"]).ends(2);
    desk.run(&["seal", "b"]).ends(0);
    let first = desk.publish(&[]);
    assert_eq!((&first["was_there"], &first["before"]), (&false.into(), &Value::Null));
    assert_eq!(desk.names("root/ledger"), ["1.0.0", "channels"]);
    let again = desk.publish(&[]);
    assert_eq!((&again["was_there"], &again["before"]), (&true.into(), &"1.0.0".into()));
    assert_eq!(desk.publish(&["--channel", "beta", "--serial", "6"])["serial"], 6);

    desk.put("b/files/share/data", "other");
    let text = desk.text("b/release.toml");
    desk.run(&["publish", "b", "--to", "root"]).ends(1);
    desk.run(&["seal", "b"]).ends(0);
    let other = desk.run(&["publish", "b", "--to", "root"]).ends(1);
    assert!(other.err.contains("was published before"), "{other:?}");
    assert!(other.err.contains("needs a version of its own"), "{other:?}");
    assert_eq!(desk.text("root/ledger/1.0.0/release.toml"), text, "what was there stays");

    desk.put("b/release.toml", &desk.text("b/release.toml").replace("1.0.0", "1.1.0"));
    desk.put("root/ledger/channels/beta.toml.minisig", "of before");
    let lower = desk.run(&["publish", "b", "--to", "root", "--channel", "beta", "--serial", "6"]);
    assert!(lower.ends(1).err.contains("its serial is 6"));
    let next = desk.publish(&["--channel", "beta"]);
    assert_eq!((&next["serial"], &next["before"]), (&7.into(), &"1.0.0".into()));
    assert_eq!(next["stale_signature"], true);
    assert!(desk.text("root/ledger/channels/stable.toml").contains("1.0.0"), "another channel");
}

#[test]
fn a_host_runs_what_was_sealed_and_published() {
    let bench = Bench::new();
    bench.publish("1.0.0");
    let root = bench.path("releases");
    let made = root.join("ledger/1.0.0");
    let text = fs::read_to_string(made.join("release.toml")).unwrap();
    let desk = Desk::new();
    let without = |line: &&str| !line.contains("content =");
    let text: Vec<&str> = text.lines().filter(without).collect();
    for program in ["bin/serve", "bin/migrate", "bin/undo"] {
        let to = desk.dir.path().join("b/files").join(program);
        fs::copy(made.join("files").join(program), to).unwrap();
    }
    desk.put("b/release.toml", &text.join("\n").replace("\"1.0.0\"", "\"1.1.0\""));
    desk.run(&["seal", "b"]).ends(0);
    desk.run(&["publish", "b", "--to", root.to_str().unwrap()]).ends(0);
    bench.run(&["update", "ledger"]).ends(0);
    assert_eq!(bench.version().as_deref(), Some("1.1.0"));
}
