//! The commands and their arguments.

use crate::input::{Part, Selection};
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use logsum::Level;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::LazyLock;

/// Correctly rounded log-sum-exp of the numbers in a file, its gradient, softmax and log-softmax.
#[derive(Debug, Parser)]
#[command(
    name = "logsum",
    version,
    long_version = LONG_VERSION.as_str(),
    max_term_width = 100,
    arg_required_else_help = true,
    after_help = AFTER_HELP
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Log-sum-exp: log Σ e^z, the float nearest to the exact value
    #[command(after_help = LSE_EXAMPLES)]
    Lse(Reduction),
    /// Log-sum-exp of all numbers whose states `lse --state` wrote, here or on other machines
    #[command(after_help = MERGE_EXAMPLES)]
    Merge(Merge),
    /// Gradient of the log-sum-exp into OUT; prints the values
    #[command(after_help = GRAD_EXAMPLES)]
    Grad(Gradient),
    /// Softmax: e^z / Σ e^z
    #[command(after_help = SOFTMAX_EXAMPLES)]
    Softmax(Elementwise),
    /// Log-softmax: z − log Σ e^z
    #[command(after_help = SOFTMAX_EXAMPLES)]
    LogSoftmax(Elementwise),
    /// Cross-entropy of rows of scores against labels: log Σ e^{z_k − z_label}, and its mean
    #[command(after_help = CROSS_ENTROPY_EXAMPLES)]
    CrossEntropy(CrossEntropy),
    /// Log-probability of one token for each row of scores: log-softmax at its index
    #[command(after_help = TOKEN_LOG_PROBS_EXAMPLES)]
    TokenLogProbs(TokenLogProbs),
    /// Why the gradient of log-sum-exp is the softmax: the derivation with your numbers, each step checked
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(Explain),
    /// Print a completion script for a shell
    Completions {
        /// bash, zsh, fish, elvish or powershell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// The numbers, and what to reduce over.
#[derive(Debug, ClapArgs)]
pub(crate) struct Numbers {
    /// File of numbers: .npy, .npz, .safetensors, .parquet, .csv, .tsv or a table separated by white space; - for
    /// standard input
    #[arg(value_name = "INPUT")]
    pub(crate) input: PathBuf,

    /// Axes to reduce over, negative ones counted from the end [default: all]
    #[arg(long, value_name = "N[,N…]", value_delimiter = ',', allow_hyphen_values = true, value_parser = axis)]
    pub(crate) axis: Vec<isize>,

    #[command(flatten)]
    pub(crate) part: InputPart,
}

/// Which numbers of the input.
#[derive(Debug, ClapArgs)]
pub(crate) struct InputPart {
    /// Array of a .npz or .safetensors, by its name
    #[arg(long, value_name = "NAME")]
    pub(crate) array: Option<String>,

    /// Columns of a text table or .parquet: names (* in a name stands for any characters), numbers counted from 1, and
    /// ranges of numbers, such as 'log_lik.*,lp__' or 3,5-8,10-; put a name that is a number in quotation marks, as in
    /// '"2020"' [default: all]
    #[arg(long, visible_alias = "column", value_name = "COLUMNS", allow_negative_numbers = true)]
    pub(crate) columns: Option<Selection>,
}

impl InputPart {
    pub(crate) fn part(&self) -> Part {
        let (array, columns) = (self.array.clone(), self.columns.clone());
        Part { array, columns, prefix: "" }
    }
}

/// `lse`
#[derive(Debug, ClapArgs)]
pub(crate) struct Reduction {
    #[command(flatten)]
    pub(crate) numbers: Numbers,

    /// Keep the reduced axes in the result, with length 1
    #[arg(long)]
    pub(crate) keepdims: bool,

    /// What to compute of the numbers e^z, which are given by their logarithms z
    #[arg(long, value_name = "OP", default_value = "sum", conflicts_with = "weights")]
    pub(crate) op: Op,

    #[command(flatten)]
    pub(crate) weights: Weights,

    /// Print a table with one value for each group of rows that have the same keys in these columns; keys are integers,
    /// strings or bools, in a text table any words
    #[arg(
        long,
        value_name = "COLUMNS",
        requires = "columns",
        conflicts_with_all = ["array", "axis", "keepdims", "state", "weights"]
    )]
    pub(crate) by: Option<Selection>,

    /// Also write the state of the sum, 112 bytes, for `logsum merge`
    #[arg(long, value_name = "STATE", value_parser = file_to_write, conflicts_with_all = ["axis", "op", "keepdims"])]
    pub(crate) state: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) destination: Destination,
}

