//! What people do without groundcrew: a ten-line script that stops, replaces and starts.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use groundcrew_drivers::durable::{self, Site};

use super::Trouble;
use super::client::{Client, fate, rows_in};
use super::say::Teller;
use super::scene::Scene;

/// The script, as many hosts have it in a cron job.
const SCRIPT: &str = r#"#!/bin/sh
# stop-replace-start.sh: update the ledger to $1
set -e
kill "$(cat ledger.pid)"
while kill -0 "$(cat ledger.pid)" 2>/dev/null; do sleep 0.05; done
"$LEDGER" demo-app migrate --release "$1" --data "$DATA"
"$LEDGER" demo-app --release "$1" --data "$DATA" --port "$PORT" >ledger.log 2>&1 &
echo $! >ledger.pid
sleep 1
curl -fsS "http://127.0.0.1:$PORT/health" || echo "health check failed; nobody is there to see it"
"#;

/// How long the old release serves before the script comes.
const BEFORE: Duration = Duration::from_millis(1_500);

/// Shows what becomes of the data.
pub(super) fn play(scene: &Scene, teller: &mut Teller) -> Result<(), Trouble> {
    teller.act(
        "Without groundcrew: the ten-line script, and release 1.2.0 whose migration has a bug",
    );
    let path = scene.root().join("stop-replace-start.sh");
    durable::write(&path, SCRIPT.as_bytes(), 0o755, Site::Release)?;
    let data = scene.root().join("script-data");
    let mut old = serve(scene, "1.0.0")?;
    let pid = old.id().to_string();
    durable::write(&scene.root().join("ledger.pid"), pid.as_bytes(), 0o644, Site::Release)?;
    let client = Client::start(scene.port(), 1);
    wait_for_rows(&client, 10)?;
    std::thread::sleep(BEFORE);
    // Who stops a child has to wait for it, or its number stays taken.
    let reaper = std::thread::spawn(move || old.wait().map(|status| status.success()));
    let ended = Command::new("sh")
        .arg(&path)
        .arg("1.2.0")
        .current_dir(scene.root())
        .env("LEDGER", scene.exe())
        .env("DATA", &data)
        .env("PORT", scene.port().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("cannot run the script with sh")?;
    let seen = client.seen();
    drop(client);
    reaper.join().ok();
    let rows = rows_in(&data.join("rows.ledger"));
    let fate = fate(&seen.rows, &rows, &std::collections::BTreeSet::new());
    stop_last(scene);
    let observed = format!(
        "the script ended with {ended}; acknowledged {}, refused for {} ms, lost {}",
        fate.acknowledged,
        seen.refused.as_millis(),
        fate.lost
    );
    teller.step("script", "rows are lost, and no one notices", &observed, fate.lost > 0);
    Ok(())
}

fn serve(scene: &Scene, version: &str) -> Result<Child, Trouble> {
    let child = Command::new(scene.exe())
        .args(["demo-app", "--release", version, "--data"])
        .arg(scene.root().join("script-data"))
        .args(["--port", &scene.port().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    child.context("cannot start the ledger")
}

/// Waits until the client got so many rows through.
pub(super) fn wait_for_rows(client: &Client, rows: usize) -> Result<(), Trouble> {
    let begun = Instant::now();
    while client.seen().rows.len() < rows {
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(20), "the ledger takes no rows");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The script left a process behind; its number is in the file that the script wrote.
fn stop_last(scene: &Scene) {
    let path = scene.root().join("ledger.pid");
    let pid = std::fs::read_to_string(path).unwrap_or_default();
    if let Ok(pid) = pid.trim().parse::<u32>() {
        let status = Command::new("kill").arg(pid.to_string()).stderr(Stdio::null()).status();
        status.map(|_| ()).unwrap_or_default();
        let proc = std::path::PathBuf::from(format!("/proc/{pid}"));
        let begun = Instant::now();
        while proc.exists() && begun.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
