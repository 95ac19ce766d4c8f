"""Overlap-add against whole processing."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_caresep.inference.overlap_add import (
    OverlapAdd,
    hop_between,
    overlap_add,
)
from espnet2_caresep.scoring.metrics import sdr


def each(process):
    return lambda audio, pieces: [process(audio[:, piece]) for piece in pieces]


@settings(deadline=None)
@given(st.integers(1, 4000), st.integers(2, 900), st.floats(0.05, 1))
def test_identity_passes_unchanged(samples, segment, step):
    audio = torch.randn(2, samples)
    seen, around = [], []

    def identity(audio, pieces):
        parts = [audio[:, piece] for piece in pieces]
        seen.extend(part.shape[-1] for part in parts)
        starts = [piece.start for piece in pieces]
        assert starts == sorted(starts) and starts[-1] - starts[0] <= segment
        before, after = starts[0], audio.shape[1] - pieces[-1].stop
        assert max(before, after) <= segment // 2 and before >= 0
        around.append(before + after)
        return parts

    out = overlap_add(identity, audio, segment, math.ceil(segment * step))
    assert out.shape == audio.shape
    assert torch.allclose(out, audio, rtol=1e-5, atol=1e-6)
    assert max(seen) <= segment
    # Every segment of long audio is a full one: no short tail without context.
    assert samples <= segment or set(seen) == {segment}
    # Half a segment before and after them, where there is so much.
    if samples >= 5 * segment:
        assert max(around) == 2 * (segment // 2)


def test_pointwise_processing_equals_whole():
    audio = torch.randn(3, 5000)
    out = overlap_add(each(lambda part: torch.tanh(3 * part)), audio, 700, 525)
    assert sdr(torch.tanh(3 * audio), out).min() > 100


def test_disagreeing_segments_are_crossfaded_without_a_step():
    calls = iter(range(100))

    def constant(part):
        return torch.full_like(part, float(next(calls)))

    out = overlap_add(each(constant), torch.zeros(1, 1750), 1000, 750)[0]
    assert out[0] == 0 and out[-1] == 1
    steps = out.diff()
    assert (steps >= -1e-6).all() and steps.max() < 0.01


@settings(deadline=None)
@given(st.data())
def test_blocks_change_nothing(data):
    samples, segment = data.draw(st.integers(1, 2000)), data.draw(st.integers(2, 300))
    step = data.draw(st.sampled_from([1, 0.75, 0.5, 0.1]))
    cuts = sorted(data.draw(st.lists(st.integers(0, samples), max_size=9)))
    audio = torch.randn(2, samples)

    def process(audio, pieces):  # depends on all of it, and gives three rows for two
        parts = [audio[:, piece] - audio.mean() + len(pieces) for piece in pieces]
        return [torch.cat([part, part[:1]]) for part in parts]

    hop = math.ceil(segment * step)
    stream = OverlapAdd(process, segment, hop)
    cuts = [0, *cuts, samples]
    parts = [stream.push(audio[:, a:b]) for a, b in pairwise(cuts)]
    parts = [part for part in (*parts, stream.finish()) if part is not None]
    whole = overlap_add(process, audio, segment, hop)
    assert whole.shape == (3, samples)
    assert torch.equal(torch.cat(parts, -1), whole)


def test_bad_arguments():
    with pytest.raises(ValueError, match="overlap"):
        hop_between(1000, 10, 0.97)
    for segment, hop in ((1, 1), (4, 0), (4, 5)):
        with pytest.raises(ValueError, match="segment must be"):
            overlap_add(None, torch.zeros(1, 9), segment, hop)
    with pytest.raises(ValueError, match="no audio"):
        OverlapAdd(lambda part: part, 4, 2).finish()


@given(st.integers(2, 1024), st.integers(1, 900), st.floats(0, 0.95))
def test_segments_take_turns_in_the_phase_of_tokens(frames, frame, overlap):
    segment = frames * frame
    hop = hop_between(segment, frame, overlap)
    assert hop == segment or hop % (4 * frame) == round(1.25 * frame)
    assert 1 <= hop <= segment
    assert abs(hop - segment * (1 - overlap)) <= 2.001 * frame + 0.5
    assert hop_between(segment, frame, 0) == segment


def test_hops_of_the_installed_model():
    hops = [hop_between(127 * 648, 648, o) / 648 for o in (0, 0.5, 0.75, 0.9, 0.95)]
    assert hops == [127, 65.25, 33.25, 13.25, 5.25]
