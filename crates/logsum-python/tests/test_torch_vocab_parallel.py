"""Log-probabilities over a vocabulary in shards: eight processes on this machine, and groups of 1, 2, 3, 4 and 8 of them."""

import os

import pytest

torch = pytest.importorskip("torch")
import torch.distributed as dist
import torch.multiprocessing

import logsum.torch as T

FORMATS = (torch.float32, torch.bfloat16, torch.float64, torch.float16)
VOCABULARY = 301


def scores_and_tokens(dtype, seed):
    random = torch.Generator().manual_seed(seed)
    scores = (torch.randn(64, VOCABULARY, generator=random, dtype=torch.float64) * 4).to(dtype)
    tokens = torch.randint(VOCABULARY, (64,), generator=random)
    # Tokens that are nearly certain, tokens that are very improbable, and special cases.
    scores[torch.arange(8), tokens[:8]] += 50
    scores[8:16, 100] = 90
    scores[16, 5:] = -torch.inf
    scores[17] = -torch.inf
    scores[18, 30] = torch.inf
    scores[19, tokens[19]] = torch.inf
    scores[19, 3] = torch.inf
    scores[20, 200] = torch.nan
    scores[21, tokens[21]] = -torch.inf
    # A log-probability of about -1e-304 in f64, which the states do not prove.
    scores[22] /= 8
    scores[22, tokens[22]] += 700
    return scores, tokens


