"""The trained model as people use it: any rate, any channel count, any length."""

from importlib import import_module

__all__ = [
    "CaRESeparator",
    "Query",
    "Scene",
    "Separation",
    "Stems",
    "StreamBlock",
    "Tags",
]
HOMES = {"CaRESeparator": "separator", "Scene": "scene.scene"}


def __getattr__(name: str):
    # Torch takes seconds to import; a command that only checks files must not pay.
    if name in __all__:
        home = HOMES.get(name, "results")
        return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
