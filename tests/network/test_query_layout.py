"""What the numbers of a query are, and what several queries have in common."""

import pytest
import torch

from espnet2_caresep.network.query_layout import (
    QueryLayout,
    find_templates,
    mean_query,
)

BINS, FRAMES = 40, 30


@pytest.mark.parametrize(
    "layout, size",
    [
        (QueryLayout(4), 4),
        (QueryLayout(4, BINS), 4 + BINS),
        (QueryLayout(4, BINS, 3), 4 + 4 * BINS),
    ],
)
def test_join_undoes_split(layout, size):
    assert layout.size == size
    queries = torch.randn(2, 5, size)
    pooled, spectrum, templates = layout.split(queries)
    assert pooled.shape == (2, 5, 4)
    assert spectrum.shape == (2, 5, layout.bins)
    assert templates.shape == (2, 5, layout.templates, layout.bins)
    assert torch.equal(layout.join(pooled, spectrum, templates), queries)


def test_queries_are_averaged_in_power():
    embeddings, power = torch.randn(1, 3, 4), torch.rand(1, 3, BINS)
    weights = torch.tensor([[2.0, 1.0, 0.0]])
    queries = torch.cat([embeddings, power.log()], -1)
    found = mean_query(queries, weights, QueryLayout(4, BINS))
    mean = (2 * embeddings[:, 0] + embeddings[:, 1]) / 3
    torch.testing.assert_close(found[:, :4], mean)
    together = (2 * power[:, 0] + power[:, 1]) / 3
    torch.testing.assert_close(found[:, 4:].exp(), together)
    assert mean_query(embeddings, weights, QueryLayout(4)).shape == (1, 4)


def test_a_query_alone_is_what_it_was():
    for layout in (QueryLayout(4), QueryLayout(4, BINS), QueryLayout(4, BINS, 3)):
        query = torch.randn(1, 1, layout.size).abs()
        found = mean_query(query, torch.tensor([[2.0]]), layout)
        assert torch.equal(found, query[:, 0])  # to the bit


def test_templates_are_the_spectra_of_which_a_clip_is_made():
    """A clip that goes through three spectra in turn, for 5, 10 and 15 frames."""
    spectra = torch.zeros(3, BINS)
    for number, row in enumerate(spectra):
        row[13 * number : 13 * number + 13] = torch.rand(13) + 0.5
    clip = spectra.repeat_interleave(torch.tensor([5, 10, 15]), 0)[None]
    found = find_templates(clip, 3)
    assert found.shape == (1, 3, BINS)
    # They add up to the mean spectrum, and each is one of the three
    torch.testing.assert_close(found.sum(1), clip.mean(1), rtol=1e-3, atol=1e-3)
    cosines = torch.nn.functional.cosine_similarity(found[0, :, None], spectra, -1)
    assert cosines.amax(0).min() > 0.99
    assert find_templates(clip, 0).shape == (1, 0, BINS)


def test_templates_of_several_queries_are_those_of_all():
    """Two clips of one spectrum each are one clip of two."""
    layout = QueryLayout(2, BINS, 2)
    spectra = torch.zeros(2, BINS)
    spectra[0, :25], spectra[1, 15:] = torch.rand(2, 25) + 0.5
    clips = spectra[:, None].expand(2, FRAMES, BINS)
    zeros = torch.zeros(2, 2), torch.zeros(2, BINS)
    queries = layout.join(*zeros, find_templates(clips, 2))[None]
    weights = torch.tensor([[1.0, 3.0]])
    _, _, found = layout.split(mean_query(queries, weights, layout))
    cosines = torch.nn.functional.cosine_similarity(found[0, :, None], spectra, -1)
    assert cosines.amax(0).min() > 0.98
    # As frequent as before
    expected = (clips[0].mean(0) + 3 * clips[1].mean(0)) / 4
    torch.testing.assert_close(found[0].sum(0), expected, rtol=0.02, atol=1e-3)
