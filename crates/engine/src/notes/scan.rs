//! Finds marker phrases in prose, and leaves out those that the prose itself denies.
//!
//! Text becomes words (lower case, letters and digits) and breaks. A break ends a clause: sentence
//! punctuation, a blank line, the edges of a heading or list item. A phrase never matches over a
//! break, and a denial never reaches over one, but for the bare "None." under a heading.

/// Words that deny the words right behind them.
const DENIALS: &[&str] =
    &["no", "not", "non", "without", "never", "zero", "isnt", "arent", "doesnt", "0"];

/// Words that may stand between a denial and what it denies.
const FILLERS: &[&str] =
    &["a", "an", "any", "known", "new", "other", "further", "additional", "user", "contain"];

/// Words that may follow a marker and belong to it.
const NOUNS: &[&str] = &["change", "changes", "step", "steps", "s", "action", "actions"];

/// A marker, as words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Phrase {
    text: String,
    words: Vec<String>,
}

impl Phrase {
    pub(super) fn new(text: &str) -> Self {
        let words = tokens(&[text], 0).into_iter().filter_map(|token| token.word).collect();
        Self { text: text.into(), words }
    }

    /// Whether the phrase starts at `at`; its last word may be the beginning of a longer one.
    fn is_at(&self, tokens: &[Token], at: usize) -> bool {
        let Some((last, first)) = self.words.split_last() else {
            return false;
        };
        let word = |offset: usize| tokens.get(at + offset).and_then(|token| token.word.as_deref());
        first.iter().enumerate().all(|(offset, wanted)| word(offset) == Some(wanted))
            && word(first.len()).is_some_and(|word| word.starts_with(last.as_str()))
    }
}

/// What a text holds.
#[derive(Debug)]
pub(super) struct Scan {
    /// Line (from 0) and marker, one per line.
    pub(super) hits: Vec<(usize, String)>,
    /// Whether there is any word at all.
    pub(super) has_words: bool,
}

/// Looks for `phrases` in `lines`, of which the first `front_lines` are front matter.
pub(super) fn scan(lines: &[&str], front_lines: usize, phrases: &[Phrase]) -> Scan {
    let tokens = tokens(lines, front_lines);
    let mut hits: Vec<(usize, String)> = Vec::new();
    // End of the last denied phrase, for "no breaking changes or manual steps".
    let mut denied_end = None;
    for (at, token) in tokens.iter().enumerate() {
        for phrase in phrases.iter().filter(|phrase| phrase.is_at(&tokens, at)) {
            let end = at + phrase.words.len();
            if is_denied_before(&tokens, at, denied_end) || is_denied_behind(&tokens, end) {
                denied_end = Some(end);
            } else if hits.last().is_none_or(|(line, _)| *line != token.line) {
                hits.push((token.line, phrase.text.clone()));
            }
        }
    }
    Scan { hits, has_words: tokens.iter().any(|token| token.word.is_some()) }
}

/// A word, or a break if there is none.
#[derive(Debug)]
struct Token {
    word: Option<String>,
    line: usize,
}

/// Whether the words before `at` deny it, or join it to something denied.
fn is_denied_before(tokens: &[Token], at: usize, denied_end: Option<usize>) -> bool {
    let word = |at: usize| tokens.get(at).and_then(|token| token.word.as_deref());
    let back_over = |mut at: usize, list: &[&str]| {
        while at > 0 && word(at - 1).is_some_and(|word| list.contains(&word)) {
            at -= 1;
        }
        at
    };
    let start = back_over(at, FILLERS);
    let Some(before) = start.checked_sub(1).and_then(word) else {
        return false;
    };
    if DENIALS.contains(&before) {
        return true;
    }
    let joins = matches!(before, "or" | "nor");
    joins && denied_end.is_some_and(|end| back_over(start - 1, NOUNS) <= end && end < start)
}

/// Whether the words from `end` on deny what came before: "is not required", ": none", "None." below.
fn is_denied_behind(tokens: &[Token], end: usize) -> bool {
    let word = |at: usize| tokens.get(at).and_then(|token| token.word.as_deref());
    let mut at = end;
    while word(at).is_some_and(|word| NOUNS.contains(&word)) {
        at += 1;
    }
    let clause = |from: usize| -> Vec<&str> { (from..).map_while(word).collect() };
    let is_denial = match clause(at).as_slice() {
        ["is" | "are", "not", rest] | ["isnt" | "arent" | "not", rest] => {
            matches!(*rest, "required" | "needed" | "necessary")
        }
        _ => false,
    };
    if is_denial {
        return true;
    }
    while at < tokens.len() && word(at).is_none_or(|word| word == "s") {
        at += 1;
    }
    // Only a clause of its own: "none of the old keys work" denies nothing.
    at > end
        && matches!(
            clause(at).as_slice(),
            ["none" | "nothing" | "no" | "false"] | ["none", "known"] | ["n", "a"]
        )
}

/// Words and breaks of `lines`; a line of front matter stands for itself.
fn tokens(lines: &[&str], front_lines: usize) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let stands_alone = at < front_lines || line.trim_start().starts_with('#');
        if stands_alone || opens_block(line) {
            tokens.push(Token { word: None, line: at });
        }
        let before = tokens.len();
        line_tokens(line, at, &mut tokens);
        if stands_alone || tokens.len() == before {
            tokens.push(Token { word: None, line: at });
        }
    }
    tokens
}

/// List items, quotes and table rows start something new; a wrapped line does not.
fn opens_block(line: &str) -> bool {
    let line = line.trim_start();
    let marker = line.split_whitespace().next().unwrap_or_default();
    matches!(marker, "-" | "*" | "+")
        || line.starts_with(['>', '|'])
        || marker.strip_suffix(['.', ')']).is_some_and(|number| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        })
}

fn line_tokens(line: &str, at: usize, tokens: &mut Vec<Token>) {
    let mut word = String::new();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
            continue;
        }
        if matches!(c, '\'' | '’') {
            continue;
        }
        if !word.is_empty() {
            tokens.push(Token { word: Some(std::mem::take(&mut word)), line: at });
        }
        let at_word_end = chars.peek().is_none_or(|next| !next.is_alphanumeric());
        let ends_clause = match c {
            '.' | ',' | ':' | ';' | '!' | '?' => at_word_end,
            '(' | ')' | '|' | '#' | '–' | '—' => true,
            _ => false,
        };
        if ends_clause {
            tokens.push(Token { word: None, line: at });
        }
    }
    if !word.is_empty() {
        tokens.push(Token { word: Some(word), line: at });
    }
}
