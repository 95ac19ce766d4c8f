"""Where bfloat16 on a CPU is worth it."""

from __future__ import annotations

import logging
from functools import cache

import torch

logger = logging.getLogger(__name__)


@cache
def cpu_has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices with oneDNN's kernels.

    They need AVX-512 on x86. Elsewhere torch computes the same products in plain loops:
    on a CPU with AVX2 alone, 48 times slower than in float32.
    """
    found = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    if not found:
        logger.warning(
            "cpu_autocast: this CPU has no fast bfloat16 products; float32 is used"
        )
    return found
