//! The lines that lift limits, put together for pasting.

use super::limit::{Cure, Limit, Part, Place};
use std::fmt::{self, Formatter};

/// First the best way out of every limit, put together by place; then the
/// other ways, each as a whole.
pub(super) fn write(out: &mut Formatter, short: &[&Limit]) -> fmt::Result {
    let mut best: Vec<Part> = Vec::new();
    for part in short.iter().filter_map(|limit| limit.cures.first()).flat_map(|cure| &cure.parts) {
        merge(&mut best, part);
    }
    for part in &best {
        block(out, part.place.title(), part)?;
    }
    let mut said: Vec<&Cure> = Vec::new();
    for limit in short {
        for cure in limit.cures.iter().skip(1) {
            // Two limits may have the same way out.
            if said.contains(&cure) || cure.parts.iter().all(|part| holds(&best, part)) {
                continue;
            }
            said.push(cure);
            for (index, part) in cure.parts.iter().enumerate() {
                let link = if index == 0 { "or, for" } else { "and, for" };
                block(out, &format!("{link} {}: {}", limit.name, part.place.title()), part)?;
            }
        }
    }
    Ok(())
}

/// Adds lines to those of the same place.
fn merge(parts: &mut Vec<Part>, part: &Part) {
    match parts.iter_mut().find(|known| known.place == part.place) {
        None => parts.push(part.clone()),
        Some(known) => {
            let new = part.lines.iter().filter(|line| !known.lines.contains(line)).cloned();
            let new: Vec<String> = new.collect();
            known.lines.extend(new);
        }
    }
}

fn holds(parts: &[Part], part: &Part) -> bool {
    let known = parts.iter().find(|known| known.place == part.place);
    known.is_some_and(|known| part.lines.iter().all(|line| known.lines.contains(line)))
}

fn block(out: &mut Formatter, title: &str, part: &Part) -> fmt::Result {
    writeln!(out, "  # {title}")?;
    if part.place == Place::Configuration {
        return sections(out, &part.lines);
    }
    part.lines.iter().try_for_each(|line| writeln!(out, "  {line}"))
}

/// `section.key = value` as TOML has it, each section once.
fn sections(out: &mut Formatter, lines: &[String]) -> fmt::Result {
    let split = |line: &'_ String| -> (String, String) {
        let (section, setting) = line.split_once('.').unwrap_or(("", line));
        (section.to_owned(), setting.to_owned())
    };
    let mut keys: Vec<(String, String)> = lines.iter().map(split).collect();
    keys.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut current = "";
    for (section, setting) in &keys {
        if section != current {
            writeln!(out, "  [{section}]")?;
            current = section;
        }
        writeln!(out, "  {setting}")?;
    }
    Ok(())
}
