"""logsum's functions for SQL in the package `datafusion`: `register_all(ctx)`.

This module needs the package `logsum-datafusion`, which has the functions compiled for DataFusion.
"""

__all__ = ["register_all"]


def register_all(context):
    """Registers all functions with a `datafusion.SessionContext`.

    Aggregates: `logsumexp(z)`, `logsumexp(z, weight)`, `logmeanexp(z)` and `effective_sample_size(log_w)`, also with
    GROUP BY, FILTER and OVER. Window functions: `logcumsumexp(z) OVER (ORDER BY …)` and `softmax(z) OVER (…)`.
    Functions of one row: `logaddexp`, `logsubexp`, `log1pexp`, `log1mexp`, `logistic` and `logit`. REAL gives REAL; all
    other numbers are converted to DOUBLE. NULL is left out of sums, and gives NULL in functions of one row. The result
    for the same numbers has the same bits in any order, and over any number of partitions.

    Raises
    ------
    ImportError
        If `datafusion` or `logsum-datafusion` is not installed.

    Examples
    --------
    ::

        from datafusion import SessionContext
        from logsum.datafusion import register_all

        ctx = SessionContext()
        register_all(ctx)
        ctx.sql("SELECT chain, logmeanexp(log_w) AS evidence FROM 'draws.parquet' GROUP BY chain")
    """
    try:
        import datafusion
        import logsum_datafusion
    except ImportError as error:
        raise ImportError(f"{error}: logsum.datafusion needs the package logsum-datafusion") from None
    for function in logsum_datafusion.aggregates():
        context.register_udaf(datafusion.udaf(function))
    for function in logsum_datafusion.windows():
        context.register_udwf(datafusion.udwf(function))
    for function in logsum_datafusion.scalars():
        context.register_udf(datafusion.udf(function))
