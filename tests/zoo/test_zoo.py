"""Packed models: file, URL and tag; upload; what ESPnet's own loaders say of them."""

import functools
import io
import json
import os
import pickletools
import shutil
import subprocess
import sys
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import espnet
import huggingface_hub
import numpy as np
import pytest
import yaml
from espnet_model_zoo.downloader import ModelDownloader

from espnet2_caresep.bin import upload
from espnet2_caresep.inference import CaRESeparator
from espnet2_caresep.zoo import fetch

TEMPLATE = Path(__file__).parents[2] / "egs2/TEMPLATE/caresep1"


@pytest.fixture
def arguments(packed, experiment, tmp_path):
    """Of an upload."""
    return [
        *("--packed_model", str(packed)),
        *("--results", str(experiment / "scores/RESULTS.json")),
        *("--output_dir", str(tmp_path / "hf_repo")),
    ]


def assert_same(files, model, sound):
    """Files from the zoo are the model of a folder."""
    names = files["train_config"], files["model_file"]
    loaded = CaRESeparator.from_files(*names, device="cpu")
    wanted = CaRESeparator.from_pretrained(model, "cpu")
    outputs = [m.separate(sound(0), sound(1), 32000).target for m in (loaded, wanted)]
    np.testing.assert_array_equal(*outputs)


def test_from_a_file(packed, experiment, tmp_path, sound):
    files = ModelDownloader(str(tmp_path)).download_and_unpack(str(packed))
    assert set(files) == {"train_config", "model_file"}
    assert_same(files, experiment, sound)
    assert CaRESeparator.from_pretrained(packed, "cpu").labels == [
        "bell",
        "dog",
        "rain",
    ]


def test_weights_need_nothing_that_old_versions_of_torch_lack(packed):
    """Their pickle names only what torch has had under these names for years."""
    with zipfile.ZipFile(packed) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".pth"))
        weights = zipfile.ZipFile(io.BytesIO(archive.read(name)))
    (pickled,) = (n for n in weights.namelist() if n.endswith("data.pkl"))
    named = {
        argument
        for opcode, argument, _ in pickletools.genops(weights.read(pickled))
        if opcode.name == "GLOBAL"
    }
    assert named <= {
        "collections OrderedDict",
        "torch FloatStorage",
        "torch HalfStorage",
        "torch LongStorage",
        "torch._utils _rebuild_tensor_v2",
    }
    assert "torch._utils _rebuild_tensor_v2" in named


class Counted(SimpleHTTPRequestHandler):
    gets = 0

    def do_GET(self):
        type(self).gets += 1
        super().do_GET()

    def log_message(self, *arguments):
        pass


def test_from_a_url_once(packed, experiment, tmp_path, sound):
    served = functools.partial(Counted, directory=str(packed.parent))
    server = ThreadingHTTPServer(("127.0.0.1", 0), served)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://localhost:{server.server_port}/{packed.name}"
    files = fetch(url, tmp_path)
    assert_same(files, experiment, sound)
    # ESPnet's downloader asks for the name again, and takes the file that is there.
    assert fetch(url, tmp_path) == files
    server.shutdown()
    server.server_close()
    assert Counted.gets == 1


