"""Streams: blocks change nothing, memory does not grow, parts add up."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from espnet2_caresep.inference import CaRESeparator, Query
from espnet2_caresep.inference.partition import split_exactly
from espnet2_caresep.inference.segments import separate_segments
from espnet2_caresep.inference.stream import Inside, SeparationStream
from espnet2_caresep.scoring.metrics import sdr

quick = settings(
    max_examples=15, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module")
def separator(tiny_model):
    return CaRESeparator.from_pretrained(tiny_model, "cpu", overlap=0.25)


@quick
@given(st.data())
def test_blocks_change_nothing(separator, sound, data):
    rate = data.draw(st.sampled_from([8000, 22050, 32000, 44100, 48000]))
    channels = data.draw(st.integers(1, 3))
    mixture = sound(2, data.draw(st.floats(0.05, 4)), rate, channels)
    length = mixture.shape[1]
    cuts = [0, *sorted(data.draw(st.lists(st.integers(0, length), max_size=8))), length]
    query = separator.query(sound(1), 32000)
    blocks = (mixture[:, a:b] for a, b in pairwise(cuts))
    parts = list(separator.stream(blocks, query, rate))
    whole = separator.separate(mixture, query, rate)
    for name in ("target", "residual"):
        joined = np.concatenate([getattr(part, name) for part in parts], 1)
        assert np.array_equal(joined, getattr(whole, name))


def test_a_stream_starts_before_its_end(separator, sound):
    """Output lags by less than two segments, and flat blocks come back flat."""
    query = separator.query(sound(1), 32000)
    mixture = sound(0, 10)[0]
    given_so_far = 0

    def blocks():
        nonlocal given_so_far
        for block in np.split(mixture, 100):
            given_so_far += len(block)
            yield block

    got = 0
    for part in separator.stream(blocks(), query, 32000):
        got += len(part.target)
        assert part.target.ndim == part.residual.ndim == 1
        lag = given_so_far - got
        assert lag < 3 * separator.network.segment_samples
    assert got == len(mixture)


def test_streams_refuse_what_cannot_be(separator, sound):
    query = sound(1)
    with pytest.raises(ValueError, match="mixture: is empty"):
        list(separator.stream([], query, 32000))
    with pytest.raises(ValueError, match="shorter than one analysis window"):
        list(separator.stream([np.zeros(5, np.float32)] * 3, query, 32000))
    changing = [sound(0), sound(0, channels=2)]
    with pytest.raises(ValueError, match="has 2 channels, the first one had 1"):
        list(separator.stream(changing, query, 32000))
    strange = Query(np.zeros(5, np.float32), np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="64 numbers and 3 tags, not 5 and 3"):
        list(separator.stream([sound(0)], strange, 32000))


def _passing(gain, segment=4000, hop=3000, queries=1):
    """A network that turns down: what whole processing gives is known."""

    def process(audio, pieces):
        parts = torch.stack([audio[:, piece] for piece in pieces])
        return gain * parts.repeat_interleave(queries, 1)

    return Inside(process, queries, 32000, segment, 1024, hop)


def _stream(inside, rate, channels):
    """Of which nobody asks what is there."""
    return SeparationStream(inside, rate, channels, "mixture", None)


@pytest.mark.parametrize("rate", [32000, 44100, 16000])
def test_chunked_equals_whole(sound, rate):
    """Far beyond 60 dB where the network itself does not care for borders."""
    mixture = sound(0, 3, rate, 2)
    inside = _passing(0.5)
    whole = _passing(0.5, segment=10**6, hop=10**6)
    results = []
    for choice in (inside, whole):
        stream = _stream(choice, rate, 2)
        first = stream.push(mixture)
        blocks = [block for block in (first, stream.finish()) if block]
        results.append(np.concatenate([block.stems[0] for block in blocks], 1))
    assert sdr(results[1], results[0]).min() > 120


def test_no_seam_where_segments_disagree(sound):
    """Segments at random gains: steps at borders are within the signal's own."""
    rng = np.random.default_rng(0)
    borders_apart = 3000

    def process(audio, pieces):
        return [audio[:, piece] * float(rng.uniform(0, 1)) for piece in pieces]

    inside = Inside(process, 1, 32000, 4000, 1024, borders_apart)
    time = np.arange(96000) / 32000
    tone = 0.5 * np.sin(2 * np.pi * 100 * time).astype(np.float32)[None]
    stream = _stream(inside, 32000, 1)
    blocks = [stream.push(tone), stream.finish()]
    target = np.concatenate([block.stems[0, 0] for block in blocks])
    # The second difference shows a step of 1 as 1, and of the tone 2e-4.
    bend = np.abs(np.diff(target, 2))
    borders = np.arange(borders_apart, len(target) - 4000, borders_apart)
    near = np.concatenate([bend[b - 20 : b + 20] for b in borders])
    assert near.max() < 2 * np.abs(np.diff(tone[0], 2)).max()


