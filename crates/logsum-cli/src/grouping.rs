//! `lse --by`: one value for each group of rows of a table.
//!
//! The table is read once, into a state for each group. Where a state does not settle its value, the table is read
//! again, and the value is that of all numbers of the group at once.

use crate::args::{Op, Reduction};
use crate::input::{Key, Number, Precision, Selection, Spool, Table};
use crate::output::{GroupTable, Target};
use crate::progress::Progress;
use anyhow::{Context, Result, bail, ensure};
use half::f16;
use logsum::Accumulator;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;

/// The number of rows whose numbers wait to be added together.
const WAITING: usize = 1 << 12;

/// The most numbers kept for settling groups in one reading of the table; more only if a single group has more.
const SETTLED_AT_ONCE: u64 = 1 << 23;

pub(crate) fn run(args: &Reduction, by: &Selection) -> Result<()> {
    let value = match args.op {
        Op::Sum => Value::LogSumExp,
        Op::Mean => Value::LogMeanExp,
        Op::Variance | Op::Entropy => bail!("--by: --op can be sum or mean"),
    };
    let input = &args.numbers.input;
    let target = Target::new(&args.destination, input)?.for_groups()?;
    let part = args.numbers.part.part();
    let table = Table::open(input, &part, by)?;
    match table.precision() {
        Precision::F16 => grouped::<f16>(&table, value, target),
        Precision::F32 => grouped::<f32>(&table, value, target),
        Precision::F64 => grouped::<f64>(&table, value, target),
    }
}

/// What is computed of the numbers of a group.
#[derive(Clone, Copy)]
enum Value {
    LogSumExp,
    LogMeanExp,
}

impl Value {
    fn name(self) -> &'static str {
        match self {
            Self::LogSumExp => "logsumexp",
            Self::LogMeanExp => "logmeanexp",
        }
    }

    /// The value of a state, if it is proved to be the nearest number.
    fn of_sum<T: Number>(self, sum: &Accumulator<T>) -> Option<T> {
        match self {
            Self::LogSumExp => sum.is_proved_nearest().then(|| sum.value()),
            Self::LogMeanExp => sum.is_logmeanexp_proved_nearest().then(|| sum.logmeanexp()),
        }
    }

    fn of_all<T: Number>(self, numbers: &[T]) -> T {
        match self {
            Self::LogSumExp => logsum::logsumexp(numbers),
            Self::LogMeanExp => logsum::logmeanexp(numbers),
        }
    }
}

fn grouped<T: Number>(table: &Table<'_>, value: Value, target: Target) -> Result<()> {
    let progress = Progress::new();
    let mut groups = Groups::<T>::new();
    let columns = table.read(&progress, &mut |keys, numbers| groups.add(keys, numbers))?;
    groups.add_waiting()?;
    let values = groups.values(table, value, &progress)?;
    let mut rows: Vec<_> = groups
        .places
        .into_iter()
        .map(|(keys, group)| (keys, values.iter().map(|column| column[group]).collect::<Vec<T>>()))
        .collect();
    sort(&mut rows);
    progress.done();
    let mut names = columns.keys;
    match &columns.numbers[..] {
        [_] => names.push(value.name().to_owned()),
        several => names.extend(several.iter().map(|column| format!("{}({column})", value.name()))),
    }
    target.write_groups(&GroupTable { names, rows })
}

/// The groups of a table, and the sum of each in each column of numbers.
struct Groups<T> {
    places: HashMap<Vec<Key>, usize>,
    /// By columns, then by groups.
    sums: Vec<Vec<Accumulator<T>>>,
    /// The groups of rows that wait to be added, and for each column their numbers.
    waiting: Vec<usize>,
    numbers: Vec<Vec<T>>,
}

impl<T: Number> Groups<T> {
    fn new() -> Self {
        Self { places: HashMap::new(), sums: Vec::new(), waiting: Vec::new(), numbers: Vec::new() }
    }

    fn add(&mut self, keys: &[Key], numbers: &[f64]) -> Result<()> {
        let group = match self.places.get(keys) {
            Some(&group) => group,
            None => {
                let group = self.places.len();
                self.places.insert(keys.to_vec(), group);
                self.sums.resize(numbers.len(), Vec::new());
                self.numbers.resize(numbers.len(), Vec::new());
                self.sums.iter_mut().for_each(|sums| sums.push(Accumulator::new()));
                group
            }
        };
        self.waiting.push(group);
        for (waiting, &number) in self.numbers.iter_mut().zip(numbers) {
            waiting.push(T::from_f64(number));
        }
        if self.waiting.len() < WAITING { Ok(()) } else { self.add_waiting() }
    }

