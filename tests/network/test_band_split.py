from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_caresep.network.band_split import (
    BandMerge,
    BandSplit,
    BandSpread,
    mel_band_edges,
)


def test_edges_are_those_of_reference_16():
    edges = mel_band_edges(513, 64, 32000)
    assert edges[:8] == [0, 2, 3, 4, 5, 7, 8, 10]
    assert edges[-4:] == [440, 463, 487, 513]
    widths = [b - a for a, b in zip(edges, edges[2:])]
    assert (min(widths), max(widths)) == (2, 50)


@pytest.mark.parametrize("sample_rate", [8000, 16000, 32000, 44100, 48000])
@pytest.mark.parametrize("num_bins", [129, 257, 513, 1025])
def test_bands_cover_every_bin(sample_rate, num_bins):
    edges = mel_band_edges(num_bins, 64, sample_rate)
    covered = set()
    for start, end in zip(edges, edges[2:]):
        assert end > start
        covered |= set(range(start, end))
    assert covered == set(range(num_bins))


@settings(max_examples=50, deadline=None)
@given(
    st.integers(2, 600).flatmap(
        lambda bins: st.tuples(st.just(bins), st.integers(1, bins - 1))
    ),
    st.integers(1000, 200000),
)
def test_edges_increase_from_the_first_bin_to_the_last(sizes, sample_rate):
    num_bins, num_bands = sizes
    edges = mel_band_edges(num_bins, num_bands, sample_rate)
    assert len(edges) == num_bands + 2
    assert edges[0] == 0 and edges[-1] == num_bins
    assert all(a < b for a, b in pairwise(edges))


@pytest.mark.parametrize("num_bands", [0, 513])
def test_impossible_number_of_bands_is_refused(num_bands):
    with pytest.raises(ValueError, match="num_bands must lie in 1..512"):
        mel_band_edges(513, num_bands, 32000)


def test_split_is_one_linear_layer_per_band():
    torch.manual_seed(0)
    split = BandSplit(129, 16, 16000, out_channels=3)
    x = torch.randn(2, 5, 129)
    out = split(x)
    edges = mel_band_edges(129, 16, 16000)
    position = 0
    for k in range(16):
        # Weights are listed band by band.
        width = edges[k + 2] - edges[k]
        weight = split.weight[position : position + width]
        position += width
        expected = x[..., edges[k] : edges[k + 2]] @ weight
        torch.testing.assert_close(out[:, :, k], expected)


def test_first_channel_of_the_split_starts_as_the_mean_of_the_band():
    split = BandSplit(513, 64, 32000, out_channels=2)
    out = split(torch.full((1, 1, 513), 3.0))
    torch.testing.assert_close(out[..., 0], torch.full((1, 1, 64), 3.0))


def test_merge_is_overlap_add_with_the_interior_halved():
    torch.manual_seed(0)
    bins, bands, channels = 257, 24, 5
    merge = BandMerge(bins, bands, 16000, channels)
    for bias in merge.biases:
        torch.nn.init.normal_(bias)
    x = torch.randn(2, 3, bands, channels)
    edges = mel_band_edges(bins, bands, 16000)
    total, count = torch.zeros(2, 3, bins), torch.zeros(bins)
    for run, (start, end, _) in enumerate(merge.runs):
        for k in range(start, end):
            width = edges[k + 2] - edges[k]
            weight = merge.weights[run][k - start, :, :width]
            bias = merge.biases[run][k - start, :, :width]
            total[..., edges[k] : edges[k + 2]] += x[:, :, k] @ weight + bias
            count[edges[k] : edges[k + 2]] += 1
    assert set(count.tolist()) == {1.0, 2.0}
    torch.testing.assert_close(merge(x), total / count, rtol=1e-4, atol=1e-5)


def test_spread_gives_each_bin_the_mean_of_its_bands():
    spread = BandSpread(257, 24, 16000)
    values = torch.arange(24.0)
    edges = mel_band_edges(257, 24, 16000)
    expected = []
    for bin_ in range(257):
        inside = [k for k in range(24) if edges[k] <= bin_ < edges[k + 2]]
        expected.append(sum(inside) / len(inside))
    assert spread(values).tolist() == pytest.approx(expected)
