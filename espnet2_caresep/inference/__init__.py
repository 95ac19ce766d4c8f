"""The trained model as people use it: any rate, any channel count, any length."""

from importlib import import_module

__all__ = [
    "CaRESeparator",
    "Query",
    "Separation",
    "Stems",
    "StreamBlock",
    "Tags",
]


def __getattr__(name: str):
    # Torch takes seconds to import; a command that only checks files must not pay.
    if name in __all__:
        home = "separator" if name == "CaRESeparator" else "results"
        return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