/// `merge`
#[derive(Debug, ClapArgs)]
pub(crate) struct Merge {
    /// Files that `lse --state` wrote; - for standard input
    #[arg(value_name = "STATE", required = true)]
    pub(crate) states: Vec<PathBuf>,

    /// What to compute of all numbers e^z
    #[arg(long, value_name = "OP", default_value = "sum")]
    pub(crate) op: MergeOp,

    /// Also write the merged state, for a later `logsum merge`
    #[arg(long, value_name = "STATE", value_parser = file_to_write)]
    pub(crate) state: Option<PathBuf>,

    /// How to print the value [default: a table on a terminal, plain numbers in a pipe]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MergeOp {
    /// log Σ e^z
    Sum,
    /// log of the mean of e^z
    Mean,
}

/// log Σ w e^z
#[derive(Debug, ClapArgs)]
pub(crate) struct Weights {
    /// File of weights w, of any sign, which broadcast to the input's shape; the result is nan where a sum is negative
    #[arg(long, value_name = "WEIGHTS")]
    pub(crate) weights: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) part: WeightPart,
}

/// Which numbers of the file of weights.
#[derive(Debug, ClapArgs)]
pub(crate) struct WeightPart {
    /// Array of WEIGHTS, a .npz or .safetensors, by its name
    #[arg(long, value_name = "NAME", requires = "weights")]
    pub(crate) weight_array: Option<String>,

    /// Columns of WEIGHTS, a text table or .parquet
    #[arg(long, value_name = "COLUMNS", allow_negative_numbers = true, requires = "weights")]
    pub(crate) weight_columns: Option<Selection>,
}

impl WeightPart {
    pub(crate) fn part(&self) -> Part {
        let (array, columns) = (self.weight_array.clone(), self.weight_columns.clone());
        Part { array, columns, prefix: "weight-" }
    }
}

/// `cross-entropy`
#[derive(Debug, ClapArgs)]
pub(crate) struct CrossEntropy {
    /// File of scores, with a row for each example and a column for each class; - for standard input
    #[arg(value_name = "SCORES")]
    pub(crate) scores: PathBuf,

    /// File of labels: for each row the number of its class, from 0
    #[arg(value_name = "LABELS")]
    pub(crate) labels: PathBuf,

    #[command(flatten)]
    pub(crate) part: InputPart,

    #[command(flatten)]
    pub(crate) label_part: LabelPart,

    /// Ignore rows with this label, which may be negative
    #[arg(long, value_name = "LABEL", allow_negative_numbers = true, value_parser = label)]
    pub(crate) ignore: Option<i64>,

    /// Print the loss of each row instead of the mean
    #[arg(long)]
    pub(crate) rows: bool,

    #[command(flatten)]
    pub(crate) destination: Destination,
}

/// Which numbers of the file of labels.
#[derive(Debug, ClapArgs)]
pub(crate) struct LabelPart {
    /// Array of LABELS, a .npz or .safetensors, by its name
    #[arg(long, value_name = "NAME")]
    pub(crate) label_array: Option<String>,

    /// Column of LABELS, a text table or .parquet
    #[arg(long, value_name = "COLUMNS", allow_negative_numbers = true)]
    pub(crate) label_columns: Option<Selection>,
}

