"""The separators by the name that ``--extractor`` gives them.

Further ones come from the modules that the environment variable CARESEP_PLUGINS names
(``module:module``): each adds its own to :data:`SYSTEMS` when it is imported.
"""

import importlib
import os

from .base import QuerySeparator
from .caresep import CaRESep
from .pann_sep import PANNSep
from .st_sed_sep import STSEDSep

SYSTEMS: dict[str, type[QuerySeparator]] = {
    "caresep": CaRESep,
    "st_sed_sep": STSEDSep,
    "pann_sep": PANNSep,
}

for _name in os.environ.get("CARESEP_PLUGINS", "").split(":"):
    if _name:
        importlib.import_module(_name)
