"""Leave-one-out predictive densities of the eight schools, by importance sampling over a Parquet file: in Polars, in
the SQL of DataFusion and DuckDB, and by the command `logsum`. All give the same bits.

    python evidence.py [DRAWS.parquet]

The draws are those that arviz-base ships. With the importance weights 1/p(y_i | θ_s), the density of school i given the
others is p(y_i | y_-i) = 1 / mean_s e^{−log p(y_i | θ_s)}. Its logarithm is therefore −logmeanexp(−log p) over all
draws. The effective sample size says whether that estimate can be trusted.

DataFusion needs the package logsum-datafusion. DuckDB needs its extension, with the path in the environment variable
LOGSUM_DUCKDB. The command `logsum` must be in the PATH. What is not installed is left out.
"""

import csv
import importlib.util
import io
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import arviz_base
import polars as pl

import logsum.polars  # noqa: F401

SQL = """SELECT school, -logmeanexp(log_w) AS log_density, effective_sample_size(log_w) AS draws
FROM {draws} GROUP BY school ORDER BY school"""


def write_draws(path):
    """Writes a row for each draw and school, with log w = −log p(y_i | θ)."""
    draws = arviz_base.load_arviz_data("centered_eight").log_likelihood.obs
    table = pl.DataFrame(
        {
            "chain": draws.chain.broadcast_like(draws).values.ravel(),
            "school": draws.school.broadcast_like(draws).transpose(*draws.dims).values.astype(str).ravel(),
            "log_w": -draws.values.ravel(),
        }
    )
    table.write_parquet(path)


def by_polars(path):
    log_w = pl.col("log_w").logsum
    densities = dict(log_density=-log_w.logmeanexp(), draws=log_w.effective_sample_size())
    return pl.scan_parquet(path).group_by("school").agg(**densities).sort("school").collect().rows()


def by_datafusion(path):
    from datafusion import SessionContext
    from logsum.datafusion import register_all

    context = SessionContext()
    register_all(context)
    context.register_parquet("draws", str(path))
    return [tuple(row.values()) for row in context.sql(SQL.format(draws="draws")).to_pylist()]


def by_duckdb(path):
    import duckdb

    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    connection.execute(f"LOAD '{os.environ['LOGSUM_DUCKDB']}'")
    return connection.execute(SQL.format(draws=f"'{path}'")).fetchall()


def by_command(path):
    call = ["logsum", "lse", str(path), "--column", "log_w", "--by", "school", "--op", "mean", "--format", "csv"]
    table = csv.DictReader(io.StringIO(subprocess.run(call, check=True, capture_output=True, text=True).stdout))
    return [(row["school"], -float(row["logmeanexp"])) for row in table]


def main(path=None):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(path or f"{folder}/draws.parquet")
        if not path.exists():
            write_draws(path)
        ways = {"Polars": by_polars}
        if importlib.util.find_spec("logsum_datafusion"):
            ways["DataFusion"] = by_datafusion
        if "LOGSUM_DUCKDB" in os.environ:
            ways["DuckDB"] = by_duckdb
        if shutil.which("logsum"):
            ways["the command"] = by_command
        found = {name: way(path) for name, way in ways.items()}
    first = found["Polars"]
    print("| school | log p(y_i given the others) | effective draws |\n|---|---|---|")
    for school, log_density, draws in first:
        print(f"| {school} | {log_density!r} | {draws:.0f} |")
    print(f"\nsum {sum(log_density for _, log_density, _ in first):.2f}")
    for name, rows in found.items():
        # The command does not compute sample sizes.
        differing = sum(row != expected[: len(row)] for row, expected in zip(rows, first, strict=True))
        print(f"{name}: {differing} of {len(rows)} rows have other bits than Polars")
    return found


if __name__ == "__main__":
    main(*sys.argv[1:2])
