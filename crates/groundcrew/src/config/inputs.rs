//! What is written in all files together: merged, and each value remembers its file and line.
//!
//! A drop-in `conf.d/NN-*.toml` beside the main file is read after it, in the order of the names;
//! a later value replaces an earlier one, tables are merged key by key, lists are replaced whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fragments;
use super::problem::{Origin, Problem, Problems, nearest};

/// Largest file that is read, in bytes; a configuration for a hundred apps has a tenth of that.
const FILE_MAX_BYTES: u64 = 1024 * 1024;
/// Most drop-ins that are read.
const DROP_INS_MAX: usize = 200;

/// A value or a table of values, with where it was written.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    /// A table, by key.
    Table(BTreeMap<String, Node>, Origin),
    /// Anything else; a list is one value.
    Value(toml::Value, Origin),
}

impl Node {
    /// Where it was written.
    pub(crate) fn origin(&self) -> &Origin {
        match self {
            Self::Table(_, origin) | Self::Value(_, origin) => origin,
        }
    }

    fn of(value: toml::Value, spans: &Spanned<DeValue<'_>>, file: &Path, text: &str) -> Self {
        let origin = Origin::at(file.to_owned(), text, spans.span().start);
        match (value, spans.get_ref()) {
            (toml::Value::Table(table), DeValue::Table(inner)) => {
                Self::Table(children(table, inner, file, text), origin)
            }
            (value, _) => Self::Value(value, origin),
        }
    }

    fn merge(&mut self, later: Self) {
        match (self, later) {
            (Self::Table(earlier, _), Self::Table(later, _)) => {
                for (key, node) in later {
                    match earlier.get_mut(&key) {
                        Some(present) => present.merge(node),
                        None => {
                            earlier.insert(key, node);
                        }
                    }
                }
            }
            (place, later) => *place = later,
        }
    }

    fn plain(&self) -> toml::Value {
        match self {
            Self::Value(value, _) => value.clone(),
            Self::Table(table, _) => toml::Value::Table(
                table.iter().map(|(key, node)| (key.clone(), node.plain())).collect(),
            ),
        }
    }
}

fn children(
    mut table: toml::Table,
    spans: &DeTable<'_>,
    file: &Path,
    text: &str,
) -> BTreeMap<String, Node> {
    let mut nodes = BTreeMap::new();
    for (key, span) in spans {
        let name = key.get_ref().as_ref();
        if let Some(value) = table.remove(name) {
            nodes.insert(name.to_owned(), Node::of(value, span, file, text));
        }
    }
    nodes
}

/// The merged configuration.
#[derive(Clone, Debug)]
pub(crate) struct Inputs {
    /// All files that were read, in order.
    pub(crate) files: Vec<PathBuf>,
    /// The merged values; the defaults are merged into each app.
    pub(crate) root: Node,
    /// The same, typed.
    pub(crate) merged: fragments::File,
}

impl Inputs {
    /// Reads the main file and its drop-ins.
    ///
    /// # Errors
    ///
    /// The first file that cannot be read, or that says what cannot be understood.
    pub(crate) fn read(main: &Path) -> Result<Self, Problems> {
        let mut files = vec![main.to_owned()];
        files.extend(drop_ins(main)?);
        let mut root =
            Node::Table(BTreeMap::new(), Origin { file: main.to_owned(), line: 1, column: 1 });
        for file in &files {
            root.merge(read_file(file)?);
        }
        spread_defaults(&mut root);
        let merged: fragments::File =
            root.plain().try_into().map_err(|error: toml::de::Error| {
                let text = format!("the files do not fit together: {}", error.message());
                let help = Some(
                    "make the main file and its drop-ins agree on what each key is".to_owned(),
                );
                Problem { origin: None, key: String::new(), text, help }
            })?;
        Ok(Self { files, root, merged })
    }

    /// Where a key was written; the nearest table above it where the key itself is not. No key at
    /// all is the main file itself.
    pub(crate) fn origin(&self, key: &[&str]) -> Option<Origin> {
        let mut node = &self.root;
        let mut found = key.is_empty().then(|| node.origin().clone());
        for part in key {
            let Node::Table(table, _) = node else { break };
            let Some(next) = table.get(*part) else { break };
            found = Some(next.origin().clone());
            node = next;
        }
        found
    }
}

