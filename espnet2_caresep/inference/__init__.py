"""The trained model as people use it: any rate, any channel count, any length."""

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
        from espnet2_caresep.inference import separator

        return getattr(separator, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
