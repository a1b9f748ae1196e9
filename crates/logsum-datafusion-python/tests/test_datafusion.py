"""The functions in the SQL of DataFusion's Python package: values, NULLs, partitions, and complaints."""

import math

import numpy as np
import pyarrow as pa
import pytest
from datafusion import SessionConfig, SessionContext

import logsum
from logsum.datafusion import register_all


def context(partitions=2):
    ctx = SessionContext(SessionConfig().with_target_partitions(partitions))
    register_all(ctx)
    return ctx


def rows(sql, ctx=None):
    table = pa.Table.from_batches((ctx or context()).sql(sql).collect())
    return list(zip(*[column.to_pylist() for column in table.columns]))


def test_values():
    table = "(VALUES ('a', 1000.0, 1.0), ('a', 1001.0, 2.0), ('b', NULL, 1.0)) t(k, z, w)"
    aggregates = "logsumexp(z), logmeanexp(z), effective_sample_size(z), logsumexp(z, w)"
    [(*found,), nothing] = rows(f"SELECT {aggregates} FROM {table} GROUP BY k ORDER BY k")
    z = np.array([1000.0, 1001.0])
    assert found == [logsum.logsumexp(z), logsum.logmeanexp(z), 1.6480542736638855, logsum.logsumexp(z, b=[1.0, 2.0])]
    assert nothing == (None,) * 4
    found = rows("SELECT softmax(z) OVER (), logcumsumexp(z) OVER (ORDER BY z) FROM (VALUES (0.0), (1.0)) t(z) ORDER BY z")
    assert found == list(zip(logsum.softmax([0.0, 1.0]).tolist(), [0.0, logsum.logsumexp([0.0, 1.0])]))
    [found] = rows("SELECT logaddexp(0, -40), logsubexp(0, -1), log1pexp(2), log1mexp(-1), logistic(0), logit(0.25)")
    assert found == (
        logsum.logaddexp(0.0, -40.0),
        logsum.logsubexp(0.0, -1.0),
        logsum.log1pexp(2.0),
        logsum.log1mexp(-1.0),
        0.5,
        logsum.logit(0.25),
    )
    assert rows("SELECT logsumexp(z) FROM (VALUES (CAST('-inf' AS DOUBLE))) t(z)") == [(-math.inf,)]


def test_bits_are_the_same_over_any_partitions():
    random = np.random.default_rng(3)
    z = random.normal(size=30_000) * 30
    groups = random.integers(0, 500, z.size)
    expected = None
    for partitions in (1, 2, 7):
        order = random.permutation(z.size)
        table = pa.table({"g": groups[order], "z": z[order], "f": z[order].astype(np.float32)})
        ctx = context(partitions)
        batches = table.to_batches(max_chunksize=1000)
        ctx.register_record_batches("t", [batches[i::partitions] for i in range(partitions)])
        found = rows("SELECT g, logsumexp(z), logmeanexp(f), effective_sample_size(z) FROM t GROUP BY g ORDER BY g", ctx)
        expected = expected or found
        assert found == expected
    assert [value for _, value, *_ in found] == [logsum.logsumexp(z[groups == g]) for g in range(500)]
    assert rows("SELECT logsumexp(z) FROM t", ctx) == [(logsum.logsumexp(z),)]


def test_complaints():
    for sql, words in {
        "SELECT logsumexp('a')": "logsumexp takes numbers, not Utf8",
        "SELECT logsumexp(1, 2, 3)": "logsumexp takes 1 or 2 arguments, not 3",
        "SELECT logsumexp(DISTINCT z), logsumexp(DISTINCT -z) FROM (VALUES (1.0)) t(z)": "select the distinct rows first",
    }.items():
        with pytest.raises(Exception, match=words.replace("(", "[(]")):
            rows(sql)
