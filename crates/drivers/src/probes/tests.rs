//! Servers that answer, lie, hang, drip and never end (UPD-7).

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use groundcrew_engine::noun::{Digest, Release};
use groundcrew_engine::plan::Procedure;
use groundcrew_engine::ports::probes;

use super::*;
use crate::bundle::Sha256;
use crate::source::directory::release_dir;

/// Long enough for a busy machine, short for a server that never answers.
const LIMIT_MS: u64 = 400;
/// What a question may take beyond its limit.
const SLACK: Duration = Duration::from_secs(5);

type Serve = fn(&mut TcpStream);

/// Serves each connection, in turn, with the request's head read; returns its URL and what was asked.
fn server(serve: impl Fn(&mut TcpStream) + Send + 'static) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/health", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heads = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let reader = BufReader::new(stream.try_clone().unwrap());
            let head = reader.lines().map_while(Result::ok).take_while(|line| !line.is_empty());
            heads.lock().unwrap().push(head.collect::<Vec<_>>().join("\n").to_lowercase());
            serve(&mut stream);
        }
    });
    (url, asked)
}

fn say(stream: &mut TcpStream, status: &str, body: &str) {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).ok();
}

fn installed(version: &str) -> Installed {
    let release = Release {
        version: version.to_owned(),
        digest: Digest(format!("sha256:{}", "0".repeat(64))),
        revision: None,
        published_ms: None,
        data_epoch: None,
        data_compatible_from: None,
        migration: None,
    };
    Installed { release, config: "c".into(), procedure: Procedure::default() }
}

fn ask(kind: ProbeKind) -> Finding {
    let place = match &kind {
        ProbeKind::Http { url, .. } | ProbeKind::Version { url } => format!("{url}: "),
        ProbeKind::Tcp { .. } | ProbeKind::Exec { .. } | ProbeKind::Container => String::new(),
    };
    let probe = Probe { name: "p".into(), kind, timeout_ms: LIMIT_MS };
    let started = Instant::now();
    let asker = &mut Asker::new(Path::new("/nowhere"), &"app".into());
    let mut finding = asker.ask(&probe, &installed("1.2.0"));
    assert!(started.elapsed() < Duration::from_millis(LIMIT_MS) + SLACK);
    if let Some(why) = &mut finding.failure {
        // Where it was asked is said first.
        *why = why.strip_prefix(&place).unwrap().to_owned();
    }
    finding
}

fn http(url: &str, json: &[(&str, &str)]) -> ProbeKind {
    let pairs = json.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    ProbeKind::Http { url: url.to_owned(), json: pairs.collect() }
}

fn check_http(serve: Serve, json: &[(&str, &str)], expected: Option<&str>) {
    let failure = ask(http(&server(serve).0, json)).failure;
    assert_eq!(failure.as_deref(), expected);
}

