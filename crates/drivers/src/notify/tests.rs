//! Notices by commands and webhooks, to receivers that take, refuse, stall and vanish (UPD-17).

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use super::*;

fn told(title: &str, body: &str, severity: Severity) -> Told {
    let (key, title, body) = ("tiles/txn-1/held".to_owned(), title.to_owned(), body.to_owned());
    Told::new(&Notice { key, severity, title, body }, "host-1", "tiles", 1_795_251_600_000)
}

fn usual() -> Told {
    told("2.0.0 waits", "a <major> & manual one", Severity::Alert)
}

/// A receiver that gives this answer to each request; what it got, as head and body.
fn receiver(answer: &'static str) -> (String, Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/updates", listener.local_addr().unwrap());
    let (sender, got) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let lines = reader.by_ref().lines().map_while(Result::ok);
            let head = lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
            let length = head.lines().find_map(|line| {
                line.to_lowercase().strip_prefix("content-length: ")?.parse().ok()
            });
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
            sender.send((head, String::from_utf8(body).unwrap())).ok();
            stream.write_all(answer.as_bytes()).ok();
        }
    });
    (url, got)
}

fn webhook(url: &str, format: Format, token_file: Option<PathBuf>) -> Target {
    let by = By::Webhook { url: url.to_owned(), format, token_file };
    Target { by, timeout: Duration::from_secs(20) }
}

const TAKES: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn sent(format: Format, told: &Told) -> (String, String) {
    let (url, got) = receiver(TAKES);
    assert_eq!(deliver(&webhook(&url, format, None), told), Delivery::Delivered);
    got.recv().unwrap()
}

fn has(head: &str, line: &str) {
    assert!(head.lines().any(|found| found.eq_ignore_ascii_case(line)), "{line:?} not in {head}");
}

#[test]
fn a_generic_webhook_gets_our_object_and_its_key() {
    let (head, body) = sent(Format::Json, &usual());
    has(&head, "POST /updates HTTP/1.1");
    has(&head, "groundcrew-key: tiles/txn-1/held");
    has(&head, "content-type: application/json");
    let found: serde_json::Value = serde_json::from_str(&body).unwrap();
    let expected = serde_json::json!({
        "schema": 1, "key": "tiles/txn-1/held", "severity": "alert", "title": "2.0.0 waits",
        "body": "a <major> & manual one", "host": "host-1", "app": "tiles",
        "at": "2026-11-21T09:00:00Z",
    });
    assert_eq!(found, expected);
}

#[test]
fn slack_gets_an_escaped_text() {
    let (_, body) = sent(Format::Slack, &usual());
    let found: serde_json::Value = serde_json::from_str(&body).unwrap();
    let text = "*2.0.0 waits*\na &lt;major&gt; &amp; manual one\n_tiles on host-1_";
    assert_eq!(found, serde_json::json!({ "text": text }));
}

#[test]
fn ntfy_gets_a_text_with_title_and_priority() {
    for (severity, priority) in
        [(Severity::Info, 2), (Severity::Warning, 3), (Severity::Alert, 4), (Severity::Page, 5)]
    {
        let (head, body) = sent(Format::Ntfy, &told("zurück\r\nX: y", "text", severity));
        has(&head, &format!("priority: {priority}"));
        has(&head, "title: =?UTF-8?Q?zur=C3=BCck=0D=0AX=3A=20y?=");
        assert_eq!(body, "text");
    }
    let (_, body) = sent(Format::Ntfy, &told("title", &"ä".repeat(3_000), Severity::Info));
    assert_eq!(body, format!("{}…", "ä".repeat(2_000)));
    assert_eq!(sent(Format::Ntfy, &told("title", "", Severity::Info)).1, "title");
}

#[test]
fn a_token_is_read_anew_and_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let (url, got) = receiver(TAKES);
    let target = webhook(&url, Format::Json, Some(path.clone()));
    let Delivery::Retry { why, .. } = deliver(&target, &usual()) else { panic!() };
    assert!(why.contains("token: No such file"), "{why}");
    for token in ["tk_one", "tk_two"] {
        std::fs::File::create(&path).unwrap().write_all(format!("{token}\n").as_bytes()).unwrap();
        assert_eq!(deliver(&target, &usual()), Delivery::Delivered);
        has(&got.recv().unwrap().0, &format!("authorization: Bearer {token}"));
    }
    std::fs::File::create(&path).unwrap().write_all(b"two secrets").unwrap();
    let Delivery::Retry { why, .. } = deliver(&target, &usual()) else { panic!() };
    assert!(why.ends_with("it is not one word of visible ASCII"), "{why}");
}

