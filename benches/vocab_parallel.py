"""Times log-probabilities of tokens over a vocabulary in shards, forward and with backward, beside the two usual ways: to gather the
whole vocabulary, and to exchange maxima, sums and the tokens' scores. `python benches/vocab_parallel.py [ROWS [VOCABULARY [PROCESSES]]]`"""

import os
import sys
import tempfile
import time

import torch
import torch.distributed as dist
import torch.multiprocessing

import logsum.torch


def by_gathering(shard, tokens, start):
    shards = [torch.empty_like(shard) for _ in range(dist.get_world_size())]
    dist.all_gather(shards, shard.detach())
    shards[dist.get_rank()] = shard
    return torch.log_softmax(torch.cat(shards, -1), -1).gather(-1, tokens[:, None])[:, 0]


class ByReducing(torch.autograd.Function):
    """As frameworks for large models do it: three reductions, whose sum depends on their order."""

    @staticmethod
    def forward(ctx, shard, tokens, start):
        greatest = shard.amax(-1)
        dist.all_reduce(greatest, dist.ReduceOp.MAX)
        shard = shard - greatest[:, None]
        is_here = (tokens >= start) & (tokens < start + shard.shape[1])
        places = torch.where(is_here, tokens - start, 0)
        score = torch.where(is_here, shard.gather(-1, places[:, None])[:, 0], 0)
        dist.all_reduce(score)
        powers = shard.exp_()
        total = powers.sum(-1)
        dist.all_reduce(total)
        powers /= total[:, None]
        ctx.save_for_backward(powers, places, is_here)
        return score - total.log()

    @staticmethod
    def backward(ctx, g):
        powers, places, is_here = ctx.saved_tensors
        slope = -powers
        slope[torch.arange(len(places)), places] += is_here.to(slope.dtype)
        return slope * g[:, None], None, None


def work(rank, file, rows, vocabulary, processes):
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    os.environ["RAYON_NUM_THREADS"] = "1"
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=processes)
    width = vocabulary // processes
    start = rank * width
    torch.manual_seed(rank)
    shard = torch.randn(rows, width).mul_(3).requires_grad_()
    tokens = torch.arange(rows) * 7919 % (width * processes)
    ways = {
        "logsum": lambda: logsum.torch.vocab_parallel_token_log_probs(shard, tokens, start),
        "three reductions": lambda: ByReducing.apply(shard, tokens, start),
        "whole vocabulary gathered": lambda: by_gathering(shard, tokens, start),
    }
    if rank == 0:
        print(f"{rows} rows, {width * processes} scores in {processes} shards, float32\n\n| | forward | with backward |\n|---|---|---|")
    for name, way in ways.items():
        times = []
        for backward in (False, True):
            best = float("inf")
            for _ in range(5):
                shard.grad = None
                dist.barrier()
                begin = time.perf_counter()
                value = way()
                if backward:
                    value.sum().backward()
                dist.barrier()
                best = min(best, time.perf_counter() - begin)
            times.append(best)
        if rank == 0:
            print(f"| {name} | {times[0] * 1e3:.0f} ms | {times[1] * 1e3:.0f} ms |")
    dist.destroy_process_group()


if __name__ == "__main__":
    given, defaults = [int(number) for number in sys.argv[1:]], [1024, 128_256, 2]
    rows, vocabulary, processes = given + defaults[len(given) :]
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(work, (f"{folder}/store", rows, vocabulary, processes), nprocs=processes)
