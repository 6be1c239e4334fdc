//! `config show`: every value that is written, and where.

use super::inputs::{Inputs, Node};

/// One value of the merged configuration.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Shown {
    /// The key, dotted.
    pub(crate) key: String,
    /// The value, as JSON; `"(set)"` for one that may be a secret.
    pub(crate) value: serde_json::Value,
    /// `file:line:column`.
    pub(crate) origin: String,
}

/// Stands for a value that may be a secret.
const SET: &str = "(set)";

/// Lists every value in the order of its keys. What is in an app's environment may be a secret,
/// whatever it is called, so only that it is set is said.
pub(crate) fn show(inputs: &Inputs) -> Vec<Shown> {
    let mut all = Vec::new();
    walk(&inputs.root, "", false, &mut all);
    all
}

fn walk(node: &Node, key: &str, secret: bool, all: &mut Vec<Shown>) {
    match node {
        Node::Value(value, origin) => {
            let plain = || serde_json::to_value(value).unwrap_or_default();
            let value = if secret { SET.into() } else { plain() };
            all.push(Shown { key: key.to_owned(), value, origin: origin.to_string() });
        }
        Node::Table(table, _) => {
            let secret = secret || key.ends_with(".runtime.env");
            for (name, child) in table {
                let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
                let name = if plain { name.clone() } else { format!("{name:?}") };
                let dot = if key.is_empty() { "" } else { "." };
                walk(child, &format!("{key}{dot}{name}"), secret, all);
            }
        }
    }
}