#[test]
fn an_answer_says_whether_to_try_again() {
    let retry = |why: &str, secs: Option<u64>| Delivery::Retry {
        why: why.to_owned(),
        after: secs.map(Duration::from_secs),
    };
    let refused = |why: &str| Delivery::Refused { why: why.to_owned() };
    let table = [
        ("HTTP/1.1 204 No Content\r\n\r\n", Delivery::Delivered),
        ("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", refused("status 302")),
        ("HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\nbad token", refused("status 403 bad token")),
        ("HTTP/1.1 408 Slow\r\nContent-Length: 0\r\n\r\n", retry("status 408", None)),
        (
            "HTTP/1.1 429 Many\r\nRetry-After: 77\r\nContent-Length: 0\r\n\r\n",
            retry("status 429", Some(77)),
        ),
        ("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", retry("status 503", None)),
    ];
    for (answer, expected) in table {
        let (url, _got) = receiver(answer);
        assert_eq!(deliver(&webhook(&url, Format::Json, None), &usual()), expected, "{answer}");
    }
}

#[test]
fn a_receiver_that_is_not_there_or_stalls_is_tried_again() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let target = webhook(&format!("http://{free}/"), Format::Json, None);
    assert!(matches!(deliver(&target, &usual()), Delivery::Retry { .. }));
    let stalls = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", stalls.local_addr().unwrap());
    let target =
        Target { timeout: Duration::from_millis(200), ..webhook(&url, Format::Json, None) };
    let expected = Delivery::Retry { why: "no answer within 200 ms".to_owned(), after: None };
    assert_eq!(deliver(&target, &usual()), expected);
}

fn by_command(script: &str, told: &Told) -> Delivery {
    let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
    deliver(&Target { by: By::Command(argv), timeout: Duration::from_secs(20) }, told)
}

#[test]
fn a_command_gets_the_notice_twice_over() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "cat > {0}/in; echo \"$GROUNDCREW_KEY|$GROUNDCREW_SEVERITY|$GROUNDCREW_TITLE|\
         $GROUNDCREW_HOST|$GROUNDCREW_APP|$GROUNDCREW_AT\" > {0}/env",
        dir.path().display()
    );
    assert_eq!(by_command(&script, &usual()), Delivery::Delivered);
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!(
        read("env"),
        "tiles/txn-1/held|alert|2.0.0 waits|host-1|tiles|2026-11-21T09:00:00Z\n"
    );
    let found: serde_json::Value = serde_json::from_str(&read("in")).unwrap();
    assert_eq!(found, serde_json::json!(usual()));
}

#[test]
fn the_commands_code_says_whether_to_try_again() {
    let why = "exit code 1; it said: no route".to_owned();
    assert_eq!(by_command("echo no route; exit 1", &usual()), Delivery::Retry { why, after: None });
    let why = "exit code 65".to_owned();
    assert_eq!(by_command("exit 65", &usual()), Delivery::Refused { why });
    let odd = told(&"a\0b".repeat(100_000), &"x".repeat(200_000), Severity::Page);
    assert_eq!(by_command("exit 0", &odd), Delivery::Delivered, "whatever a release says");
    let target = Target { by: By::Command(vec!["/no/such".to_owned()]), timeout: TIMEOUT };
    assert!(matches!(deliver(&target, &usual()), Delivery::Retry { .. }));
}

#[test]
fn the_urgent_go_everywhere_and_the_rest_where_it_is_wanted() {
    let targets = [("digest", Severity::Info), ("ops", Severity::Alert), ("pager", Severity::Page)];
    let check = |severity, expected: &[&str]| assert_eq!(route(targets, severity), expected);
    check(Severity::Info, &["digest"]);
    check(Severity::Warning, &["digest"]);
    check(Severity::Alert, &["digest", "ops"]);
    check(Severity::Page, &["digest", "ops", "pager"]);
}

#[test]
fn pauses_double_up_to_an_hour_and_end_after_three_days() {
    let secs = |tries, asked: Option<u64>| {
        pause(tries, asked.map(Duration::from_secs)).map(|pause| pause.as_secs())
    };
    let first: Vec<_> = (1..=5).map(|tries| secs(tries, None)).collect();
    assert_eq!(first, [Some(10), Some(20), Some(40), Some(80), Some(160)]);
    assert_eq!(secs(40, None), Some(3_600));
    assert_eq!((secs(1, Some(77)), secs(5, Some(77))), (Some(77), Some(160)));
    assert_eq!(secs(1, Some(86_400)), Some(3_600), "nobody asks for a day");
    let mut total = 0;
    let mut tries = 0;
    while let Some(pause) = secs(tries + 1, None) {
        tries += 1;
        total += pause;
    }
    assert!((2 * 86_400..4 * 86_400).contains(&total), "{total} s in {tries} tries");
}
