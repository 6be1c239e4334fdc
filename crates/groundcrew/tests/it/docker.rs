//! An app that is a container, followed at a real registry and run by a real Docker Engine (RUN-2).

use yard::{BY_HTTP, Yard};

mod kills;
mod yard;

/// RUN-2, UPD-26: somebody's container is adopted, updated, and brought back with its data.
#[test]
fn a_container_made_by_hand_is_adopted_updated_and_brought_back_with_its_data() {
    let yard = Yard::new();
    yard.run_by_hand("1.0.0", &[]);
    yard.run(&["config", "check"]).ends(0);
    yard.run(&["once"]);
    assert_eq!(yard.view()["last_good"]["version"], "1.0.0");
    let made = yard.inspect("web");
    yard.docker(&["exec", "web", "sh", "-c", "echo precious > /data/row"]);

    yard.offer("1.1.0", "ok", &["ENV NEW=1"]);
    yard.run(&["update", "web", "--wait", "proven"]).ends(0);
    assert_eq!(yard.get("/version").as_deref(), Some("1.1.0"));
    assert_eq!(yard.starts(), ["1.0.0", "1.1.0"]);
    assert_eq!(yard.docker(&["exec", "web", "cat", "/data/row"]), "precious");
    let updated = yard.inspect("web");
    assert_ne!(updated["Id"], made["Id"]);
    for kept in ["/HostConfig/PortBindings", "/HostConfig/RestartPolicy", "/Mounts"] {
        assert_eq!(updated.pointer(kept).unwrap(), made.pointer(kept).unwrap(), "{kept}");
    }
    let env = updated["Config"]["Env"].to_string();
    assert!(env.contains("OWNER=me") && env.contains("NEW=1"), "{env}");
    assert!(!env.contains("VERSION=1.0.0"), "the image's own follow the image: {env}");
    assert_eq!(yard.view()["last_good"]["version"], "1.1.0");

    yard.offer("1.2.0", "bad", &[]);
    let ran = yard.run(&["update", "web"]).ends(7);
    assert!(ran.out.contains("1.2.0 was rolled back"), "{ran:?}");
    assert_eq!(yard.get("/version").as_deref(), Some("1.1.0"));
    assert_eq!(yard.starts(), ["1.0.0", "1.1.0", "1.1.0"], "what 1.2.0 wrote is not there");
    let back = yard.inspect("web");
    assert_eq!(back["Id"], updated["Id"], "the very container");
    assert_eq!(back["HostConfig"]["RestartPolicy"], made["HostConfig"]["RestartPolicy"]);
    let names: Vec<String> = yard.containers().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.iter().all(|name| name == "web" || name.starts_with("web.groundcrew-")));
    // It is not tried again.
    yard.run(&["update", "web"]).ends(4);
    assert_eq!(yard.starts().len(), 3);
}
