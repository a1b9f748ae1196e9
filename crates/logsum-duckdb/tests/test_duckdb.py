"""The functions in DuckDB: values, NULLs, types, windows, the same bits over any number of threads, and complaints."""

import math
import pathlib

import duckdb
import numpy as np
import pyarrow as pa
import pytest

import logsum

EXTENSION = pathlib.Path(__file__).parents[3] / "target/engines/logsum.duckdb_extension"


@pytest.fixture
def con():
    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    connection.execute(f"LOAD '{EXTENSION}'")
    return connection


def row(con, sql):
    return con.execute(sql).fetchone()


def test_aggregates(con):
    table = "(VALUES ('a', 1000.0, 1.0), ('a', 1001.0, 2.0), ('b', NULL, 1.0), ('c', 5.0, 0.0)) t(k, z, w)"
    aggregates = "logsumexp(z), logmeanexp(z), effective_sample_size(z), logsumexp(z, w)"
    a, b, c = con.execute(f"SELECT {aggregates} FROM {table} GROUP BY k ORDER BY k").fetchall()
    z = np.array([1000.0, 1001.0])
    assert a == (logsum.logsumexp(z), logsum.logmeanexp(z), 1.6480542736638855, logsum.logsumexp(z, b=[1.0, 2.0]))
    assert b == (None,) * 4
    assert c == (5.0, 5.0, 1.0, -math.inf)
    assert row(con, "SELECT logsumexp(z) FROM (VALUES ('-inf'::DOUBLE), ('-inf')) t(z)") == (-math.inf,)
    assert row(con, "SELECT logsumexp(z) FROM (VALUES ('inf'::DOUBLE), (1)) t(z)") == (math.inf,)
    assert math.isnan(row(con, "SELECT logsumexp(z) FROM (VALUES ('nan'::DOUBLE), (1)) t(z)")[0])
    assert row(con, "SELECT logsumexp(z) FROM (SELECT 1.0::DOUBLE z WHERE false)") == (None,)
    assert row(con, "SELECT logsumexp(z) FILTER (WHERE z > 1) FROM (VALUES (1.0), (2.0)) t(z)") == (2.0,)
    assert row(con, "SELECT logsumexp(DISTINCT z) FROM (VALUES (1.0), (1.0)) t(z)") == (1.0,)
    # NULL on either side is absent, and so is a weight of 0.
    weighted = "(VALUES (0.0, 2), (NULL, 1), (5.0, NULL), ('nan'::DOUBLE, 0)) t(z, w)"
    assert row(con, f"SELECT logsumexp(z, w) FROM {weighted}") == (math.log(2),)


def test_types(con):
    found = row(con, "SELECT " + ", ".join(f"typeof(logsumexp({z}))" for z in ("1", "1.5", "1::FLOAT", "1::HUGEINT", "NULL")))
    assert found == ("DOUBLE", "DOUBLE", "FLOAT", "DOUBLE", "DOUBLE")
    assert row(con, "SELECT logsumexp(z::FLOAT) FROM (VALUES (1.5), (2.5)) t(z)") == (float(np.float32(2.8132617)),)
    assert row(con, "SELECT typeof(logsumexp(1::FLOAT, 2::FLOAT)), typeof(logsumexp(1::FLOAT, 2.0::DOUBLE))") == ("FLOAT", "DOUBLE")


def test_scalars(con):
    found = row(con, "SELECT logaddexp(0, -40), logsubexp(0, -1), log1pexp(2), log1mexp(-1), logistic(0), logit(0.25), logit(NULL)")
    expected = logsum.logaddexp(0.0, -40.0), logsum.logsubexp(0.0, -1.0), logsum.log1pexp(2.0), logsum.log1mexp(-1.0), 0.5
    assert found == (*expected, logsum.logit(0.25), None)
    assert row(con, "SELECT typeof(logistic(1::FLOAT)), logistic(1::FLOAT)") == ("FLOAT", float(logsum.logistic(np.float32(1))))


def test_windows_and_orders(con):
    """Of which older versions of DuckDB gave extensions too few states."""
    z = np.random.default_rng(1).normal(size=5000) * 20
    con.register("t", pa.table({"i": np.arange(z.size), "z": z}))
    found = con.execute(
        "SELECT logsumexp(z) OVER (), logsumexp(z) OVER (ORDER BY i ROWS BETWEEN 100 PRECEDING AND CURRENT ROW) FROM t ORDER BY i"
    ).fetchnumpy()
    whole, running = (np.asarray(column) for column in found.values())
    assert (whole == logsum.logsumexp(z)).all()
    expected = np.array([logsum.logsumexp(z[max(i - 100, 0) : i + 1]) for i in range(z.size)])
    assert np.array_equal(running, expected)
    assert row(con, "SELECT logsumexp(z ORDER BY z DESC) FROM t") == (logsum.logsumexp(z),)


@pytest.mark.parametrize("groups", [1, 700, 50_000])
def test_bits_are_the_same_over_any_number_of_threads(con, groups):
    random = np.random.default_rng(2)
    z = random.normal(size=100_000) * 30
    g = random.integers(0, groups, z.size)
    expected = None
    for threads in (1, 2, 7):
        order = random.permutation(z.size)
        con.register("t", pa.table({"g": g[order], "z": z[order], "f": z[order].astype(np.float32)}))
        con.execute(f"SET threads = {threads}")
        sql = "SELECT g, logsumexp(z), logmeanexp(f), effective_sample_size(z), logsumexp(z, 1 + g % 3) FROM t GROUP BY g ORDER BY g"
        found = con.execute(sql).fetchall()
        expected = expected or found
        assert found == expected
    by_library = logsum.segment_logsumexp(z, g, groups)
    present = np.bincount(g, minlength=groups) > 0
    assert [value for _, value, *_ in found] == by_library[present].tolist()


def test_complaints(con):
    for sql in ("SELECT logsumexp(1, 2, 3)", "SELECT logsumexp([1.0])", "SELECT logaddexp(1)"):
        with pytest.raises(duckdb.BinderException, match="No function matches"):
            con.execute(sql)
    # Loaded a second time it changes nothing.
    con.execute(f"LOAD '{EXTENSION}'")
    assert row(con, "SELECT logsumexp(1.0)") == (1.0,)
