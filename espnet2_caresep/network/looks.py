"""Further looks at a mixture, for what the first one found.

Another clip of the wanted sound's class has another spectrum than the sound itself. What
the first mask takes from the mixture is nearer to it, so that is compared with the
mixture next, in place of the query's spectrum (ours, not the paper's; docs/training.md
has what it gives).
"""

import torch
from torch import Tensor

from .level import Levelled, level_and_shape

STEP = 0.5  # weight of a look against all before it
LIKENESS = (0.7, 0.95)  # from no doubt that the query is another sound, to none that it
# is the sound itself, of which a further look can only know less


def found_spectrum(mask: Tensor, mixture: Levelled) -> Tensor:
    """Log mean power, at unit level, of what a mask takes from a mixture.

    Args:
        mask: (B, T, F), 0 to 1.
        mixture: Segments of T frames.

    Returns:
        (B, F), as the spectrum in a query.
    """
    power = (mask.square() * mixture.power).sum(1)
    mean = power / mixture.valid.sum(1, keepdim=True).clamp(min=1)
    _, log_mean = level_and_shape(mean)
    return log_mean


def doubt(query: Tensor, found: Tensor) -> Tensor:
    """How sure it is that a query is not the very sound that was found.

    A target's own clip has nearly its spectrum: the cosine of power spectra is above
    0.97 for 95 % of the validation items of debsounds, and below 0.94 for as many of
    those with another clip.

    Args:
        query: (B, F) log mean power.
        found: (B, F) log mean power.

    Returns:
        (B,), 0 to 1.
    """
    return 1 - ramp(likeness(query, found), LIKENESS)


def likeness(query: Tensor, found: Tensor) -> Tensor:
    """Cosine of spectra (B, F), given as logarithms: (B,), 0 to 1."""
    return torch.cosine_similarity(query.float().exp(), found.float().exp(), -1)


def ramp(values: Tensor, limits: tuple[float, float]) -> Tensor:
    """0 up to the first limit, 1 from the second one on."""
    low, high = limits
    return ((values - low) / (high - low)).clamp(0, 1)
