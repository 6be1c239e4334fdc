//! Post-mortems as files that people edit (UPD-16): what one says, what is still missing, how it is
//! closed. Pure.
//!
//! ```text
//! ---
//! status: open            open or closed; whatever else it says counts as open
//! app: tiles
//! version: 1.2.0
//! opened: 2026-11-21T10:00:00Z
//! due: 2026-11-22T10:00:00Z
//! ---
//! # tiles: 1.1.0 → 1.2.0 was rolled back
//! …
//! ## Root cause
//! ```
//!
//! A person may do anything to such a file, so nothing here fails: a head that cannot be read is no
//! head, a moment that is no moment is replaced by what the file's name says, and what was odd is
//! told. Closing changes lines of the head and one section, and leaves every other byte alone.

use crate::noun::TxnId;

#[cfg(test)]
mod tests;

/// Time to write one: a day.
pub const DUE_AFTER_MS: i64 = 24 * 3_600_000;

/// What a person has to write; the timeline is there from the beginning.
pub const SECTIONS: [&str; 3] = ["Root cause", "Which gate should have caught it", "Prevention"];

/// What such a section says until somebody writes it.
pub const UNWRITTEN: &str = "To be written.";

/// Most lines of a file in which the end of its head is looked for.
const HEAD_LINES_MAX: usize = 100;

/// What a document says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Nobody has closed it.
    pub open: bool,
    /// The app, as the document says.
    pub app: Option<String>,
    /// The version that was rolled back, as the document says.
    pub version: Option<String>,
    /// Wall clock when it was opened, milliseconds since 1970.
    pub opened_ms: i64,
    /// Wall clock when it is to be closed.
    pub due_ms: i64,
    /// Who closed it.
    pub closed_by: Option<String>,
    /// Sections that are still to be written.
    pub missing: Vec<&'static str>,
    /// What is odd about it, for people.
    pub odd: Vec<String>,
}

impl Document {
    /// It is open and its time is over.
    #[must_use]
    pub fn is_overdue(&self, now_ms: i64) -> bool {
        self.open && now_ms >= self.due_ms
    }
}

/// The head of a new document, with the empty line after it.
#[must_use]
pub fn head(app: &str, version: &str, txn: &TxnId, opened_ms: i64) -> String {
    let (opened, due) = (moment(opened_ms), moment(opened_ms.saturating_add(DUE_AFTER_MS)));
    let (app, version) = (one_line(app), one_line(version));
    format!(
        "---\nstatus: open\napp: {app}\nversion: {version}\nupdate: {txn}\nopened: {opened}\n\
         due: {due}\n---\n"
    )
}

/// Reads a document. `opened_ms` is what its file says when it does not say so itself.
#[must_use]
pub fn read(text: &str, opened_ms: i64) -> Document {
    let mut odd = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    let end = head_end(&lines);
    if end.is_none() {
        odd.push("it has no head with a status, so it counts as open".to_owned());
    }
    let keys = lines.get(1..end.unwrap_or(1)).unwrap_or_default();
    let value = |key: &str| keys.iter().find_map(|line| value_of(line, key));
    let status = value("status").unwrap_or_default().to_lowercase();
    if end.is_some() && !["open", "closed"].contains(&status.as_str()) {
        odd.push(format!("its status is {status:?}, neither open nor closed; it counts as open"));
    }
    let mut read_moment = |key: &str, otherwise: i64| match value(key) {
        None => otherwise,
        Some(said) => match said.parse::<jiff::Timestamp>() {
            Ok(time) => time.as_millisecond(),
            Err(_) => {
                odd.push(format!(
                    "{key} is {said:?}, which is no moment as in 2026-11-21T10:00:00Z"
                ));
                otherwise
            }
        },
    };
    let opened_ms = read_moment("opened", opened_ms);
    let due_ms = read_moment("due", opened_ms.saturating_add(DUE_AFTER_MS));
    Document {
        open: status != "closed",
        app: value("app").map(str::to_owned),
        version: value("version").map(str::to_owned),
        opened_ms,
        due_ms,
        closed_by: value("closed_by").map(str::to_owned),
        missing: SECTIONS.into_iter().filter(|name| !is_written(&lines, name)).collect(),
        odd,
    }
}

