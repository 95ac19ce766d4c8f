"""The networks as ESPnet extractors."""

from __future__ import annotations

from collections import OrderedDict
from typing import ClassVar

import torch
from espnet2.enh.extractor.abs_extractor import AbsExtractor
from torch import Tensor

from espnet2_caresep.network.base import QuerySeparator
from espnet2_caresep.network.caresep import CaRESep
from espnet2_caresep.network.systems import SYSTEMS


class CaRESepExtractor(AbsExtractor):
    """Holds a :class:`CaRESep` as ``network``, a subclass another system.

    Our own task calls the waveform methods of the network. ``forward`` is ESPnet's
    interface on STFT features, with which the extractor trains under the stock target
    speaker extraction task (``--encoder stft --decoder stft`` with the network's
    ``n_fft`` and ``hop_length``).

    Args:
        input_dim: Feature dimension of the encoder: bins of the STFT.
        network_conf: Keyword arguments of ``network_class``.

    Raises:
        ValueError: If the encoder has another number of bins than the network, or a
            network argument is out of range.
    """

    network_class: ClassVar[type[QuerySeparator]] = CaRESep

    def __init__(self, input_dim: int, **network_conf):
        super().__init__()
        self.network = self.network_class(**network_conf)
        bins = self.network.n_fft // 2 + 1
        if input_dim != bins:
            raise ValueError(
                f"the encoder gives {input_dim} bins, the network needs {bins}: set "
                f"the encoder's n_fft to the extractor's, {self.network.n_fft}"
            )

    def forward(
        self,
        input: Tensor,
        ilens: Tensor,
        input_aux: Tensor,
        ilens_aux: Tensor,
        suffix_tag: str = "",
        additional: dict | None = None,
    ) -> tuple[Tensor, Tensor, OrderedDict]:
        """Extracts the target on STFT features.

        Args:
            input: Mixture spectrum (B, T, F), complex.
            ilens: (B,) frames.
            input_aux: Query spectrum (B, T', F), complex, or query waveform (B, M),
                float (``share_encoder: false``).
            ilens_aux: (B,) frames or samples of the query.
            suffix_tag: Ending of the keys in the returned dictionary.
            additional: Not used.

        Returns:
            Target spectrum (B, T, F), complex; ``ilens``; the query embedding under
            ``enroll_emb`` + ``suffix_tag``.

        Raises:
            ValueError: If the features are not single-channel complex spectra.
        """
        mixture = _complex(input)
        if torch.is_tensor(input_aux) and not input_aux.is_complex():
            query = self.network.embed(input_aux, ilens_aux)
        else:
            query = self.network.embed_spectrum(_complex(input_aux), ilens_aux)
        target = self.network.separate_spectrum(mixture, query, ilens)
        return target, ilens, OrderedDict({f"enroll_emb{suffix_tag}": query})


def _extractor(network: type[QuerySeparator]) -> type[CaRESepExtractor]:
    """The extractor class that holds a network of this class."""
    name = f"{network.__name__}Extractor"
    return type(name, (CaRESepExtractor,), {"network_class": network})


EXTRACTORS: dict[str, type[CaRESepExtractor]] = {
    name: CaRESepExtractor if network is CaRESep else _extractor(network)
    for name, network in SYSTEMS.items()
}


def _complex(features) -> Tensor:
    """ESPnet's ComplexTensor or torch's own type -> complex tensor (B, T, F)."""
    if not torch.is_tensor(features):
        features = torch.complex(features.real, features.imag)
    if not features.is_complex() or features.dim() != 3:
        raise ValueError(
            "the extractor needs single-channel complex spectra (batch, frames, bins), "
            f"got {features.dtype} of shape {tuple(features.shape)}: use --encoder stft"
        )
    return features
