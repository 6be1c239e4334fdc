//! Releases that a test makes from the example's first one: more steps in SQL, good or damaging.

use std::fs;

use crate::host::{Host, write};

/// Publishes `version`, which is 1.0.0 with more steps (name and SQL) and a health question.
pub(crate) fn publish(host: &Host, version: &str, steps: &[(String, String)], health: &str) {
    let desk = host.lay_out("1.0.0");
    let named = format!("\nversion = \"{version}\"");
    let text = fs::read_to_string(desk.join("release.toml")).unwrap();
    write(&desk.join("release.toml"), &text.replace("\nversion = \"1.0.0\"", &named));
    for (name, sql) in steps {
        write(&desk.join("files/sql").join(format!("{name}.sql")), sql);
    }
    write(&desk.join("files/health.sql"), health);
    host.publish_desk(&desk);
    fs::remove_dir_all(desk).unwrap();
}

/// A step that pays every teller one, so that it shows how often it ran.
pub(crate) fn pay(name: &str) -> (String, String) {
    (name.to_owned(), "update pgbench_tellers set tbalance = tbalance + 1;\n".to_owned())
}

/// The health question of a release whose last step is this one.
pub(crate) fn expects(step: &str) -> String {
    format!("select (select max(name) from schema_step) = '{step}';\n")
}

/// Publishes a release whose step damages a table, and which is well once and never again.
pub(crate) fn publish_damaging(host: &Host, version: &str) {
    let sql = "delete from pgbench_branches; update pgbench_accounts set abalance = 1;
        create sequence asked;\n";
    let steps = [("002-damage".to_owned(), sql.to_owned())];
    publish(host, version, &steps, "select nextval('asked') = 1;\n");
}
