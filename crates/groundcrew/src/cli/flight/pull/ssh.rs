//! Another host to pull flights from, which needs nothing but a shell, `find`, `stat`, `head`,
//! `tail` and `sha256sum`, of GNU's or BusyBox's kind.
//!
//! What is answered is checked as if anybody had written it: lines have a bound, names are those of
//! a flight's files, and the files come in the order and with the lengths that were asked for.

#[cfg(test)]
mod tests;

use std::time::Duration;

use groundcrew_recorder::format::flight_id::FlightId;

use super::origin::{Came, FILES_MAX, Item, Listing, Origin, Take, Trouble, Want};
use super::receipt::{RECEIPT, RECEIPT_MAX, Receipt};
use super::shell::{self, quoted};
use super::target::Remote;

/// The longest line of an answer, bytes: a receipt's.
const LINE_MAX: usize = 8 << 10;
/// What the commands end with when the directory cannot be entered.
const NO_ENTRY: i32 = 66;
/// Files whose digests one command computes, so that its arguments fit.
const AT_ONCE: usize = 64;
/// Where the kind of a file stands in its mode.
const KIND: u32 = 0o170_000;
/// That of a regular file.
const REGULAR: u32 = 0o100_000;

/// A directory on another host.
#[derive(Debug)]
pub(super) struct Ssh {
    remote: Remote,
    /// How long it may be silent.
    patience: Duration,
}

/// Lists flights. `stat` says what a file is as a number, which is the same in every language, and
/// follows no link. Names of other letters than ours are only counted.
const LIST: &str = r#"
one() {
  case $1 in *[!A-Za-z0-9._-]*|-*) printf 'other\n'; return;; esac
  printf 'flight %s\n' "$1"
  if command -v flock >/dev/null 2>&1; then
    flock -s -n . true 2>/dev/null
    case $? in 0) echo 'claim free';; 1) echo 'claim held';; esac
  fi
  for d in segments thumbnails; do
    [ -d "$d" ] || continue
    if [ -L "$d" ]; then printf 'file a000 0 %s\n' "$d"; continue; fi
    if [ ! -r "$d" ] || [ ! -x "$d" ]; then echo "$1/$d cannot be read" >&2; return 70; fi
    find "$d" -mindepth 1 -maxdepth 1 ! -name '*[!A-Za-z0-9._-]*' \
      -exec stat -c 'file %f %s %n' {} + 2>/dev/null
    n=$(find "$d" -mindepth 1 -maxdepth 1 -name '*[!A-Za-z0-9._-]*' -print0 | tr -dc '\0' | wc -c)
    [ "$n" -eq 0 ] || printf 'strange %s %s\n' "$n" "$d"
  done
  [ -e manifest.json ] && stat -c 'file %f %s %n' manifest.json
  if [ -f pulled.json ] && [ ! -L pulled.json ]; then
    printf 'receipt '; head -c 4096 pulled.json | tr -d '\n'; printf '\n'
  fi
  return 0
}
if [ -d segments ]; then
  p=$(pwd -P); one "${p##*/}" || return 70
elif [ ! -r . ]; then
  echo 'the directory cannot be read' >&2; return 70
else
  for f in */; do
    f=${f%/}
    case $f in ????????-????-????-????-????????????)
      if [ ! -x "$f" ]; then echo "$f cannot be read" >&2; return 70; fi;;
    esac
    if [ -d "$f/segments" ] && [ ! -L "$f" ]; then
      ( cd -- "./$f" && one "$f" ) || return 70
    fi
  done
fi
printf 'end\n'
"#;

/// Gives a part of a file: its path, the number of its first byte from 1 on, how many.
const GIVE: &str = r#"
give() {
  if [ ! -f "$1" ] || [ -L "$1" ]; then echo "$1 is gone" >&2; exit 67; fi
  printf 'file %s\n' "$1"
  if [ "$2" = 1 ]; then head -c "$3" < "$1"; else tail -c "+$2" < "$1" | head -c "$3"; fi
  printf '\n'
}
"#;

impl Ssh {
    /// A place, and how long its host may be silent.
    pub(super) fn new(remote: Remote, patience: Duration) -> Self {
        Self { remote, patience }
    }

    fn strange(&self, what: &str) -> Trouble {
        let what = format!("answers strangely: {what}");
        Trouble::Host { host: self.remote.host.clone(), what, code: None }
    }

    /// Its answer has no end. What it ended with may come before the last of what it said.
    fn cut_off(&self) -> Trouble {
        let what = "went away in the middle of its answer".to_owned();
        Trouble::Host { host: self.remote.host.clone(), what, code: None }
    }

