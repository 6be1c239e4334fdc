//! From a container to a request for another one like it, with another image. Pure.
//!
//! The engine shows a container as what its owner asked for with the image's defaults laid under it.
//! Taken as it is, the defaults of the old image would stay in the way of the new one's: its `PATH`, its
//! command, its health check. So what a container has from its image is taken out again, and everything
//! else is passed on as the engine says it, members that are unknown here included.
//!
//! - What an owner asked for word by word as the image has it cannot be told from the default, and
//!   follows the image.
//! - A volume without a name, made because the image has one at that path, is passed on by its name: its
//!   data belongs to the app.
//! - What the engine made up for this very container goes: its host name if that is its id, the addresses
//!   it was given, the alias that is its id.

use serde_json::{Map, Value, json};

/// Label on containers that groundcrew made: the digest of the release.
pub(super) const RELEASE: &str = "groundcrew.release";
/// Label on containers that groundcrew made: the update that made them.
pub(super) const UPDATE: &str = "groundcrew.update";
/// Label on containers that groundcrew made: the restart policy that their owner wants.
pub(super) const POLICY: &str = "groundcrew.restart-policy";

/// Characters of a container's id that its host name and one alias are by default.
const SHORT_ID: usize = 12;

/// What another container is asked for with.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// The body of the request that makes it.
    pub create: Value,
    /// Networks to connect it to afterwards, and how: a request takes only one.
    pub connect: Vec<(String, Value)>,
}

/// What is to be another.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The image, as a request names it.
    pub image: &'a str,
    /// Labels of ours.
    pub labels: &'a [(&'a str, String)],
    /// The host's own name, which a container on the host's network has without having asked for it.
    pub host: &'a str,
}

/// A container's likeness.
///
/// `container` and `old_image` are what the engine shows of them; without the image its defaults stay.
#[must_use]
pub fn like(container: &Value, old_image: Option<&Value>, change: &Change<'_>) -> Template {
    let id = text(container, "/Id");
    let mut host_config = members(container, "/HostConfig");
    let mode = host_config.get("NetworkMode").and_then(Value::as_str).unwrap_or("default");
    let mode = mode.to_owned();
    let mut create = own_config(container, old_image);
    create.insert("Image".to_owned(), change.image.into());
    label(&mut create, change.labels);
    name(&mut create, &id, &mode, change.host);
    keep_volumes(&mut host_config, container);
    let mut networks = endpoints(container, &id, &mode);
    // The first one is the one that the engine calls the container's own.
    let own = networks.iter().position(|(name, _)| is_of(container, name, &mode)).unwrap_or(0);
    if own < networks.len() {
        let (network, endpoint) = networks.remove(own);
        create.insert(
            "NetworkingConfig".to_owned(),
            json!({ "EndpointsConfig": { network: endpoint } }),
        );
    }
    create.insert("HostConfig".to_owned(), Value::Object(host_config));
    Template { create: Value::Object(create), connect: networks }
}

/// Without what the image says of itself.
fn own_config(container: &Value, old_image: Option<&Value>) -> Map<String, Value> {
    let mut config = members(container, "/Config");
    let Some(image) = old_image else { return config };
    let image = members(image, "/Config");
    let same = |config: &Map<String, Value>, key: &str| {
        config.get(key).is_some_and(|own| !is_nothing(own) && Some(own) == image.get(key))
    };
    for key in ["User", "WorkingDir", "StopSignal", "Shell", "Healthcheck", "OnBuild"] {
        if same(&config, key) {
            config.remove(key);
        }
    }
    // A command belongs to its entry point: with another one, the image's command was not used.
    let own_entry = !same(&config, "Entrypoint") && config.get("Entrypoint").is_some_and(is_set);
    if !own_entry {
        config.remove("Entrypoint");
        if same(&config, "Cmd") {
            config.remove("Cmd");
        }
    }
    for key in ["Labels", "ExposedPorts", "Volumes"] {
        if let (Some(Value::Object(own)), Some(Value::Object(theirs))) =
            (config.get_mut(key), image.get(key))
        {
            own.retain(|name, value| theirs.get(name) != Some(value));
        }
    }
    if let (Some(Value::Array(own)), Some(Value::Array(theirs))) =
        (config.get_mut("Env"), image.get("Env"))
    {
        own.retain(|line| !theirs.contains(line));
    }
    config
}

fn is_set(value: &Value) -> bool {
    !is_nothing(value)
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn label(create: &mut Map<String, Value>, labels: &[(&str, String)]) {
    let mut all = match create.remove("Labels") {
        Some(Value::Object(all)) => all,
        _ => Map::new(),
    };
    for ours in [RELEASE, UPDATE, POLICY] {
        all.remove(ours);
    }
    all.extend(labels.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into())));
    create.insert("Labels".to_owned(), Value::Object(all));
}

/// The names that nobody asked for go; in the network of another container there can be none.
fn name(create: &mut Map<String, Value>, id: &str, mode: &str, host: &str) {
    let name = create.get("Hostname").and_then(Value::as_str).unwrap_or_default();
    let given = name == short(id) || (mode == "host" && name == host);
    if given || mode.starts_with("container:") {
        create.remove("Hostname");
    }
    if mode.starts_with("container:") {
        for key in ["Domainname", "ExposedPorts", "MacAddress"] {
            create.remove(key);
        }
    }
}

