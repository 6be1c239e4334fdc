//! Starting: what is in place and nothing else, and whose fault it is when it does not start.

use std::fs;

use groundcrew_drivers::source::directory::release_dir;
use groundcrew_engine::noun::{Digest, FaultKind};
use groundcrew_engine::plan::Installed;
use groundcrew_engine::ports::{Runtime as _, runtime};
use rustix::process::Signal;

use crate::rig::{Rig, SLEEPS, put, signal, wait_for};

#[test]
fn the_process_runtime_keeps_its_contract() {
    let rig = Rig::new();
    let good = rig.release("1.0.0", SLEEPS);
    let other = rig.release("1.1.0", SLEEPS);
    let ends = rig.release("1.2.0", "echo no; exit 3");
    let alive = || -> Vec<Digest> { rig.alive().into_iter().map(|(digest, _)| digest).collect() };
    let crash = || {
        rig.alive().iter().for_each(|(_, pid)| signal(*pid, Signal::SEGV));
        wait_for("the end", || rig.observe().running.is_none().then_some(()));
    };
    let hook = ["sh", "-c", "echo hook >> \"$DATA/hooks\""].map(str::to_owned).to_vec();
    let mut fixture = runtime::Fixture {
        good: &good,
        other: &other,
        ends: &ends,
        hook,
        alive: &mut { alive },
        crash: &mut { crash },
    };
    runtime::contract(&mut rig.runtime(), &mut fixture);
    assert_eq!(rig.read("hooks"), "hook\nhook\n");
}

fn with_missing_volume(rig: &Rig) -> (Installed, std::path::PathBuf) {
    let mut installed = rig.release("1.0.0", SLEEPS);
    let path = rig.path().join("srv/app/data");
    let volume = installed.procedure.volumes.values_mut().next().unwrap();
    volume.path = path.to_str().unwrap().to_owned();
    let launch = installed.procedure.launch.as_object_mut().unwrap();
    launch.insert("user".into(), "65534".into());
    launch.insert("group".into(), "65534".into());
    (installed, path)
}

#[test]
fn a_missing_data_directory_is_made_for_the_first_start_and_never_again() {
    use std::os::unix::fs::MetadataExt as _;
    let rig = Rig::new();
    let (installed, path) = with_missing_volume(&rig);
    rig.put_in_place(&installed);
    // Whether that user may run the script is not what counts here.
    let started = rig.start(&installed, "start-0");
    let meta = fs::metadata(&path).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.uid(), meta.gid()), (0o750, 65534, 65534));
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    if started.is_ok() {
        rig.stop(&installed);
    }
    fs::remove_dir(&path).unwrap();
    let fault = rig.start(&installed, "start-1").unwrap_err();
    assert_eq!(fault.kind, FaultKind::Host, "{fault}");
    let says = format!("the data directory {} is gone", path.display());
    assert!(fault.text.contains(&says) && fault.text.contains("mkdir -p"), "{fault}");
    assert!(!path.exists());
}

fn check(rig: &Rig, installed: &Installed, kind: FaultKind, text: &str) {
    rig.put_in_place(installed);
    let fault = rig.start(installed, "start-0").unwrap_err();
    assert_eq!(fault.kind, kind, "{fault}");
    assert!(fault.text.contains(text), "{text:?} is not in {fault}");
    assert_eq!(rig.alive(), []);
}

#[test]
fn what_the_release_did_wrong_is_told_from_what_the_host_did() {
    use FaultKind::{Candidate, Host};
    type Make = fn(&Rig) -> Installed;
    let table: &[(Make, FaultKind, &str)] = &[
        (|rig| rig.release("1", "echo no good; exit 3"), Candidate, "exit code 3"),
        (|rig| rig.release("1", "echo no good; exit 3"), Candidate, "ends with:\nno good"),
        (|rig| rig.release("1", "kill -SEGV $$"), Candidate, "killed by signal 11"),
        (|rig| rig.release_with("1", "", "bin/none", ""), Candidate, "bin/none: No such file"),
        (
            |rig| rig.release_with("1", "", "{release}/app.sh", ""),
            Candidate,
            "app.sh: Permission denied",
        ),
        (|rig| rig.release_with("1", "", "sh\", \"{port}", ""), Candidate, "{port}"),
        (
            |rig| {
                let mut odd = rig.release("1", SLEEPS);
                odd.procedure.launch["user"] = "no-such-user".into();
                odd
            },
            Host,
            "\"no-such-user\": there is no such user",
        ),
        (
            |rig| {
                let mut odd = rig.release("1", SLEEPS);
                odd.procedure.launch["env_file"] = "/no/such/file".into();
                odd
            },
            Host,
            "the environment file /no/such/file: No such file",
        ),
    ];
    for (make, kind, text) in table {
        let rig = Rig::new();
        check(&rig, &make(&rig), *kind, text);
    }
}

