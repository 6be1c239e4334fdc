//! The host's promises, markers, external checks, claims.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use groundcrew_engine::noun::Digest;
use groundcrew_engine::ports::{Neighbor, Neighbors as _, host};

use super::neighbors::{Groups, claim};
use super::*;

fn this_host(dir: &Path, app: &str) -> ThisHost {
    let (state, run) = (dir.join("state"), dir.join("run"));
    let flag = BusyFlag::new(&run.join("in-flight"), busy::Mode::NonEmpty);
    ThisHost::new(&app.into(), &state, &run, flag)
}

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn this_host_keeps_its_contract() {
    let dir = tempfile::tempdir().unwrap();
    let release = Release {
        version: "1".to_owned(),
        digest: Digest("sha256:00".to_owned()),
        revision: None,
        published_ms: None,
        data_epoch: None,
        data_compatible_from: None,
        migration: None,
    };
    let flag = dir.path().join("run/in-flight");
    let mut fixture = host::Fixture {
        set_busy: &mut |busy| put(&flag, if busy { "flight" } else { "" }),
        marked: &mut || dir.path().join("run/updating").exists(),
        release: &release,
    };
    host::contract(&mut this_host(dir.path(), "app"), &mut fixture);
    let mut clock = clock::SystemClock::new(clock::Synchronized::Always).unwrap();
    host::contract_clock(&mut clock);
    let groups = Groups::new(&dir.path().join("run"));
    let mut other = groups.seat(&"other".into(), "default");
    host::contract_neighbors(&mut groups.seat(&"app".into(), "default"), Some(&mut other));
}

#[test]
fn one_apps_marker_does_not_hide_anothers() {
    let dir = tempfile::tempdir().unwrap();
    let updating = dir.path().join("run/updating");
    let (mut tiles, mut forge) = (this_host(dir.path(), "tiles"), this_host(dir.path(), "forge"));
    tiles.announce(true).unwrap();
    forge.announce(true).unwrap();
    tiles.announce(false).unwrap();
    assert!(updating.join("forge").exists() && !updating.join("tiles").exists());
    let text = fs::read_to_string(updating.join("forge")).unwrap();
    let marker: Marker = serde_json::from_str(&text).unwrap();
    assert_eq!((marker.app.as_str(), marker.pid), ("forge", std::process::id()));
    forge.announce(false).unwrap();
    assert!(!updating.exists());
}

#[test]
fn markers_come_and_go_at_the_same_time_and_none_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for app in ["a", "b", "c"] {
            let mut host = this_host(dir.path(), app);
            let path = dir.path().join("run/updating").join(app);
            scope.spawn(move || {
                for _ in 0..50 {
                    host.announce(true).unwrap();
                    assert!(path.exists(), "{app}");
                    host.announce(false).unwrap();
                }
            });
        }
    });
    assert!(!dir.path().join("run/updating").exists());
}

#[test]
fn markers_of_an_earlier_boot_are_forgotten_and_those_of_this_one_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let (run, updating) = (dir.path().join("run"), dir.path().join("run/updating"));
    forget_earlier_boots(&run).unwrap();
    let earlier = r#"{"schema": 1, "app": "tiles", "pid": 1, "boot_id": "earlier"}"#;
    put(&updating.join("tiles"), earlier);
    put(&updating.join("odd"), "{");
    this_host(dir.path(), "forge").announce(true).unwrap();
    for _ in 0..2 {
        forget_earlier_boots(&run).unwrap();
        let left: Vec<_> =
            fs::read_dir(&updating).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["forge"]);
    }
    this_host(dir.path(), "forge").announce(false).unwrap();
    put(&updating.join("tiles"), earlier);
    forget_earlier_boots(&run).unwrap();
    assert!(!updating.exists());
}

#[test]
fn a_marker_that_cannot_be_written_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    put(&dir.path().join("run"), "");
    let fault = this_host(dir.path(), "app").announce(true).unwrap_err();
    assert!(fault.text.contains("run"), "{fault}");
}

fn external(command: Option<&[&str]>, url: Option<String>) -> External {
    let dir = tempfile::tempdir().unwrap();
    let about = [("app", "tiles"), ("version", "1.0+2 b")];
    let check = ExternalCheck {
        name: "ci".to_owned(),
        command: command.map(|words| words.iter().map(|word| (*word).to_owned()).collect()),
        url,
        timeout_ms: 400,
        about: about.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
    };
    this_host(dir.path(), "app").check(&check)
}