    /// Goes to the directory; a relative path is never an option, a variable's or a path of `cd`'s.
    fn enter(&self) -> String {
        let path = &self.remote.path;
        let path = if path.starts_with('/') { path.clone() } else { format!("./{path}") };
        format!("LC_ALL=C; export LC_ALL; unset CDPATH\ncd -- {} || return 66\n", quoted(&path))
    }

    /// Goes to a flight's directory, which is that one or is below it.
    fn enter_flight(&self, id: FlightId) -> String {
        format!("{}[ -d segments ] || cd -- './{id}' || return 66\n", self.enter())
    }

    /// Runs commands, and gives each line that they print.
    fn lines(
        &self,
        commands: &str,
        mut each: impl FnMut(&str) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let (mut lines, mut ended) = (Lines::default(), false);
        shell::run(&self.remote, self.patience, commands, |mut bytes| {
            while let Some(line) = lines.next(&mut bytes).map_err(|what| self.strange(what))? {
                match line.as_str() {
                    "end" => ended = true,
                    line => each(line)?,
                }
            }
            Ok(())
        })?;
        if ended { Ok(()) } else { Err(self.cut_off()) }
    }
}

/// Lines of what comes in pieces.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// The next line, which is taken from the bytes; `None`: they end before it does.
    fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<String>, &'static str> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (line, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        self.begun.extend_from_slice(line);
        *bytes = rest.get(1..).unwrap_or_default();
        if self.begun.len() > LINE_MAX {
            return Err("a line without an end");
        }
        if end.is_none() {
            return Ok(None);
        }
        let line = String::from_utf8(std::mem::take(&mut self.begun));
        line.map(Some).map_err(|_| "a line that is no text")
    }
}

/// Takes in one line of a listing.
fn heard(listing: &mut Listing, inside: &mut bool, line: &str) -> Option<()> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    if word == "flight" {
        *inside = listing.flight(rest).is_some();
        return Some(());
    }
    if word == "other" {
        listing.others.push("a directory with letters that no flight has".to_owned());
        *inside = false;
        return Some(());
    }
    if !*inside {
        return Some(());
    }
    let offer = listing.offers.last_mut()?;
    match word {
        "claim" => offer.claimed = Some(rest != "free"),
        "file" => {
            let (mode, rest) = rest.split_once(' ')?;
            let (len, path) = rest.split_once(' ')?;
            let mode = u32::from_str_radix(mode, 16).ok()?;
            offer.add(path, len.parse().ok()?, mode & KIND == REGULAR);
        }
        "strange" => {
            let (count, dir) = rest.split_once(' ')?;
            let text = format!("{} files with other names in {dir}", count.parse::<u64>().ok()?);
            offer.strange.push(text);
        }
        "receipt" => offer.receipt = Receipt::read(rest.as_bytes()),
        _ => return None,
    }
    Some(())
}

impl Origin for Ssh {
    fn name(&self) -> String {
        let Remote { user, host, path, .. } = &self.remote;
        user.as_ref().map_or(format!("{host}:{path}"), |user| format!("{user}@{host}:{path}"))
    }

    fn list(&self) -> Result<Listing, Trouble> {
        let (mut listing, mut inside, mut count) = (Listing::default(), false, 0);
        let listed = self.lines(&format!("{}{LIST}", self.enter()), |line| {
            count += 1;
            if count > FILES_MAX {
                return Err(self.strange(&format!("more than {FILES_MAX} files")));
            }
            heard(&mut listing, &mut inside, line).ok_or_else(|| self.strange(line))
        });
        match listed {
            Ok(()) => Ok(listing),
            Err(Trouble::Host { what, code: Some(NO_ENTRY), .. }) => {
                Err(Trouble::Nothing(format!("cannot open {}: its host {what}", self.name())))
            }
            Err(trouble) => Err(trouble),
        }
    }

    fn give(&self, id: FlightId, wants: &[Want], take: &mut Take<'_>) -> Result<(), Trouble> {
        let mut commands = format!("{}{GIVE}", self.enter_flight(id));
        for Want { item, from } in wants {
            let rest = item.len.saturating_sub(*from);
            commands.push_str(&format!("give {} {} {rest}\n", quoted(&item.path), from + 1));
        }
        commands.push_str("printf 'end\\n'\n");
        let mut arrival = Arrival { wants, lines: Lines::default(), at: At::Head, ended: false };
        let shell = shell::run(&self.remote, self.patience, &commands, |bytes| {
            arrival.takes(bytes, take).map_err(|wrong| match wrong {
                Wrong::Answer(what) => self.strange(&what),
                Wrong::Taken(trouble) => trouble,
            })
        });
        shell?;
        if arrival.ended { Ok(()) } else { Err(self.cut_off()) }
    }

