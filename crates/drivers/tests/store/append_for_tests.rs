//! Appends to a store for ever and says after each append that it is durable: `DIR APP`.

use std::io::Write as _;
use std::path::Path;

use groundcrew_drivers::store::{Load, Store};
use groundcrew_engine::machine::{App, Entry, Event};
use groundcrew_engine::noun::{AppName, BootId, Now};
use groundcrew_engine::ports::{Append, Journal as _, Notice, Severity};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().expect("the first argument is the state directory");
    let name = AppName(arguments.next().expect("the second argument is the app"));
    let store = Store::open(Path::new(&dir)).expect("the store opens").store;
    let mut app = match store.load(&name).expect("the app is read") {
        Load::Fresh => App::default(),
        Load::App(app) => *app,
        refused @ Load::Refused { .. } => panic!("{refused:?}"),
    };
    let mut journal = store.journal(&name);
    let first = app.pin.as_ref().map_or(1, |pin| number(pin) + 1);
    for count in first.. {
        let boot = BootId::from("boot");
        let at = Now { wall_ms: 1, uptime_ms: count, boot, synchronized: true };
        // Small and large ones, so that a log frame ends anywhere.
        let to =
            format!("{count} {}", "x".repeat(usize::try_from(count * 997 % 9000).unwrap_or(0)));
        let entry = Entry { at, event: Event::Pinned { to } };
        let before = std::mem::take(&mut app);
        app = before.clone().apply(&entry).expect("a pin always follows");
        let (key, severity) = (format!("{name} {count}"), Severity::Info);
        let notice = Notice { key, severity, title: String::new(), body: String::new() };
        let (app, entry, before, after) = (&name, &entry, &before, &app);
        let append =
            Append { app, txn: None, entry, notices: &[notice], before, after, closed: None };
        journal.append(&append).expect("the append succeeds");
        let mut out = std::io::stdout().lock();
        writeln!(out, "{count}").and_then(|()| out.flush()).expect("somebody listens");
    }
}

fn number(pin: &str) -> u64 {
    let digits = pin.split(' ').next().unwrap_or_default();
    digits.parse().expect("a pin of ours begins with a number")
}
