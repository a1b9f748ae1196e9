//! What the fields of a table mean: a header, numbers, and what must not be taken for numbers.

use super::quoting::shown;
use super::selection::Selection;
use super::spool::Spool;
use super::{Array, Part};
use anyhow::{Context, Error, Result, bail, ensure};

/// A table whose fields come one after the other.
pub(super) struct Table<'a> {
    numbers: Spool<f64>,
    selection: Option<&'a Selection>,
    /// The option that chooses columns, for complaints.
    option: String,
    /// For each column its place among the chosen ones, once that is known.
    places: Option<Vec<Option<usize>>>,
    /// The chosen numbers of a row.
    chosen: Vec<f64>,
    /// How many fields the first row of numbers has, and the line it is on.
    columns: Option<(usize, u64)>,
    header: Option<Header>,
    /// The first row, if the next one shows whether its numbers are names: they are in quotation marks and those of
    /// the next are not, or, where columns are chosen, there is a word above a number beside them.
    undecided: Option<Row>,
}

/// A row that is being read.
pub(super) struct Row {
    pub(super) line: u64,
    /// Fields so far.
    pub(super) count: usize,
    /// How many of them are in quotation marks, and whether the first is.
    quoted: usize,
    is_first_quoted: bool,
    /// All are in quotation marks and may be names, though they are numbers; known of the first row only.
    are_quoted_names: bool,
    /// The first field, if it is a word and the row is to be a header.
    word: Option<String>,
    /// All fields, while it is open which of them are chosen.
    fields: Vec<String>,
}

impl Row {
    pub(super) fn new(line: u64) -> Self {
        let (word, fields) = (None, Vec::new());
        Self { line, count: 0, quoted: 0, is_first_quoted: false, are_quoted_names: true, word, fields }
    }
}

struct Header {
    line: u64,
    /// Its first word, as it is shown.
    word: String,
    names: usize,
}

impl<'a> Table<'a> {
    pub(super) fn new(part: &'a Part) -> Self {
        let (selection, option) = (part.columns.as_ref(), part.option("columns"));
        let (numbers, chosen) = (Spool::new(), Vec::new());
        Self {
            numbers,
            selection,
            option,
            places: None,
            chosen,
            columns: None,
            header: None,
            undecided: None,
        }
    }

    pub(super) fn field(&mut self, row: &mut Row, field: &[u8], is_quoted: bool) -> Result<()> {
        row.is_first_quoted |= is_quoted && row.count == 0;
        row.count += 1;
        row.quoted += usize::from(is_quoted);
        if self.columns.is_none() {
            row.are_quoted_names = row.are_quoted_names && is_quoted && may_be_quoted_name(field);
        } else if row.count == 1 && !is_quoted {
            self.take_back();
        }
        let Some(_) = self.selection else { return self.number_or_name(row, field) };
        let Some(places) = &self.places else {
            row.fields.push(String::from_utf8_lossy(field).into_owned());
            return Ok(());
        };
        if let Some(&Some(place)) = places.get(row.count - 1) {
            self.chosen[place] = self.number(row, field)?;
        }
        Ok(())
    }

    /// If the first row is undecided, its numbers are names.
    fn take_back(&mut self) {
        if let Some(first) = self.undecided.take() {
            self.set_header(&first);
            (self.columns, self.numbers) = (None, Spool::new());
        }
    }

    fn set_header(&mut self, row: &Row) {
        let word = shown(row.fields.first().map_or(&b""[..], |first| first.as_bytes()));
        self.header = Some(Header { line: row.line, word, names: row.count });
    }

    /// A field where all columns are read.
    fn number_or_name(&mut self, row: &mut Row, field: &[u8]) -> Result<()> {
        let is_first = row.count == 1 && self.columns.is_none() && self.header.is_none();
        if is_first && is_unnamed(field) {
            let what = if field.is_empty() { "the field is empty".into() } else { shown(field) };
            bail!(
                "line {}, column 1: {what}, as over the row names that pandas and R write: leave the column out with \
                 {} 2-",
                row.line,
                self.option
            );
        }
        if is_first && is_word(field) {
            row.word = Some(shown(field));
            return Ok(());
        }
        match &row.word {
            None => {
                let number = self.number(row, field)?;
                self.numbers.push(number)
            }
            Some(_) if parsed(field).is_none() => Ok(()),
            Some(word) => {
                let (line, option) = (row.line, &self.option);
                bail!("line {line}, column 1: {word} is not a number{HEADER}{ROW_NAME} {option} 2-")
            }
        }
    }

