"""Log-probabilities of tokens from the same scores, computed in several ways that samplers and trainers use: how many
differ in their bits?

    python agree.py [PICTURE.png]

The scores are those of 64 tokens over a vocabulary of 50 257, in float32 and in bfloat16. Each way is compared with the
first one of its library, which computes each row alone: by log-softmax in torch, by `token_log_probs` in logsum. The
ways over shards run in up to eight processes on this machine.
"""

import os
import sys
import tempfile

import matplotlib
import torch
import torch.distributed as dist
import torch.multiprocessing

import logsum.torch

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

ROWS, VOCABULARY, PADDED = 64, 50_257, 50_304
FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def scores_of(dtype):
    """Scores like those of a language model: most are small, some stand out, and some tokens are nearly certain."""
    random = torch.Generator().manual_seed(0)
    scores = torch.randn(ROWS, VOCABULARY, generator=random) * 3
    tokens = torch.randint(VOCABULARY, (ROWS,), generator=random)
    scores[torch.arange(ROWS), tokens] += torch.linspace(0, 30, ROWS)
    return scores.to(dtype), tokens


def padded(scores):
    return torch.nn.functional.pad(scores, (0, PADDED - VOCABULARY), value=-torch.inf)


def by_log_softmax(scores, tokens):
    return torch.log_softmax(scores.float(), -1).gather(-1, tokens[:, None])[:, 0]


def by_logsumexp(scores, tokens):
    scores = scores.float()
    return scores.gather(-1, tokens[:, None])[:, 0] - torch.logsumexp(scores, -1)


def by_cross_entropy(scores, tokens):
    return -torch.nn.functional.cross_entropy(scores.float(), tokens, reduction="none")


def ours(scores, tokens):
    return logsum.torch.token_log_probs(scores, tokens, dtype=torch.float32)


def our_cross_entropy(scores, tokens):
    return -logsum.torch.cross_entropy(scores.float(), tokens, reduction="none")


def in_batches(way, size):
    return lambda scores, tokens: torch.cat([way(s, t) for s, t in zip(scores.split(size), tokens.split(size))])


def by_columns(way):
    """The same way, for scores that are stored in memory by columns."""
    return lambda scores, tokens: way(scores.T.contiguous().T, tokens)


def ways(log_probs, others):
    return {
        "a row alone": in_batches(log_probs, 1),
        **{f"batches of {size}": in_batches(log_probs, size) for size in (2, 8, 64)},
        "padded vocabulary": lambda scores, tokens: log_probs(padded(scores), tokens),
        "scores by columns": by_columns(log_probs),
    } | others


THEIRS = ways(by_log_softmax, {"score − log-sum-exp": by_logsumexp, "cross-entropy": by_cross_entropy})
OURS = ways(ours, {"score − log-sum-exp": None, "cross-entropy": our_cross_entropy})


def by_reductions(shard, tokens, start, group):
    """Over shards, as frameworks do it: reductions of the maximum, of the sum, and of the token's score."""
    greatest = shard.float().amax(-1)
    dist.all_reduce(greatest, dist.ReduceOp.MAX, group=group)
    below = shard.float() - greatest[:, None]
    total = below.exp().sum(-1)
    dist.all_reduce(total, group=group)
    is_here = (tokens >= start) & (tokens < start + shard.shape[1])
    score = torch.where(is_here, below.gather(-1, torch.where(is_here, tokens - start, 0)[:, None])[:, 0], 0)
    dist.all_reduce(score, group=group)
    return score - total.log()


def over_shards(rank, folder):
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=8)
    found = {}
    for size in (2, 4, 8):
        group = dist.new_group(list(range(size)))
        if rank >= size:
            continue
        width = PADDED // size
        for name, dtype in FORMATS.items():
            scores, tokens = scores_of(dtype)
            shard = padded(scores)[:, rank * width : (rank + 1) * width].contiguous()
            start = rank * width
            found[name, size] = (
                by_reductions(shard, tokens, start, group),
                logsum.torch.vocab_parallel_token_log_probs(shard, tokens, start, group, torch.float32),
            )
    if rank == 0:
        torch.save(found, f"{folder}/found")
    dist.destroy_process_group()


def main(picture=None):
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(over_shards, (folder,), nprocs=8)
        sharded = torch.load(f"{folder}/found")
    print(f"{ROWS} log-probabilities, torch {torch.__version__}, CPU: how many have other bits than those of a row alone\n")
    counts = {}
    for name, dtype in FORMATS.items():
        scores, tokens = scores_of(dtype)
        for library, ways_of, column in (("torch", THEIRS, 0), ("logsum", OURS, 1)):
            values = {way: compute(scores, tokens) for way, compute in ways_of.items() if compute is not None}
            values |= {f"{size} shards": sharded[name, size][column] for size in (2, 4, 8)}
            first = values["a row alone"]
            for way, log_probs in values.items():
                counts[way, name, library] = int((log_probs != first).sum())
    columns = [(name, library) for name in FORMATS for library in ("torch", "logsum")]
    rows = list(dict.fromkeys(way for way, *_ in counts))
    print("| | " + " | ".join(f"{library}, {name}" for name, library in columns) + " |\n|---|" + "---|" * len(columns))
    for way in rows[1:]:
        print(f"| {way} | " + " | ".join(str(counts.get((way, *column), "–")) for column in columns) + " |")
    if picture:
        figure, axes = plt.subplots(figsize=(7, 3.8), layout="constrained")
        for shift, library in ((-0.2, "torch"), (0.2, "logsum")):
            places = [i + shift for i in range(len(rows) - 1)]
            axes.barh(places, [counts.get((way, "float32", library), 0) for way in rows[1:]], 0.4, label=library)
        axes.set(yticks=range(len(rows) - 1), yticklabels=rows[1:], xlabel=f"of {ROWS} log-probabilities with other bits than those of a row alone")
        axes.invert_yaxis()
        axes.legend(frameon=False)
        figure.savefig(picture, dpi=120)
        plt.close(figure)
    return counts


if __name__ == "__main__":
    main(*sys.argv[1:2])
