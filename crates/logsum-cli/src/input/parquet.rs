//! Tables of Apache Parquet: columns, in groups of rows, in pages. <https://parquet.apache.org/docs/file-format>

use super::numeric_table::{MISSING, is_unnamed};
use super::raw::exact;
use super::selection::Selection;
use super::spool::Spool;
use super::table::{Key, Names, TakeRow};
use super::{Array, Number, Part, Precision};
use crate::progress::Progress;
use anyhow::{Context, Error, Result, bail, ensure};
use half::f16;
use parquet::basic::{Compression, ConvertedType, LogicalType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

/// Rows of a column that are decoded at a time; fewer if there are many columns.
const ROWS: usize = 1 << 13;
/// Numbers and keys that are decoded at a time.
const CELLS: usize = 1 << 20;

/// The chosen columns of a table.
pub(super) struct ParquetTable {
    reader: SerializedFileReader<File>,
    keys: Vec<Column>,
    numbers: Vec<Column>,
}

struct Column {
    name: String,
    /// Its index among the leaf columns: those that are not nested, and those inside nested ones.
    leaf: usize,
    kind: Kind,
}

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool,
    Signed,
    Unsigned,
    F16,
    F32,
    F64,
    Text,
}

impl ParquetTable {
    /// Finds the columns of numbers, all if none are chosen, and those of keys, if there are any.
    pub(super) fn open(file: File, part: &Part, by: Option<&Selection>) -> Result<Self> {
        let reader = guarded(|| SerializedFileReader::new(file))?;
        let metadata = reader.metadata();
        let rows: Option<i64> = metadata.row_groups().iter().try_fold(0_i64, |rows, group| {
            rows.checked_add(group.num_rows()).filter(|_| group.num_rows() >= 0)
        });
        ensure!(
            rows == Some(metadata.file_metadata().num_rows()),
            damaged("its numbers of rows contradict each other")
        );
        let schema = metadata.file_metadata().schema_descr();
        let fields = schema.root_schema().get_fields();
        let names: Vec<String> = fields.iter().map(|field| field.name().to_owned()).collect();
        let (numbers, keys) = chosen(&names, part, by)?;
        let number = |&place: &usize| {
            let column = column(schema, place, &names[place])?;
            ensure!(column.kind != Kind::Text, "column {:?} holds text, not numbers", column.name);
            Ok(column)
        };
        let key = |&place: &usize| {
            let column = column(schema, place, &names[place])?;
            let is_float = matches!(column.kind, Kind::F16 | Kind::F32 | Kind::F64);
            ensure!(!is_float, "column {:?} holds floats; keys are integers, strings or bools", column.name);
            Ok(column)
        };
        let keys = keys.iter().map(key).collect::<Result<_>>().context("--by")?;
        let numbers =
            numbers.iter().map(number).collect::<Result<_>>().map_err(|error| match part.columns {
                Some(_) => error,
                None => {
                    let option = part.option("columns");
                    Error::msg(format!("{error}; choose columns of numbers with {option}"))
                }
            })?;
        Ok(Self { reader, keys, numbers })
    }

    /// The type that all the numbers have in common.
    pub(super) fn precision(&self) -> Precision {
        let have = |kind: Kind| self.numbers.iter().all(|column| column.kind == kind);
        match () {
            () if have(Kind::F16) => Precision::F16,
            () if have(Kind::F32) => Precision::F32,
            () => Precision::F64,
        }
    }

    /// All numbers as a matrix, read column by column.
    pub(super) fn array<T: Number>(&self, progress: &Progress) -> Result<Array<T>> {
        let rows = self.rows_in_all();
        progress.reading_numbers(rows.saturating_mul(self.numbers.len()) as u64);
        let mut spool = Spool::new();
        for column in &self.numbers {
            let mut first = 0;
            for group in 0..self.reader.num_row_groups() {
                let mut values = self.values(group, column, first)?;
                for count in batches(self.rows_of(group), ROWS) {
                    let numbers = values.numbers(count)?;
                    numbers.into_iter().try_for_each(|number| spool.push(T::from_f64(number)))?;
                    progress.numbers_read(count as u64);
                }
                first += self.rows_of(group);
            }
        }
        let shape = vec![rows, self.numbers.len()];
        Ok(Array { numbers: spool.finish()?, shape, fortran_order: true })
    }