    fn number(&self, row: &Row, field: &[u8]) -> Result<f64> {
        match parsed(field) {
            Some(value) if is_held(field, value) => Ok(value),
            found => Err(self.complaint(row, field, found)),
        }
    }

    fn complaint(&self, row: &Row, field: &[u8], found: Option<f64>) -> Error {
        let word = shown(field);
        let what = match (field, found) {
            ([], _) => "the field is empty".into(),
            (_, Some(value)) if value.is_finite() => {
                format!(
                    "{word} is an integer that f64 cannot hold; to have it rounded, write it with a point"
                )
            }
            (_, Some(_)) => format!("{word} is beyond the largest f64"),
            _ if is_missing(field) => {
                format!(
                    "{word} is a missing number; write nan for a result that is nan, or -inf for a term of 0"
                )
            }
            _ if is_special(field) => format!("{word} is not a number; write nan, inf or -inf"),
            _ => match self.hint(row, field) {
                ROW_NAME => format!("{word} is not a number{ROW_NAME} {} 2-", self.option),
                hint => format!("{word} is not a number{hint}"),
            },
        };
        Error::msg(format!("line {}, column {}: {what}", row.line, row.count))
    }

    /// Why a word may be where a number should be.
    fn hint(&self, row: &Row, word: &[u8]) -> &'static str {
        match (self.columns, &self.header) {
            _ if word.contains(&b';') => SEPARATORS,
            (None, None) => HEADER,
            (None, Some(_)) if row.count == 1 && self.selection.is_none() => ROW_NAME,
            _ => "",
        }
    }

    pub(super) fn end_row(&mut self, row: Row) -> Result<()> {
        if self.selection.is_some() && self.places.is_none() {
            return self.choose(row);
        }
        let Row { line, count, ref word, .. } = row;
        if let Some(word) = word {
            self.header = Some(Header { line, word: word.clone(), names: count });
            return Ok(());
        }
        match self.columns {
            Some((columns, first)) => {
                if self.undecided.take().is_some() {
                    self.check_row_name(&row)?;
                }
                let what = if self.selection.is_some() { "fields" } else { "numbers" };
                ensure!(
                    count == columns,
                    "line {line} has {count} {what}, it must have {columns} as line {first} has"
                );
            }
            None => {
                self.first_row(&row)?;
                if row.are_quoted_names && self.header.is_none() && self.selection.is_none() {
                    self.undecided = Some(row);
                }
            }
        }
        self.chosen.iter().try_for_each(|&number| self.numbers.push(number))
    }

    fn check_row_name(&self, row: &Row) -> Result<()> {
        let (line, option) = (row.line, &self.option);
        ensure!(
            !row.is_first_quoted || row.quoted == row.count || self.selection.is_some(),
            "line {line}: only the first field is in quotation marks, as row names are: leave it out with {option} 2-, \
             or read it with {option} 1-"
        );
        Ok(())
    }

    /// Row names show in the first row of numbers: in quotation marks, or as one field more than there are names.
    fn first_row(&mut self, row: &Row) -> Result<()> {
        self.check_row_name(row)?;
        let (&Row { line, count, .. }, option) = (row, &self.option);
        // Columns that were chosen by their numbers alone need no names.
        let needs_names = self.selection.is_none_or(Selection::has_names);
        if let Some(header) = self.header.as_ref().filter(|header| needs_names && header.names != count) {
            let remedy = match count == header.names + 1 {
                true => format!("the first may be the row's name: leave it out with {option} 2-"),
                false => format!("choose columns by their numbers, as in {option} 1-"),
            };
            bail!(
                "line {line} has {count} fields, but line {} has {} names; {remedy}",
                header.line,
                header.names
            );
        }
        self.columns = Some((count, line));
        Ok(())
    }

    /// Finds the chosen columns by the first row, or, if that is a header and they were given by number, by the next.
    fn choose(&mut self, row: Row) -> Result<()> {
        let Some(selection) = self.selection else { return Ok(()) };
        if let Some(first) = self.undecided.take() {
            if !first.are_quoted_names || row.quoted == row.count {
                self.choose_of(&first)?;
                let mut pairs = first.fields.iter().zip(&row.fields);
                let has_name =
                    pairs.any(|(first, next)| is_word(first.as_bytes()) && parsed(next.as_bytes()).is_some());
                ensure!(!has_name, may_be_header(&self.option, first.line));
                return self.read_again(&row);
            }
            self.set_header(&first);
        }
        let is_first = self.header.is_none();
        if is_first && is_header(selection, &row.fields, row.line, &self.option)? {
            if selection.has_names() {
                self.find_places(&row)?;
            }
            self.set_header(&row);
        } else if is_first && (row.are_quoted_names || has_word(row.fields.iter())) {
            self.undecided = Some(row);
        } else {
            self.choose_of(&row)?;
        }
        Ok(())
    }

    /// Reads a row of numbers, in which the chosen columns are not found yet.
    fn choose_of(&mut self, row: &Row) -> Result<()> {
        self.find_places(row)?;
        self.read_again(row)
    }

    fn find_places(&mut self, row: &Row) -> Result<()> {
        let Some(selection) = self.selection else { return Ok(()) };
        let of_option = || format!("{}: line {}", self.option, row.line);
        let chosen = selection.places(&row.fields).with_context(of_option)?;
        let mut places = vec![None; row.count];
        chosen.iter().enumerate().for_each(|(place, &column)| places[column] = Some(place));
        (self.places, self.chosen) = (Some(places), vec![0.0; chosen.len()]);
        Ok(())
    }

    /// Reads a row whose fields were kept.
    fn read_again(&mut self, row: &Row) -> Result<()> {
        let mut again = Row::new(row.line);
        row.fields.iter().try_for_each(|field| self.field(&mut again, field.as_bytes(), false))?;
        self.end_row(again)
    }

    /// A comment of CmdStan says that its warm-up ends on this line.
    pub(super) fn end_of_warm_up(&self, line: u64) -> Result<()> {
        match self.columns {
            Some((_, first)) => bail!(
                "line {line} says that CmdStan's warm-up ends here, so that the rows from line {first} on are no draws \
                 of the posterior: remove them, or sample without save_warmup"
            ),
            None => Ok(()),
        }
    }

    pub(super) fn finish(mut self) -> Result<Array<f64>> {
        if self.selection.is_some()
            && let Some(first) = self.undecided.take()
        {
            self.choose_of(&first)?;
        }
        let columns = match (self.columns, self.header) {
            (Some(_), _) if self.selection.is_some() => self.chosen.len(),
            (Some((columns, _)), _) => columns,
            (None, Some(Header { line, word, .. })) => {
                let hint = if word.contains(';') { SEPARATORS } else { "" };
                bail!("has no numbers: line {line}, which starts with {word}, was taken for a header{hint}")
            }
            (None, None) => bail!("is empty; it must hold at least one number"),
        };
        let shape = vec![self.numbers.count() / columns, columns];
        Ok(Array { numbers: self.numbers.finish()?, shape, fortran_order: false })
    }
}

