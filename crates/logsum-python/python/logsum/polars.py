"""logsum's functions as expressions of Polars: `pl.col("z").logsum.logsumexp()`, once `logsum.polars` is imported.

The expressions work wherever Polars takes expressions: in `select`, `with_columns`, `group_by(…).agg(…)`, `over`, lazy
frames and the streaming engine. Results have the format of the numbers, or Float64 if these are integers, decimals or
booleans; other types raise TypeError. Integers beyond 2⁵³ are rounded, as in Polars' own casts. Nulls are left out of
sums, and stay null where each row has a result.

>>> import polars as pl
>>> import logsum.polars
>>> draws = pl.DataFrame({"chain": ["a", "b", "a"], "log_w": [-1000.0, -2e4, -1001.0]})
>>> draws.group_by("chain", maintain_order=True).agg(evidence=pl.col("log_w").logsum.logmeanexp()).rows()
[('a', -1000.3798854930417), ('b', -20000.0)]
>>> draws.select(pl.col("log_w").logsum.softmax().over("chain")).to_series().to_list()
[0.7310585786300049, 1.0, 0.2689414213699951]
"""

import numpy as np
import polars as pl

from . import _accumulator, _core, _general

__all__ = ["Expressions"]


FLOATS = (pl.Float16, pl.Float32, pl.Float64)


def by_format(expression, build):
    """The expression that `build` makes of the numbers as floats and of their format, which is known when the query is
    planned."""

    def planned(numbers, dtype):
        if not (dtype.is_numeric() or dtype in (pl.Boolean, pl.Null)):
            raise TypeError(f"logsum's functions take numbers, not {dtype}: cast them first")
        format = dtype if dtype in FLOATS else pl.Float64
        return build(numbers.cast(format), format)

    return expression.pipe_with_dtype(planned)


def for_groups(expression, function):
    """`function` of the numbers of all groups and of the offsets of the groups: one result for each group."""

    def of_lists(lists):
        lists = lists.list.drop_nulls()
        offsets = np.concatenate([[0], np.cumsum(lists.list.len().fill_null(0).to_numpy(), dtype=np.intp)])
        numbers = numbers_of(lists.explode(empty_as_null=False, keep_nulls=False))
        return pl.Series(lists.name, function(numbers, offsets), dtype=lists.dtype.inner)

    # The function gets the lists of all groups as one series.
    build = lambda numbers, format: numbers.implode().map_batches(of_lists, format, is_elementwise=True)
    return by_format(expression, build)


def parts_of(numbers, offsets):
    return [numbers[start:end] for start, end in zip(offsets, offsets[1:])]


def each_part(function):
    """`function` of each group, one after the other."""
    return lambda numbers, offsets: np.concatenate([numbers[:0], *map(function, parts_of(numbers, offsets))])


def for_each_group(expression, function):
    """`function` of the numbers of each group; null for a group without numbers."""

    def of_groups(numbers, offsets):
        return [function(part).item() if part.size else None for part in parts_of(numbers, offsets)]

    return for_groups(expression, of_groups)


def for_rows_of_groups(expression, function):
    """`function` of the numbers of all groups and of the offsets of the groups: one result for each number."""

    def of_lists(lists):
        flat = lists.explode(empty_as_null=False, keep_nulls=False)
        lengths = lists.list.len().fill_null(0).to_numpy()
        places = np.repeat(np.arange(len(lists)), lengths)
        is_there = flat.is_not_null()
        counts = np.bincount(places[is_there.to_numpy()], minlength=len(lists))
        offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.intp)])
        results = with_nulls(is_there, function(numbers_of(flat), offsets))
        rows = pl.DataFrame({"place": places, "result": results})
        groups = rows.group_by("place").agg("result")
        every = pl.DataFrame({"place": np.arange(len(lists))}).join(groups, "place", how="left", maintain_order="left")
        return every["result"].fill_null([]).alias(lists.name)

    build = lambda numbers, format: numbers.implode().map_batches(of_lists, pl.List(format), is_elementwise=True)
    return by_format(expression, lambda numbers, format: build(numbers, format).explode())


def for_rows(expression, function):
    """`function` of each number."""

    def of_series(series):
        return with_nulls(series.is_not_null(), function(numbers_of(series))).alias(series.name)

    build = lambda numbers, format: numbers.map_batches(of_series, format, is_elementwise=True)
    return by_format(expression, build)


def numbers_of(series):
    return np.ascontiguousarray(series.drop_nulls().to_numpy())


def with_nulls(is_there, results):
    """The results in the rows that have a number, and null in the others."""
    if is_there.all():
        return pl.Series(results)
    whole = np.zeros(len(is_there), results.dtype)
    whole[is_there.to_numpy()] = results
    return pl.Series(whole).zip_with(is_there, pl.Series([None], dtype=pl.Series(results).dtype))


