"""Log-probabilities of tokens over a vocabulary that is split into shards, one for each process of a group."""

import numpy as np
import torch
import torch.distributed as dist

from .. import _core
from .._libraries import Torch
from ._differentiable import only_once, refuse_transforms


def gathered(states, place, device, group):
    """The states of all processes, in the order of their ranks, and their places, which are sent in an additional row
    of bytes. The place of a process is the column where its shard begins, the number of its columns, and whether that
    beginning is the default one."""
    last = np.zeros((1, states.shape[1]), np.uint8)
    last.view(np.int64)[0, : len(place)] = place
    own = torch.from_numpy(np.concatenate([states, last])).to(device)
    everyone_s = own.new_empty((dist.get_world_size(group), *own.shape))
    dist.all_gather_into_tensor(everyone_s.flatten(0, 1), own, group=group)
    everyone_s = everyone_s.cpu().numpy()
    places = np.ascontiguousarray(everyone_s[:, -1]).view(np.int64)[:, : len(place)]
    return np.ascontiguousarray(everyone_s[:, :-1]), places.tolist()


def check_places(places):
    """Raises an error if a column is in two shards. All processes have the same places, so that all raise the same
    error."""
    widths = [width for _, width, _ in places]
    if len(set(widths)) > 1 and any(is_default for *_, is_default in places):
        raise ValueError(f"the shards have {', '.join(map(str, widths))} columns: `start` must say where each begins")
    shards = sorted((start, start + width) for start, width, _ in places if width)
    for (_, end), (start, _) in zip(shards, shards[1:]):
        if start < end:
            raise ValueError(f"column {start} is in several shards: `start` says where each begins")


def of_whole_rows(scores, tokens, start, group):
    """The log-probabilities of rows whose scores are gathered from all shards."""
    shards = [None] * dist.get_world_size(group)
    dist.all_gather_object(shards, (start, scores.shape[1], scores.tobytes()), group=group)
    shards.sort(key=lambda shard: shard[0])
    rows = [np.frombuffer(numbers, scores.dtype).reshape(len(tokens), width) for _, width, numbers in shards]
    first_places = np.cumsum([0] + [width for _, width, _ in shards])
    places = np.zeros_like(tokens)
    for first_place, (start, width, _) in zip(first_places, shards):
        is_here = (tokens >= start) & (tokens < start + width)
        places[is_here] = first_place + tokens[is_here] - start
    return _core.token_log_probs(np.concatenate(rows, axis=1), places, -1)


class TokenLogProbs(torch.autograd.Function):
    """The log-probabilities for a matrix of scores with a row for each token, of which this process has the columns
    from `start` on."""

    @staticmethod
    def forward(ctx, x, tokens, padding, start, is_default, group):
        scores, tokens = Torch(x).array(x.cpu()), tokens.cpu().numpy().astype(np.intp)
        is_here = (tokens >= start) & (tokens < start + scores.shape[1])
        places = np.where(is_here, tokens - start, -1)
        place = start, scores.shape[1], is_default
        states, all_places = gathered(_core.shard_states(scores, places), place, x.device, group)
        check_places(all_places)
        # All processes have the same states, so that all take the same branches from here on.
        states, log_probs, is_known, is_proved = _core.merged_shards(states, scores.dtype.name)
        counts = np.ones(len(tokens), bool) if padding is None else tokens != padding
        if (counts & ~is_known).any():
            row = np.flatnonzero(counts & ~is_known)[0]
            raise ValueError(f"tokens has {tokens[row]} in row {row}, which is in none of the shards: `start` says where each begins")
        unproved = np.flatnonzero(counts & ~is_proved)
        if unproved.size:
            log_probs[unproved] = of_whole_rows(scores[unproved], tokens[unproved], start, group)
        log_probs[~counts] = 0
        ctx.save_for_backward(x)
        ctx.states, ctx.places, ctx.counts = states, places, counts
        return Torch(x).result(log_probs).to(x.device)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        with torch.no_grad():
            slope = slope_of(ctx, x, g)
        return *only_once("vocab_parallel_token_log_probs", [slope], [x, g]), None, None, None, None, None


def slope_of(ctx, x, g):
    scores = Torch(x).array(x.cpu())
    slope = Torch(x).result(_core.shard_gradients(ctx.states, scores, ctx.places)).to(x.device)
    slope *= g[:, None]
    slope[torch.from_numpy(~ctx.counts).to(x.device)] = 0
    return slope


def token_log_probs(x, tokens, padding, start, group):
    """The log-probabilities for rows of scores along the last dimension."""
    if not (dist.is_available() and dist.is_initialized()):
        raise RuntimeError("there is no group of processes: call torch.distributed.init_process_group first")
    # new_group returns this in a process that is not in the group.
    is_outside = group is dist.GroupMember.NON_GROUP_MEMBER
    if not (is_outside or isinstance(group, dist.ProcessGroup | None)):
        raise TypeError(f"group must be a group of torch.distributed, or None for all processes, not {type(group).__name__}")
    rank = -1 if is_outside else dist.get_rank(group)
    if rank < 0:
        raise RuntimeError("this process is not in the group")
    refuse_transforms("vocab_parallel_token_log_probs", x)
    is_default = start is None
    start = rank * x.shape[-1] if is_default else start
    rows = x.reshape(tokens.numel(), x.shape[-1])
    log_p = TokenLogProbs.apply(rows.contiguous(), tokens.reshape(-1), padding, start, is_default, group)
    return log_p.reshape(tokens.shape)