const SEPARATORS: &str = "; fields are separated by commas, tabs or white space";
const HEADER: &str = " (a header line has words only)";
const ROW_NAME: &str = "; if it is a row's name, leave it out with";

/// Whether the first row holds names; only the chosen fields are asked, if their numbers are known.
fn is_header(selection: &Selection, fields: &[String], line: u64, option: &str) -> Result<bool> {
    let has_row_names = fields.first().is_some_and(|field| is_unnamed(field.as_bytes()));
    // What pandas writes for a frame without names.
    let is_counted = has_row_names
        && fields.len() > 1
        && fields[1..].iter().enumerate().all(|(place, field)| *field == place.to_string());
    if selection.has_names() {
        ensure!(
            is_counted || fields.iter().any(|field| may_be_name(field.as_bytes())),
            "{option}: line {line} has no names; choose columns by their numbers, from 1"
        );
        return Ok(true);
    }
    let (chosen, others): (Vec<_>, Vec<_>) =
        fields.iter().enumerate().partition(|(place, _)| selection.has_number(*place));
    let has_word = has_word(others.iter().map(|&(_, field)| field));
    if chosen.is_empty() {
        return Ok(has_word);
    }
    let Some((place, word)) = chosen.iter().find(|(_, field)| is_word(field.as_bytes())) else {
        ensure!(is_counted || !has_word || !are_like_years(&chosen), may_be_header(option, line));
        return Ok(is_counted);
    };
    let has_numbers = fields.iter().any(|field| parsed(field.as_bytes()).is_some());
    let (column, word) = (place + 1, shown(word.as_bytes()));
    ensure!(has_row_names || !has_numbers, "line {line}, column {column}: {word} is not a number{HEADER}");
    Ok(true)
}

fn has_word<'a>(mut fields: impl Iterator<Item = &'a String>) -> bool {
    fields.any(|field| is_word(field.as_bytes()))
}

fn may_be_header(option: &str, line: u64) -> String {
    format!(
        "{option}: line {line} may be a header whose names are numbers; if it is, choose columns by name, else put a \
         header of words above it"
    )
}

/// Several natural numbers that ascend, as names of columns do that are numbers.
fn are_like_years(fields: &[(usize, &String)]) -> bool {
    let numbers: Option<Vec<u64>> = fields.iter().map(|(_, field)| field.parse().ok()).collect();
    numbers.is_some_and(|numbers| numbers.len() > 1 && numbers.is_sorted_by(|one, next| one < next))
}