def for_pairs(expression, other, function):
    """`function` of the two numbers in each row, in the wider format of both."""

    def of_pairs(pairs):
        x, y = (pairs.struct.field(name) for name in pairs.struct.fields)
        is_there = x.is_not_null() & y.is_not_null()
        results = function(*(numbers_of(z.filter(is_there)) for z in (x, y)))
        return with_nulls(is_there, results).alias(pairs.name)

    def build(x, y):
        format = max((dtype for _, dtype in (x, y)), key=FLOATS.index)
        # The struct has the name of the first number. The name of the second must differ from that of any column.
        pair = pl.struct(x[0].cast(format), y[0].cast(format).alias("the second of two numbers"))
        return pair.map_batches(of_pairs, format, is_elementwise=True)

    if not isinstance(other, pl.Expr | str):
        # A Python number gets the format of the expression.
        return by_format(expression, lambda *x: build(x, (pl.lit(other), x[1])))
    other = pl.col(other) if isinstance(other, str) else other
    return by_format(expression, lambda *x: by_format(other, lambda *y: build(x, y)))


def effective_sample_size(log_weights):
    weights = _accumulator.EffectiveSampleSize(log_weights.dtype)
    weights.update(log_weights)
    return weights.value


@pl.api.register_expr_namespace("logsum")
class Expressions:
    """The expressions in `pl.col(…).logsum`.

    `logsumexp` to `softmax_entropy` give one number for each group, or for the whole column outside of `group_by` and
    `over`; the others give one number for each row. Special cases are those of the functions of the same names in
    `logsum`.
    """

    def __init__(self, expression):
        self._expression = expression

    def logsumexp(self):
        """log Σ e^z of a group, correctly rounded; −∞ for a group without numbers, since the empty sum is 0."""
        return for_groups(self._expression, lambda numbers, offsets: _general.segment_logsumexp(numbers, offsets=offsets))

    def logmeanexp(self):
        """The logarithm of the mean of e^z of a group, correctly rounded; null for a group without numbers."""
        return for_each_group(self._expression, _general.logmeanexp)

    def logvarexp(self, ddof=1):
        """The logarithm of the variance Σ (e^z − mean)² / (n − ddof) of a group, within 1 ulp; null for a group without
        numbers."""
        return for_each_group(self._expression, lambda z: np.asarray(_general.logvarexp(z, ddof=ddof)))

    def effective_sample_size(self):
        """Kish's effective sample size (Σ e^z)² / Σ e^2z of log-weights z; null for a group without numbers."""
        return for_each_group(self._expression, effective_sample_size)

    def softmax_entropy(self):
        """The entropy −Σ p log p of p = softmax(z) of a group, in nats, within 1 ulp; null for a group without
        numbers."""
        return for_each_group(self._expression, _general.softmax_entropy)

    def softmax(self):
        """e^z / Σ e^z, each correctly rounded; with `over` the sum is over each group."""
        return for_rows_of_groups(self._expression, lambda z, offsets: _general.segment_softmax(z, offsets=offsets))

    def log_softmax(self):
        """z − log Σ e^z, each correctly rounded; with `over` the sum is over each group."""
        return for_rows_of_groups(self._expression, each_part(_core.log_softmax))

    def logcumsumexp(self, reverse=False):
        """The logarithms of the cumulative sums of e^z, each correctly rounded; with `reverse` from the end, with
        `over` in each group."""
        return for_rows_of_groups(self._expression, each_part(lambda z: _general.logcumsumexp(z, reverse=reverse)))

    def logaddexp(self, other):
        """log(e^x + e^y), correctly rounded; y is an expression, the name of a column, or a number."""
        return for_pairs(self._expression, other, _core.logaddexp)

    def logsubexp(self, other):
        """log(e^x − e^y), correctly rounded, with y as in `logaddexp`; NaN where x < y."""
        return for_pairs(self._expression, other, _core.logsubexp)

    def log1pexp(self):
        """log(1 + e^x), the softplus function, correctly rounded."""
        return for_rows(self._expression, _core.log1pexp)

    def log1mexp(self):
        """log(1 − e^x) for x ≤ 0, correctly rounded; NaN for x > 0."""
        return for_rows(self._expression, _core.log1mexp)

    def logistic(self):
        """1/(1 + e^−x), the sigmoid function, correctly rounded."""
        return for_rows(self._expression, _core.logistic)

    def logit(self):
        """log(p/(1 − p)), correctly rounded; NaN for p outside of 0 to 1."""
        return for_rows(self._expression, _core.logit)