def test_memory_does_not_grow_with_length(sound):
    """Peak of what Python and numpy hold for 20 s and for 160 s in blocks."""

    def peak(seconds):
        stream = _stream(_passing(0.5), 44100, 2)
        block = sound(0, 1, 44100, 2)
        tracemalloc.start()
        for _ in range(seconds):
            stream.push(block)
        stream.finish()
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(2)  # what is allocated once
    short, long = peak(20), peak(160)
    assert long < 1.1 * short and short < 64 * 2**20


def _lattice(bits, channels):
    scale = 2 ** (bits - 1)
    sample = st.integers(-scale, scale - 1).map(lambda v: v / scale)
    row = st.lists(sample, min_size=4, max_size=4)
    return st.lists(row, min_size=channels, max_size=channels).map(np.float32)


@settings(deadline=None)
@given(st.sampled_from([8, 16, 24]).flatmap(lambda b: _lattice(b, 2)), st.data())
def test_parts_of_integer_audio_add_up_exactly(mixture, data):
    count = data.draw(st.integers(1, 4))
    # Together with the mixture below twice full scale, as the docstring says.
    limit = (2 - 2**-10 - np.abs(mixture).max()) / count
    shares = st.floats(-limit, limit, width=32)
    stems = np.float32(
        data.draw(st.lists(shares, min_size=8 * count, max_size=8 * count))
    ).reshape(count, 2, 4)
    found, residual = split_exactly(mixture, stems)
    assert found.dtype == residual.dtype == np.float32
    assert np.abs(found - stems).max() <= 2**-23
    for order in ([*found, residual], [residual, *found[::-1]]):
        total = np.zeros_like(mixture)
        for part in order:
            total = total + part  # float32, rounded after each addition
        assert np.array_equal(total, mixture)


@settings(deadline=None)
@given(
    st.lists(st.floats(-4, 4, width=32), min_size=3, max_size=3),
    st.lists(st.floats(-4, 4, width=32), min_size=3, max_size=3),
)
def test_parts_of_float_audio_add_up_to_one_rounding(mixture, stem):
    mixture, stem = np.float32([mixture]), np.float32([[stem]])
    (found,), residual = split_exactly(mixture, stem)
    for m, s, t, r in zip(mixture[0], stem[0, 0], found[0], residual[0]):
        gap = abs(Fraction(float(t)) + Fraction(float(r)) - Fraction(float(m)))
        most = max(abs(float(m)) + abs(float(s)), 2.0**-99)
        assert gap <= Fraction(most) / 2**22
        assert abs(float(t) - float(s)) <= most / 2**22


@quick
@given(st.integers(1, 3), st.integers(1, 3), st.floats(0.04, 1.27), st.booleans())
def test_segments_equal_the_networks_own(
    tiny_network, sound, channels, count, seconds, partition
):
    audio = torch.from_numpy(sound(0, seconds, channels=channels))
    with torch.inference_mode():
        queries = torch.cat(
            [tiny_network.embed(torch.from_numpy(sound(5 + i))) for i in range(count)]
        )
        whole = [slice(0, audio.shape[1])]
        (found,) = separate_segments(tiny_network, audio, whole, queries, partition)
        assert found.shape == (channels, count, audio.shape[1])
        expected = torch.stack(
            [
                tiny_network.separate(audio, query.expand(channels, -1))
                for query in queries
            ],
            1,
        )
    if not partition:
        assert sdr(expected.flatten(0, 1), found.flatten(0, 1)).min() > 100


