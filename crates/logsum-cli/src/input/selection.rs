//! Which columns of a table are read: by names, patterns, numbers and ranges.

use super::numeric_table::is_unnamed;
use super::quoting::listed;
use anyhow::{Context, Result, bail, ensure};
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Columns of a table, in the order in which they were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selection {
    items: Vec<Item>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    /// A name of the header; `*` stands for any characters.
    Name(String),
    /// A column's number, counted from 1.
    Number(usize),
    /// A range of such numbers; without a last one it extends to the end of the row.
    Numbers(usize, Option<usize>),
}

impl FromStr for Selection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Names such as log_lik[1,2] have commas in brackets, and names in quotation marks may have any.
        let (mut depth, mut is_quoted) = (0_usize, false);
        let items = text.split(|c| {
            match c {
                '"' => is_quoted = !is_quoted,
                '[' | '(' => depth += 1,
                ']' | ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            c == ',' && depth == 0 && !is_quoted
        });
        Ok(Self { items: items.map(|item| item.trim().parse()).collect::<Result<_, _>>()? })
    }
}

impl FromStr for Item {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a column is missing beside a comma".into());
        }
        if let Some(name) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
            return Ok(Self::Name(name.into()));
        }
        let is_range = text.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit());
        if !is_range {
            return Ok(Self::Name(text.into()));
        }
        let number = |text: &str| match text.parse() {
            Ok(0) => Err("columns are counted from 1".to_owned()),
            Ok(number) => Ok(number),
            Err(_) => Err("a range is two numbers, as 2-5, or 2- for all from 2 on".to_owned()),
        };
        match text.split_once('-') {
            None => number(text).map(Self::Number),
            Some((first, "")) => number(first).map(|first| Self::Numbers(first, None)),
            Some((first, last)) => match (number(first)?, number(last)?) {
                (first, last) if first > last => Err(format!("{text} goes backwards; write {last}-{first}")),
                (first, last) => Ok(Self::Numbers(first, Some(last))),
            },
        }
    }
}

impl Selection {
    /// Whether it cannot be resolved without a header.
    pub(super) fn has_names(&self) -> bool {
        self.items.iter().any(|item| matches!(item, Item::Name(_)))
    }

    /// Whether one of these fields is a name in this selection.
    pub(super) fn has_name_of(&self, fields: &[String]) -> bool {
        self.items.iter().any(|item| matches!(item, Item::Name(name) if fields.contains(name)))
    }

    /// Whether column `place`, counted from 0, is chosen by its number.
    pub(super) fn has_number(&self, place: usize) -> bool {
        self.items.iter().any(|item| match *item {
            Item::Number(number) => number == place + 1,
            Item::Numbers(first, last) => (first..=last.unwrap_or(usize::MAX)).contains(&(place + 1)),
            Item::Name(_) => false,
        })
    }

    /// The chosen columns, counted from 0, out of `count` columns with these names, if they have names.
    pub(super) fn places(&self, count: usize, names: &[String]) -> Result<Vec<usize>> {
        let mut places = Vec::new();
        let mut is_chosen = vec![false; count];
        for item in &self.items {
            let found: Vec<usize> = match item {
                &Item::Number(number) => {
                    check_no_other_is_called(number, names)?;
                    numbers(number, Some(number), count)?.map(|number| number - 1).collect()
                }
                &Item::Numbers(first, last) => {
                    numbers(first, last, count)?.map(|number| number - 1).collect()
                }
                Item::Name(name) => names
                    .iter()
                    .enumerate()
                    .filter_map(|(place, field)| fits(field, name).then_some(place))
                    .collect(),
            };
            if let (Item::Name(name), []) = (item, &found[..]) {
                bail!("no column is called {name:?}; there are {}", listed(names.iter().map(String::as_str)));
            }
            if let (Item::Name(name), [first, second, ..]) = (item, &found[..]) {
                let (first, second) = (first + 1, second + 1);
                ensure!(
                    name.contains('*'),
                    "columns {first} and {second} are both called {name:?}; choose by number"
                );
            }
            for place in found {
                let is_twice = std::mem::replace(&mut is_chosen[place], true);
                ensure!(!is_twice, "column {} is chosen twice", place + 1);
                places.push(place);
            }
        }
        Ok(places)
    }
}

/// Ensures that a number means only one column, if names are numbers.
fn check_no_other_is_called(number: usize, names: &[String]) -> Result<()> {
    let name = number.to_string();
    match names.iter().position(|other| *other == name) {
        Some(place) if place + 1 != number => bail!(
            "column {} is called \"{name}\": write '\"{name}\"' to choose it, or {name}-{name} for column {name}",
            place + 1
        ),
        _ => Ok(()),
    }
}

fn numbers(first: usize, last: Option<usize>, count: usize) -> Result<RangeInclusive<usize>> {
    let last = last.unwrap_or(count.max(first));
    (last <= count)
        .then_some(first..=last)
        .with_context(|| format!("there is no column {last}, only {count}"))
}

/// Whether the name fits the pattern, in which `*` stands for any characters; row names fit none.
fn fits(name: &str, pattern: &str) -> bool {
    let Some((start, mut rest)) = pattern.split_once('*') else { return name == pattern };
    if is_unnamed(name.as_bytes()) {
        return false;
    }
    let Some(mut name) = name.strip_prefix(start) else { return false };
    // Matching each part as early as possible leaves the most characters for the others.
    while let Some((part, next)) = rest.split_once('*') {
        let Some(place) = name.find(part) else { return false };
        (name, rest) = (&name[place + part.len()..], next);
    }
    name.ends_with(rest)
}
