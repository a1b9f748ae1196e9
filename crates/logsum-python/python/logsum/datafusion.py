"""logsum's functions in the SQL of the package `datafusion`: `register_all(ctx)`.

It needs the package `logsum-datafusion`, which has them compiled for DataFusion.
"""

__all__ = ["register_all"]


def register_all(context):
    """Registers all functions with a `datafusion.SessionContext`.

    Aggregates: `logsumexp(z)`, `logsumexp(z, weight)`, `logmeanexp(z)`, `effective_sample_size(log_w)`, with GROUP BY, FILTER and
    OVER; windows: `logcumsumexp(z) OVER (ORDER BY …)`, `softmax(z) OVER (…)`; of one row: `logaddexp`, `logsubexp`, `log1pexp`,
    `log1mexp`, `logistic`, `logit`. REAL gives REAL, all other numbers are taken as DOUBLE; NULL is absent. The same numbers
    give the same bits in any order, over any number of partitions.
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
