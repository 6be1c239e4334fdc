//! What a copied tree consists of, entry by entry, and how a tree differs from it.
//!
//! **On disk** a tree's manifest is JSON Lines, one entry per line, in the order of the walk: a
//! directory before what is in it, names sorted by their bytes. The root is the entry `.`. The
//! root hash is BLAKE3 over all lines, line feeds included, so it stands for every byte and every
//! attribute of the tree. The version of the line format is in the snapshot's `manifest.json`.
//!
//! **Names** are bytes. Printable UTF-8 stands for itself, a backslash is `\\`, any other byte is
//! `\xNN`.
//!
//! Invariant: reading back what was written gives the same entries
//! (`entries_survive_the_way_through_their_lines`).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The version of the line format and of `manifest.json`.
pub const FORMAT: u32 = 1;

/// How many entries a tree may have: the whole list is held in memory while it is written.
pub const ENTRIES_MAX: usize = 4_000_000;

/// A path inside a volume, or a symlink's target: bytes without NUL.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryPath(pub Vec<u8>);

/// What an entry is. Sockets are never entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symlink.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

/// All that has to come back the same of one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The path from the volume's root, `.` for the root.
    pub path: EntryPath,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits with suid, sgid and sticky; 0o777 for a symlink.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length in bytes of a regular file; 0 for anything else.
    pub size: u64,
    /// Last change of the content: seconds since 1970, may be negative.
    pub mtime: i64,
    /// And the nanoseconds of it, below 1,000,000,000.
    pub mtime_ns: u32,
    /// Inode flags (`FS_IOC_GETFLAGS`) that we keep.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub flags: u32,
    /// BLAKE3 over the extended attributes, ACLs and capabilities included; none if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xattrs: Option<String>,
    /// BLAKE3 of a regular file's content, holes read as zeros.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Where a symlink points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<EntryPath>,
    /// A device's major and minor number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<(u32, u32)>,
    /// The first name of the same inode in the order of the walk, if this is a later one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<EntryPath>,
}

/// Something about a tree that did not become an entry, kept so that nothing is lost silently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remark {
    /// The path from the volume's root.
    pub path: EntryPath,
    /// What a person should know.
    pub what: String,
}

/// A whole tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    /// All entries in the order of the walk.
    pub entries: Vec<Entry>,
    /// What was left out or will not be the same.
    pub remarks: Vec<Remark>,
}

/// One way in which a tree is not what its manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The path from the volume's root.
    pub path: EntryPath,
    /// What differs: a field's name, `missing` or `extra`.
    pub what: &'static str,
    /// What the manifest says.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl Manifest {
    /// Bytes of all regular files, each inode once.
    pub fn bytes(&self) -> u64 {
        self.entries.iter().filter(|entry| entry.link.is_none()).map(|entry| entry.size).sum()
    }

    /// The lines as they stand on disk.
    pub fn to_lines(&self) -> Vec<u8> {
        let mut lines = Vec::new();
        for entry in &self.entries {
            serde_json::to_writer(&mut lines, entry)
                .expect("an entry has only text keys, and a vector takes any byte");
            lines.push(b'\n');
        }
        lines
    }

    /// Reads entries back from their lines; remarks are kept elsewhere.
    ///
    /// # Errors
    /// The first line that is not an entry.
    pub fn from_lines(lines: &[u8]) -> Result<Manifest, serde_json::Error> {
        let entries = serde_json::Deserializer::from_slice(lines).into_iter();
        Ok(Manifest { entries: entries.collect::<Result<_, _>>()?, remarks: Vec::new() })
    }

    /// Every way in which `found` is not this manifest, in the order of the paths. Remarks do not
    /// count.
    pub fn differences(&self, found: &Manifest) -> Vec<Difference> {
        let mut differences = Vec::new();
        let by_path: std::collections::HashMap<_, _> =
            found.entries.iter().map(|entry| (&entry.path, entry)).collect();
        let known: std::collections::HashSet<_> =
            self.entries.iter().map(|entry| &entry.path).collect();
        for entry in &self.entries {
            match by_path.get(&entry.path) {
                Some(found) => compare(entry, found, &mut differences),
                None => differences.push(entry.alone("missing")),
            }
        }
        let extra = found.entries.iter().filter(|entry| !known.contains(&entry.path));
        differences.extend(extra.map(|entry| entry.alone("extra")));
        differences.sort_by(|a, b| a.path.cmp(&b.path));
        differences
    }
}

/// The root hash: BLAKE3 over the lines, as `blake3:` and hexadecimal digits.
pub fn root_hash(lines: &[u8]) -> String {
    format!("blake3:{}", blake3::hash(lines).to_hex())
}

