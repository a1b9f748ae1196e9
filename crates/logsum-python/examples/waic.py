"""WAIC, the widely applicable information criterion, of the eight schools, from the draws that arviz-base ships.

    python waic.py [PICTURE.png]

elpd_waic = Σ_i (log mean_s p(y_i | θ_s) − var_s log p(y_i | θ_s)). The first part is a log-mean-exp over thousands of
draws.
"""

import sys

import arviz_base
import matplotlib
import numpy as np

import logsum

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


def waic(log_likelihood):
    """The contribution of each observation to elpd_waic, given the log-likelihoods, draws by observations."""
    lppd = logsum.logmeanexp(log_likelihood, axis=0)
    return lppd - log_likelihood.var(axis=0)


def main(picture=None):
    draws = arviz_base.load_arviz_data("centered_eight")
    schools = [str(name) for name in draws.observed_data.school.values]
    log_likelihood = draws.log_likelihood.obs.values.reshape(-1, len(schools))
    parts = waic(log_likelihood)
    elpd = parts.sum()
    error = np.sqrt(len(parts) * parts.var())
    print(f"elpd_waic {elpd:.2f} ± {error:.2f} over {log_likelihood.shape[0]} draws and {len(parts)} schools")
    # For densities scaled down by e^-800, averages of exponentials underflow to 0; log-mean-exp moves by 800 for each
    # school.
    moved = logsum.logmeanexp(log_likelihood - 800, axis=0)
    with np.errstate(divide="ignore"):
        naive = np.log(np.exp(log_likelihood - 800).mean(axis=0))
    print(f"below the range of floats: {moved.sum():.2f}, as it is written {naive.sum()}")
    if picture:
        figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
        axes.barh(schools[::-1], parts[::-1], color="#4477aa")
        axes.set(xlabel="elpd_waic", title=f"Eight schools: elpd_waic {elpd:.2f}")
        figure.savefig(picture, dpi=120)
        plt.close(figure)
    return elpd


if __name__ == "__main__":
    main(*sys.argv[1:])