    /// Reads all rows; gives the names of the columns.
    pub(super) fn rows(&self, progress: &Progress, take: &mut TakeRow<'_>) -> Result<Names> {
        progress.reading_numbers(self.rows_in_all() as u64);
        let at_once = (CELLS / (self.keys.len() + self.numbers.len())).clamp(1, ROWS);
        let (mut row_keys, mut row_numbers) = (Vec::new(), Vec::new());
        let mut first = 0;
        for group in 0..self.reader.num_row_groups() {
            let open = |column| self.values(group, column, first);
            let mut keys = self.keys.iter().map(open).collect::<Result<Vec<_>>>()?;
            let mut numbers = self.numbers.iter().map(open).collect::<Result<Vec<_>>>()?;
            for count in batches(self.rows_of(group), at_once) {
                let mut keys =
                    keys.iter_mut().map(|column| column.keys(count)).collect::<Result<Vec<_>>>()?;
                let numbers =
                    numbers.iter_mut().map(|column| column.numbers(count)).collect::<Result<Vec<_>>>()?;
                for row in 0..count {
                    row_keys.clear();
                    row_keys.extend(keys.iter_mut().map(|column| take_key(&mut column[row])));
                    row_numbers.clear();
                    row_numbers.extend(numbers.iter().map(|column| column[row]));
                    take(&row_keys, &row_numbers)?;
                }
                progress.numbers_read(count as u64);
            }
            first += self.rows_of(group);
        }
        let names = |columns: &[Column]| columns.iter().map(|column| column.name.clone()).collect();
        Ok(Names { keys: names(&self.keys), numbers: names(&self.numbers) })
    }

    fn rows_in_all(&self) -> usize {
        self.reader.metadata().file_metadata().num_rows() as usize
    }

    fn rows_of(&self, group: usize) -> usize {
        self.reader.metadata().row_group(group).num_rows() as usize
    }

    /// The values of a column in a group of rows, which starts at row `first` of the table.
    fn values<'a>(&'a self, group: usize, column: &'a Column, first: usize) -> Result<Values<'a>> {
        let metadata = self.reader.metadata().row_group(group);
        let rows = metadata.num_rows();
        let found = metadata.columns().get(column.leaf).map(|chunk| chunk.num_values());
        ensure!(
            found == Some(rows),
            damaged(&format!("column {:?} does not have a value in each row", column.name))
        );
        let refused = match metadata.column(column.leaf).compression() {
            Compression::BROTLI(_) => Some("Brotli"),
            Compression::LZO => Some("LZO"),
            _ => None,
        };
        if let Some(codec) = refused {
            let name = &column.name;
            bail!(
                "column {name:?} is compressed by {codec}, which is not supported; save it with zstd or snappy"
            );
        }
        let reader = guarded(|| self.reader.get_row_group(group)?.get_column_reader(column.leaf))
            .with_context(|| format!("column {:?}", column.name))?;
        Ok(Values { column, reader, next: first })
    }
}

/// Values of a column that come one after the other.
struct Values<'a> {
    column: &'a Column,
    reader: ColumnReader,
    /// The row of the next value, from 0.
    next: usize,
}

impl<'a> Values<'a> {
    fn numbers(&mut self, count: usize) -> Result<Vec<f64>> {
        let rows = self.rows(count, MISSING);
        let Self { column, reader, .. } = self;
        let is_unsigned = column.kind == Kind::Unsigned;
        match reader {
            ColumnReader::BoolColumnReader(reader) => rows.read(reader, |&truth| Ok(truth.into())),
            ColumnReader::Int32ColumnReader(reader) if is_unsigned => {
                rows.read(reader, |&bits| Ok((bits as u32).into()))
            }
            ColumnReader::Int32ColumnReader(reader) => rows.read(reader, |&integer| Ok(integer.into())),
            ColumnReader::Int64ColumnReader(reader) if is_unsigned => {
                rows.read(reader, |&bits| exact((bits as u64).into()))
            }
            ColumnReader::Int64ColumnReader(reader) => rows.read(reader, |&integer| exact(integer.into())),
            ColumnReader::FloatColumnReader(reader) => rows.read(reader, |&number| Ok(number.into())),
            ColumnReader::DoubleColumnReader(reader) => rows.read(reader, |&number| Ok(number)),
            ColumnReader::FixedLenByteArrayColumnReader(reader) => rows.read(reader, |bytes| {
                let bytes = bytes.data().try_into().map_err(|_| damaged("an f16 has two bytes"))?;
                Ok(f16::from_le_bytes(bytes).into())
            }),
            _ => bail!("column {:?} holds no numbers", column.name),
        }
    }