    fn digests(
        &self,
        id: FlightId,
        items: &[Item],
        each: &mut dyn FnMut(&Item),
    ) -> Result<Vec<String>, Trouble> {
        let mut commands = self.enter_flight(id);
        for some in items.chunks(AT_ONCE) {
            let paths: Vec<String> = some.iter().map(|item| quoted(&item.path)).collect();
            commands.push_str(&format!("sha256sum {} || return 68\n", paths.join(" ")));
        }
        commands.push_str("printf 'end\\n'\n");
        let mut digests = Vec::new();
        self.lines(&commands, |line| {
            let item = items.get(digests.len()).ok_or_else(|| self.strange(line))?;
            let digest = line.strip_suffix(&format!("  {}", item.path));
            let is_digest = |text: &&str| {
                text.len() == 64 && text.bytes().all(|byte| b"0123456789abcdef".contains(&byte))
            };
            let digest = digest.filter(is_digest).ok_or_else(|| self.strange(line))?;
            digests.push(digest.to_owned());
            each(item);
            Ok(())
        })?;
        if digests.len() == items.len() {
            Ok(digests)
        } else {
            Err(self.strange("too few digests"))
        }
    }

    fn leave(&self, id: FlightId, receipt: &Receipt) -> Result<(), Trouble> {
        let line = receipt.line();
        if u64::try_from(line.len()).unwrap_or(u64::MAX) >= RECEIPT_MAX {
            return Err(self.strange("a path that is too long for a receipt"));
        }
        let enter = self.enter_flight(id);
        let line = quoted(&line);
        let commands = format!(
            "{enter}umask 027; set -C; t={RECEIPT}.tmp\n\
             rm -f $t && printf '%s\\n' {line} > $t || return 69\n\
             sync $t 2>/dev/null || sync\n\
             mv -f $t {RECEIPT} || return 69\n\
             sync . 2>/dev/null || sync\n\
             printf 'end\\n'\n"
        );
        self.lines(&commands, |line| Err(self.strange(line)))
    }
}

/// Files as they come.
struct Arrival<'a> {
    /// Those that did not come yet.
    wants: &'a [Want],
    lines: Lines,
    at: At,
    ended: bool,
}

/// Where in the answer it is.
enum At {
    /// Before the line that begins a file, or the last one.
    Head,
    /// In a file, of which so many bytes are left.
    Bytes(u64),
    /// Behind the bytes of a file.
    Foot,
}

/// Why what came is not taken.
enum Wrong {
    /// It is not what was asked for.
    Answer(String),
    /// Whoever takes it says no.
    Taken(Trouble),
}

impl Arrival<'_> {
    fn takes(&mut self, mut bytes: &[u8], take: &mut Take<'_>) -> Result<(), Wrong> {
        while !bytes.is_empty() {
            match self.at {
                At::Head => self.head(&mut bytes, take)?,
                At::Bytes(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let (these, rest) = bytes.split_at(here);
                    take(Came::Bytes(these)).map_err(Wrong::Taken)?;
                    bytes = rest;
                    self.goes_on(left.saturating_sub(u64::try_from(here).unwrap_or(u64::MAX)));
                }
                At::Foot => {
                    let (foot, rest) = bytes.split_at(1);
                    let Some((want, others)) = self.wants.split_first().filter(|_| foot == b"\n")
                    else {
                        return Err(Wrong::Answer("a file that is not as long as it was".into()));
                    };
                    bytes = rest;
                    self.wants = others;
                    self.at = At::Head;
                    take(Came::Done(want)).map_err(Wrong::Taken)?;
                }
            }
        }
        Ok(())
    }

    fn goes_on(&mut self, left: u64) {
        self.at = if left == 0 { At::Foot } else { At::Bytes(left) };
    }

    fn head(&mut self, bytes: &mut &[u8], take: &mut Take<'_>) -> Result<(), Wrong> {
        let line = self.lines.next(bytes).map_err(|what| Wrong::Answer(what.to_owned()))?;
        let Some(line) = line else { return Ok(()) };
        match self.wants.first() {
            None if line == "end" && !self.ended => self.ended = true,
            Some(want) if line.strip_prefix("file ") == Some(want.item.path.as_str()) => {
                take(Came::File(want)).map_err(Wrong::Taken)?;
                self.goes_on(want.item.len.saturating_sub(want.from));
            }
            // A file that became shorter lets the next line stand in it.
            _ => return Err(Wrong::Answer("a file that is not as long as it was".to_owned())),
        }
        Ok(())
    }
}