impl LabelPart {
    pub(crate) fn part(&self) -> Part {
        let (array, columns) = (self.label_array.clone(), self.label_columns.clone());
        Part { array, columns, prefix: "label-" }
    }
}

/// Integers up to this are read exactly from every file.
const LARGEST_LABEL: i64 = 1 << 53;

/// `token-log-probs`
#[derive(Debug, ClapArgs)]
pub(crate) struct TokenLogProbs {
    /// File of scores, with a row for each token; - for standard input
    #[arg(value_name = "SCORES")]
    pub(crate) scores: PathBuf,

    /// File of tokens: for each row the index of one of its scores, from 0
    #[arg(value_name = "TOKENS")]
    pub(crate) tokens: PathBuf,

    #[command(flatten)]
    pub(crate) part: InputPart,

    #[command(flatten)]
    pub(crate) token_part: TokenPart,

    #[command(flatten)]
    pub(crate) destination: Destination,
}

/// Which numbers of the file of tokens.
#[derive(Debug, ClapArgs)]
pub(crate) struct TokenPart {
    /// Array of TOKENS, a .npz or .safetensors, by its name
    #[arg(long, value_name = "NAME")]
    pub(crate) token_array: Option<String>,

    /// Column of TOKENS, a text table or .parquet
    #[arg(long, value_name = "COLUMNS", allow_negative_numbers = true)]
    pub(crate) token_columns: Option<Selection>,
}

impl TokenPart {
    pub(crate) fn part(&self) -> Part {
        let (array, columns) = (self.token_array.clone(), self.token_columns.clone());
        Part { array, columns, prefix: "token-" }
    }
}

/// `explain`
#[derive(Debug, ClapArgs)]
pub(crate) struct Explain {
    /// The numbers z; inf and -inf are also accepted
    #[arg(value_name = "Z", required = true, value_parser = one_number)]
    pub(crate) numbers: Vec<f64>,

    /// Differentiate only with respect to this number, counted from 1 [default: the maximum, and the greatest other]
    #[arg(long, value_name = "I", value_parser = index)]
    pub(crate) index: Option<NonZeroUsize>,

    /// Format of the explanation
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: ExplainFormat,

    /// Language of the explanation
    #[arg(long, value_name = "LANG", default_value = "en")]
    pub(crate) lang: Tongue,
}

/// Parses the arguments. For `explain`, -inf and -5e-9 are numbers, not options.
pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Args, clap::Error> {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let has_numbers = arguments.get(1).is_some_and(|command| command == "explain");
    Args::try_parse_from(arguments.into_iter().map(|argument| {
        let text = argument.to_str().filter(|text| has_numbers && logsum_explain::number(text).is_ok());
        match text.and_then(|text| text.strip_prefix('-')) {
            Some(magnitude) => format!("−{magnitude}").into(),
            None => argument,
        }
    }))
}

fn axis(text: &str) -> Result<isize, &'static str> {
    text.trim().parse().map_err(|_| "an axis is a whole number, as 0, 1 or -1")
}

fn file_to_write(name: &str) -> Result<PathBuf, &'static str> {
    if name == "-" {
        return Err("a file must be named here, not standard output; ./- is a file of that name");
    }
    Ok(name.into())
}

fn one_number(text: &str) -> Result<f64, String> {
    logsum_explain::number(text).map_err(|error| match text.trim().contains([',', ' ', ';']) {
        true => format!("{error}; separate numbers by spaces, without quotation marks"),
        false => error.to_string(),
    })
}

fn index(text: &str) -> Result<NonZeroUsize, &'static str> {
    text.parse().map_err(|_| "an index is a whole number from 1 on")
}