    fn keys(&mut self, count: usize) -> Result<Vec<Key>> {
        let rows = self.rows(count, "is not a key; give the row a value, or leave it out");
        let Self { column, reader, .. } = self;
        let is_unsigned = column.kind == Kind::Unsigned;
        match reader {
            ColumnReader::BoolColumnReader(reader) => rows.read(reader, |&truth| Ok(Key::Bool(truth))),
            ColumnReader::Int32ColumnReader(reader) => rows.read(reader, |&integer| {
                Ok(Key::Integer(if is_unsigned { (integer as u32).into() } else { integer.into() }))
            }),
            ColumnReader::Int64ColumnReader(reader) => rows.read(reader, |&integer| {
                Ok(Key::Integer(if is_unsigned { (integer as u64).into() } else { integer.into() }))
            }),
            ColumnReader::ByteArrayColumnReader(reader) => rows.read(reader, |bytes| {
                let text = str::from_utf8(bytes.data()).context("the bytes are not text in UTF-8")?;
                Ok(Key::Text(text.to_owned()))
            }),
            _ => bail!("--by: column {:?} holds no keys", column.name),
        }
    }

    /// The next rows; `missing` is the message if a value is NULL.
    fn rows(&mut self, count: usize, missing: &'static str) -> Rows<'a> {
        let first = self.next;
        self.next += count;
        Rows { column: self.column, first, count, missing }
    }
}

/// Rows of a column that are read next.
struct Rows<'a> {
    column: &'a Column,
    first: usize,
    count: usize,
    /// Why NULL is refused.
    missing: &'static str,
}

impl Rows<'_> {
    fn read<D: DataType, V>(
        self,
        reader: &mut ColumnReaderImpl<D>,
        value: impl Fn(&D::T) -> Result<V>,
    ) -> Result<Vec<V>> {
        let Self { column: Column { name, .. }, first, count, missing } = self;
        let (mut levels, mut values) = (Vec::new(), Vec::new());
        let (records, present, _) =
            guarded(|| reader.read_records(count, Some(&mut levels), None, &mut values))
                .with_context(|| format!("column {name:?}"))?;
        let place = |row: usize| format!("row {}, column {name:?}", first + row + 1);
        // There are definition levels if values may be missing: level 0 means NULL.
        if let Some(row) = levels.iter().position(|&level| level == 0) {
            bail!("{}: NULL {missing}", place(row));
        }
        ensure!(
            (records, present, values.len()) == (count, count, count),
            damaged(&format!("column {name:?} ends before row {}", first + count))
        );
        values.iter().enumerate().map(|(row, raw)| value(raw).with_context(|| place(row))).collect()
    }
}

/// The places of the columns of numbers, all if none are chosen, and of keys.
fn chosen(names: &[String], part: &Part, by: Option<&Selection>) -> Result<(Vec<usize>, Vec<usize>)> {
    ensure!(!names.is_empty(), "has no columns");
    let option = part.option("columns");
    let numbers = match &part.columns {
        Some(selection) => selection.places(names.len(), names).with_context(|| option.clone())?,
        None => (0..names.len()).collect(),
    };
    if let (None, Some(index)) = (&part.columns, names.iter().find(|name| is_unnamed(name.as_bytes()))) {
        bail!("column {index:?} has the row names that pandas writes: choose others with {option}");
    }
    let keys = match by {
        Some(by) => by.places(names.len(), names).context("--by")?,
        None => Vec::new(),
    };
    if let Some(&both) = keys.iter().find(|key| numbers.contains(key)) {
        bail!("--by: column {:?} cannot be both a key and a number", names[both]);
    }
    Ok((numbers, keys))
}

/// Divides a number of rows into parts of at most `length`.
fn batches(rows: usize, length: usize) -> impl Iterator<Item = usize> {
    (0..rows).step_by(length).map(move |start| length.min(rows - start))
}

/// Takes the key, and leaves a meaningless one in its place.
fn take_key(key: &mut Key) -> Key {
    std::mem::replace(key, Key::Bool(false))
}

