"""Speech recognition behind separation: what does the voice in the mixture say?"""

from __future__ import annotations

import importlib
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from espnet2_caresep.inference.audio.recording import Audio, to_audio
from espnet2_caresep.inference.network_config import read_config
from espnet2_caresep.zoo import fetch

DEFAULT_RATE = 16000  # Hz, of ESPnet's frontends where a configuration says nothing


@dataclass(frozen=True)
class Transcription:
    """What was recognised, and in what.

    Attributes:
        text: The words.
        heard: What the recogniser got, at the mixture's rate.
        target: What was separated, at the mixture's rate.
    """

    text: str
    heard: Audio
    target: Audio


class Recogniser:
    """ESPnet's ``Speech2Text`` for audio of any rate and channel count.

    Args:
        speech2text: Gives a list of hypotheses whose first entries are texts.
        sample_rate: Its rate in Hz.
    """

    def __init__(self, speech2text, sample_rate: int = DEFAULT_RATE):
        self.speech2text = speech2text
        self.sample_rate = sample_rate

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        model_file: str | Path | None = None,
        sample_rate: int | None = None,
        device: str = "cpu",
        **search,
    ) -> Recogniser:
        """Loads a recogniser that ESPnet's ``asr`` task trained, or one of your own.

        Args:
            source: Tag, URL or zip of the model zoo, an experiment folder, or the
                configuration that belongs to ``model_file``; or ``MODULE:FUNCTION``,
                a function that gets ``device`` and ``search`` and returns a
                :class:`Recogniser`.
            model_file: Weights, where ``source`` is a configuration. In a folder they
                are the first of ``valid.acc.ave.pth``, ``valid.*.ave*.pth``,
                ``valid.acc.best.pth``, ``latest.pth``.
            sample_rate: In Hz; by default what the configuration says.
            device: Torch device.
            search: Further arguments of ``Speech2Text``, such as ``beam_size``.

        Raises:
            ValueError: If the model cannot be used, with a one-line reason.
        """
        if own := re.fullmatch(r"([A-Za-z_][\w.]*):([A-Za-z_]\w*)", str(source)):
            return _own(*own.groups())(device=device, **search)
        files = _find(source, model_file)
        if not {"asr_train_config", "asr_model_file"} <= set(files):
            raise ValueError(f"{source}: is no model of ESPnet's asr task")
        config = read_config(files["asr_train_config"])
        from espnet2.bin.asr_inference import Speech2Text

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "config.yaml")
            resolved = _resolved(config, Path(files["asr_train_config"]).parent)
            path.write_text(yaml.safe_dump(resolved), encoding="utf-8")
            files["asr_train_config"] = str(path)
            try:
                speech2text = Speech2Text(**files, device=device, **search)
            except (OSError, RuntimeError, ValueError, AttributeError) as error:
                reason = " ".join(str(error).split())
                raise ValueError(f"{source}: cannot be loaded ({reason})") from error
        return cls(speech2text, sample_rate or _rate(config))

    def transcribe(self, audio, sample_rate: int | None = None) -> str:
        """The words in a piece of audio, downmixed to mono.

        Args:
            audio: Path, array or tensor, or :class:`Audio`.
            sample_rate: Rate of an array in Hz.

        Returns:
            The best hypothesis; empty if there are no words in it.

        Raises:
            ValueError: If the audio cannot be used or is too short to recognise.
        """
        from espnet2.legacy.nets.pytorch_backend.transformer.subsampling import (
            TooShortUttError,
        )

        clip = to_audio(audio, sample_rate, "speech").mono().at(self.sample_rate)
        try:
            result = self.speech2text(clip.samples[0])
        except TooShortUttError as error:
            raise ValueError(f"{clip.name}: too short to recognise") from error
        # Models with intermediate CTC give their hypotheses beside those of the layers.
        hypotheses = result[0] if isinstance(result, tuple) else result
        return (hypotheses[0][0] if hypotheses else None) or ""


def separate_and_transcribe(
    mix,
    query,
    separator,
    recogniser: Recogniser,
    sample_rate: int | None = None,
    query_sample_rate: int | None = None,
    observation: float = 0.0,
) -> Transcription:
    """Separates the voice that sounds like the query, and recognises it.

    Separation leaves artefacts that a recogniser was not trained on. A share of the
    mixture added to the target often helps ("observation adding", Iwamoto et al., "How
    bad are artifacts?", Interspeech 2022).

    Args:
        mix: Path, array or tensor.
        query: Path, array or tensor: the voice, saying anything.
        separator: A :class:`~espnet2_caresep.inference.CaRESeparator`.
        recogniser: Recognises the result.
        sample_rate: Rate of ``mix`` in Hz where it is an array.
        query_sample_rate: Rate of ``query`` where it is an array; by default
            ``sample_rate``.
        observation: How much of the mixture is added, alpha in target + alpha * mixture.

    Returns:
        The text, and the audio it was recognised in.

    Raises:
        ValueError: If an input cannot be used, or ``observation`` is negative.
    """
    if observation < 0:
        raise ValueError(f"observation must be at least 0, not {observation}")
    mixture = to_audio(mix, sample_rate, "mixture")
    result = separator.separate(
        mixture, query, query_sample_rate=query_sample_rate or sample_rate
    )
    samples = result.target.reshape(mixture.samples.shape)
    heard = samples + observation * mixture.samples
    return Transcription(
        recogniser.transcribe(Audio(heard, mixture.sample_rate, mixture.name)),
        Audio(heard, mixture.sample_rate, mixture.name),
        Audio(samples, mixture.sample_rate, mixture.name),
    )


def _own(module: str, function: str):
    """A function that makes a recogniser which is none of ESPnet's."""
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{module}:{function}: not found ({error})") from error


def _find(source: str | Path, model_file: str | Path | None) -> dict[str, str]:
    """Arguments of ``Speech2Text`` that are files."""
    path = Path(source)
    if model_file is not None:
        return {"asr_train_config": str(source), "asr_model_file": str(model_file)}
    if not path.is_dir():
        return dict(fetch(source))
    for pattern in (
        "valid.acc.ave.pth",
        "valid.*.ave*.pth",
        "valid.acc.best.pth",
        "latest.pth",
    ):
        found = sorted(path.glob(pattern))
        if found:
            config = path / "config.yaml"
            return {"asr_train_config": str(config), "asr_model_file": str(found[0])}
    raise ValueError(f"{path}: holds no weights (valid.*.ave.pth or latest.pth)")


def _resolved(value, folder: Path):
    """Names of files made absolute.

    A configuration names its files (units, statistics) relative to the recipe's folder,
    which lies some levels above the experiment's.
    """
    if isinstance(value, dict):
        return {key: _resolved(entry, folder) for key, entry in value.items()}
    if isinstance(value, list) and len(value) < 100:  # longer ones are vocabularies
        return [_resolved(entry, folder) for entry in value]
    if not isinstance(value, str) or "/" not in value or Path(value).exists():
        return value
    for parent in folder.resolve().parents:
        if (parent / value).is_file():
            return str(parent / value)
    return value


def _rate(config: dict) -> int:
    """Of the audio that the recogniser was trained on, in Hz."""
    rate = (config.get("frontend_conf") or {}).get("fs", DEFAULT_RATE)
    text = str(rate)
    return round(float(text[:-1]) * 1000) if text.endswith("k") else int(rate)
