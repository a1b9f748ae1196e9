"""Expressions of Polars: the values of the library in every context, nulls, formats, and complaints."""

import doctest

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_series_equal

import logsum
import logsum.polars

FORMATS = {pl.Float64: np.float64, pl.Float32: np.float32, pl.Float16: np.float16}
EFFECTIVE = logsum.EffectiveSampleSize
AGGREGATES = {
    "logsumexp": logsum.logsumexp,
    "logmeanexp": logsum.logmeanexp,
    "logvarexp": lambda z: logsum.logvarexp(z, ddof=1),
    "softmax_entropy": logsum.softmax_entropy,
    "effective_sample_size": lambda z: value_of(EFFECTIVE(z.dtype), z),
}
BY_ROW = {"softmax": logsum.softmax, "log_softmax": logsum.log_softmax, "logcumsumexp": logsum.logcumsumexp}
ELEMENTWISE = ("log1pexp", "log1mexp", "logistic", "logit")


def value_of(state, z):
    state.update(z)
    return state.value


def frame(format=pl.Float64):
    random = np.random.default_rng(5)
    z = random.normal(size=300) * 20
    z[::17] = -np.inf
    columns = {"g": random.integers(0, 40, 300), "z": pl.Series(z).cast(format)}
    is_null = pl.Series(random.random(300) < 0.1)
    lonely = pl.DataFrame({"g": [99], "z": pl.Series([None], dtype=format)})
    frame = pl.DataFrame(columns).with_columns(z=pl.when(~is_null).then("z"))
    return pl.concat([frame.cast({"g": pl.Int64}), lonely])


def expected(frame, function, empty):
    """By the library, group for group, in the order of the groups."""
    values = []
    for _, group in frame.sort("g", maintain_order=True).group_by("g", maintain_order=True):
        z = np.ascontiguousarray(group["z"].drop_nulls().to_numpy())
        values.append(function(z).item() if z.size else empty)
    return pl.Series("z", values, dtype=frame["z"].dtype)


def same(a, b):
    assert_series_equal(a, b, check_exact=True)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", AGGREGATES)
def test_aggregates(name, format):
    table = frame(format)
    expression = getattr(pl.col("z").logsum, name)()
    empty = -np.inf if name == "logsumexp" else None
    values = expected(table, AGGREGATES[name], empty)
    same(table.group_by("g").agg(expression).sort("g")["z"], values)
    lazy = table.lazy().group_by("g").agg(expression).sort("g")
    assert lazy.collect_schema()["z"] == format
    for engine in ("in-memory", "streaming"):
        same(lazy.collect(engine=engine)["z"], values)
    over = table.select("g", expression.over("g")).unique("g").sort("g")["z"]
    same(over, values)
    whole = expected(table.with_columns(g=0), AGGREGATES[name], None)
    same(table.select(expression)["z"], whole)
    # The value of the whole column in each row.
    assert table.with_columns(expression)["z"].n_unique() == 1
    # The same in any order of rows, for the functions that are correctly rounded.
    if name in ("logsumexp", "logmeanexp", "effective_sample_size"):
        same(table.sample(fraction=1, shuffle=True, seed=2).group_by("g").agg(expression).sort("g")["z"], values)
    nothing = table.clear()
    assert nothing.group_by("g").agg(expression).height == 0
    assert nothing.select(expression)["z"].to_list() == [empty]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", BY_ROW)
def test_rows_of_groups(name, format):
    table = frame(format)
    expression = getattr(pl.col("z").logsum, name)()
    found = table.with_columns(expression.over("g").alias("found"))
    for group in [*found.partition_by("g"), table.with_columns(expression.alias("found"))]:
        group_there = group.drop_nulls("z")
        assert group["found"].null_count() == group["z"].null_count()
        z = np.ascontiguousarray(group_there["z"].to_numpy())
        if z.size:
            same(group_there["found"], pl.Series("found", BY_ROW[name](z), dtype=format))
    lazy = table.lazy().with_columns(expression.over("g").alias("found"))
    assert lazy.collect_schema()["found"] == format
    same(lazy.collect(engine="streaming")["found"], found["found"])
    lists = table.group_by("g").agg(expression).sort("g")
    assert lists["z"].list.len().to_list() == table.group_by("g").len().sort("g")["len"].to_list()
    # Groups of which the filter leaves no rows.
    left = table.group_by("g").agg(getattr(pl.col("z").filter(pl.col("z") > 30).logsum, name)()).sort("g")
    assert left["z"].list.len().sum() == (table["z"] > 30).sum()
    assert table.clear().select(expression)["z"].to_list() == []
    assert table.clear().with_columns(expression.over("g")).height == 0


