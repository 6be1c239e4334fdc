//! Containers that somebody else made: their image is exchanged, and nothing else.

use serde_json::Value;

use crate::rig::{Engine, NAME, SERVES, exchange, installed};

/// What is the container's own and not its making: ids, places, moments.
fn made(mut shown: Value, id: &str) -> Value {
    for gone in [
        "Id",
        "Created",
        "State",
        "Image",
        "ResolvConfPath",
        "HostnamePath",
        "HostsPath",
        "LogPath",
        "GraphDriver",
        "RestartCount",
        "ExecIDs",
    ] {
        shown.as_object_mut().unwrap().remove(gone);
    }
    if let Some(labels) = shown.pointer_mut("/Config/Labels").and_then(Value::as_object_mut) {
        labels.retain(|name, _| !name.starts_with("groundcrew."));
    }
    sort(shown.pointer_mut("/Mounts"), "Destination");
    forget_given_names(&mut shown);
    if let Some(lines) = shown.pointer_mut("/Config/Env").and_then(Value::as_array_mut) {
        lines.sort_by_key(Value::to_string);
    }
    if let Some(networks) =
        shown.pointer_mut("/NetworkSettings/Networks").and_then(Value::as_object_mut)
    {
        for network in networks.values_mut() {
            let network = network.as_object_mut().unwrap();
            network.remove("EndpointID");
            if let Some(aliases) = network.get_mut("Aliases").and_then(Value::as_array_mut) {
                aliases.retain(|alias| alias != id.get(..12).unwrap());
                aliases.sort_by_key(Value::to_string);
            }
            for empty in ["IPAMConfig", "DriverOpts"] {
                if network.get(empty).is_some_and(|value| value == &serde_json::json!({})) {
                    network.insert(empty.to_owned(), Value::Null);
                }
            }
        }
    }
    let settings = shown.pointer_mut("/NetworkSettings").unwrap().as_object_mut().unwrap();
    for gone in ["SandboxID", "SandboxKey", "EndpointID"] {
        settings.remove(gone);
    }
    shown
}

/// A volume without a name can only be passed on by the name that the engine gave it; that it is the very
/// same one stands in the mounts.
fn forget_given_names(shown: &mut Value) {
    let given = |name: &str| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(binds) = shown.pointer_mut("/HostConfig/Binds").and_then(Value::as_array_mut) {
        binds.retain(|bind| !given(bind.as_str().unwrap().split(':').next().unwrap()));
        if binds.is_empty() {
            shown["HostConfig"]["Binds"] = Value::Null;
        }
    }
    let mounts = shown.pointer_mut("/HostConfig/Mounts").and_then(Value::as_array_mut);
    for mount in mounts.into_iter().flatten() {
        if mount["Source"].as_str().is_some_and(given) {
            mount.as_object_mut().unwrap().remove("Source");
        }
    }
    // Asked for by name it is labeled as shared, for engines with SELinux.
    for mount in shown["Mounts"].as_array_mut().unwrap() {
        if mount["Name"].as_str().is_some_and(given) {
            mount.as_object_mut().unwrap().remove("Mode");
        }
    }
}

fn differences(at: &str, was: &Value, is: &Value, found: &mut Vec<String>) {
    if let (Value::Object(was), Value::Object(is)) = (was, is) {
        let names: std::collections::BTreeSet<&String> = was.keys().chain(is.keys()).collect();
        for name in names {
            let of =
                |all: &serde_json::Map<String, Value>| all.get(name).cloned().unwrap_or_default();
            differences(&format!("{at}/{name}"), &of(was), &of(is), found);
        }
    } else if was != is {
        found.push(format!("{at}: {was} became {is}"));
    }
}

fn sort(list: Option<&mut Value>, by: &str) {
    if let Some(list) = list.and_then(Value::as_array_mut) {
        list.sort_by_key(|one| one.get(by).map(Value::to_string));
    }
}

