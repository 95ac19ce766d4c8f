"""Binds a trained model to one query, to train it together with a recogniser.

    python -m espnet2_caresep.bin.bind_query --model MODEL --query voice.wav \
        --config conf/enh_s2t.yaml --output_dir exp/enh_s2t_voice

writes into the output directory

- ``separator.pth``: the separator's weights and the query's embedding (the mean over
  several queries), named as ESPnet's ``enh_s2t`` model names them;
- ``train.yaml``: the configuration with the separator's part filled in, for
  ``python -m espnet2_caresep.bin.espnet -m espnet2.bin.enh_s2t_train --config ...``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import yaml

from espnet2_caresep.data.command import run_command
from espnet2_caresep.data.files import write_whole

PREFIX = "enh_model.separator."


def get_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description="Bind a trained model to a query, for joint training with ASR",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--model", required=True, help="model zip, folder or tag")
    parser.add_argument(
        "--query", required=True, nargs="+", help="examples of the wanted sound"
    )
    parser.add_argument(
        "--config", required=True, help="enh_s2t configuration to complete"
    )
    parser.add_argument("--output_dir", required=True, help="where to write")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Runs the command; see :func:`run_command`."""
    run_command(
        get_parser(),
        lambda args: bind(args.model, args.query, args.config, args.output_dir),
        cmd,
    )


def bind(
    model: str, queries: Sequence[str], config_file: str, output_dir: str | Path
) -> None:
    """Writes ``separator.pth`` and ``train.yaml``.

    Args:
        model: What :meth:`CaRESeparator.from_pretrained` takes.
        queries: Audio files.
        config_file: ``enh_s2t`` configuration.
        output_dir: Made if missing.

    Raises:
        ValueError: If an input cannot be used.
    """
    import torch

    from espnet2_caresep.inference import CaRESeparator
    from espnet2_caresep.inference.network_config import read_config
    from espnet2_caresep.inference.package import open_package
    from espnet2_caresep.inference.zoo import fetch_model

    config = read_config(config_file)
    path = Path(model) if Path(model).exists() else fetch_model(model)
    trained = open_package(path).config
    separator = CaRESeparator.from_pretrained(path, "cpu")
    query = torch.from_numpy(separator.query(list(queries)).embedding)
    weights = {
        f"{PREFIX}network.{name}": value
        for name, value in separator.network.state_dict().items()
    }
    weights[f"{PREFIX}query"] = query[None]
    output_dir = Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    path = output_dir / "separator.pth"
    config.update(
        enh_encoder="same",
        enh_decoder="same",
        enh_separator="caresep",
        enh_separator_conf={
            **(config.get("enh_separator_conf") or {}),
            "system": trained.get("extractor", "caresep"),
            **(trained.get("extractor_conf") or {}),
        },
        # Further weights, such as a recogniser's, stay
        init_param=[str(path), *(config.get("init_param") or [])],
    )
    with write_whole(path) as part:
        torch.save(weights, part)
    with write_whole(output_dir / "train.yaml") as part:
        part.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


if __name__ == "__main__":
    main()
