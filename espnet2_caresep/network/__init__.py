"""The networks; need torch alone."""

from .base import Anchor, QuerySeparator
from .caresep import CaRESep
from .pann_sep import PANNSep
from .st_sed_sep import STSEDSep
from .systems import SYSTEMS

__all__ = ["SYSTEMS", "Anchor", "CaRESep", "PANNSep", "QuerySeparator", "STSEDSep"]