#[test]
fn run_2_a_container_is_made_again_with_everything_but_its_image() {
    let engine = Engine::start();
    let first = engine.app_image("1.0.0", SERVES);
    engine.docker(&["network", "create", "--subnet", "10.99.0.0/24", "net1"]);
    engine.docker(&["network", "create", "--subnet", "10.98.0.0/24", "net2"]);
    for options in OPTIONS {
        let words: Vec<&str> = options.split_whitespace().collect();
        let mut run = vec!["run", "-d", "--name", NAME];
        run.extend(&words);
        run.push("app:1.0.0");
        engine.docker(&run);
        if options.contains("net1") {
            engine.docker(&["network", "connect", "--alias", "second", "net2", NAME]);
        }
        let before = engine.inspect(NAME);
        // The same program in another image, so that only what is the image's may differ.
        let changes = [
            r#"ENV VERSION=1.0.0"#,
            &format!("CMD {}", serde_json::json!(["sh", "-c", SERVES])),
            "LABEL other=1",
        ];
        let second = engine.image("app:2.0.0", &changes);
        assert_ne!(first, second);
        let mut runtime = engine.runtime(None);
        let (old, new) = (installed("1.0.0", first.clone()), installed("2.0.0", second));
        exchange(&mut runtime, &old, &new, "txn-1", false);
        let after = engine.inspect(NAME);
        same(options, &before, &after, "app:1.0.0");
        exchange(&mut runtime, &new, &old, "txn-1", true);
        let back = engine.inspect(NAME);
        assert_eq!(back["Id"], before["Id"], "{options}: the very container comes back");
        same(options, &before, &back, "app:1.0.0");
        engine.clear();
    }
}

fn same(options: &str, before: &Value, after: &Value, image: &str) {
    let id = |shown: &Value| shown["Id"].as_str().unwrap().to_owned();
    let short = |shown: &Value| id(shown).get(..12).unwrap().to_owned();
    let (mut old, mut new) = (made(before.clone(), &id(before)), made(after.clone(), &id(after)));
    assert_eq!(old["Config"]["Image"], image);
    for shown in [&mut old, &mut new] {
        shown["Config"].as_object_mut().unwrap().remove("Image");
        shown["Config"]["Labels"].as_object_mut().unwrap().remove("other");
        if shown["Config"]["Hostname"] == short(before)
            || shown["Config"]["Hostname"] == short(after)
        {
            shown["Config"]["Hostname"] = "its id".into();
        }
    }
    let mut differ = Vec::new();
    differences("", &old, &new, &mut differ);
    assert!(differ.is_empty(), "{options}: {differ:#?}");
}

/// What people give a container, as far as this machine's kernel can.
const OPTIONS: [&str; 9] = [
    "",
    "-e MINE=1 -e VERSION=own --label a=b --user 0:0 --workdir /bin --hostname own --domainname example.org",
    "--network net1 --ip 10.99.0.50 --network-alias first --mac-address 02:42:0a:63:00:99 -p 127.0.0.1:18080:8080 -p 9000-9001:9000-9001/udp --expose 77",
    "-v named:/data -v /tmp:/host:ro -v /anonymous --mount type=tmpfs,dst=/t,tmpfs-size=1m --tmpfs /t2:size=64k --mount type=volume,dst=/some --mount type=volume,src=other,dst=/other,readonly",
    "--cap-add NET_ADMIN --cap-drop MKNOD --security-opt no-new-privileges --group-add 7 --device /dev/null:/dev/other --read-only --init --sysctl net.ipv4.ip_forward=1",
    "--restart unless-stopped --log-driver json-file --log-opt max-size=1m --stop-signal SIGINT --stop-timeout 3 --health-cmd true --health-interval 1h --health-retries 2",
    "--memory 64m --pids-limit 50 --cpu-shares 100 --shm-size 32m --oom-score-adj 100 --blkio-weight 0",
    "--add-host x:1.2.3.4 --dns 9.9.9.9 --dns-search example.org --dns-option ndots:2 --ipc shareable --uts host --cgroup-parent groundcrew-test",
    "--network host --restart on-failure:3 --entrypoint sh --tty",
];
