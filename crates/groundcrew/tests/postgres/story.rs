//! The example as it is, with pgbench's data at scale 10.

use crate::host::Host;

const SCALE: u32 = 10;

/// UPD-5, UPD-18, and the way back with the data that a migration damaged.
#[test]
fn a_database_is_updated_brought_back_and_left_alone_until_a_person_says_so() {
    let mut host = Host::new(SCALE);
    host.install("1.0.0");
    assert_eq!(host.ask("select count(*) from pgbench_accounts").as_deref(), Some("1000000"));
    host.work(100);
    let balance = "select sum(bbalance) from pgbench_branches";
    let before = host.ask(balance);
    assert!(before.as_deref().is_some_and(|sum| sum != "0"), "{before:?}");

    host.install("1.1.0");
    assert_eq!(host.ask(balance), before, "what users were told is there");
    assert_eq!(host.ask("select count(region) from pgbench_tellers").as_deref(), Some("100"));

    host.work(100);
    let whole = host.dump();
    host.publish("1.2.0");
    let said = host.run(&["update", "postgres"], 7);
    assert!(said.contains("health.sql says: f"), "{said}");
    assert_eq!(host.dump(), whole, "the damaged table came back, and all others");
    assert!(host.ask(balance).is_some(), "users are let in again");
    assert_eq!(host.view()["known_bad"][0]["version"], "1.2.0");

    host.publish("1.3.0");
    let said = host.run(&["update", "postgres"], 4);
    assert!(said.contains("1.1.0 cannot read the data of 1.3.0"), "{said}");
    assert!(said.contains("groundcrew approve postgres 1.3.0"), "{said}");
    assert_eq!(host.dump(), whole, "nothing was touched");
    host.run(&["approve", "postgres", "1.3.0"], 0);
    host.run(&["update", "postgres", "--wait", "proven"], 0);
    let filler = "select count(*) from information_schema.columns
        where table_name = 'pgbench_accounts' and column_name = 'filler'";
    assert_eq!(host.ask(filler).as_deref(), Some("0"));

    host.publish("2.0.0");
    let said = host.run(&["update", "postgres"], 4);
    assert!(said.contains("1.3.0 to 2.0.0 is a major change"), "{said}");
    assert!(said.contains("the notes of 2.0.0 ask for a person"), "{said}");
    assert_eq!(host.view()["running"]["version"], "1.3.0");
    host.leave();
}
