//! The queue of notices: order, repeats, the bound and what it drops.

use groundcrew_engine::ports::Severity;

use super::*;
use crate::store::NOTICES_MAX;
use crate::store::queue::insert;

fn queue(store: &Store, at_ms: i64, key: &str, severity: Severity) {
    let notice = Notice {
        key: key.to_owned(),
        severity,
        title: format!("about {key}"),
        body: String::new(),
    };
    store.write("queue", |tx| insert(tx, "tiles", 0, at_ms, &notice)).unwrap();
}

fn due(store: &Store, now_ms: i64) -> Vec<String> {
    let due = store.due(now_ms, 100).unwrap();
    due.into_iter().map(|queued| queued.notice.key).collect()
}

#[test]
fn the_most_urgent_is_due_first_and_a_failed_one_later() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    queue(&store, 1, "info", Severity::Info);
    queue(&store, 2, "old alert", Severity::Alert);
    queue(&store, 3, "page", Severity::Page);
    queue(&store, 4, "alert", Severity::Alert);
    queue(&store, 5, "page", Severity::Info);
    assert_eq!(due(&store, 10), ["page", "old alert", "alert", "info"]);
    assert_eq!(store.due(10, 1).unwrap()[0].notice.severity, Severity::Page);
    store.failed("page", 20).unwrap();
    assert_eq!(due(&store, 19), ["old alert", "alert", "info"]);
    assert_eq!(store.due(20, 1).unwrap()[0].attempts, 1);
    store.delivered("page", 21).unwrap();
    let store = open(dir.path());
    assert_eq!(due(&store, 30), ["old alert", "alert", "info"]);
    queue(&store, 31, "page", Severity::Page);
    assert_eq!(due(&store, 40), ["old alert", "alert", "info"], "the same key is told once");
}

#[test]
fn the_bound_drops_the_oldest_of_the_least_urgent_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    queue(&store, 0, "page", Severity::Page);
    queue(&store, 1, "warning", Severity::Warning);
    for number in 2..NOTICES_MAX {
        queue(&store, number, &format!("info {number}"), Severity::Info);
    }
    assert_eq!(store.dropped(10).unwrap(), []);
    queue(&store, 5000, "alert", Severity::Alert);
    queue(&store, 5001, "info", Severity::Info);
    let dropped = store.dropped(10).unwrap();
    let keys: Vec<&str> = dropped.iter().map(|dropped| dropped.key.as_str()).collect();
    assert_eq!(keys, ["info 3", "info 2"]);
    assert_eq!((dropped[0].dropped_ms, dropped[0].severity), (5001, Severity::Info));
    assert_eq!(count(&store, "notices"), NOTICES_MAX);
    assert_eq!(due(&store, 9000)[..3], ["page", "alert", "warning"]);
}

#[test]
fn an_update_that_goes_back_queues_its_alert_with_its_last_event() {
    let dir = tempfile::tempdir().unwrap();
    let mut tiles = Teller::new(&open(dir.path()), "tiles");
    tiles.update(0);
    tiles.update(2);
    let store = open(dir.path());
    let queued = store.due(i64::MAX, 100).unwrap();
    assert_eq!(queued[0].notice.title, "tiles: 1.2.0 was rolled back");
    assert_eq!((queued[0].app.as_str(), queued[0].queued_ms), ("tiles", at(tiles.count).wall_ms));
}