/// How a document is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing<'a> {
    /// Who does it.
    pub by: &'a str,
    /// Wall clock, milliseconds since 1970.
    pub at_ms: i64,
    /// The root cause: it becomes that section, or its last paragraph.
    pub cause: Option<&'a str>,
    /// Sections are left unwritten, and that is said.
    pub as_is: bool,
}

/// The document, closed. Whether it may be is the caller's to ask, of what [`with_cause`] makes.
#[must_use]
pub fn close(text: &str, closing: &Closing<'_>) -> String {
    let text = closing.cause.map_or_else(|| text.to_owned(), |cause| with_cause(text, cause));
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let bare: Vec<&str> = text.lines().collect();
    let mut said = vec![
        ("status", "closed".to_owned()),
        ("closed", moment(closing.at_ms)),
        ("closed_by", one_line(closing.by)),
    ];
    if closing.as_is {
        said.push(("closed_as_is", "true".to_owned()));
    }
    let ours = |line: &str| said.iter().any(|(key, _)| value_of(line, key).is_some());
    let mut new = String::from("---\n");
    said.iter().for_each(|(key, value)| new.push_str(&format!("{key}: {value}\n")));
    let Some(end) = head_end(&bare) else {
        return format!("{new}---\n{text}");
    };
    for line in lines.get(1..end).unwrap_or_default().iter().filter(|line| !ours(line)) {
        new.push_str(line);
    }
    new.extend(lines.get(end..).unwrap_or_default().iter().copied());
    new
}

/// The document with this root cause in its section; made at the end where there is none.
#[must_use]
pub fn with_cause(text: &str, cause: &str) -> String {
    let [section, ..] = SECTIONS;
    // A line of the cause that looked like a heading would be one.
    let cause: String = cause
        .trim()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(_) => format!(" {line}\n"),
            None => format!("{line}\n"),
        })
        .collect();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let Some((begin, end)) = section_of(&lines, section) else {
        let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        return format!("{text}{gap}\n## {section}\n\n{cause}");
    };
    let mut new: String = lines.get(..begin).unwrap_or_default().concat();
    let body: String = lines.get(begin..end).unwrap_or_default().concat();
    if !new.ends_with('\n') {
        new.push('\n');
    }
    match body.trim() {
        "" | UNWRITTEN => new.push_str(&format!("\n{cause}\n")),
        _ => new.push_str(&format!("{}\n\n{cause}\n", body.trim_end())),
    }
    new.extend(lines.get(end..).unwrap_or_default().iter().copied());
    new
}

/// Where the head ends: the index of its second mark.
fn head_end(lines: &[&str]) -> Option<usize> {
    let is_mark = |line: &&str| line.trim_end() == "---";
    lines.first().filter(|line| is_mark(line))?;
    let marks = lines.iter().take(HEAD_LINES_MAX).skip(1);
    marks.clone().position(is_mark).map(|index| index + 1)
}

/// What a line of the head says under this key, without quotes.
fn value_of<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (found, value) = line.split_once(':')?;
    let value = value.trim();
    let plain = value.trim_matches(|quote| quote == '"' || quote == '\'');
    (found.trim() == key && !plain.is_empty()).then_some(plain)
}

/// The lines below a heading of the second level, up to the next heading of the first two.
fn section_of(lines: &[&str], name: &str) -> Option<(usize, usize)> {
    let is_it = |line: &&str| {
        line.strip_prefix("## ").is_some_and(|title| title.trim().eq_ignore_ascii_case(name))
    };
    let begin = lines.iter().position(is_it)? + 1;
    let is_next = |line: &&str| line.starts_with("# ") || line.starts_with("## ");
    let length = lines.iter().skip(begin).position(is_next).unwrap_or(lines.len() - begin);
    Some((begin, begin + length))
}

fn is_written(lines: &[&str], name: &str) -> bool {
    let Some((begin, end)) = section_of(lines, name) else { return false };
    let body = lines.get(begin..end).unwrap_or_default().join("\n");
    !["", UNWRITTEN].contains(&body.trim())
}

/// Text that stays on its line of a list, however many lines it has: none of them is a heading.
#[must_use]
pub fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n    ")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn moment(wall_ms: i64) -> String {
    jiff::Timestamp::from_second(wall_ms.div_euclid(1_000))
        .map_or_else(|_| "unknown".to_owned(), |time| time.to_string())
}
