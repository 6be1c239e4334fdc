//! Bad input: each case ends with the app as it was and a message that names what and where, and the
//! way out.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use groundcrew_rig::host::Ran;

use crate::bench::{BINARY, Bench};

pub(crate) fn put(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
    fs::File::create(path).unwrap().write_all(bytes.as_ref()).unwrap();
}

/// Publishes a release whose only program is this script, and points the channel at it.
pub(crate) fn offer(bench: &Bench, version: &str, script: &str) -> PathBuf {
    let draft = bench.path("draft");
    fs::remove_dir_all(&draft).ok();
    fs::create_dir_all(draft.join("files/bin")).unwrap();
    put(draft.join("files/bin/app"), format!("#!/bin/sh\n{script}\n"));
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(draft.join("files/bin/app"), executable).unwrap();
    let says = format!(
        "schema = 1\napp = \"ledger\"\nversion = \"{version}\"\nplatform = \"any\"\n\
         [run]\ncommand = [\"bin/app\", \"{{volume.data}}\"]\n"
    );
    put(draft.join("release.toml"), says);
    let (draft, root) = (draft.display().to_string(), bench.path("releases").display().to_string());
    bench.run(&["bundle", "seal", &draft]).ends(0);
    bench.run(&["bundle", "publish", &draft, "--to", &root]).ends(0);
    bench.path("releases/ledger").join(version)
}

/// 1.0.0 runs and has a row.
pub(crate) fn installed() -> Bench {
    let bench = Bench::new();
    bench.install("1.0.0");
    assert!(bench.post(1));
    bench
}

/// The update ends with this code and says all of this, and the app is as it was.
#[track_caller]
pub(crate) fn refused(bench: &Bench, code: i32, said: &[&str]) -> Ran {
    let ran = bench.run(&["update", "ledger"]).ends(code);
    let all = format!("{}{}", ran.out, ran.err);
    for part in said {
        assert!(all.contains(part), "{part:?} is not said:\n{all}");
    }
    assert_eq!(bench.version().as_deref(), Some("1.0.0"));
    assert_eq!(bench.rows(), Some(vec![1]));
    ran
}

#[test]
fn a_program_that_is_not_in_the_release_is_named_before_it_is_published() {
    let bench = Bench::new();
    offer(&bench, "1.0.1", "exit 0");
    let draft = bench.path("draft");
    fs::remove_file(draft.join("files/bin/app")).unwrap();
    let ran = bench.run(&["bundle", "seal", &draft.display().to_string()]).ends(1);
    assert!(ran.err.contains("files/bin/app") && ran.err.contains("run.command"), "{ran:?}");
    assert!(ran.err.contains("it is not there; nothing was changed"), "{ran:?}");
}

#[test]
fn a_command_that_the_host_does_not_have_is_rolled_back_with_its_name() {
    let bench = installed();
    offer(&bench, "1.0.1", "exec no-such-program");
    refused(&bench, 7, &["1.0.1 was rolled back", "exit code 127", "no-such-program: not found"]);
}

#[test]
fn a_bundle_that_cannot_be_read_is_held_with_its_place() {
    let bench = installed();
    let dir = offer(&bench, "1.0.1", "exit 0");
    put(dir.join("release.toml"), "schema = \n");
    refused(&bench, 4, &["1.0.1 is held", "release.toml", "groundcrew unblock ledger"]);
}

#[test]
fn an_archive_that_was_cut_short_is_held() {
    let bench = installed();
    let dir = offer(&bench, "1.0.1", "exit 0");
    let archive = dir.parent().unwrap().join("1.0.1.tar.zst");
    let packed = Command::new("tar")
        .arg("-C")
        .arg(&dir)
        .args(["--zstd", "-cf"])
        .arg(&archive)
        .args(["release.toml", "files"])
        .status();
    assert!(packed.unwrap().success(), "{}", archive.display());
    fs::remove_dir_all(&dir).unwrap();
    let whole = fs::read(&archive).unwrap();
    put(&archive, whole.get(..whole.len() * 2 / 3).unwrap());
    // It may still be on its way here: it is asked for again.
    refused(&bench, 3, &["the source does not answer", "1.0.1.tar.zst", "incomplete"]);
}

#[test]
fn a_version_that_does_not_parse_waits_for_a_person() {
    let bench = installed();
    offer(&bench, "winter", "exit 0");
    refused(&bench, 4, &["winter is held", "cannot compare versions", "groundcrew approve ledger"]);
}

/// A server that answers every connection with this until the test ends.
struct Strange {
    port: u16,
    over: Arc<AtomicBool>,
}

