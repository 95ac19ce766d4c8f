"""The separators by the name that ``--extractor`` gives them."""

from .base import QuerySeparator
from .caresep import CaRESep
from .unet_separators import PANNSep, STSEDSep

SYSTEMS: dict[str, type[QuerySeparator]] = {
    "caresep": CaRESep,
    "st_sed_sep": STSEDSep,
    "pann_sep": PANNSep,
}