def test_what_is_unwanted_takes_its_part(separator, sound):
    """The same query wanted and unwanted: M becomes M / max(1, 2 M)."""
    queries = [separator.query(sound(seed), 32000) for seed in (1, 2)]
    given = {"a": queries[0], "b": queries[1]}
    free = separator.separate_all(sound(0), given, 32000)
    against = separator.separate_all(sound(0), given, 32000, unwanted=queries[:1])
    shared = separator.separate_all(
        sound(0), {"a": queries[0], "c": queries[0]}, 32000, partition=True
    )
    # Wanted sounds share with the unwanted one, not with each other.
    assert sdr(shared.stems["a"], against.stems["a"]).min() > 100
    assert np.square(against.stems["b"]).sum() < np.square(free.stems["b"]).sum()
    total = np.sum(list(against.stems.values()), 0) + against.residual
    assert np.allclose(total, sound(0), atol=1e-6)
    alone = separator.separate(sound(0), queries[0], 32000, unwanted=[queries[0]])
    assert sdr(against.stems["a"], alone.target).min() > 100
    (block,) = separator.stream([sound(0)], queries[0], 32000, unwanted=queries[:1])
    assert np.array_equal(block.target, alone.target)


def test_partition_never_takes_more_than_there_is(separator, sound):
    """One query three times: without partition 3 M, with it M where M < 1/3."""
    query = separator.query(sound(1), 32000)
    names = {name: query for name in "abc"}
    free = separator.separate_all(sound(0), names, 32000)
    shared = separator.separate_all(sound(0), names, 32000, partition=True)
    assert np.array_equal(free.stems["a"], free.stems["c"])
    assert np.array_equal(shared.stems["a"], shared.stems["b"])
    spectrum = separator.network.stft

    def power(audio):
        return spectrum(torch.from_numpy(audio)).abs().square()

    whole = power(sound(0))
    # Frames overlap, so bins hold a little of their neighbours.
    inner = (slice(None), slice(3, -3), slice(3, -3))
    claimed = power(3 * shared.stems["a"])[inner].sum()
    assert claimed <= 1.02 * whole[inner].sum()
    assert power(3 * free.stems["a"])[inner].sum() > claimed
    total = sum(shared.stems.values()) + shared.residual
    assert np.abs(total - sound(0)).max() < 1e-6


def test_threads_get_what_one_gets(separator, sound):
    jobs = [(sound(i, 2), sound(9 + i)) for i in range(6)]
    alone = [separator.separate(m, q, 32000) for m, q in jobs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda job: separator.separate(*job, 32000), jobs))
    for one, other in zip(alone, together):
        assert np.array_equal(one.target, other.target)
        assert one.presence == other.presence


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_a_batch_is_each_alone(separator, tiny_model, sound, tmp_path, batch_size):
    model = CaRESeparator.from_pretrained(
        tiny_model, "cpu", batch_size=batch_size, overlap=separator.overlap
    )
    mixtures = [sound(0), sound(1, 3.0)[0], sound(2, 0.3, channels=3), sound(3, 0.9)]
    queries = [sound(5 + i) for i in range(4)]
    results = model.separate_batch(mixtures, queries, 32000)
    for mixture, query, result in zip(mixtures, queries, results):
        alone = separator.separate(mixture, query, 32000)
        assert result.target.shape == mixture.shape
        assert sdr(np.ravel(alone.target), np.ravel(result.target)) > 80
        assert result.presence == pytest.approx(alone.presence, abs=1e-4)
        gap = result.target + result.residual - mixture
        assert np.abs(gap).max() < 1e-6
    stacked = np.stack([sound(0), sound(1)])
    both = model.separate_batch(torch.from_numpy(stacked), queries[:2], 32000)
    assert both[0].target.shape == (1, 16000)
    with pytest.raises(ValueError, match="each mixture needs its own query"):
        model.separate_batch(mixtures, queries[:1], 32000)
