//! The meaning of a table's fields: headers, numbers, and words that must not be mistaken for numbers.

use super::quoting::shown;
use super::selection::Selection;
use super::spool::Spool;
use super::table::{Key, Names, TakeRow};
use super::{Array, Part};
use anyhow::{Context, Error, Result, bail, ensure};

/// A table whose fields are passed one after the other.
pub(super) struct Table<'a> {
    numbers: Spool<f64>,
    selection: Option<&'a Selection>,
    /// The option that chooses columns, for error messages.
    option: String,
    /// For each column its index among the chosen ones, once that is known.
    places: Option<Vec<Option<usize>>>,
    /// The chosen numbers of a row.
    chosen: Vec<f64>,
    /// Receives the rows if they are grouped; otherwise they are spooled.
    grouped: Option<Grouped<'a>>,
    /// The keys of a row, whose places come before those of the numbers.
    keys: Vec<Key>,
    /// How many fields the first row of numbers has, and the line it is on.
    columns: Option<(usize, u64)>,
    header: Option<Header>,
    /// The first row, while it is not known whether its numbers are names. The next row decides: they are names if they
    /// are in quotation marks and those of the next row are not, or, if columns are chosen, if another column has a
    /// word above a number.
    undecided: Option<Row>,
}

/// Columns of keys, and the function that receives each row of keys and chosen numbers.
pub(super) struct Grouped<'a> {
    pub(super) by: &'a Selection,
    pub(super) take: &'a mut TakeRow<'a>,
}

/// A row that is being read.
pub(super) struct Row {
    pub(super) line: u64,
    /// Fields so far.
    pub(super) count: usize,
    /// How many of them are in quotation marks, and whether the first is.
    quoted: usize,
    is_first_quoted: bool,
    /// Whether all are in quotation marks and may be names although they are numbers; only set for the first row.
    are_quoted_names: bool,
    /// The first field, if it is a word and the row is to be a header.
    word: Option<String>,
    /// All fields, while it is not yet known which of them are chosen.
    fields: Vec<String>,
    /// The same, with their surrounding blanks, which may belong to keys.
    texts: Vec<Vec<u8>>,
}

impl Row {
    pub(super) fn new(line: u64) -> Self {
        let (word, fields, texts) = (None, Vec::new(), Vec::new());
        Self {
            line,
            count: 0,
            quoted: 0,
            is_first_quoted: false,
            are_quoted_names: true,
            word,
            fields,
            texts,
        }
    }
}

struct Header {
    line: u64,
    /// Its first word, as error messages show it.
    word: String,
    names: usize,
    /// All fields, if columns are chosen.
    fields: Vec<String>,
}

impl<'a> Table<'a> {
    pub(super) fn new(part: &'a Part, grouped: Option<Grouped<'a>>) -> Self {
        let (selection, option) = (part.columns.as_ref(), part.option("columns"));
        let (numbers, chosen) = (Spool::new(), Vec::new());
        Self {
            numbers,
            selection,
            option,
            places: None,
            chosen,
            grouped,
            keys: Vec::new(),
            columns: None,
            header: None,
            undecided: None,
        }
    }

    /// Processes a raw field; blanks around it belong to it only if it is a key.
    pub(super) fn field(&mut self, row: &mut Row, text: &[u8], is_quoted: bool) -> Result<()> {
        let field = text.trim_ascii();
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
            row.texts.push(text.to_vec());
            return Ok(());
        };
        if let Some(&Some(place)) = places.get(row.count - 1) {
            match place.checked_sub(self.keys.len()) {
                Some(place) => self.chosen[place] = self.number(row, field)?,
                None => self.keys[place] = key(row, text)?,
            }
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
        self.header = Some(Header { line: row.line, word, names: row.count, fields: row.fields.clone() });
    }

