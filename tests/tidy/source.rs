//! A source file as the rules see it: its code without comments and without
//! the contents of literals.

pub(crate) struct Source {
    path: String,
    text: String,
    /// The text, with comments and literals blanked; lines stay where they were.
    code: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), code: blank(text) }
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The room a file belongs to: `hub` for `src/hub/router.rs`, `id` for `src/id.rs`.
    pub(crate) fn room(&self) -> Option<&str> {
        self.path.strip_prefix("src/")?.split(['/', '.']).next()
    }

    /// A complaint as editors understand it.
    pub(crate) fn complain(&self, line: usize, message: &str) -> String {
        format!("{}:{line}: {message}", self.path)
    }

    /// A complaint for each place where one of these paths is used.
    pub(crate) fn complain_of(&self, uses: &[&str], message: &str) -> Vec<String> {
        let places = uses.iter().flat_map(|used| self.code.match_indices(used));
        places.map(|(at, _)| self.complain(self.line(at), message)).collect()
    }

    /// A complaint for each field of a log line that is shown by `Debug`: `?name` behind
    /// a bracket, a comma or an equals sign.
    pub(crate) fn complain_of_debug_fields(&self, message: &str) -> Vec<String> {
        let marks = self.code.match_indices('?').filter(|(at, _)| {
            let before = self.code[..*at].trim_end().ends_with(['(', ',', '=']);
            before && self.code[at + 1..].starts_with(|c: char| c.is_alphabetic())
        });
        marks.map(|(at, _)| self.complain(self.line(at), message)).collect()
    }

    /// Every identifier and keyword, with its line.
    pub(crate) fn words(&self) -> impl Iterator<Item = (usize, &str)> {
        self.words_at().map(|(at, word)| (self.line(at), word))
    }

    /// What follows a keyword that declares something.
    pub(crate) fn declared(&self) -> impl Iterator<Item = (usize, &str)> {
        const KEYWORDS: [&str; 9] =
            ["struct", "enum", "trait", "fn", "mod", "type", "const", "static", "let"];
        let pairs = self.words().zip(self.words().skip(1));
        pairs.filter(|((_, word), _)| KEYWORDS.contains(word)).map(|(_, name)| name)
    }

    /// The first names of paths: `tokio` of `tokio::net::TcpStream`.
    pub(crate) fn path_heads(&self) -> impl Iterator<Item = (usize, &str)> {
        let heads = self.words_at().filter(|(at, word)| {
            let before = self.code[..*at].trim_end();
            let before = before.strip_suffix("::").map_or(before, |rest| rest);
            let continues = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let is_first = !continues || self.code[..*at].ends_with(char::is_whitespace);
            is_first && self.code[at + word.len()..].starts_with("::")
        });
        heads.map(|(at, word)| (self.line(at), word))
    }

    /// Rooms named behind `crate::`, `millgate::`, or as many `super::` as
    /// lead out of the own room.
    pub(crate) fn imports(&self) -> Vec<(usize, String)> {
        let depth = self.path.split('/').count() - 1 - usize::from(self.path.ends_with("/mod.rs"));
        let to_root = "super::".repeat(depth);
        let tests = self.code.find("#[cfg(test)]").unwrap_or(self.code.len());
        let mut found = Vec::new();
        for prefix in ["crate::", "millgate::", &to_root] {
            for (at, _) in self.code.match_indices(prefix) {
                let inside_path = self.code[..at].ends_with([':', '_']);
                if inside_path || (prefix == to_root && at > tests) {
                    continue;
                }
                let names = first_names(&self.code[at + prefix.len()..]);
                found.extend(names.into_iter().map(|name| (self.line(at), name)));
            }
        }
        found
    }

    /// What stands between the brackets of attributes.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.match_indices('#').filter_map(|(at, _)| {
            let rest = self.code[at + 1..].trim_start_matches('!').strip_prefix('[')?;
            let end = rest.find(")]").map_or_else(|| rest.find(']'), Some)?;
            Some((self.line(at), rest[..end].trim()))
        })
    }

    fn words_at(&self) -> impl Iterator<Item = (usize, &str)> {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let mut rest = 0;
        std::iter::from_fn(move || {
            let start = rest + self.code[rest..].find(is_part)?;
            let tail = &self.code[start..];
            rest = start + tail.find(|c| !is_part(c)).unwrap_or(tail.len());
            Some((start, &self.code[start..rest]))
        })
    }

    fn line(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }
}

/// The name that a path goes on with, or all of a group in braces.
fn first_names(rest: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let (mut names, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(name(&group[start..at]));
                start = at + 1;
                if letter == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names
}

/// Blanks comments wholly, and literals between their quotes, with `_` there
/// so that an empty one can be told.
fn blank(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let (kept, hidden, closing) = token(rest, code.chars().last());
        let (hidden, filler) = (&rest[kept..hidden], if closing > 0 { '_' } else { ' ' });
        code.push_str(&rest[..kept]);
        code.extend(hidden.chars().map(|c| if c == '\n' { '\n' } else { filler }));
        let end = kept + hidden.len();
        code.push_str(&rest[end..end + closing]);
        rest = &rest[(end + closing).max(letter.len_utf8())..];
    }
    code
}

/// How the text goes on: so many bytes to keep, up to where to hide, and the
/// length of the closing quotes after that.
fn token(rest: &str, before: Option<char>) -> (usize, usize, usize) {
    let first = rest.chars().next().map_or(0, char::len_utf8);
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        return (0, rest.find('\n').unwrap_or(rest.len()), 0);
    }
    if rest.starts_with("/*") {
        return (0, rest.find("*/").map_or(rest.len(), |at| at + 2), 0);
    }
    if rest.starts_with('r') && !in_word {
        let hashes = rest[1..].len() - rest[1..].trim_start_matches('#').len();
        if rest[1 + hashes..].starts_with('"') {
            let closing = format!("\"{}", "#".repeat(hashes));
            let open = 2 + hashes;
            let len = rest[open..].find(&closing).unwrap_or(rest.len() - open);
            return (open, open + len, closing.len().min(rest.len() - open - len));
        }
    }
    if rest.starts_with('"') {
        return quoted(rest, '"');
    }
    // A lifetime has no closing quote behind its first letter.
    let letters: Vec<char> = rest.chars().take(3).collect();
    if letters.first() == Some(&'\'')
        && (letters.get(1) == Some(&'\\') || letters.get(2) == Some(&'\''))
    {
        return quoted(rest, '\'');
    }
    (first, first, 0)
}

fn quoted(rest: &str, quote: char) -> (usize, usize, usize) {
    let mut escaped = false;
    for (at, letter) in rest.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if letter == quote => return (1, at, 1),
            _ => {}
        }
    }
    (1, rest.len(), 0)
}
