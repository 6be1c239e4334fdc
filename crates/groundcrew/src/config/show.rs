//! `config show`: every value that is written, and where.

use super::inputs::{Inputs, Node};

/// One value of the merged configuration.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Shown {
    /// The key, dotted.
    pub(crate) key: String,
    /// The value, as JSON.
    pub(crate) value: serde_json::Value,
    /// `file:line:column`.
    pub(crate) origin: String,
}

/// Lists every value in the order of its keys; secrets are never values, only their files are.
pub(crate) fn show(inputs: &Inputs) -> Vec<Shown> {
    let mut all = Vec::new();
    walk(&inputs.root, "", &mut all);
    all
}

fn walk(node: &Node, key: &str, all: &mut Vec<Shown>) {
    match node {
        Node::Value(value, origin) => all.push(Shown {
            key: key.to_owned(),
            value: serde_json::to_value(value).unwrap_or_default(),
            origin: origin.to_string(),
        }),
        Node::Table(table, _) => {
            for (name, child) in table {
                let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
                let name = if plain { name.clone() } else { format!("{name:?}") };
                let dot = if key.is_empty() { "" } else { "." };
                walk(child, &format!("{key}{dot}{name}"), all);
            }
        }
    }
}