    /// Processes a field if all columns are read.
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
                format!("{word} {MISSING}")
            }
            _ if is_special(field) => format!("{word} is not a number; write nan, inf or -inf"),
            _ => match self.hint(row, field) {
                ROW_NAME => format!("{word} is not a number{ROW_NAME} {} 2-", self.option),
                hint => format!("{word} is not a number{hint}"),
            },
        };
        Error::msg(format!("line {}, column {}: {what}", row.line, row.count))
    }

    /// A hint why there may be a word in place of a number.
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
            self.header = Some(Header { line, word: word.clone(), names: count, fields: Vec::new() });
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
        match &mut self.grouped {
            Some(grouped) => (grouped.take)(&self.keys, &self.chosen),
            None => self.chosen.iter().try_for_each(|&number| self.numbers.push(number)),
        }
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

    /// Row names are recognised in the first row of numbers: by quotation marks, or by one field more than there are
    /// names.
    fn first_row(&mut self, row: &Row) -> Result<()> {
        self.check_row_name(row)?;
        let (&Row { line, count, .. }, option) = (row, &self.option);
        // Columns that were chosen by their numbers alone need no names.
        let needs_names = self.selection.is_none() || self.has_names();
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

    /// Whether columns are chosen by names.
    fn has_names(&self) -> bool {
        self.selections().any(Selection::has_names)
    }

    /// The selections of numbers and of keys.
    fn selections(&self) -> impl Iterator<Item = &Selection> {
        self.selection.into_iter().chain(self.grouped.as_ref().map(|grouped| grouped.by))
    }

    /// Finds the chosen columns from the first row; or from the next, if the first is a header and the columns were
    /// chosen by number.
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
        let has_names = self.has_names();
        let are_names =
            row.are_quoted_names || self.selections().any(|columns| columns.has_name_of(&row.fields));
        let asked = (has_names, are_names);
        if is_first && is_header(selection, asked, &row.fields, row.line, &self.option)? {
            if has_names {
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

    /// Reads a row of numbers when the chosen columns are not yet known.
    fn choose_of(&mut self, row: &Row) -> Result<()> {
        self.find_places(row)?;
        self.read_again(row)
    }

    fn find_places(&mut self, row: &Row) -> Result<()> {
        let Some(selection) = self.selection else { return Ok(()) };
        let line = row.line;
        let names = match &self.header {
            Some(header) => &header.fields[..],
            None if self.has_names() => &row.fields,
            None => &[],
        };
        let numbers = selection
            .places(row.fields.len(), names)
            .with_context(|| format!("{}: line {line}", self.option))?;
        let keys = match &self.grouped {
            Some(grouped) => {
                grouped.by.places(row.fields.len(), names).with_context(|| format!("--by: line {line}"))?
            }
            None => Vec::new(),
        };
        if let Some(both) = keys.iter().find(|key| numbers.contains(key)) {
            bail!("--by: line {line}: column {} cannot be both a key and a number", both + 1);
        }
        let mut places = vec![None; row.count];
        let columns = keys.iter().chain(&numbers);
        columns.enumerate().for_each(|(place, &column)| places[column] = Some(place));
        (self.places, self.chosen) = (Some(places), vec![0.0; numbers.len()]);
        self.keys = vec![Key::Bool(false); keys.len()];
        Ok(())
    }

    /// Reads a row whose fields were kept.
    fn read_again(&mut self, row: &Row) -> Result<()> {
        let mut again = Row::new(row.line);
        row.texts.iter().try_for_each(|text| self.field(&mut again, text, false))?;
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

    /// The end of the file; gives the number of columns that were read.
    fn end(&mut self) -> Result<usize> {
        if self.selection.is_some()
            && let Some(first) = self.undecided.take()
        {
            self.choose_of(&first)?;
        }
        match (self.columns, &self.header) {
            (Some(_), _) if self.selection.is_some() => Ok(self.chosen.len()),
            (Some((columns, _)), _) => Ok(columns),
            (None, Some(Header { line, word, .. })) => {
                let hint = if word.contains(';') { SEPARATORS } else { "" };
                bail!("has no numbers: line {line}, which starts with {word}, was taken for a header{hint}")
            }
            (None, None) => bail!("is empty; it must hold at least one number"),
        }
    }

    pub(super) fn finish(mut self) -> Result<Array<f64>> {
        let columns = self.end()?;
        let shape = vec![self.numbers.count() / columns, columns];
        Ok(Array { numbers: self.numbers.finish()?, shape, fortran_order: false })
    }

    /// The names of the columns that were read.
    pub(super) fn finish_rows(mut self) -> Result<Names> {
        self.end()?;
        let mut keys = vec![String::new(); self.keys.len() + self.chosen.len()];
        for (column, place) in self.places.iter().flatten().enumerate() {
            if let Some(place) = *place {
                let name = self.header.as_ref().and_then(|header| header.fields.get(column));
                keys[place] = name.cloned().unwrap_or_else(|| (column + 1).to_string());
            }
        }
        let numbers = keys.split_off(self.keys.len());
        Ok(Names { keys, numbers })
    }
}

/// The key in a field of a column of keys: any word.
fn key(row: &Row, field: &[u8]) -> Result<Key> {
    let place = || format!("line {}, column {}", row.line, row.count);
    ensure!(!field.is_empty(), "{}: the field is empty, which is not a key", place());
    let word = str::from_utf8(field)
        .ok()
        .with_context(|| format!("{}: {} is not in UTF-8; save the file as UTF-8", place(), shown(field)))?;
    Ok(Key::of_word(word))
}

pub(super) const MISSING: &str =
    "is a missing number; write nan for a result that is nan, or -inf for a term of 0";
const SEPARATORS: &str = "; fields are separated by commas, tabs or white space";
const HEADER: &str = " (a header line has words only)";
const ROW_NAME: &str = "; if it is a row's name, leave it out with";

/// Whether the first row holds names; if the chosen columns are known by number, only these fields are examined.
/// Numbers are names if columns were chosen by names, and the numbers are these names or in quotation marks.
fn is_header(
    selection: &Selection,
    (has_names, are_names): (bool, bool),
    fields: &[String],
    line: u64,
    option: &str,
) -> Result<bool> {
    let has_row_names = fields.first().is_some_and(|field| is_unnamed(field.as_bytes()));
    // Pandas numbers the columns of a frame without names.
    let is_counted = has_row_names
        && fields.len() > 1
        && fields[1..].iter().enumerate().all(|(place, field)| *field == place.to_string());
    if has_names {
        ensure!(
            is_counted || are_names || fields.iter().any(|field| may_be_name(field.as_bytes())),
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

/// Whether these are several ascending natural numbers, as names of columns are if they are numbers.
fn are_like_years(fields: &[(usize, &String)]) -> bool {
    let numbers: Option<Vec<u64>> = fields.iter().map(|(_, field)| field.parse().ok()).collect();
    numbers.is_some_and(|numbers| numbers.len() > 1 && numbers.is_sorted_by(|one, next| one < next))
}

/// Whether a name is that of a column of row names: empty, or one of the names that pandas gives such a column when it
/// reads it and writes it again, or writes a .parquet.
pub(super) fn is_unnamed(name: &[u8]) -> bool {
    matches!(name, b"" | b"Unnamed: 0") || name.starts_with(b"__index_level_")
}

/// Whether a field may be a name: it is neither a number nor a word that stands for one.
fn may_be_name(field: &[u8]) -> bool {
    !field.is_empty() && parsed(field).is_none() && !is_missing(field) && !is_special(field)
}

/// Whether a field in quotation marks may be a name above numbers that are not quoted: also if it is a number, but not
/// an infinity or a NaN.
fn may_be_quoted_name(field: &[u8]) -> bool {
    parsed(field).map_or_else(|| may_be_name(field), f64::is_finite)
}

/// Whether a field is taken for a name if no names were given. It must start with a letter, perhaps after punctuation
/// as in `(Intercept)` or `.chain`, and so cannot be a misspelt number, like `1.#INF`, `-nan(ind)`, `.`, `<0.1` or
/// `50%`.
fn is_word(field: &[u8]) -> bool {
    let text = String::from_utf8_lossy(field);
    let name = text.trim_start_matches(['.', '_', '(', '[', '{', '$', '%', '@', '|', '\'']);
    // U+FFFD replaces a letter that is not in UTF-8.
    let is_letter = |character: char| character.is_alphabetic() || character == '\u{fffd}';
    // Missing numbers of SAS and Stata are .a to .z.
    let is_lettered_point = text.len() == 2 && text.starts_with('.');
    may_be_name(field) && name.starts_with(is_letter) && !is_lettered_point
}

/// All integers up to this are exact in f64.
const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;

/// Whether f64 represents the number of a text. It does not if the number overflows, nor if it is an integer that is
/// rounded; unless the text is what programs write for the rounded value: the fewest digits, and zeros for the rest.
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

/// The words of languages, databases and instruments for a missing number.
fn is_missing(field: &[u8]) -> bool {
    const WORDS: &str = "na nat nd ndef nil nodata none notanumber notavailable nothing null masked missing undef \
                         undefined undetermined";
    field == b"\\N" || is_spreadsheet_error(field) || is_one_of(WORDS, field)
}

/// Other spellings of infinities and NaN: `.inf` in YAML, `NaN(ind)` in C, `Inf32` in Julia.
fn is_special(field: &[u8]) -> bool {
    const WORDS: &str = "nan nan16 nan32 nan64 nanind nanq nans qnan snan inf inf16 inf32 inf64 infty infinity \
                         infinito neginf posinf complexinfinity indeterminate overflow overload ovld ovrflw underflow";
    is_one_of(WORDS, field)
}

/// Whether the letters and digits of a field, up to a bracket or colon, are one of these words: `nan` in `.NaN`,
/// `NaN(ind)`, `nan:0x8`.
fn is_one_of(words: &str, field: &[u8]) -> bool {
    let text = String::from_utf8_lossy(field).to_lowercase();
    let text = text.trim_start_matches(|character: char| !character.is_alphanumeric());
    let start = text.split(['(', '[', '{', ':']).next().unwrap_or_default();
    let word: String = start.chars().filter(|character| character.is_alphanumeric()).collect();
    words.split(' ').any(|one| one == word)
}

/// What a spreadsheet writes for a missing number, in any of its languages: not a comment, although it starts with #.
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
