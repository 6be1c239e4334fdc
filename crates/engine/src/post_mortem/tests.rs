//! What a person may do to a post-mortem, line by line.

use super::*;

const OPENED_MS: i64 = 1_795_222_800_000;

fn fresh() -> String {
    let head = head("tiles", "1.2.0", &TxnId::from("by-hand"), OPENED_MS);
    let sections: String =
        SECTIONS.iter().map(|name| format!("## {name}\n\n{UNWRITTEN}\n\n")).collect();
    format!("{head}# tiles: 1.1.0 → 1.2.0 was rolled back\n\n## Timeline\n\n- then\n\n{sections}")
}

fn closing(cause: Option<&'static str>, as_is: bool) -> Closing<'static> {
    Closing { by: "jo\nstatus: open", at_ms: OPENED_MS + 5_000, cause, as_is }
}

#[test]
fn a_new_document_is_open_due_in_a_day_and_all_to_be_written() {
    let document = read(&fresh(), 0);
    assert_eq!(document.missing, SECTIONS);
    assert_eq!((document.opened_ms, document.due_ms), (OPENED_MS, OPENED_MS + DUE_AFTER_MS));
    assert_eq!(document.app.as_deref(), Some("tiles"));
    assert_eq!(document.version.as_deref(), Some("1.2.0"));
    assert!(document.open && document.odd.is_empty(), "{document:?}");
    assert!(!document.is_overdue(document.due_ms - 1) && document.is_overdue(document.due_ms));
}

#[test]
fn a_closed_document_says_by_whom_and_is_never_overdue() {
    let mut text = fresh();
    for name in &SECTIONS[1..] {
        let old = format!("## {name}\n\n{UNWRITTEN}");
        text = text.replace(&old, &format!("## {name}\n\nWe know now."));
    }
    let before = read(&text, 0);
    assert_eq!(before.missing, [SECTIONS[0]]);
    let closed = close(&text, &closing(Some("A wrong index.\n# not a heading"), false));
    let document = read(&closed, 0);
    assert!(!document.open && !document.is_overdue(i64::MAX), "{closed}");
    assert_eq!(document.closed_by.as_deref(), Some("jo status: open"));
    assert!(document.missing.is_empty(), "{closed}");
    assert!(closed.contains("## Root cause\n\nA wrong index.\n # not a heading\n\n## Which"));
    let at = jiff::Timestamp::from_millisecond(OPENED_MS + 5_000).unwrap();
    assert!(closed.contains(&format!("\nclosed: {at}\n")), "{closed}");
    assert!(!closed.contains("closed_as_is"));
    assert_eq!(close(&closed, &closing(None, true)).matches("closed_by").count(), 1);
}

#[test]
fn closing_changes_the_head_and_nothing_else() {
    let text = fresh().replace("app: tiles\n", "app: tiles\nticket: 17\r\n# a comment\n");
    let closed = close(&text, &closing(None, true));
    let body = |text: &str| text.split_once("\n# tiles").map(|(_, body)| body.to_owned());
    assert_eq!(body(&closed), body(&text));
    assert!(closed.contains("ticket: 17\r\n# a comment\n"), "{closed}");
    assert!(closed.contains("closed_as_is: true\n") && !closed.contains("\nstatus: open"));
}

#[test]
fn a_cause_is_added_to_what_is_there() {
    let text = fresh().replacen(UNWRITTEN, "First thought.", 1);
    assert!(with_cause(&text, "Second.").contains("\n\nFirst thought.\n\nSecond.\n\n## Which"));
    assert_eq!(with_cause("notes", "Why."), "notes\n\n## Root cause\n\nWhy.\n");
    assert_eq!(with_cause("## Root cause", "Why."), "## Root cause\n\nWhy.\n\n");
}

/// A person edits these files; none of it is an error, all of it is said.
#[test]
fn whatever_a_person_made_of_it_is_read_and_what_is_odd_is_told() {
    for (text, open, due_ms, odd) in [
        ("", true, OPENED_MS + DUE_AFTER_MS, 1),
        ("---", true, OPENED_MS + DUE_AFTER_MS, 1),
        ("---\nstatus: closed\n", true, OPENED_MS + DUE_AFTER_MS, 1),
        ("---\nstatus: done\n---\n", true, OPENED_MS + DUE_AFTER_MS, 1),
        ("---\nSTATUS: closed\n---\n", true, OPENED_MS + DUE_AFTER_MS, 1),
        ("---\nstatus: 'Closed'\n---\n", false, OPENED_MS + DUE_AFTER_MS, 0),
        ("---\r\nstatus: closed\r\n---\r\n", false, OPENED_MS + DUE_AFTER_MS, 0),
        ("---\nstatus: open\ndue: tomorrow\n---\n", true, OPENED_MS + DUE_AFTER_MS, 1),
        ("---\nstatus: open\ndue: 1970-01-01T00:00:01Z\n---\n", true, 1_000, 0),
        ("---\nstatus:\n::::\n---\n", true, OPENED_MS + DUE_AFTER_MS, 1),
        ("# closed\nstatus: closed", true, OPENED_MS + DUE_AFTER_MS, 1),
    ] {
        let document = read(text, OPENED_MS);
        assert_eq!((document.open, document.due_ms), (open, due_ms), "{text:?}");
        assert_eq!(document.odd.len(), odd, "{text:?}: {document:?}");
        let closed = close(text, &closing(Some("Why."), true));
        assert!(!read(&closed, OPENED_MS).open, "{text:?} became {closed:?}");
    }
    let far = format!("---\n{}---\nstatus: closed\n", "x: y\n".repeat(HEAD_LINES_MAX));
    assert!(read(&far, OPENED_MS).open);
    assert_eq!(read("", i64::MAX).due_ms, i64::MAX);
}

#[test]
fn what_an_app_says_makes_no_section() {
    let said = "it broke\n## Root cause\n\nall is well";
    let text = fresh().replace("- then", &format!("- {}", indented(said)));
    assert_eq!(read(&text, 0).missing, SECTIONS);
}
