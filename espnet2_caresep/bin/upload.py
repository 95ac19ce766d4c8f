"""Uploads a packed model to Hugging Face, with a model card made from its scores.

    python -m espnet2_caresep.bin.upload --packed_model exp/X/X.zip \
        --results exp/X/scores/RESULTS.json --output_dir exp/X/hf_repo \
        --hf_repo user/name

The folder gets what the repository shall hold: the content of the zip and the card.
Without ``--hf_repo`` that is all, to look at. The repository is made if it is missing
and gets everything in one commit. The token comes from ``hf auth login`` or HF_TOKEN;
HF_ENDPOINT names another hub.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from espnet2_caresep.data.command import run_command


def get_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description="Upload a packed model to Hugging Face",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--packed_model", required=True, help="zip of stage 11")
    parser.add_argument("--results", required=True, help="RESULTS.json of stage 8")
    parser.add_argument("--output_dir", required=True, help="content of the repository")
    parser.add_argument("--hf_repo", default="", help="user/name; empty: no upload")
    parser.add_argument("--license", default="apache-2.0", help="of the weights")
    parser.add_argument(
        "--license_note", default="", help="what else the card says of rights"
    )
    parser.add_argument("--private", action="store_true", help="for a new repository")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Runs the command; see :func:`run_command`."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> None:
    """Makes the folder of the repository and, with --hf_repo, uploads it.

    Raises:
        ValueError: If an input cannot be used or the hub refuses.
    """
    if args.hf_repo and not re.fullmatch(r"[\w.-]+/[\w.-]+", args.hf_repo):
        raise ValueError(f"--hf_repo must be user/name, not {args.hf_repo!r}")
    folder = Path(args.output_dir)
    weights = prepare(
        Path(args.packed_model),
        Path(args.results),
        folder,
        args.hf_repo or f"user/{Path(args.packed_model).stem}",
        args.license,
        args.license_note,
    )
    if args.hf_repo:
        url = upload(folder, args.hf_repo, args.private, f"Weights {weights}")
        print(f"uploaded: {url}")


def prepare(
    packed_model: Path,
    results_file: Path,
    folder: Path,
    repo: str,
    licence: str,
    note: str = "",
) -> str:
    """Writes the content of the repository.

    Args:
        packed_model: Model-zoo zip.
        results_file: Its RESULTS.json.
        folder: Where to write; what it holds of an earlier call is replaced.
        repo: ``user/name``, for the card.
        licence: For the card.
        note: What else the card says of rights.

    Returns:
        First 16 hexadecimal digits of the weights' SHA-256.

    Raises:
        ValueError: If a file cannot be used, or the scores are not of these weights.
    """
    from espnet2_caresep.model_card import model_card
    from espnet2_caresep.scoring.results import read_results

    results = read_results(results_file)
    if folder.exists() and not (folder / "meta.yaml").exists():
        raise ValueError(f"{folder}: is there and no earlier upload; move it away")
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with zipfile.ZipFile(packed_model) as archive:
            archive.extractall(part)
        meta = yaml.safe_load((part / "meta.yaml").read_text(encoding="utf-8"))
        config_file = part / meta["yaml_files"]["train_config"]
        config = yaml.safe_load(config_file.read_text(encoding="utf-8"))
        weights = (part / meta["files"]["model_file"]).read_bytes()
    except (OSError, KeyError, TypeError, zipfile.BadZipFile, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{packed_model}: is no packed model ({reason})") from error
    digest = hashlib.sha256(weights).hexdigest()[:16]
    # Stage 11 packs the scores along with weights that it may have rounded; a zip
    # without them must hold the very weights that were scored.
    packed = sorted(part.rglob("RESULTS.json"))
    scored = str(results["about"].get("weights", ""))
    if not (read_results(packed[0]) == results if packed else digest in scored):
        raise ValueError(
            f"{results_file}: scores other weights ({scored}) than those of "
            f"{packed_model} ({digest}); run stages 7, 8 and 11 again"
        )
    card = model_card(repo, results, config, licence, note)
    (part / "README.md").write_text(card, encoding="utf-8")
    shutil.copy(results_file, part / "RESULTS.json")
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    return digest


def upload(folder: Path, repo: str, private: bool, message: str) -> str:
    """Commits the files of a folder to a repository of the hub.

    Args:
        folder: What :func:`prepare` made.
        repo: ``user/name``; made if it is missing.
        private: Whether a new repository is private.
        message: Of the commit.

    Returns:
        Address of the repository.

    Raises:
        ValueError: If the hub refuses or cannot be reached.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, get_token

    if get_token() is None:
        raise ValueError("no token for the hub: run `hf auth login` or set HF_TOKEN")
    api = HfApi(library_name="espnet2_caresep")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    additions = [
        CommitOperationAdd(path.relative_to(folder).as_posix(), str(path))
        for path in files
    ]
    try:
        address = api.create_repo(repo, private=private, exist_ok=True)
        api.create_commit(repo, additions, commit_message=message)
    except Exception as error:  # of the HTTP library, which has changed before
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"{repo}: the hub refused ({reason[0]})") from error
    return str(address)


if __name__ == "__main__":
    main()