def test_reverse():
    z = pl.DataFrame({"z": [0.0, 1.0, None, 2.0]})
    found = z.select(pl.col("z").logsum.logcumsumexp(reverse=True))["z"].to_list()
    assert found == [logsum.logsumexp([0.0, 1, 2]), logsum.logsumexp([1.0, 2]), None, 2.0]


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_by_element(name):
    numbers = {"log1mexp": [-3.0, None, -0.1], "logit": [0.25, None, 1.0]}.get(name, [3.0, None, -700.0])
    for format in (pl.Float64, pl.Float32):
        table = pl.DataFrame({"z": pl.Series(numbers, dtype=format)})
        found = table.select(getattr(pl.col("z").logsum, name)())["z"]
        z = table["z"].drop_nulls().to_numpy()
        assert found[1] is None and found.dtype == format
        assert np.array_equal(found.drop_nulls().to_numpy(), getattr(logsum, name)(z))


def test_pairs():
    table = pl.DataFrame({"x": [1.0, None, 3.0, 0.0], "y": pl.Series([0.5, 1, None, 2], dtype=pl.Float32), "i": [1, 2, 3, 4]})
    x, y = table["x"].to_numpy(), table["y"].to_numpy().astype(float)
    found = table.select(
        names=pl.col("x").logsum.logaddexp("y"),
        expressions=pl.col("x").logsum.logsubexp(pl.col("y") * 2),
        number=pl.col("y").logsum.logaddexp(0),
        integers=pl.col("i").logsum.logaddexp("y"),
    )
    assert [found["names"][0], found["names"][3]] == [logsum.logaddexp(1.0, 0.5), logsum.logaddexp(0.0, 2.0)]
    assert found["names"][1] is None and found["names"][2] is None
    assert found["expressions"][0] == -np.inf and np.isnan(found["expressions"][3])
    assert found["number"].dtype == pl.Float32 and found["number"][0] == np.float32(logsum.logaddexp(np.float32(0.5), np.float32(0)))
    assert found["integers"].dtype == pl.Float64 and found["integers"][3] == logsum.logaddexp(4.0, 2.0)
    assert len(x) == len(y)
    # The result has the name of the first.
    assert table.select(pl.col("i").logsum.logaddexp("x"), (pl.col("y") + 1).logsum.logsubexp(0)).columns == ["i", "y"]
    changed = table.with_columns(pl.col("i", "y").logsum.logaddexp("x"))
    assert changed.columns == table.columns and changed["x"].equals(table["x"]) and changed["y"][0] == found["names"][0]


def test_other_types():
    # One expression for frames of any type.
    expression = pl.col("z").logsum.logsumexp()
    for dtype in (pl.Int8, pl.UInt64, pl.Float32, pl.Decimal(9, 2), pl.Float64, pl.Boolean, pl.Int64):
        table = pl.DataFrame({"z": pl.Series([0, 1, None]).cast(dtype)})
        value = table.select(expression)["z"]
        format = dtype if dtype in FORMATS else pl.Float64
        assert value.dtype == format and value[0] == logsum.logsumexp(np.array([0, 1], FORMATS[format])), dtype
    assert pl.DataFrame({"z": [None, None]}).select(expression)["z"].to_list() == [-np.inf]
    for column in (["a"], [[1.0]], [{"x": 1}]):
        with pytest.raises(TypeError, match="logsum's functions take numbers, not .*: cast them first"):
            pl.DataFrame({"z": column}).select(expression)
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        pl.DataFrame({"x": [1.0]}).select(expression)


def test_values_without_an_ordinary_answer():
    table = pl.DataFrame({"g": [0, 0, 1, 1, 2, 2], "z": [-np.inf, -np.inf, np.inf, 1.0, np.nan, 1.0]})
    found = table.group_by("g", maintain_order=True).agg(pl.col("z").logsum.logsumexp())["z"].to_list()
    assert found[:2] == [-np.inf, np.inf] and np.isnan(found[2])


def test_documentation():
    assert doctest.testmod(logsum.polars).failed == 0