#[test]
fn an_answer_is_judged_by_its_status_and_its_members() {
    let body: Serve =
        |s| say(s, "200 OK", r#"{"status": "ok", "rows": 3, "ready": true, "n": null}"#);
    check_http(body, &[], None);
    check_http(body, &[("status", "ok"), ("rows", "3"), ("ready", "true")], None);
    check_http(body, &[("status", "well")], Some("`status` is \"ok\", expected \"well\""));
    check_http(body, &[("rows", "30")], Some("`rows` is \"3\", expected \"30\""));
    check_http(body, &[("state", "ok")], Some("the answer has no `state`, expected \"ok\""));
    check_http(|s| say(s, "200 OK", "fine"), &[], None);
    check_http(|s| say(s, "200 OK", "fine"), &[("a", "b")], Some("\"fine\" is not JSON"));
    check_http(|s| say(s, "503 Busy", "{}"), &[], Some("status 503"));
    check_http(|s| say(s, "204 No Content", ""), &[], Some("status 204"));
}

#[test]
fn a_redirect_is_no_answer() {
    let followed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&followed);
    let (target, _) = server(move |stream| {
        count.fetch_add(1, Ordering::SeqCst);
        say(stream, "200 OK", "");
    });
    let (url, _) = server(move |stream| {
        let head = format!("HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).ok();
    });
    assert_eq!(ask(http(&url, &[])).failure.as_deref(), Some("status 302"));
    assert_eq!(followed.load(Ordering::SeqCst), 0);
}

/// Keeps the connection open until the client has gone.
fn hold(stream: &mut TcpStream) {
    std::io::copy(stream, &mut std::io::sink()).ok();
}

/// One byte after another, until the client has gone.
fn drip(stream: &mut TcpStream, byte: &[u8]) {
    // The pause is the drip; nothing waits for it.
    while stream.write_all(byte).is_ok() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_server_that_hangs_drips_or_stalls_is_cut_at_the_limit() {
    let table: [(&str, Serve); 4] = [
        ("nothing", |stream| hold(stream)),
        ("half a body", |stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{").ok();
            hold(stream);
        }),
        ("a dripping head", |stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").ok();
            drip(stream, b"x");
        }),
        ("a dripping body", |stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n").ok();
            drip(stream, b" ");
        }),
    ];
    for (name, serve) in table {
        let finding = ask(http(&server(serve).0, &[]));
        let expected = format!("no answer within {LIMIT_MS} ms");
        assert_eq!(finding.failure, Some(expected), "{name}");
        assert!(finding.took_ms >= LIMIT_MS, "{name}: {finding:?}");
    }
}

#[test]
fn an_answer_that_never_ends_is_read_no_further_than_its_bound() {
    let endless: Serve = |stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").ok();
        while stream.write_all(&[b' '; 1024]).is_ok() {}
    };
    let failure = ask(http(&server(endless).0, &[("status", "ok")])).failure;
    assert_eq!(failure.as_deref(), Some("the answer is longer than 4096 bytes"));
    assert_eq!(ask(http(&server(endless).0, &[])).failure, None, "200 is all that was asked");
}

#[test]
fn nobody_there_is_a_finding() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for kind in
        [http(&format!("http://{free}/"), &[]), ProbeKind::Tcp { address: free.to_string() }]
    {
        let failure = ask(kind).failure.unwrap();
        assert!(failure.contains("Connection refused"), "{failure}");
    }
    let failure = ask(http("not a url", &[])).failure.unwrap();
    assert!(failure.starts_with("no answer: "), "{failure}");
    let failure = ask(ProbeKind::Tcp { address: "no-port".to_owned() }).failure.unwrap();
    assert!(failure.starts_with("cannot resolve no-port: "), "{failure}");
}

#[test]
fn a_connection_is_enough_for_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in ["127.0.0.1", "localhost"] {
        assert_eq!(ask(ProbeKind::Tcp { address: format!("{host}:{port}") }).failure, None);
    }
}

