"""A trained-looking experiment with scores, packed by ESPnet's own command."""

import hashlib
import shutil

import numpy as np
import pytest
import yaml
from hub import hub, reached  # noqa: F401 (fixtures)

from espnet2_caresep.scoring.metrics import summarize
from espnet2_caresep.scoring.results import summary_entry, write_results

WEIGHTS = "valid.mixture_sdr.best.pth"


@pytest.fixture(scope="session")
def experiment(tiny_model, tmp_path_factory):
    """``exp/caresep_tiny`` in a recipe's folder, as stages 6, 8 and 11 leave it."""
    import os

    from espnet2.bin.pack import main as pack

    from espnet2_caresep.task import CaRESepTask

    recipe = tmp_path_factory.mktemp("recipe")
    folder = recipe / "exp/caresep_tiny"
    shutil.copytree(tiny_model, folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["encoder"] = CaRESepTask.get_default_config()["encoder"]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()[:16]
    scores = {
        f"{name}/sdr": summary_entry(summarize(np.array(values)))
        for name, values in (
            ("mixture_own", [12.3456, 1.0]),
            ("mixture_other", [3.25, -0.5]),
        )
    }
    results = {
        "about": {"data": "three sounds", "weights": f"{WEIGHTS}, SHA-256 {digest}"},
        "test_sets": {
            "mixture_own": {"items": 2, "missing": 0},
            "mixture_other": {"items": 2, "missing": 0},
        },
        "systems": {"model": scores, "constant mask 0.5": {}},
        "classes": {},
        "tagging": None,
    }
    write_results(folder / "scores", results)
    before = os.getcwd()
    os.chdir(recipe)
    try:
        exp = "exp/caresep_tiny"
        pack(
            ["enh", "--train_config", f"{exp}/config.yaml"]
            + ["--model_file", f"{exp}/{WEIGHTS}"]
            + ["--option", f"{exp}/scores/RESULTS.md"]
            + ["--outpath", f"{exp}/caresep_tiny_{WEIGHTS[:-4]}.zip"]
        )
    finally:
        os.chdir(before)
    return folder


@pytest.fixture(scope="session")
def packed(experiment):
    """The zip."""
    return experiment / f"caresep_tiny_{WEIGHTS[:-4]}.zip"
