//! The files that rollbacks open (UPD-16): listed, shown, written by people, closed.

use std::path::PathBuf;

use crate::bench::Bench;

/// A host on which 1.2.0 was rolled back, and the file about it.
fn rolled_back() -> (Bench, PathBuf) {
    let bench = Bench::new();
    bench.install("1.1.0");
    assert!((1..=40).all(|row| bench.post(row)));
    bench.publish("1.2.0");
    bench.run(&["update", "ledger"]).ends(7);
    let dir = std::fs::read_dir(bench.path("state/postmortems")).unwrap();
    let files: Vec<PathBuf> = dir.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    (bench, files.into_iter().next().unwrap())
}

/// The same file on a host where nothing happened.
fn filed() -> (Bench, PathBuf) {
    let bench = Bench::new();
    let dir = bench.path("state/postmortems");
    std::fs::create_dir_all(&dir).unwrap();
    let name = "state/postmortems/2026-11-21_ledger_1.2.0_19e0c3f5a00-1.md";
    bench.write(
        name,
        "---\nstatus: open\napp: ledger\nversion: 1.2.0\ndue: 2999-01-01T00:00:00Z\n---\n# ledger\n",
    );
    let path = bench.path(name);
    (bench, path)
}

fn edit(path: &std::path::Path, change: impl Fn(String) -> String) {
    let text = change(std::fs::read_to_string(path).unwrap());
    let mut file = std::fs::File::create(path).unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
}

/// UPD-16.
#[test]
fn a_post_mortem_is_open_until_a_person_wrote_and_closed_it() {
    let (bench, file) = rolled_back();
    let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
    let list = bench.run(&["postmortem", "list", "--json"]).ends(0).json();
    let one = &list["post_mortems"][0];
    assert_eq!((&one["open"], &one["overdue"]), (&true.into(), &false.into()));
    let missing = ["Root cause", "Which gate should have caught it", "Prevention"];
    assert_eq!(one["missing"], serde_json::json!(missing));
    let day_ms = one["due_ms"].as_i64().unwrap() - one["opened_ms"].as_i64().unwrap();
    assert_eq!(day_ms, 24 * 3_600_000);
    let shown = bench.run(&["postmortem", "show", "ledger"]).ends(0).out;
    assert!(shown.contains("## Timeline\n\n- ") && shown.contains("1.1.0 → 1.2.0"), "{shown}");
    let status = bench.run(&["status"]).ends(0).out;
    assert!(status.contains(&format!("post-mortem {name} is open, due ")), "{status}");

    let refused = bench.run(&["postmortem", "close", "ledger"]).ends(4);
    assert!(refused.err.contains("nothing is written under Root cause, "), "{refused:?}");
    assert!(refused.err.contains("--as-is"), "{refused:?}");
    let cause = ["--cause", "A wrong index.", "--by", "jo"];
    bench.run(&[&["postmortem", "close", &name][..], &cause].concat()).ends(4);
    edit(&file, |text| text.replace("To be written.", "We know now."));
    bench.run(&[&["postmortem", "close", &name][..], &cause].concat()).ends(0);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("\nclosed_by: jo\n") && text.contains("A wrong index."), "{text}");
    let status = bench.run(&["status"]).ends(0).out;
    assert!(!status.contains("post-mortem"), "{status}");
    let listed = bench.run(&["postmortem", "list", "ledger"]).ends(0).out;
    assert!(listed.contains("closed by jo"), "{listed}");
    bench.run(&["postmortem", "close", &name]).ends(2);
}

/// UPD-16: people edit these files, and no edit makes one disappear.
#[test]
fn a_post_mortem_that_a_person_damaged_is_still_listed_and_open() {
    let (bench, file) = filed();
    edit(&file, |text| text.replace("status: open", "status: nearly"));
    let listed = bench.run(&["postmortem", "list"]).ends(0).out;
    assert!(listed.contains("its status is \"nearly\""), "{listed}");
    std::fs::File::create(&file)
        .and_then(|mut file| std::io::Write::write_all(&mut file, b"\xff\xfe"))
        .unwrap();
    let listed = bench.run(&["postmortem", "list"]).ends(0).out;
    assert!(listed.contains("open, overdue") && listed.contains("no text in UTF-8"), "{listed}");
    assert!(bench.run(&["status", "ledger"]).ends(0).out.contains("post-mortem"));
    bench.run(&["postmortem", "close", "ledger", "--as-is"]).ends(1);
    bench.run(&["postmortem", "show", "ledger"]).ends(1);
    let wrong = bench.run(&["postmortem", "show", "tiles"]).ends(2);
    assert!(wrong.err.contains(file.file_stem().unwrap().to_str().unwrap()), "{wrong:?}");
    bench.write("state/postmortems/notes.md", "");
    bench.run(&["postmortem", "close", "notes.md", "--as-is"]).ends(0);
    let list = bench.run(&["postmortem", "list", "--json"]).ends(0).json();
    let open: Vec<bool> = list["post_mortems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["open"].as_bool().unwrap())
        .collect();
    assert_eq!(open, [true, false], "open ones come first");
}

/// UPD-16: by an agent, and by passes without one.
#[test]
fn an_overdue_post_mortem_alerts_once() {
    let (mut bench, file) = filed();
    let told = bench.path("told");
    bench.write("tell.sh", &format!("echo \"$GROUNDCREW_KEY\" >> {}\n", told.display()));
    let script = bench.path("tell.sh");
    let ops =
        format!("[notify.ops]\nkind = \"command\"\ncommand = [\"sh\", \"{}\"]", script.display());
    bench.configure_with("", &ops);
    let alerts = || {
        let told = std::fs::read_to_string(&told).unwrap_or_default();
        told.lines().filter(|key| key.contains("postmortem") && key.contains("overdue")).count()
    };
    bench.run(&["once"]).ends(5);
    assert_eq!(alerts(), 0);
    edit(&file, |text| {
        let lines = text.lines().map(|line| match line.starts_with("due: ") {
            true => "due: 2020-01-01T00:00:00Z\n".to_owned(),
            false => format!("{line}\n"),
        });
        lines.collect()
    });
    bench.run(&["once"]).ends(5);
    assert_eq!(alerts(), 1);
    assert!(bench.run(&["status"]).ends(0).out.contains("overdue since 2020-01-01"));
    bench.run(&["once"]).ends(5);
    // A second one, so that the agent's look is known to have come after the first.
    std::fs::copy(&file, file.with_file_name("2020-01-01_ledger_9_x.md")).unwrap();
    bench.start_agent();
    bench.until("the agent alerts", || alerts() >= 2);
    assert_eq!(alerts(), 2);
}
