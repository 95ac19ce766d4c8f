"""The networks; need torch alone."""

from .base import Anchor, QuerySeparator
from .caresep import CaRESep
from .systems import SYSTEMS
from .unet_separators import PANNSep, STSEDSep

__all__ = ["SYSTEMS", "Anchor", "CaRESep", "PANNSep", "QuerySeparator", "STSEDSep"]
