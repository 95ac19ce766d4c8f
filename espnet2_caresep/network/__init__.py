"""The network; needs torch alone."""

from .caresep import Anchor, CaRESep

__all__ = ["Anchor", "CaRESep"]