impl Entry {
    fn alone(&self, what: &'static str) -> Difference {
        let (there, absent) = (format!("{:?}", self.kind), "nothing".to_owned());
        let (expected, found) = if what == "extra" { (absent, there) } else { (there, absent) };
        Difference { path: self.path.clone(), what, expected, found }
    }
}

fn compare(expected: &Entry, found: &Entry, differences: &mut Vec<Difference>) {
    let mut check = |what, left: &dyn fmt::Debug, right: &dyn fmt::Debug| {
        let (left, right) = (format!("{left:?}"), format!("{right:?}"));
        if left != right {
            let path = expected.path.clone();
            differences.push(Difference { path, what, expected: left, found: right });
        }
    };
    if expected == found {
        return;
    }
    check("kind", &expected.kind, &found.kind);
    check("mode", &expected.mode, &found.mode);
    check("owner", &(expected.uid, expected.gid), &(found.uid, found.gid));
    check("size", &expected.size, &found.size);
    check("mtime", &(expected.mtime, expected.mtime_ns), &(found.mtime, found.mtime_ns));
    check("flags", &expected.flags, &found.flags);
    check("xattrs", &expected.xattrs, &found.xattrs);
    check("content", &expected.content, &found.content);
    check("target", &expected.target, &found.target);
    check("device", &expected.device, &found.device);
    check("hard link", &expected.link, &found.link);
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(flags: &u32) -> bool {
    *flags == 0
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { path, what, expected, found } = self;
        write!(f, "{path}: {what} is {found}, expected {expected}")
    }
}

impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for chunk in self.0.utf8_chunks() {
            for char in chunk.valid().chars() {
                match char {
                    '\\' => f.write_str("\\\\")?,
                    char if char.is_control() => {
                        let mut bytes = [0; 4];
                        for byte in char.encode_utf8(&mut bytes).bytes() {
                            write!(f, "\\x{byte:02x}")?;
                        }
                    }
                    char => f.write_char(char)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl EntryPath {
    /// The path of `name` in the directory `self`.
    pub(super) fn child(&self, name: &[u8]) -> EntryPath {
        if self.0 == b"." {
            return EntryPath(name.to_vec());
        }
        EntryPath([&self.0, b"/".as_slice(), name].concat())
    }

    fn parse(text: &str) -> Option<EntryPath> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            if byte != b'\\' {
                bytes.push(byte);
                continue;
            }
            match rest.next()? {
                b'\\' => bytes.push(b'\\'),
                b'x' => {
                    let mut digit = || char::from(rest.next()?).to_digit(16);
                    bytes.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
                }
                _ => return None,
            }
        }
        Some(EntryPath(bytes))
    }
}

impl Serialize for EntryPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EntryPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<EntryPath, D::Error> {
        let text = String::deserialize(deserializer)?;
        EntryPath::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format!("{text:?} is not a path with \\xNN escapes"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive_the_way_through_their_lines() {
        let names: [&[u8]; 6] = [
            b".",
            b"plain",
            b"bad\xff\xfename",
            b"new\nline",
            "gr\u{fc}n \\ x".as_bytes(),
            b"\\x41",
        ];
        for name in names {
            let entry = Entry {
                path: EntryPath(name.to_vec()),
                kind: EntryKind::Symlink,
                mode: 0o777,
                uid: 1,
                gid: u32::MAX,
                size: u64::MAX,
                mtime: -1,
                mtime_ns: 999_999_999,
                flags: 16,
                xattrs: Some("ab".to_owned()),
                content: None,
                target: Some(EntryPath(name.to_vec())),
                device: Some((1, 3)),
                link: None,
            };
            let manifest = Manifest { entries: vec![entry.clone(), entry], remarks: vec![] };
            let lines = manifest.to_lines();
            assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 2, "one line each");
            assert_eq!(Manifest::from_lines(&lines).unwrap(), manifest);
        }
    }

    #[test]
    fn names_are_escaped_so_that_a_person_can_read_them() {
        for (name, text) in [
            (b"a b".as_slice(), "a b"),
            ("gr\u{fc}n".as_bytes(), "gr\u{fc}n"),
            (b"a\\b", "a\\\\b"),
            (b"a\xffb\n", "a\\xffb\\x0a"),
            ("\u{85}".as_bytes(), "\\xc2\\x85"),
        ] {
            assert_eq!(EntryPath(name.to_vec()).to_string(), text);
            assert_eq!(EntryPath::parse(text), Some(EntryPath(name.to_vec())));
        }
        assert_eq!(["\\", "\\x4", "\\xg0", "\\n"].map(EntryPath::parse), [None, None, None, None]);
    }
}