#[test]
fn only_the_release_in_place_is_started_and_only_whole() {
    let rig = Rig::new();
    let (good, other) = (rig.release("1.0.0", SLEEPS), rig.release("1.1.0", SLEEPS));
    let fault = rig.start(&good, "start-0").unwrap_err();
    assert_eq!(
        fault.text,
        format!("{} was to be started, but nothing is in place", good.release.digest)
    );
    rig.put_in_place(&other);
    let fault = rig.start(&good, "start-0").unwrap_err();
    let both = [good.release.digest.as_str(), other.release.digest.as_str()];
    assert!(both.iter().all(|digest| fault.text.contains(digest)), "{fault}");
    let dir = release_dir(&rig.path(), "app", &other.release.digest);
    put(&dir.join("release.toml"), "schema = 1\n");
    let fault = rig.start(&other, "start-0").unwrap_err();
    assert!(fault.text.contains("has the digest sha256:"), "{fault}");
    fs::remove_dir_all(&dir).unwrap();
    let fault = rig.start(&other, "start-0").unwrap_err();
    assert_eq!(fault.kind, FaultKind::Host, "{fault}");
    assert!(fault.text.contains("release.toml: No such file"), "{fault}");
    assert!(!rig.runs().join("txn-1-start-0").exists());
}

#[test]
fn an_app_gets_its_placeholders_user_environment_and_directory() {
    let rig = Rig::new();
    let script = "echo \"$1 $2 $GROUNDCREW_RELEASE $GROUNDCREW_APP $GROUNDCREW_TXN \
                  $GROUNDCREW_ATTEMPT $SECRET\"; pwd; echo ready; exec sleep 1000";
    let command = "sh\", \"./app.sh\", \"{volume.data}\", \"{app}";
    let mut installed = rig.release_with("1.0.0", script, command, "");
    let env_file = rig.data("env");
    put(&env_file, "SECRET=hush\n");
    installed.procedure.launch["env_file"] = serde_json::json!({ "path": env_file });
    rig.put_in_place(&installed);
    rig.start(&installed, "start-0").unwrap();
    let output = wait_for("the output", || {
        let output = rig.output();
        (output.len() == 3).then_some(output)
    });
    let data = rig.data("").to_str().unwrap().trim_end_matches('/').to_owned();
    assert_eq!(output[0], format!("{data} app 1.0.0 app txn-1 start-0 hush"));
    assert!(output[1].ends_with("/files"), "{output:?}");
}

#[test]
fn each_start_has_a_directory_and_the_oldest_are_removed() {
    let rig = Rig::new();
    let installed = rig.release("1.0.0", "exit 1");
    rig.put_in_place(&installed);
    let kept = groundcrew_drivers::runtimes::process::RUNS_KEPT;
    for run in 0..kept + 3 {
        rig.start(&installed, &format!("start-{run}")).unwrap_err();
        let latest = rig.observe().latest.unwrap();
        assert_eq!(latest.run, format!("txn-1/start-{run}"));
    }
    let dirs: Vec<String> = fs::read_dir(rig.runs())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert_eq!(dirs.len(), kept);
    assert!(!dirs.contains(&"txn-1-start-2".to_owned()));
    assert!(dirs.contains(&"txn-1-start-3".to_owned()));
}

#[test]
fn a_place_that_cannot_be_read_is_an_error_until_it_is_replaced() {
    let rig = Rig::new();
    let installed = rig.release("1.0.0", SLEEPS);
    rig.put_in_place(&installed);
    put(&rig.runs().join("place.json"), "{\"schema\": 1,");
    let fault = rig.runtime().observe().unwrap_err();
    assert!(fault.text.contains("place.json is not understood"), "{fault}");
    rig.put_in_place(&installed);
    assert_eq!(rig.observe().in_place, Some(installed.release.digest));
}