def test_stage_13_uploads_what_a_tag_then_loads(
    packed, experiment, reached, tmp_path, sound, monkeypatch
):
    recipe = tmp_path / "egs2/tiny/caresep1"
    recipe.mkdir(parents=True)
    for name in ("caresep.sh", "path.sh", "cmd.sh", "scripts"):
        (recipe / name).symlink_to(TEMPLATE / name)
    options = ["--stage", "13", "--skip_upload_hf", "false", "--hf_private", "true"]
    done = subprocess.run(
        ["./caresep.sh", *options, "--caresep_exp", str(experiment)]
        + ["--hf_repo", "somebody/tiny", "--hf_license", "cc0-1.0"]
        + ["--license_note", "Made of noise."],
        cwd=recipe,
        env={
            **os.environ,
            "CARESEP_PYTHON": sys.executable,
            "HF_ENDPOINT": reached.address,
            "HF_HUB_DISABLE_XET": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"uploaded: {reached.address}/somebody/tiny" in done.stdout
    assert reached.private == {"somebody/tiny": True}
    # One commit: nobody meets half a model.
    assert len(reached.repos["somebody/tiny"]) == 2
    files = reached.repos["somebody/tiny"][-1]
    assert {"README.md", "meta.yaml", "RESULTS.json"} < set(files)
    assert len(reached.stored) == 1, "the weights, as a large file"
    assert b"Licence: cc0-1.0. Made of noise." in files["README.md"]

    by_tag = CaRESeparator.from_pretrained("somebody/tiny", "cpu")
    assert by_tag.labels == ["bell", "dog", "rain"]
    cache = tmp_path / "cache"
    assert_same(fetch("somebody/tiny", cache), experiment, sound)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert_same(fetch("somebody/tiny", cache), experiment, sound)
    again = CaRESeparator.from_pretrained("somebody/tiny", "cpu")
    assert again.fingerprint == by_tag.fingerprint


def test_the_card_says_what_was_measured(reached, arguments, experiment):
    upload.main([*arguments, "--hf_repo", "somebody/tiny"])
    card = reached.repos["somebody/tiny"][-1]["README.md"].decode()
    metadata = reached.card("somebody/tiny")
    assert metadata["pipeline_tag"] == "audio-to-audio"
    assert metadata["license"] == "apache-2.0"
    results = json.loads((experiment / "scores/RESULTS.json").read_text())
    (index,) = metadata["model-index"]
    (entry,) = index["results"]
    assert entry["dataset"]["name"] == "three sounds"
    scores = results["systems"]["model"]
    assert [metric["value"] for metric in entry["metrics"]] == [
        scores["mixture_own/sdr"]["mean"],
        scores["mixture_other/sdr"]["mean"],
    ]
    assert "| **model** | 6.67 / 6.67 | 1.38 / 1.38 |" in card
    assert 'from_pretrained("somebody/tiny")' in card and "bell, dog, rain" in card
    assert card.index("## Use") < card.index("## Results") < card.index("embed_dim")
    # The hub's own reader of cards agrees.
    data = huggingface_hub.ModelCard(card).data
    assert data.eval_results[0].metric_value == scores["mixture_own/sdr"]["mean"]

    # Again: new content replaces the old, as one more commit.
    options = ["--license", "mit", "--license_note", "Sounds have their own."]
    upload.main([*arguments, "--hf_repo", "somebody/tiny", *options])
    assert reached.card("somebody/tiny")["license"] == "mit"
    card = reached.repos["somebody/tiny"][-1]["README.md"].decode()
    assert "Licence: mit. Sounds have their own." in card


def test_scores_that_were_packed_along_are_those_of_the_weights(
    arguments, packed, experiment, tmp_path, capsys
):
    """Stage 11 may round weights after they were scored."""
    results = json.loads((experiment / "scores/RESULTS.json").read_text())
    results["about"]["weights"] = "full.pth, SHA-256 0123456789abcdef"
    scored = tmp_path / "RESULTS.json"
    scored.write_text(json.dumps(results))
    model = Path(shutil.copy(packed, tmp_path / "rounded.zip"))
    with zipfile.ZipFile(model, "a") as archive:
        archive.write(scored, "exp/caresep_tiny/packed/RESULTS.json")
    arguments += ["--packed_model", str(model), "--results", str(scored)]
    upload.main(arguments)
    assert "0123456789abcdef" in (tmp_path / "hf_repo/README.md").read_text()
    results["systems"]["model"]["mixture_own/sdr"]["mean"] = 99
    scored.write_text(json.dumps(results))
    assert "scores other weights" in complaint(capsys, arguments)


def test_without_a_repository_the_folder_is_all(arguments, tmp_path):
    upload.main(arguments)
    assert (tmp_path / "hf_repo/README.md").exists()
    (tmp_path / "hf_repo/meta.yaml").unlink()
    with pytest.raises(SystemExit):
        upload.main(arguments)
    assert (tmp_path / "hf_repo/README.md").exists(), "not ours, so left alone"


def complaint(capsys, arguments):
    with pytest.raises(SystemExit) as end:
        upload.main(arguments)
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error


def test_mistakes_are_said_in_one_line(
    reached, arguments, experiment, tmp_path, capsys, monkeypatch
):
    assert "user/name" in complaint(capsys, [*arguments, "--hf_repo", "tiny"])
    error = complaint(capsys, [*arguments, "--hf_repo", "another/tiny"])
    assert "another/tiny: the hub refused (" in error
    monkeypatch.setenv("HF_TOKEN", "wrong")
    error = complaint(capsys, [*arguments, "--hf_repo", "somebody/tiny"])
    assert "somebody/tiny: the hub refused (" in error
    results = json.loads((experiment / "scores/RESULTS.json").read_text())
    results["about"]["weights"] = "other.pth, SHA-256 0123456789abcdef"
    (tmp_path / "stale.json").write_text(json.dumps(results))
    stale = [*arguments, "--results", str(tmp_path / "stale.json")]
    assert "scores other weights" in complaint(capsys, stale)
    (tmp_path / "x.zip").write_text("no zip")
    damaged = [*arguments, "--packed_model", str(tmp_path / "x.zip")]
    assert "is no packed model" in complaint(capsys, damaged)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    error = complaint(capsys, [*arguments, "--hf_repo", "somebody/tiny"])
    assert "set HF_TOKEN" in error
    with pytest.raises(ValueError, match="somebody/none: is no model of the zoo"):
        fetch("somebody/none", tmp_path)
    with pytest.raises(ValueError, match="none.zip: no such file"):
        fetch(tmp_path / "none.zip")


def test_stock_loaders_say_what_the_model_needs(reached, arguments, packed, sound):
    upload.main([*arguments, "--hf_repo", "somebody/tiny"])
    # By the tag alone ESPnet takes it for a model of its enhancement task.
    with pytest.raises(ValueError, match="this model needs espnet2_caresep; load it"):
        espnet.load("somebody/tiny", device="cpu")
    from espnet2.bin.enh_tse_inference import SeparateSpeech

    with pytest.raises(ValueError, match="this model needs espnet2_caresep; load it"):
        SeparateSpeech.from_pretrained(str(packed))
    model = espnet.load(str(packed), task="caresep", device="cpu")
    assert model.separate(sound(0), sound(1), 32000).target.shape == (1, 16000)


def test_a_saved_configuration_trains_again(experiment):
    from espnet2_caresep.task import CaRESepTask

    config = yaml.safe_load((experiment / "config.yaml").read_text())
    assert "espnet2_caresep" in config["encoder"]
    parser = CaRESepTask.get_parser()
    assert parser.parse_args(["--encoder", config["encoder"]]).extractor == "caresep"
    assert "--encoder" not in parser.format_help()