impl Strange {
    fn serve(answer: &'static str, forever: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                let ends = Arc::clone(&ends);
                std::thread::spawn(move || {
                    let mut request = [0; 1024];
                    drop(stream.read(&mut request));
                    stream.write_all(answer.as_bytes()).ok();
                    while forever && !ends.load(Ordering::SeqCst) {
                        let more = stream.write_all(&[b'x'; 4096]);
                        if more.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { port, over }
    }
}

impl Drop for Strange {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        std::net::TcpStream::connect(("127.0.0.1", self.port)).ok();
    }
}

/// A host whose health is asked at a strange place once 1.0.0 runs.
fn asked_at(strange: &Strange, timeout: &str) -> Bench {
    let bench = installed();
    let text = fs::read_to_string(bench.path("groundcrew.toml")).unwrap();
    let health = format!("http://127.0.0.1:{}/health", bench.port());
    let text = text.replace(&health, &format!("http://127.0.0.1:{}/health", strange.port));
    let text = text.replace("start_within = \"5s\"", &format!("start_within = \"2s\"\n{timeout}"));
    bench.write("groundcrew.toml", &text);
    bench.publish("1.1.1");
    bench
}

#[test]
fn a_health_endpoint_that_never_answers_fails_at_its_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // Nobody accepts: the kernel takes the connection, and that is all.
    let strange = Strange { port, over: Arc::new(AtomicBool::new(false)) };
    let bench = asked_at(&strange, "timeout = \"300ms\"");
    refused(&bench, 7, &["1.1.1 was rolled back", "not healthy within", "http: ", "/health"]);
}

#[test]
fn a_health_endpoint_that_streams_for_ever_fails_at_its_limit() {
    let strange = Strange::serve("HTTP/1.1 200 OK\r\n\r\n{\"status\":\"ok\",\"x\":\"", true);
    let bench = asked_at(&strange, "timeout = \"500ms\"");
    refused(&bench, 7, &["1.1.1 was rolled back", "not healthy within", "http: "]);
}

#[test]
fn a_cache_that_answers_for_the_old_release_does_not_prove_the_new_one() {
    let strange = Strange::serve(
        "HTTP/1.1 200 OK\r\nContent-Length: 33\r\nConnection: close\r\n\r\n\
         {\"status\":\"ok\",\"version\":\"1.0.0\"}\n",
        false,
    );
    let bench = installed();
    let text = fs::read_to_string(bench.path("groundcrew.toml")).unwrap();
    let at = format!("version_at = \"http://127.0.0.1:{}/version\"", strange.port);
    let text = text.replace("version_at = \"/version\"", &at).replace("\"5s\"", "\"2s\"");
    bench.write("groundcrew.toml", &text);
    bench.publish("1.1.1");
    refused(&bench, 7, &["1.1.1 was rolled back", "version: ", "1.0.0"]);
}

#[test]
fn a_second_agent_is_told_who_has_the_lock() {
    let mut bench = Bench::new();
    bench.install("1.0.0");
    bench.start_agent();
    let ran = bench.run(&["agent"]).ends(75);
    assert!(ran.err.contains(&format!("pid {}", bench.agent_pid())), "{ran:?}");
    assert!(ran.err.contains("state"), "names the place: {ran:?}");
}

#[test]
fn a_second_state_directory_does_not_get_the_same_volume() {
    let mut bench = Bench::new();
    bench.install("1.0.0");
    bench.start_agent();
    let other = bench.path("other-state").display().to_string();
    bench.publish("1.1.0");
    let ran = bench.run(&["--state", &other, "update", "ledger"]).ends(1);
    let all = format!("{}{}", ran.out, ran.err);
    assert!(all.contains("end it, or use its state directory"), "{all}");
    assert!(all.contains(&bench.path("srv").display().to_string()), "names the place: {all}");
}

#[test]
fn an_app_that_ignores_sigterm_is_killed_after_its_grace_and_that_is_recorded() {
    let bench = Bench::new();
    bench.install("1.1.4");
    assert!(bench.post(1));
    let text = fs::read_to_string(bench.path("groundcrew.toml")).unwrap();
    bench.write("groundcrew.toml", &text.replace("grace = \"5s\"", "grace = \"500ms\""));
    bench.run(&["config", "apply", "ledger", "--wait", "proven"]).ends(0);
    bench.run(&["stop", "ledger"]).ends(0);
    bench.run(&["start", "ledger"]).ends(0);
    bench.until("it serves again", || bench.version().is_some());
    assert_eq!(bench.rows(), Some(vec![1]), "what was acknowledged is there");
    let history = bench.run(&["history", "ledger", "--json"]).ends(0).out;
    assert!(history.contains("\"clean_stop\": false"), "{history}");
}

#[test]
fn an_app_that_puts_itself_into_the_background_is_no_running_app() {
    let bench = installed();
    let mark = format!("sleep 98{}", std::process::id());
    offer(&bench, "1.0.1", &format!("(setsid {mark} &) ; exit 0"));
    refused(&bench, 7, &["1.0.1 was rolled back", "exit code 0", "foreground"]);
    let listed = Command::new("pgrep").args(["-f", &mark]).output().unwrap();
    assert!(listed.stdout.is_empty(), "its child lives on");
}

#[test]
fn a_port_that_somebody_else_has_is_named() {
    let bench = Bench::new();
    let _taken = TcpListener::bind(("127.0.0.1", bench.port())).unwrap();
    bench.publish("1.0.0");
    let ran = bench.run(&["update", "ledger"]).ends(7);
    let port = format!("127.0.0.1:{}", bench.port());
    assert!(ran.out.contains(&port) && ran.out.contains("in use"), "{ran:?}");
}

#[test]
fn a_volume_of_somebody_else_is_said_by_the_app_and_nothing_is_lost() {
    let bench = Bench::new();
    let dir = bench.path("srv/data");
    fs::create_dir_all(&dir).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(bench.path(""), open).unwrap();
    let text = fs::read_to_string(bench.path("groundcrew.toml")).unwrap();
    let text = text.replace("kind = \"process\",", "kind = \"process\", user = \"nobody\",");
    bench.write("groundcrew.toml", &text);
    bench.publish("1.0.0");
    let ran = bench.run(&["update", "ledger"]).ends(7);
    assert!(ran.out.contains("Permission denied"), "{ran:?}");
    assert!(ran.out.contains(&dir.display().to_string()), "names the place: {ran:?}");
}

#[test]
fn a_volume_behind_a_symlink_is_refused_with_its_key() {
    let bench = Bench::new();
    fs::create_dir_all(bench.path("elsewhere")).unwrap();
    symlink(bench.path("elsewhere"), bench.path("srv/data")).unwrap();
    let ran = bench.run(&["config", "check"]).ends(2);
    assert!(ran.err.contains("apps.ledger.volumes.data.path"), "{ran:?}");
    assert!(ran.err.contains("symlink") && ran.err.contains("help: "), "{ran:?}");
}

#[test]
fn two_apps_with_one_volume_are_refused_with_both_names() {
    let bench = Bench::new();
    let dir = bench.path("srv/data").display().to_string();
    let second = format!(
        "[apps.second]\nsource = {{ kind = \"directory\", path = \"/srv/releases\" }}\n\
         runtime = {{ kind = \"process\" }}\nhealth = {{ tcp = \"127.0.0.1:1\" }}\n\
         volumes = {{ data = {{ path = \"{dir}\" }} }}\n"
    );
    bench.configure_with("", &second);
    let ran = bench.run(&["config", "check"]).ends(2);
    assert!(ran.err.contains("apps.second.volumes.data.path"), "{ran:?}");
    assert!(ran.err.contains("apps.ledger.volumes.data"), "{ran:?}");
}

/// The library that fakes the wall clock. It breaks timed waits that a program ends with, so such a
/// program is ended from outside.
fn fake_clock() -> PathBuf {
    let found = fs::read_dir("/usr/lib").unwrap().flatten();
    let libraries = found.map(|dir| dir.path().join("faketime/libfaketime.so.1"));
    libraries
        .into_iter()
        .find(|path| path.exists())
        .expect("libfaketime is missing: apt-get install -y --no-install-recommends libfaketime")
}

#[test]
fn a_clock_in_1970_updates_without_a_window_and_waits_with_one() {
    let bench = installed();
    bench.publish("1.1.1");
    let in_1970 = |args: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args(args).env("LD_PRELOAD", fake_clock()).env("DONT_FAKE_MONOTONIC", "1");
        command.env("FAKETIME", "@1970-01-01 00:10:00");
        command.env("GROUNDCREW_CONFIG", bench.path("groundcrew.toml"));
        command.env("GROUNDCREW_STATE", bench.path("state"));
        command
    };
    let text = fs::read_to_string(bench.path("groundcrew.toml")).unwrap();
    let window = "window = { open = [\"daily 00:00-05:00\"] }\npoll    = \"200ms\"";
    bench.write("groundcrew.toml", &text.replace("poll    = \"200ms\"", window));
    let output = in_1970(&["check", "ledger"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("no window can be trusted"), "{said}");
    bench.write("groundcrew.toml", &text);
    let mut update = in_1970(&["update", "ledger"]).stderr(Stdio::null()).spawn().unwrap();
    bench.until("the update is accepted", || bench.version().as_deref() == Some("1.1.1"));
    bench.until("it is on record", || bench.view()["state"] == "watching");
    update.kill().unwrap();
    update.wait().unwrap();
    assert_eq!(bench.rows(), Some(vec![1]));
}