fn label(text: &str) -> Result<i64, String> {
    let label = text.parse().ok().filter(|label| (-LARGEST_LABEL..=LARGEST_LABEL).contains(label));
    label.ok_or_else(|| format!("a label is a whole number, at most {LARGEST_LABEL}"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExplainFormat {
    /// For a terminal
    Text,
    /// A document for LaTeX (Chinese: for xelatex)
    Tex,
    /// A self-contained page for any browser
    Html,
    /// For programs: formulas in TeX and as text
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tongue {
    /// English
    En,
    /// 中文
    Zh,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Op {
    /// log Σ e^z
    Sum,
    /// log of the mean of e^z
    Mean,
    /// log of the variance of e^z, with divisor n
    Variance,
    /// Entropy of softmax(z), in nats
    Entropy,
}

/// `softmax` and `log-softmax`
#[derive(Debug, ClapArgs)]
pub(crate) struct Elementwise {
    #[command(flatten)]
    pub(crate) numbers: Numbers,

    #[command(flatten)]
    pub(crate) destination: Destination,
}

/// `grad`
#[derive(Debug, ClapArgs)]
pub(crate) struct Gradient {
    #[command(flatten)]
    pub(crate) numbers: Numbers,

    /// Keep the reduced axes in the values, with length 1
    #[arg(long)]
    pub(crate) keepdims: bool,

    #[command(flatten)]
    pub(crate) weights: Weights,

    /// File for the gradient; its extension determines the format: .npy, .csv or .json
    #[arg(short, long, value_name = "OUT", value_parser = file_to_write)]
    pub(crate) output: PathBuf,

    /// How to print the values [default: a table on a terminal, plain numbers in a pipe]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,
}

/// Where and in which format a result is written.
#[derive(Debug, ClapArgs)]
pub(crate) struct Destination {
    /// File for the result; its extension determines the format: .npy, .csv or .json [default: standard output]
    #[arg(short, long, value_name = "OUT", value_parser = file_to_write)]
    pub(crate) output: Option<PathBuf>,

    /// How to write the result [default: by OUT's extension; a table on a terminal, plain numbers in a pipe]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Nested lists; inf, -inf and nan are strings
    Json,
    /// Numbers separated by commas; at most two dimensions
    Csv,
    /// NumPy's file format
    Npy,
    /// For reading: aligned, with indices; matrices have six digits, and the middle of a long result is left out
    Table,
    /// The shortest decimals that read back to the same numbers, separated by spaces
    #[value(skip)]
    Plain,
}

/// What `--version` says, for reports of errors and of speed: results depend on nothing but the version.
static LONG_VERSION: LazyLock<String> = LazyLock::new(|| {
    let levels: Vec<_> =
        Level::ALL.into_iter().rev().filter(|level| level.is_available()).map(Level::name).collect();
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    format!(
        "{}\nplatform: {} {}\nSIMD level: {} (this machine has {})\nthreads: {threads}\n\
         files: .npy, .npz, .safetensors, .parquet, .csv, .tsv and other text\nnumbers: f16, bf16, f32, f64",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH,
        levels[0],
        levels.join(", "),
    )
});

const AFTER_HELP: &str = "\
Examples:
  logsum lse scores.npy --axis -1
  logsum softmax scores.csv --axis 1 -o probabilities.npy
  cut -f 2 samples.tsv | logsum lse -

Each command has examples of its own: logsum lse --help";

const LSE_EXAMPLES: &str = "\
A text table is rows by columns of f64, with or without a header line of words; lines that start with # are skipped. \
Row names, missing numbers (NA) and other words are refused; --columns says which columns to read, in which order. \
A .parquet is also such a table; its type is f16 or f32 if that is the type of all columns that are read. NULL, \
decimals, dates and nested columns are refused. A .npy, .npz or .safetensors keeps its shape and its type, f16, bf16 \
(in a .npy as ml_dtypes saves it), f32 or f64; integers and bools become f64.

With --by the result is a table with a header and one row for each group, sorted by the keys. Its columns are the keys \
and logsumexp, or logmeanexp with --op mean; for several columns of numbers, logsumexp(name) for each. In a text \
table, blanks around a key belong to it only inside quotation marks, and NA is a key like any other word; in a \
.parquet, NULL is refused as a key. The result is written as a table on a terminal, otherwise as csv, or as json: a \
list of objects. The input is read row by row, in memory that grows with the number of groups, not of rows. After \
one reading, values near 0, and about one in 10^7 of the others, are not yet proved to be the nearest floats. The rows \
of these groups are read again, so that every value is the nearest float.

Examples:
  logsum lse scores.npy                          one number: the log-sum-exp of all
  logsum lse scores.npy --axis -1 -o lse.npy     one for each row, into a file
  logsum lse big.npy --axis 0,2 --keepdims       over two axes, which stay with length 1
  seq 1 10 | logsum lse -                        from a pipe
  logsum lse fit.csv --columns 'log_lik.*'       some columns of CmdStan's draws
  logsum lse frame.csv --columns 2-              all but the row names of pandas or R
  logsum lse run.npz --array scores              one of several arrays; also for a .safetensors
  logsum lse draws.parquet --column log_w        one column of a table
  logsum lse draws.parquet --column log_w --by chain             one for each chain
  logsum lse draws.csv --columns 'log_lik*' --by chain,warm -o sums.csv
  logsum lse scores.csv --axis 1 --format json   as JSON
  logsum lse log_w.npy --op mean                 the logarithm of the mean of e^z
  logsum lse z.npy --axis 1 --weights w.csv      log Σ w e^z for each row; w may be one row for all
  logsum lse shard-7.npy --state shard-7.lse     one part of a sum, for logsum merge";

const MERGE_EXAMPLES: &str = "\
The result and its state have the same bits in any order of the files, and however the numbers were divided among \
them. The value is proved to be the nearest float, except for about one value in 10^7, values near 0, and weights that \
nearly cancel: these are almost certainly the nearest.

Examples:
  logsum merge shard-*.lse                       one number: the log-sum-exp of the numbers of all files
  logsum merge shard-*.lse --op mean             the logarithm of the mean of e^z
  logsum merge all.lse new.lse --state all.lse   one state for both";

const GRAD_EXAMPLES: &str = "\
The gradient has the input's shape and type: ∂LSE/∂z = softmax(z), or w e^z / Σ w e^z with --weights, each element \
correctly rounded. If the weights have another type than the input, both become f64, and so does the gradient.

Examples:
  logsum grad scores.npy --axis -1 -o gradient.npy
  logsum grad scores.csv --axis 1 -o gradient.csv --format json > values.json";

const CROSS_ENTROPY_EXAMPLES: &str = "\
Examples:
  logsum cross-entropy scores.npy labels.npy            the mean loss
  logsum cross-entropy scores.csv labels.txt --rows     the loss of each row
  logsum cross-entropy scores.npy labels.npy --ignore -100
  logsum cross-entropy run.npz run.npz --array scores --label-array labels";

const TOKEN_LOG_PROBS_EXAMPLES: &str = "\
Each log-probability is the number nearest to the exact one in the type of SCORES.

Examples:
  logsum token-log-probs logits.npy tokens.npy -o log_probs.npy
  logsum token-log-probs logits.csv tokens.txt | logsum lse - --op mean";

const EXPLAIN_EXAMPLES: &str = "\
Before a line is printed, its value is compared with that of the line above in arbitrary precision, with derivatives \
computed as difference quotients.

Examples:
  logsum explain 3 1 -2                          both cases, step by step
  logsum explain 1000 1001 1002                  where log Σ e^z as it is written overflows
  logsum explain 2 2 -inf --lang zh              a tie and a masked number, in Chinese
  logsum explain 3 1 -2 --format html > why.html
  logsum explain 3 1 -2 --index 3 --format tex > why.tex";

const SOFTMAX_EXAMPLES: &str = "\
The result has the input's shape and type, each element correctly rounded.

Examples:
  logsum softmax scores.npy --axis -1 -o probabilities.npy
  logsum log-softmax scores.csv --axis 1 --format csv > log_probabilities.csv";
