"""Masks from a mixture's parts: spectra that come and go (:mod:`~.factorisation`).

Nothing here is learned, so it works on sounds that no training has heard. A mask that is
known gets the shape of whole parts, and templates of the wanted sound's own clip say what
of each frame it is (ours, not the paper's; docs/training.md has what it gives).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .factorisation import TINY, Factors, factorise, unit_sum, update
from .level import Levelled
from .looks import found_spectrum, likeness, ramp

PARTS = 16  # of what a mask takes, and as many of what it leaves
PART_UPDATES, JOINT_UPDATES = 5, 5  # few: parts that fit all too well say nothing new
REST_PARTS = 16  # of what is not the templates' sound
REST_UPDATES, TEMPLATE_UPDATES = 10, 20
OWN = (0.97, 0.99)  # likeness of amplitudes, from none that templates are of the sound
# itself to no doubt
HOPE = 0.3  # likeness below which a mask has found something else
ALONE = (1e-3, 1e-2)  # shares of a mixture's power, from too little for parts of it


def by_parts(mixture: Levelled, mask: Tensor) -> Tensor:
    """A mask in which what sounds together stays together.

    What a mask takes of a mixture and what it leaves are factorised, then both together:
    bins on which the mask was wrong follow the parts that they belong to. A mask that
    takes or leaves next to nothing stays as it is.

    Args:
        mixture: Segments of T frames.
        mask: (B, T, F), 0 to 1.

    Returns:
        (B, T, F), 0 to 1.
    """
    magnitude = _magnitude(mixture)
    taken = factorise(magnitude * mask, PARTS, PART_UPDATES)
    left = factorise(magnitude * (1 - mask), PARTS, PART_UPDATES)
    target, rest = _both(magnitude, taken, left, JOINT_UPDATES)
    found = target / (target + rest + TINY)
    lesser = torch.minimum(_share(mixture, mask), _share(mixture, 1 - mask))
    return mask + ramp(lesser, ALONE)[:, None, None] * (found - mask)


def by_templates(mixture: Levelled, mask: Tensor, templates: Tensor) -> Tensor:
    """The mask of a sound that is made of known spectra, beside one that is not.

    Args:
        mixture: Segments of T frames.
        mask: (B, T, F), 0 to 1, what is known so far.
        templates: (B, K, F) of the wanted sound, of any level.

    Returns:
        (B, T, F), 0 to 1.
    """
    magnitude = _magnitude(mixture)
    spectra = unit_sum(templates)
    start = (magnitude * mask).sum(2, keepdim=True) / spectra.shape[1]
    taken = Factors(start.expand(-1, -1, spectra.shape[1]), spectra)
    left = factorise(magnitude * (1 - mask), REST_PARTS, REST_UPDATES)
    target, rest = _both(
        magnitude, taken, left, TEMPLATE_UPDATES, fixed=spectra.shape[1]
    )
    return target.square() / (target.square() + rest.square() + TINY)


def own_sound(
    mixture: Levelled, mask: Tensor, query: Tensor, templates: Tensor
) -> tuple[Tensor, Tensor]:
    """Looks for the very sound that a query was made of.

    What its templates take of a mixture then has the query's spectrum. Where a mask
    leaves next to nothing of a mixture, the sound is alone and templates can only do
    harm.

    Args:
        mixture: Segments of T frames.
        mask: (B, T, F), 0 to 1, found without templates.
        query: (B, F) log mean power.
        templates: (B, K, F); K may be 0, and zero is none.

    Returns:
        Mask (B, T, F), and how sure it is that it is right, (B,), both 0 to 1.
    """
    if not templates.shape[1]:
        return mask, mask.new_zeros(len(mask))
    sure = ramp(_share(mixture, 1 - mask), ALONE) * templates.any(2).any(1)
    sure = sure * (likeness(query, found_spectrum(mask, mixture)) > HOPE)
    if not sure.any():
        return mask, sure
    own = by_templates(mixture, mask, templates)
    alike = likeness(query / 2, found_spectrum(own, mixture) / 2)
    return own, sure * ramp(alike, OWN)


def _share(mixture: Levelled, mask: Tensor) -> Tensor:
    """Share (B,) of a mixture's power that a mask takes."""
    taken = (mask.square() * mixture.power).sum((1, 2))
    return taken / mixture.power.sum((1, 2)).clamp(min=TINY)


def _magnitude(mixture: Levelled) -> Tensor:
    """(B, T, F) with a mean of about 1."""
    magnitude = mixture.power.sqrt()
    return magnitude / magnitude.mean((1, 2), keepdim=True).clamp(min=TINY)


def _both(
    magnitude: Tensor, one: Factors, other: Factors, updates: int, fixed: int = 0
) -> tuple[Tensor, Tensor]:
    """Two sets of factors, updated together -> what each of them makes, (B, T, F)."""
    together = Factors(
        torch.cat([one.activations, other.activations], 2),
        torch.cat([one.spectra, other.spectra], 1),
    )
    activations, spectra = update(magnitude, together, updates, fixed)
    count = one.spectra.shape[1]
    return (
        activations[..., :count] @ spectra[:, :count],
        activations[..., count:] @ spectra[:, count:],
    )