/// GATE-8.
#[test]
fn an_external_command_is_told_what_it_is_about_and_its_code_is_the_answer() {
    let script =
        "[ \"$GROUNDCREW_APP $GROUNDCREW_VERSION\" = \"tiles 1.0+2 b\" ] && exit 75; exit 9";
    assert_eq!(external(Some(&["sh", "-c", script]), None), External::Exit(75));
    let External::Failed(why) = external(Some(&["sleep", "1000"]), None) else { panic!() };
    assert!(why.starts_with("not done after 4"), "{why}");
    let External::Failed(why) = external(Some(&["/no/such"]), None) else { panic!() };
    assert!(why.starts_with("cannot start /no/such: No such file"), "{why}");
    assert!(matches!(external(None, None), External::Failed(_)));
}

#[test]
fn an_external_url_is_asked_with_a_query_and_its_status_is_the_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        reader.read_line(&mut line).unwrap();
        stream.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n").unwrap();
        line
    });
    let url = format!("http://{address}/green?branch=main");
    assert_eq!(external(None, Some(url)), External::Status(503));
    let asked = server.join().unwrap();
    assert_eq!(asked, "GET /green?branch=main&app=tiles&version=1.0%2B2%20b HTTP/1.1\r\n");
    let External::Failed(why) = external(None, Some(format!("http://{address}/"))) else {
        panic!()
    };
    assert!(why.contains("Connection refused"), "{why}");
}

#[test]
fn the_time_of_a_touch_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("progress");
    put(&path, "");
    let at = UNIX_EPOCH + std::time::Duration::from_millis(1_700_000_000_123);
    fs::File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
    let found = this_host(dir.path(), "app").touched_ms(path.to_str().unwrap());
    assert_eq!(found, Some(1_700_000_000_123));
}

#[test]
fn a_group_is_given_back_when_its_app_goes_and_groups_do_not_meet() {
    let dir = tempfile::tempdir().unwrap();
    let groups = Groups::new(dir.path());
    let (mut one, mut two) = (groups.seat(&"a".into(), "g"), groups.seat(&"b".into(), "g"));
    let mut elsewhere = groups.seat(&"c".into(), "h");
    assert_eq!(one.exclude(true), None);
    assert_eq!(two.exclude(true).unwrap().who, "a");
    assert_eq!(elsewhere.exclude(true), None);
    drop(one);
    assert_eq!(two.exclude(true), None);
    let neighbor = |app: &str| Neighbor {
        app: app.to_owned(),
        group: "g".to_owned(),
        healthy: true,
        updating: false,
    };
    groups.tell(neighbor("a"));
    groups.tell(neighbor("b"));
    groups.tell(Neighbor { updating: true, ..neighbor("a") });
    assert_eq!(two.list(), [Neighbor { updating: true, ..neighbor("a") }]);
}

/// GATE-11.
#[test]
fn a_claim_holds_as_long_as_its_owner_lives() {
    let dir = tempfile::tempdir().unwrap();
    let groups = Groups::new(dir.path());
    let mut seat = groups.seat(&"a".into(), "g");
    let since = "2026-11-21T09:00:00Z";
    let held = claim(dir.path(), "rehearsal", "rehearsal of a", since, None).unwrap();
    let found = seat.exclude(true).unwrap();
    assert_eq!((found.who.as_str(), found.since.as_str()), ("rehearsal of a", since));
    let again = claim(dir.path(), "rehearsal", "another", since, None).unwrap_err();
    assert!(again.starts_with("rehearsal of a has it"), "{again}");
    assert_eq!(groups.seat(&"b".into(), "g").exclude(true).unwrap().who, "rehearsal of a");
    drop(held);
    assert_eq!(seat.exclude(true), None);
    let other = claim(dir.path(), "ship", "shipment", since, Some("h")).unwrap();
    assert_eq!(seat.exclude(true), None, "of another group");
    assert_eq!(groups.seat(&"c".into(), "h").exclude(true).unwrap().who, "shipment");
    drop(other);
    put(&dir.path().join("claims/left.json"), "{\"schema\": 1");
    assert_eq!(seat.exclude(true), None, "a file that nobody holds is nobody's claim");
    let file = fs::File::open(dir.path().join("claims/left.json")).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert!(seat.exclude(true).unwrap().who.contains("left.json"), "what is held counts");
}
