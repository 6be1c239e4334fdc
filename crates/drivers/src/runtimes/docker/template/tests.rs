//! What of a container is its owner's and what its image's.

use serde_json::{Value, json};

use super::*;

const ID: &str = "1ecc756662512130c58f0af5333b9c938ffc0610ada2a96b7058065de1e04c2a";

fn change() -> Change<'static> {
    Change { image: "app@sha256:2", labels: &[], host: "host" }
}

fn image() -> Value {
    json!({ "Config": {
        "Env": ["PATH=/old", "VERSION=1"], "Cmd": ["serve"], "Entrypoint": ["/run"], "User": "app",
        "WorkingDir": "/app", "StopSignal": "SIGINT", "Healthcheck": { "Test": ["CMD", "ok"] },
        "Labels": { "vendor": "x", "version": "1" }, "ExposedPorts": { "80/tcp": {} },
        "Volumes": { "/data": {} },
    } })
}

/// A container whose owner asked for nothing has everything from its image.
fn container() -> Value {
    let mut shown = image();
    shown["Id"] = ID.into();
    shown["Config"]["Hostname"] = short(ID).into();
    shown["HostConfig"] = json!({ "NetworkMode": "default" });
    shown["NetworkSettings"] = json!({ "Networks": { "bridge": { "Aliases": null } } });
    shown
}

fn made(container: &Value) -> Value {
    like(container, Some(&image()), &change()).create
}

#[test]
fn run_2_what_a_container_has_from_its_image_it_gets_from_the_new_one() {
    let made = made(&container());
    for gone in ["Cmd", "Entrypoint", "User", "WorkingDir", "StopSignal", "Healthcheck", "Hostname"]
    {
        assert_eq!(made.get(gone), None, "{gone}");
    }
    assert_eq!(made["Image"], "app@sha256:2");
    assert_eq!(made["Env"], json!([]));
    for empty in ["Labels", "ExposedPorts", "Volumes"] {
        assert_eq!(made[empty], json!({}), "{empty}");
    }
}

#[test]
fn run_2_what_its_owner_asked_for_stays() {
    let own = [
        (
            "/Config/Env",
            json!(["PATH=/old", "VERSION=own", "MORE=1"]),
            "Env",
            json!(["VERSION=own", "MORE=1"]),
        ),
        ("/Config/Cmd", json!(["other"]), "Cmd", json!(["other"])),
        ("/Config/User", json!("root"), "User", json!("root")),
        ("/Config/Hostname", json!("own"), "Hostname", json!("own")),
        (
            "/Config/Labels",
            json!({ "vendor": "me", "version": "1" }),
            "Labels",
            json!({ "vendor": "me" }),
        ),
        (
            "/Config/Healthcheck",
            json!({ "Test": ["NONE"] }),
            "Healthcheck",
            json!({ "Test": ["NONE"] }),
        ),
        ("/HostConfig/Unknown", json!(7), "HostConfig", json!(null)),
    ];
    for (at, asked, part, expected) in own {
        let mut container = container();
        let (outer, inner) = at.rsplit_once('/').unwrap();
        container.pointer_mut(outer).unwrap()[inner] = asked;
        let made = made(&container);
        match part {
            "HostConfig" => assert_eq!(made["HostConfig"]["Unknown"], 7, "a newer engine's member"),
            _ => assert_eq!(made[part], expected, "{at}"),
        }
    }
}

#[test]
fn with_an_entry_point_of_its_own_the_images_command_was_not_used() {
    let mut container = container();
    container["Config"]["Entrypoint"] = json!(["sh"]);
    let made = made(&container);
    assert_eq!((&made["Entrypoint"], &made["Cmd"]), (&json!(["sh"]), &json!(["serve"])));
}

#[test]
fn a_volume_without_a_name_is_passed_on_by_the_one_it_was_given() {
    let mut container = container();
    container["HostConfig"]["Binds"] = json!(["named:/asked"]);
    container["HostConfig"]["VolumesFrom"] = json!(["other"]);
    container["HostConfig"]["Mounts"] = json!([{ "Type": "volume", "Target": "/some" }]);
    container["Mounts"] = json!([
        { "Type": "volume", "Name": "named", "Destination": "/asked", "RW": true },
        { "Type": "volume", "Name": "given", "Destination": "/data", "RW": true },
        { "Type": "volume", "Name": "others", "Destination": "/from", "RW": false },
        { "Type": "volume", "Name": "any", "Destination": "/some", "RW": true },
        { "Type": "bind", "Source": "/srv", "Destination": "/srv", "RW": true },
    ]);
    let made = made(&container);
    let binds = json!(["named:/asked", "given:/data", "others:/from:ro"]);
    assert_eq!(made["HostConfig"]["Binds"], binds);
    assert_eq!(made["HostConfig"]["VolumesFrom"], Value::Null);
    assert_eq!(made["HostConfig"]["Mounts"][0]["Source"], "any");
}