/// Volumes that are there because the image or a bare path asked for one, and what another container
/// lends.
fn keep_volumes(host_config: &mut Map<String, Value>, container: &Value) {
    let asked = asked_for(host_config);
    let list = |key: &str| match host_config.get(key) {
        Some(Value::Array(all)) => all.clone(),
        _ => Vec::new(),
    };
    let (mut binds, mut mounts) = (list("Binds"), list("Mounts"));
    let from_others = host_config.get("VolumesFrom").is_some_and(is_set);
    for mount in array(container, "/Mounts") {
        let (name, place) = (text(mount, "/Name"), text(mount, "/Destination"));
        if asked.contains(&clean(&place)) {
            continue;
        }
        let read_only = mount.get("RW") == Some(&Value::Bool(false));
        match text(mount, "/Type").as_str() {
            "volume" if !name.is_empty() => {
                binds.push(format!("{name}:{place}{}", if read_only { ":ro" } else { "" }).into());
            }
            "bind" if from_others => mounts.push(json!({
                "Type": "bind", "Source": text(mount, "/Source"), "Target": place,
                "ReadOnly": read_only,
                "BindOptions": { "Propagation": text(mount, "/Propagation") },
            })),
            _ => {}
        }
    }
    for (key, all) in [("Binds", binds), ("Mounts", mounts)] {
        if !all.is_empty() {
            host_config.insert(key.to_owned(), all.into());
        }
    }
    // What is passed on by itself needs no container to take it from any more.
    host_config.insert("VolumesFrom".to_owned(), Value::Null);
    for mount in host_config.get_mut("Mounts").and_then(Value::as_array_mut).into_iter().flatten() {
        name_volume(mount, container);
    }
}

/// Paths in the container that its owner mounted something at.
fn asked_for(host_config: &Map<String, Value>) -> Vec<String> {
    let binds = host_config.get("Binds").and_then(Value::as_array).into_iter().flatten();
    let binds = binds.filter_map(|bind| {
        let mut parts = bind.as_str()?.split(':');
        let first = parts.next()?;
        Some(clean(parts.next().unwrap_or(first)))
    });
    let mounts = host_config.get("Mounts").and_then(Value::as_array).into_iter().flatten();
    let mounts = mounts.filter_map(|mount| Some(clean(mount.get("Target")?.as_str()?)));
    binds.chain(mounts).collect()
}

/// A path as the engine shows it, however it was asked for.
fn clean(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// A mount that asked for any volume gets the one that it was given.
fn name_volume(mount: &mut Value, container: &Value) {
    let target = clean(&text(mount, "/Target"));
    if text(mount, "/Type") != "volume" || !text(mount, "/Source").is_empty() {
        return;
    }
    let given =
        array(container, "/Mounts").find(|given| clean(&text(given, "/Destination")) == target);
    if let (Some(given), Some(mount)) = (given, mount.as_object_mut()) {
        mount.insert("Source".to_owned(), text(given, "/Name").into());
    }
}

/// The networks that it is in, and as what.
fn endpoints(container: &Value, id: &str, mode: &str) -> Vec<(String, Value)> {
    if mode == "host" || mode == "none" || mode.starts_with("container:") {
        return Vec::new();
    }
    let networks = members(container, "/NetworkSettings/Networks");
    let mut all = Vec::new();
    for (network, shown) in networks {
        let mut endpoint = Map::new();
        for key in ["IPAMConfig", "Links", "DriverOpts", "GwPriority"] {
            if let Some(value) = shown.get(key).filter(|value| is_set(value)) {
                endpoint.insert(key.to_owned(), value.clone());
            }
        }
        let hostname = text(container, "/Config/Hostname");
        let aliases = array(&shown, "/Aliases").filter(|alias| {
            let alias = alias.as_str().unwrap_or_default();
            alias != short(id) && alias != hostname
        });
        let aliases: Vec<Value> = aliases.cloned().collect();
        if !aliases.is_empty() {
            endpoint.insert("Aliases".to_owned(), aliases.into());
        }
        all.push((network, Value::Object(endpoint)));
    }
    all
}

/// Whether a container's mode names this network: by its name, by its id, or as whatever is the default.
fn is_of(container: &Value, network: &str, mode: &str) -> bool {
    let networks = container.pointer("/NetworkSettings/Networks");
    let shown = networks.and_then(|all| all.get(network)).unwrap_or(&Value::Null);
    let id = text(shown, "/NetworkID");
    network == mode
        || (mode == "default" && network == "bridge")
        || (mode.len() >= SHORT_ID && id.starts_with(mode))
}

fn short(id: &str) -> &str {
    id.get(..SHORT_ID).unwrap_or(id)
}

/// A text in what the engine shows; empty if there is none.
pub(super) fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn members(value: &Value, pointer: &str) -> Map<String, Value> {
    value.pointer(pointer).and_then(Value::as_object).cloned().unwrap_or_default()
}

/// A list in what the engine shows; empty if there is none.
pub(super) fn array<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests;