def cuts_of(size, seed):
    """The ends of shards, the first time as long as each other, which leaves the last some columns short."""
    even = -(-VOCABULARY // size)
    random = torch.Generator().manual_seed(seed)
    uneven = torch.randint(VOCABULARY + 1, (size - 1,), generator=random).sort().values.tolist()
    return [[min(rank * even, VOCABULARY) for rank in range(size)] + [VOCABULARY], [0, *uneven, VOCABULARY]]


def same(a, b):
    return a.dtype == b.dtype and torch.equal(torch.isnan(a), torch.isnan(b)) and torch.equal(a.nan_to_num(7), b.nan_to_num(7))


class Counting:
    """What is sent: the shapes of all exchanges."""

    def __init__(self):
        self.sent, self.objects = [], 0
        gather, gather_object = dist.all_gather_into_tensor, dist.all_gather_object

        def counted(out, own, group=None):
            self.sent.append((own.dtype, tuple(own.shape)))
            return gather(out, own, group=group)

        def counted_object(*arguments, **options):
            self.objects += 1
            return gather_object(*arguments, **options)

        dist.all_gather_into_tensor, dist.all_gather_object = counted, counted_object


def check_values(group, start, end, dtype, counting):
    scores, tokens = scores_and_tokens(dtype, 3)
    whole = scores.clone().requires_grad_()
    expected = T.token_log_probs(whole, tokens)
    cotangent = torch.linspace(-2, 3, 64).to(dtype)
    expected.backward(cotangent)
    shard = scores[:, start:end].clone().requires_grad_()
    counting.sent.clear()
    log_p = T.vocab_parallel_token_log_probs(shard, tokens, start, group)
    assert counting.sent == [(torch.uint8, (64 + 1, 64))]
    assert same(log_p, expected), (log_p - expected).nonzero()
    log_p.backward(cotangent)
    assert counting.sent == [(torch.uint8, (64 + 1, 64))]
    assert same(shard.grad, whole.grad[:, start:end]), dtype
    # The same rows in another shape, and some of them in a smaller batch.
    three = scores[:, start:end].reshape(4, 16, -1)
    assert same(T.vocab_parallel_token_log_probs(three, tokens.reshape(4, 16), start, group), expected.detach().reshape(4, 16))
    part = T.vocab_parallel_token_log_probs(scores[5:9, start:end], tokens[5:9], start, group)
    assert same(part, expected.detach()[5:9])


def check_losses(group, start, end):
    scores, tokens = scores_and_tokens(torch.bfloat16, 4)
    scores[16:22] = scores[24:30]
    tokens[::5] = -100
    shard = scores[:, start:end].requires_grad_()
    whole = scores.clone().requires_grad_()
    for reduction in ("none", "sum", "mean"):
        found = T.vocab_parallel_cross_entropy(shard, tokens, start, group, torch.float32, reduction=reduction)
        expected = T.cross_entropy(whole.float(), tokens, reduction=reduction)
        assert same(found, expected), reduction
    found.backward()
    expected.backward()
    assert same(shard.grad, whole.grad[:, start:end])
    assert not shard.grad[::5].any()
    nothing = torch.full((3,), -100)
    assert T.vocab_parallel_cross_entropy(shard[:3], nothing, start, group).isnan()
    assert not T.vocab_parallel_cross_entropy(shard[:0], nothing[:0], start, group, reduction="none").numel()


def check_complaints(group, start, end):
    scores, tokens = scores_and_tokens(torch.float32, 5)
    shard = scores[:, start:end]
    tokens[7] = VOCABULARY
    with pytest.raises(ValueError, match=f"tokens has {VOCABULARY} in row 7, which is in none of the shards"):
        T.vocab_parallel_token_log_probs(shard, tokens, start, group)
    tokens[7] = 0
    if dist.get_world_size(group) > 1:
        with pytest.raises(ValueError, match="column 0 is in several shards"):
            T.vocab_parallel_token_log_probs(scores, tokens, 0, group)
        # Shards of different widths need `start`; processes that gave it get the error, too.
        with pytest.raises(ValueError, match="the shards have .* columns: `start` must say where each begins"):
            uneven = scores[:, : 3 + dist.get_rank(group)]
            T.vocab_parallel_token_log_probs(uneven, tokens, None if dist.get_rank(group) else 0, group)
    with pytest.raises(ValueError, match=r"tokens has the shape \(63,\)"):
        T.vocab_parallel_token_log_probs(shard, tokens[1:], start, group)
    with pytest.raises(TypeError, match="tokens must be integers"):
        T.vocab_parallel_token_log_probs(shard, tokens.double(), start, group)
    with pytest.raises(ValueError, match="start is -1, it must not be negative"):
        T.vocab_parallel_token_log_probs(shard, tokens, -1, group)
    with pytest.raises(ValueError, match="reduction is 'all'"):
        T.vocab_parallel_cross_entropy(shard, tokens, start, group, reduction="all")
    shard = shard.clone().requires_grad_()
    (slope,) = torch.autograd.grad(T.vocab_parallel_token_log_probs(shard, tokens, start, group).sum(), shard, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        slope.sum().backward()
    # Nor is there a second derivative with respect to what the cotangent depends on.
    factor = torch.tensor(2.0, requires_grad=True)
    loss = factor * T.vocab_parallel_token_log_probs(shard, tokens, start, group).sum()
    (slope,) = torch.autograd.grad(loss, shard, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(slope.square().sum() + factor, factor)


def work(rank, file):
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=8)
    counting = Counting()
    for size in (1, 2, 3, 4, 8):
        group = dist.new_group(list(range(size)))
        if rank < size:
            for ends in cuts_of(size, size):
                for dtype in FORMATS:
                    check_values(group, ends[rank], ends[rank + 1], dtype, counting)
                check_losses(group, ends[rank], ends[rank + 1])
            check_complaints(group, ends[rank], ends[rank + 1])
        elif size == 4:
            with pytest.raises(RuntimeError, match="this process is not in the group"):
                T.vocab_parallel_token_log_probs(torch.zeros(1, 2), torch.zeros(1, dtype=int), None, group)
    # The scores of rows that are not proved are gathered.
    assert counting.objects > 0
    # The default group of all processes, with shards of equal length, which need no `start`.
    scores = torch.arange(80.0).reshape(2, 40)
    log_p = T.vocab_parallel_token_log_probs(scores[:, 5 * rank : 5 * rank + 5], torch.tensor([3, 39]))
    assert same(log_p, T.token_log_probs(scores, torch.tensor([3, 39])))
    dist.barrier()
    dist.destroy_process_group()


def test_of_eight_processes(tmp_path):
    torch.multiprocessing.spawn(work, (tmp_path / "store",), nprocs=8)


def test_needs_a_group():
    with pytest.raises(RuntimeError, match="call torch.distributed.init_process_group first"):
        T.vocab_parallel_token_log_probs(torch.zeros(2, 3), torch.zeros(2, dtype=int))