#[test]
fn a_directory_that_another_container_lends_stays_mounted_as_it_was() {
    let mut container = container();
    container["HostConfig"]["VolumesFrom"] = json!(["other"]);
    container["HostConfig"]["Binds"] = json!(["/own:/own"]);
    let bind = |path: &str, writable: bool| {
        json!({
            "Type": "bind", "Source": format!("/srv{path}"), "Destination": path, "RW": writable,
            "Propagation": "rprivate",
        })
    };
    container["Mounts"] = json!([bind("/own", true), bind("/lent", true), bind("/read", false)]);
    let lent = |path: &str, read_only: bool| {
        json!({
            "Type": "bind", "Source": format!("/srv{path}"), "Target": path, "ReadOnly": read_only,
            "BindOptions": { "Propagation": "rprivate" },
        })
    };
    let host_config = made(&container)["HostConfig"].clone();
    assert_eq!(host_config["Mounts"], json!([lent("/lent", false), lent("/read", true)]));
    assert_eq!(host_config["Binds"], json!(["/own:/own"]));
}

#[test]
fn a_path_is_asked_for_once_however_it_is_written() {
    for path in ["/data", "/data/", "//data", "/x/../data/."] {
        let mut container = container();
        container["HostConfig"]["Binds"] = json!([format!("named:{path}")]);
        container["HostConfig"]["Mounts"] = json!([{ "Type": "volume", "Target": "/some/" }]);
        container["Mounts"] = json!([
            { "Type": "volume", "Name": "named", "Destination": "/data", "RW": true },
            { "Type": "volume", "Name": "any", "Destination": "/some", "RW": true },
        ]);
        let host_config = made(&container)["HostConfig"].clone();
        assert_eq!(host_config["Binds"], json!([format!("named:{path}")]));
        assert_eq!(host_config["Mounts"][0]["Source"], "any", "{path}");
    }
}

#[test]
fn the_network_that_its_mode_means_is_the_containers_own() {
    let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    for (mode, own) in [("default", "bridge"), ("own", "own"), (id, "own"), ("0123456789ab", "own")]
    {
        let mut container = container();
        container["HostConfig"]["NetworkMode"] = mode.into();
        container["NetworkSettings"]["Networks"] = json!({
            "a": { "NetworkID": "ff" }, own: { "NetworkID": id, "GwPriority": 7 },
        });
        let template = like(&container, Some(&image()), &change());
        let asked = &template.create["NetworkingConfig"]["EndpointsConfig"];
        assert_eq!(*asked, json!({ own: { "GwPriority": 7 } }), "{mode}");
        assert_eq!(template.connect, [("a".to_owned(), json!({}))], "{mode}");
    }
}

#[test]
fn only_what_was_asked_for_of_a_network_is_asked_for_again() {
    let mut container = container();
    container["HostConfig"]["NetworkMode"] = "own".into();
    container["NetworkSettings"]["Networks"] = json!({
        "first": { "Aliases": ["a", short(ID)], "IPAddress": "10.0.0.2", "IPAMConfig": {} },
        "own": { "IPAMConfig": { "IPv4Address": "10.1.0.2" }, "MacAddress": "02:42:0a:01:00:02" },
    });
    let template = like(&container, Some(&image()), &change());
    let own = json!({ "own": { "IPAMConfig": { "IPv4Address": "10.1.0.2" } } });
    assert_eq!(template.create["NetworkingConfig"]["EndpointsConfig"], own);
    assert_eq!(template.connect, [("first".to_owned(), json!({ "Aliases": ["a"] }))]);
}

#[test]
fn in_the_network_of_the_host_or_of_another_container_there_are_no_names_and_networks() {
    for (mode, hostname) in [("host", "host"), ("container:other", "others-id")] {
        let mut container = container();
        container["HostConfig"]["NetworkMode"] = mode.into();
        container["Config"]["Hostname"] = hostname.into();
        let template = like(&container, Some(&image()), &change());
        assert_eq!(template.create.get("Hostname"), None, "{mode}");
        assert_eq!(template.create.get("NetworkingConfig"), None, "{mode}");
        assert!(template.connect.is_empty(), "{mode}");
    }
}

#[test]
fn labels_of_ours_are_those_of_this_update() {
    let mut container = container();
    container["Config"]["Labels"] = json!({ RELEASE: "old", "own": "1", POLICY: "old" });
    let labels = [(RELEASE, "new".to_owned())];
    let made = like(&container, Some(&image()), &Change { labels: &labels, ..change() }).create;
    assert_eq!(made["Labels"], json!({ RELEASE: "new", "own": "1" }));
}