/// Over row names; the second is pandas' word for the first, once it was read and written again.
pub(super) fn is_unnamed(name: &[u8]) -> bool {
    matches!(name, b"" | b"Unnamed: 0")
}

/// What may be a name: no number, nor what stands for one.
fn may_be_name(field: &[u8]) -> bool {
    !field.is_empty() && parsed(field).is_none() && !is_missing(field) && !is_special(field)
}

/// What may be a name in quotation marks over numbers without: a number, too, but none that is special.
fn may_be_quoted_name(field: &[u8]) -> bool {
    parsed(field).map_or_else(|| may_be_name(field), f64::is_finite)
}

/// What is taken for a name where nobody says that there are any. It starts with a letter, perhaps after marks as in
/// `(Intercept)` or `.chain`, and so is no misspelt number, like `1.#INF`, `-nan(ind)`, `.`, `<0.1` or `50%`.
fn is_word(field: &[u8]) -> bool {
    let text = String::from_utf8_lossy(field);
    let name = text.trim_start_matches(['.', '_', '(', '[', '{', '$', '%', '@', '|', '\'']);
    // The last is a letter that is not in UTF-8.
    let is_letter = |character: char| character.is_alphabetic() || character == '\u{fffd}';
    // Missing numbers of SAS and Stata are .a to .z.
    let is_lettered_point = text.len() == 2 && text.starts_with('.');
    may_be_name(field) && name.starts_with(is_letter) && !is_lettered_point
}

/// All integers up to this are numbers of f64.
const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;

/// Whether f64 holds the number of a text: not an integer that is rounded, unless the text is what programs write for
/// the value, the fewest digits and zeros for the rest, nor what is infinite by its digits.
fn is_held(text: &[u8], value: f64) -> bool {
    if value.abs() < LARGEST_EXACT {
        return true;
    }
    let text = String::from_utf8_lossy(text);
    if !value.is_finite() {
        return !text.contains(|character: char| character.is_ascii_digit());
    }
    let (digits, value) = (text.trim_start_matches(['+', '-', '0']), value.abs());
    let is_integer = digits.bytes().all(|byte| byte.is_ascii_digit());
    !is_integer || digits == format!("{value:.0}") || digits == value.to_string()
}

fn parsed(field: &[u8]) -> Option<f64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// What languages, data bases and instruments write for a number that is not there.
fn is_missing(field: &[u8]) -> bool {
    const WORDS: &str = "na nat nd ndef nil nodata none notanumber notavailable nothing null masked missing undef \
                         undefined undetermined";
    field == b"\\N" || is_spreadsheet_error(field) || is_one_of(WORDS, field)
}

/// Infinities, and results that are no number, as others spell them: `.inf` in YAML, `NaN(ind)` in C, `Inf32` in Julia.
fn is_special(field: &[u8]) -> bool {
    const WORDS: &str = "nan nan16 nan32 nan64 nanind nanq nans qnan snan inf inf16 inf32 inf64 infty infinity \
                         infinito neginf posinf complexinfinity indeterminate overflow overload ovld ovrflw underflow";
    is_one_of(WORDS, field)
}

/// Whether a field's letters and digits, up to a bracket or colon, are one of the words: `nan` of `.NaN`, `NaN(ind)`,
/// `nan:0x8`.
fn is_one_of(words: &str, field: &[u8]) -> bool {
    let text = String::from_utf8_lossy(field).to_lowercase();
    let text = text.trim_start_matches(|character: char| !character.is_alphanumeric());
    let start = text.split(['(', '[', '{', ':']).next().unwrap_or_default();
    let word: String = start.chars().filter(|character| character.is_alphanumeric()).collect();
    words.split(' ').any(|one| one == word)
}

/// What a spreadsheet writes for a number that is not there, in any of its languages: no comment, though it starts like
/// one.
pub(super) fn is_spreadsheet_error(field: &[u8]) -> bool {
    let text = String::from_utf8_lossy(field);
    if let Some(number) = text.strip_prefix("Err:") {
        return number.parse::<u32>().is_ok();
    }
    let Some(text) = text.strip_prefix('#') else { return false };
    let is_shouted = |word: &str| {
        word.contains(char::is_alphabetic) && !word.contains(|c: char| c.is_lowercase() || c.is_whitespace())
    };
    matches!(text, "N/A" | "N/D" | "N/B" | "N/V" | "NV" | "Н/Д")
        || text.strip_suffix(['!', '?']).is_some_and(is_shouted)
}