/// The column at this place, if it is one of plain values.
fn column(schema: &SchemaDescriptor, place: usize, name: &str) -> Result<Column> {
    let mut leaves = (0..schema.num_columns()).filter(|&leaf| schema.get_column_root_idx(leaf) == place);
    let leaf = leaves.next().filter(|&leaf| {
        let (column, field) = (schema.column(leaf), &schema.root_schema().get_fields()[place]);
        field.is_primitive() && column.max_rep_level() == 0
    });
    let leaf = leaf.with_context(|| format!("column {name:?} is nested: it holds lists or structs"))?;
    let kind = kind(&schema.column(leaf)).map_err(|what| {
        Error::msg(format!("column {name:?} holds {what}, which are not supported; save it as float64"))
    })?;
    Ok(Column { name: name.to_owned(), leaf, kind })
}

/// The kind of a column's values, or the words for a kind that is not supported.
fn kind(column: &ColumnDescriptor) -> Result<Kind, String> {
    const DECIMALS: &str = "decimals";
    const TIMES: &str = "dates or times";
    let kind = match (column.logical_type_ref(), column.converted_type()) {
        (Some(LogicalType::Integer(integer)), _) if integer.is_signed => Kind::Signed,
        (Some(LogicalType::Integer(_)), _) => Kind::Unsigned,
        (Some(LogicalType::Float16), _) => Kind::F16,
        (Some(LogicalType::String | LogicalType::Enum | LogicalType::Json), _) => Kind::Text,
        (Some(LogicalType::Decimal(_)), _) | (None, ConvertedType::DECIMAL) => return Err(DECIMALS.into()),
        (Some(LogicalType::Date | LogicalType::Time(_) | LogicalType::Timestamp(_)), _) => {
            return Err(TIMES.into());
        }
        // A column of nothing but NULL.
        (Some(LogicalType::Unknown), _) | (None, ConvertedType::NONE) => match column.physical_type() {
            Type::BOOLEAN => Kind::Bool,
            Type::INT32 | Type::INT64 => Kind::Signed,
            Type::FLOAT => Kind::F32,
            Type::DOUBLE => Kind::F64,
            // Strings, as they were written before there was a type for them.
            Type::BYTE_ARRAY => Kind::Text,
            Type::INT96 => return Err(TIMES.into()),
            Type::FIXED_LEN_BYTE_ARRAY => return Err("bytes".into()),
        },
        (Some(other), _) => return Err(format!("values of type {other:?}")),
        (None, other) => match other {
            ConvertedType::INT_8 | ConvertedType::INT_16 | ConvertedType::INT_32 | ConvertedType::INT_64 => {
                Kind::Signed
            }
            ConvertedType::UINT_8
            | ConvertedType::UINT_16
            | ConvertedType::UINT_32
            | ConvertedType::UINT_64 => Kind::Unsigned,
            ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON => Kind::Text,
            _ => return Err(TIMES.into()),
        },
    };
    let fits = match kind {
        Kind::Bool => column.physical_type() == Type::BOOLEAN,
        Kind::Signed | Kind::Unsigned => matches!(column.physical_type(), Type::INT32 | Type::INT64),
        Kind::F16 => column.physical_type() == Type::FIXED_LEN_BYTE_ARRAY,
        Kind::F32 => column.physical_type() == Type::FLOAT,
        Kind::F64 => column.physical_type() == Type::DOUBLE,
        Kind::Text => column.physical_type() == Type::BYTE_ARRAY,
    };
    if fits { Ok(kind) } else { Err("values of contradictory types".into()) }
}

/// Calls the library, which panics on some damaged files: a panic becomes an error, too.
fn guarded<R>(call: impl FnOnce() -> Result<R, ParquetError>) -> Result<R> {
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let result = catch_unwind(AssertUnwindSafe(call));
    set_hook(hook);
    match result {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(error)) => Err(complaint(error)),
        Err(_) => Err(damaged("its parts contradict each other")),
    }
}

fn complaint(error: ParquetError) -> Error {
    match error {
        ParquetError::NYI(what) => Error::msg(format!("has a part that is not supported: {what}")),
        error => Error::new(error).context(DAMAGED),
    }
}

const DAMAGED: &str = "is a damaged .parquet; save it again";

fn damaged(what: &str) -> Error {
    Error::msg(format!("{DAMAGED}: {what}"))
}