fn drop_ins(main: &Path) -> Result<Vec<PathBuf>, Problem> {
    let dir = main.parent().unwrap_or(Path::new(".")).join("conf.d");
    let cannot = |error: std::io::Error| {
        io_problem(&dir, "cannot list the drop-ins", &error, "make the directory readable")
    };
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(cannot(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(cannot)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.extension().is_some_and(|ext| ext == "toml") && !name.starts_with('.') {
            found.push(path);
        }
    }
    if found.len() > DROP_INS_MAX {
        let text = format!("{} drop-ins, at most {DROP_INS_MAX} are read", found.len());
        let help = Some("put what belongs together into one file".to_owned());
        return Err(Problem { origin: None, key: dir.display().to_string(), text, help });
    }
    found.sort();
    Ok(found)
}

fn io_problem(path: &Path, what: &str, error: &std::io::Error, help: &str) -> Problem {
    Problem {
        origin: None,
        key: path.display().to_string(),
        text: format!("{what}: {error}"),
        help: Some(help.to_owned()),
    }
}

fn read_file(file: &Path) -> Result<Node, Problem> {
    let help = "`groundcrew init` writes a commented one; `--config PATH` names another";
    let cannot = |error: std::io::Error| io_problem(file, "cannot read it", &error, help);
    let size = fs::metadata(file).map_err(cannot)?.len();
    if size > FILE_MAX_BYTES {
        let text = format!("{size} bytes, at most {FILE_MAX_BYTES} are read");
        let key = file.display().to_string();
        let help = Some("this is no configuration; name another file".to_owned());
        return Err(Problem { origin: None, key, text, help });
    }
    let text = fs::read_to_string(file).map_err(cannot)?;
    parse(file, &text)
}

/// Reads one file: its syntax, its kinds, its keys.
pub(super) fn parse(file: &Path, text: &str) -> Result<Node, Problem> {
    let spans = DeTable::parse(text).map_err(|error| parse_problem(file, text, &error))?;
    let table: toml::Table =
        toml::from_str(text).map_err(|error| parse_problem(file, text, &error))?;
    let origin = Origin { file: file.to_owned(), line: 1, column: 1 };
    let root = Node::Table(children(table, spans.get_ref(), file, text), origin);
    refuse_later_kinds(&root)?;
    let typed: Result<fragments::File, _> = toml::from_str(text);
    typed.map_err(|error| parse_problem(file, text, &error))?;
    Ok(root)
}

/// Kinds that are specified and come later are refused by name, before their keys are.
fn refuse_later_kinds(root: &Node) -> Result<(), Problem> {
    const NOW: [(&str, &[&str], &[&str]); 2] = [
        ("source", &["directory", "oci"], &["git"]),
        ("runtime", &["process", "docker"], &["compose", "swarm", "systemd"]),
    ];
    const NOTIFY: (&[&str], &[&str]) = (&["command", "webhook", "ntfy"], &["email", "statustext"]);
    let Node::Table(top, _) = root else { return Ok(()) };
    let inside = |name: &str| match top.get(name) {
        Some(Node::Table(table, _)) => table.iter().collect(),
        _ => Vec::new(),
    };
    let mut apps: Vec<(String, &Node)> =
        inside("apps").into_iter().map(|(name, app)| (format!("apps.{name}"), app)).collect();
    apps.extend(top.get("defaults").map(|defaults| ("defaults".to_owned(), defaults)));
    for (name, app) in apps {
        let Node::Table(app, _) = app else { continue };
        for (what, now, later) in NOW {
            if let Some(node) = app.get(what) {
                refuse_kind(&format!("{name}.{what}.kind"), node, now, later)?;
            }
        }
    }
    for (name, node) in inside("notify") {
        refuse_kind(&format!("notify.{name}.kind"), node, NOTIFY.0, NOTIFY.1)?;
    }
    Ok(())
}

fn refuse_kind(key: &str, node: &Node, now: &[&str], later: &[&str]) -> Result<(), Problem> {
    let Node::Table(table, _) = node else { return Ok(()) };
    let Some(Node::Value(toml::Value::String(kind), origin)) = table.get("kind") else {
        return Ok(());
    };
    if now.contains(&kind.as_str()) {
        return Ok(());
    }
    let text = if later.contains(&kind.as_str()) {
        format!("{kind}: not in this release")
    } else {
        format!("{kind:?} is not a kind that groundcrew knows")
    };
    let help = Some(format!("this release has {}", now.join(", ")));
    Err(Problem { origin: Some(origin.clone()), key: key.to_owned(), text, help })
}

/// A problem from what the parser says; names the nearest known word for an unknown one.
fn parse_problem(file: &Path, text: &str, error: &toml::de::Error) -> Problem {
    let origin = error.span().map(|span| Origin::at(file.to_owned(), text, span.start));
    let message = error.message().trim();
    let mut quoted = message.split('`').skip(1).step_by(2);
    let (written, known): (_, Vec<&str>) = (quoted.next(), quoted.collect());
    let (said, help) = match written {
        Some(word) if message.starts_with("unknown field") => {
            (format!("unknown key {word:?}"), Some(suggest(word, &known)))
        }
        Some(word) if message.starts_with("unknown variant") => {
            (format!("{word:?} is not one of the values here"), Some(suggest(word, &known)))
        }
        _ => (message.replace('\n', " "), None),
    };
    let origin = origin.or_else(|| Some(Origin { file: file.to_owned(), line: 1, column: 1 }));
    let key = error.span().and_then(|span| key_at(text, span.start)).unwrap_or_default();
    Problem { origin, key, text: said, help }
}

/// The dotted key whose name or value holds this byte.
fn key_at(text: &str, offset: usize) -> Option<String> {
    fn walk(table: &DeTable<'_>, offset: usize) -> Option<String> {
        for (key, value) in table {
            let name = key.get_ref();
            if let DeValue::Table(inner) = value.get_ref()
                && let Some(rest) = walk(inner, offset)
            {
                return Some(format!("{name}.{rest}"));
            }
            if key.span().contains(&offset) || value.span().contains(&offset) {
                return Some(name.to_string());
            }
        }
        None
    }
    walk(DeTable::parse(text).ok()?.get_ref(), offset)
}

fn suggest(word: &str, known: &[&str]) -> String {
    let all = known.join(", ");
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean {near:?}? Known here: {all}"),
        None => format!("known here: {all}"),
    }
}

/// Each app begins as the defaults say.
fn spread_defaults(root: &mut Node) {
    let Node::Table(top, _) = root else { return };
    let Some(defaults) = top.get("defaults").cloned() else { return };
    if let Some(Node::Table(apps, _)) = top.get_mut("apps") {
        for app in apps.values_mut() {
            let mut whole = defaults.clone();
            whole.merge(app.clone());
            // The app's own table is where the app is, whatever it took over.
            if let (Node::Table(_, place), Node::Table(_, own)) = (&mut whole, &*app) {
                *place = own.clone();
            }
            *app = whole;
        }
    }
}