    fn add_waiting(&mut self) -> Result<()> {
        for (sums, numbers) in self.sums.iter_mut().zip(&mut self.numbers) {
            Accumulator::update_groups(sums, &self.waiting, numbers, None)?;
            numbers.clear();
        }
        self.waiting.clear();
        Ok(())
    }

    /// The value of each group in each column.
    fn values(&self, table: &Table<'_>, value: Value, progress: &Progress) -> Result<Vec<Vec<T>>> {
        let of_column = |sums: &Vec<_>| sums.iter().map(|sum| value.of_sum(sum)).collect();
        let mut values: Vec<Vec<Option<T>>> = self.sums.iter().map(of_column).collect();
        loop {
            let open = self.unsettled(&values);
            if open.is_empty() {
                return Ok(values.into_iter().map(|column| column.into_iter().flatten().collect()).collect());
            }
            for ((column, group), numbers) in self.gather(open, table, progress)? {
                let numbers = numbers.into_array()?;
                let numbers = numbers.view()?;
                values[column][group] =
                    Some(value.of_all(numbers.as_slice().context("one after the other")?));
            }
        }
    }

    /// Columns and groups without a value, at most as many as are settled at once.
    fn unsettled(&self, values: &[Vec<Option<T>>]) -> HashMap<(usize, usize), Spool<T>> {
        let mut open = HashMap::new();
        let mut count = 0;
        for (column, values) in values.iter().enumerate() {
            for (group, _) in values.iter().enumerate().filter(|(_, value)| value.is_none()) {
                count += self.sums[column][group].count();
                if count > SETTLED_AT_ONCE && !open.is_empty() {
                    return open;
                }
                open.insert((column, group), Spool::new());
            }
        }
        open
    }

    /// Reads all numbers of these columns and groups.
    fn gather(
        &self,
        mut open: HashMap<(usize, usize), Spool<T>>,
        table: &Table<'_>,
        progress: &Progress,
    ) -> Result<HashMap<(usize, usize), Spool<T>>> {
        const CHANGED: &str = "has changed while it was read";
        table.read(progress, &mut |keys, numbers| {
            let &group = self.places.get(keys).context(CHANGED)?;
            for (column, &number) in numbers.iter().enumerate() {
                if let Some(gathered) = open.get_mut(&(column, group)) {
                    gathered.push(T::from_f64(number))?;
                }
            }
            Ok(())
        })?;
        let is_same = |(&(column, group), gathered): (&(usize, usize), &Spool<T>)| {
            gathered.count() as u64 == self.sums[column][group].count()
        };
        ensure!(open.iter().all(is_same), "the input {CHANGED}");
        Ok(open)
    }
}

/// Puts the rows into the order of their keys: by value in columns where all are numbers, else as text.
fn sort<V>(rows: &mut [(Vec<Key>, V)]) {
    let columns = rows.first().map_or(0, |(keys, _)| keys.len());
    let are_numbers: Vec<bool> =
        (0..columns).map(|column| rows.iter().all(|(keys, _)| number(&keys[column]).is_some())).collect();
    rows.sort_by(|(one, _), (other, _)| {
        let pairs = one.iter().zip(other).zip(&are_numbers);
        let of_column = |((one, other), &are_numbers): ((&Key, &Key), &bool)| {
            let order = match are_numbers {
                true => number(one).partial_cmp(&number(other)).unwrap_or(Ordering::Equal),
                false => text(one).cmp(&text(other)),
            };
            // For integers that round to the same f64, and for words that mean the same number.
            order.then_with(|| one.cmp(other))
        };
        pairs.map(of_column).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    });
}

fn number(key: &Key) -> Option<f64> {
    match key {
        Key::Integer(integer) => Some(*integer as f64),
        Key::Bool(_) => None,
        Key::Text(text) => text.parse().ok().filter(|number: &f64| !number.is_nan()),
    }
}

fn text(key: &Key) -> Cow<'_, str> {
    match key {
        Key::Text(text) => text.into(),
        other => other.to_string().into(),
    }
}
