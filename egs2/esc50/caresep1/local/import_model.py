"""Puts a trained model where the stages look for it, and prints the name of its weights.

A model is an experiment folder, which is linked, or a zip of the model zoo, of which the
configuration and the weights are copied. Nothing of the model is executed here.
"""

from __future__ import annotations

import argparse
import os
import zipfile
from pathlib import Path

import yaml

from espnet2_caresep.data.command import bad_input_exits
from espnet2_caresep.data.files import write_whole

WEIGHTS = "valid.mixture_sdr.best.pth"


def from_folder(folder: Path, output_dir: Path, weights: str) -> str:
    """Links configuration and weights of an experiment folder.

    Raises:
        ValueError: If the folder lacks one of them.
    """
    weights = weights or WEIGHTS
    for name in ("config.yaml", weights):
        if not (folder / name).is_file():
            there = " ".join(sorted(path.name for path in folder.glob("*.pth")))
            raise ValueError(
                f"{folder}: has no {name}; weights that are there: {there or 'none'} "
                "(--inference_model chooses)"
            )
        with write_whole(output_dir / name) as part:
            part.symlink_to(os.path.abspath(folder / name))
    return weights


def from_zip(path: Path, output_dir: Path) -> str:
    """Copies configuration and weights out of a zip that `espnet2.bin.pack enh` made.

    Raises:
        ValueError: If it is not such a zip.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            meta = yaml.safe_load(archive.read("meta.yaml"))
            members = {
                "config.yaml": meta["yaml_files"]["train_config"].lstrip("/"),
                "weights": meta["files"]["model_file"].lstrip("/"),
            }
            name = Path(members["weights"]).name
            for target, member in members.items():
                target = name if target == "weights" else target
                with write_whole(output_dir / target) as part:
                    part.write_bytes(archive.read(member))
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        raise ValueError(f"{path}: cannot be read as a zip ({error})") from error
    except (KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: is no zip of the model zoo ({reason})") from error
    return name


def import_model(model: Path, output_dir: Path, weights: str) -> str:
    """Makes the experiment folder of a model.

    Returns:
        The name of the weights in it.

    Raises:
        ValueError: If there is no such model, or the folder is of another one.
    """
    if not model.exists():
        raise ValueError(f"{model}: no such model folder or zip")
    source = output_dir / "source"
    origin = os.path.abspath(model)
    if source.exists() and source.read_text(encoding="utf-8") != origin:
        raise ValueError(
            f"{output_dir}: holds the results of another model "
            f"({source.read_text(encoding='utf-8')}); give --caresep_tag NAME to keep "
            "both"
        )
    output_dir.mkdir(parents=True, exist_ok=True)
    if model.is_dir():
        name = from_folder(model, output_dir, weights)
    else:
        name = from_zip(model, output_dir)
        if weights not in ("", name):
            raise ValueError(f"{model}: holds {name}, not {weights}")
    with write_whole(source) as part:
        part.write_text(origin, encoding="utf-8")
    return name


def main() -> None:
    """Imports a model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--weights", default="", help=f"of a folder ({WEIGHTS})")
    args = parser.parse_args()
    print(import_model(args.model, args.output_dir, args.weights))


if __name__ == "__main__":
    with bad_input_exits():
        main()