#[test]
fn the_version_that_answers_must_be_the_releases_own() {
    let check = |serve: Serve, expected: Option<&str>| {
        let failure = ask(ProbeKind::Version { url: server(serve).0 }).failure;
        assert_eq!(failure.as_deref(), expected);
    };
    check(|s| say(s, "200 OK", " 1.2.0\n"), None);
    check(|s| say(s, "200 OK", r#"{"version": "1.2.0"}"#), None);
    check(
        |s| say(s, "200 OK", r#"{"version": "1.1.0"}"#),
        Some("version \"1.1.0\" answers, expected \"1.2.0\""),
    );
    check(|s| say(s, "200 OK", "1.1.0"), Some("version \"1.1.0\" answers, expected \"1.2.0\""));
    check(|s| say(s, "200 OK", ""), Some("version \"\" answers, expected \"1.2.0\""));
    check(|s| say(s, "404 Not Found", "1.2.0"), Some("status 404"));
}

#[test]
fn every_question_is_uncached_and_on_a_connection_of_its_own() {
    let (url, asked) = server(|stream| say(stream, "200 OK", "1.2.0"));
    for _ in 0..2 {
        assert_eq!(ask(ProbeKind::Version { url: url.clone() }).failure, None);
    }
    let heads = asked.lock().unwrap();
    assert_eq!(heads.len(), 2, "one connection per question");
    for head in heads.iter() {
        assert!(head.starts_with("get /health http/1.1"), "{head}");
        assert!(head.contains("cache-control: no-cache") && head.contains("connection: close"));
    }
}

#[test]
fn the_asker_keeps_its_contract() {
    let well = Arc::new(AtomicBool::new(true));
    let is_well = Arc::clone(&well);
    let (url, _) = server(move |stream| match is_well.load(Ordering::SeqCst) {
        true => say(stream, "200 OK", "1.2.0"),
        false => say(stream, "503 Ill", "1.2.0"),
    });
    let kind = ProbeKind::Version { url };
    let probe = Probe { name: "version".into(), kind, timeout_ms: 20_000 };
    let mut fixture = probes::Fixture {
        probe: &probe,
        of: &installed("1.2.0"),
        other: &installed("1.1.0"),
        set_well: &mut |well_now| well.store(well_now, Ordering::SeqCst),
    };
    probes::contract(&mut Asker::new(Path::new("/nowhere"), &"app".into()), &mut fixture);
}

#[test]
fn a_command_of_the_release_runs_in_its_content_with_its_environment() {
    let state = tempfile::tempdir().unwrap();
    let toml = format!(
        "schema = 1\napp = \"app\"\nversion = \"1.2.0\"\nplatform = \"any\"\ncontent = \"{}\"\n\
         [run]\ncommand = [\"app\"]\n",
        Sha256::of(b"")
    );
    let mut of = installed("1.2.0");
    of.release.digest = Digest(Sha256::of(toml.as_bytes()).to_string());
    let dir = release_dir(state.path(), "app", &of.release.digest);
    std::fs::create_dir_all(dir.join("files/bin")).unwrap();
    let put = |name: &str, text: &str| {
        std::fs::File::create(dir.join(name)).unwrap().write_all(text.as_bytes()).unwrap();
    };
    put("release.toml", &toml);
    put("files/bin/check", "echo \"$GROUNDCREW_APP $GROUNDCREW_RELEASE $A\"; exit $1");
    of.procedure.launch = serde_json::json!({"env": {"A": "b"}});
    let ask = |words: &[&str], timeout_ms| {
        let command = words.iter().map(|word| (*word).to_owned()).collect();
        let probe = Probe { name: "e".into(), kind: ProbeKind::Exec { command }, timeout_ms };
        Asker::new(state.path(), &"app".into()).ask(&probe, &of).failure
    };
    assert_eq!(ask(&["sh", "bin/check", "0"], 20_000), None);
    let failure = ask(&["sh", "{release}/bin/check", "3"], 20_000);
    assert_eq!(failure.as_deref(), Some("exit code 3; it said: app 1.2.0 b"));
    let failure = ask(&["bin/none"], 20_000).unwrap();
    assert!(
        failure.ends_with("files/bin/none: No such file or directory (os error 2)"),
        "{failure}"
    );
    let failure = ask(&["sleep", "1000"], 200).unwrap();
    assert!(failure.starts_with("not done after 2"), "{failure}");
    let failure = ask(&["sh", "{port}"], 200).unwrap();
    assert!(failure.starts_with("{port} in \"{port}\" is no placeholder"), "{failure}");
    of.release.digest = installed("1").release.digest;
    let probe = Probe {
        name: "e".into(),
        kind: ProbeKind::Exec { command: vec!["true".to_owned()] },
        timeout_ms: 20_000,
    };
    let failure = Asker::new(state.path(), &"app".into()).ask(&probe, &of).failure.unwrap();
    assert!(failure.contains("release.toml: No such file"), "{failure}");
    let none = BTreeMap::new();
    assert_eq!(of.procedure.volumes, none);
}
