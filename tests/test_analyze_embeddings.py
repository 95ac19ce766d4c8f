"""Figure 3 with small untrained models of all systems, on clips made here."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
import yaml
from matplotlib.image import imread

from espnet2_caresep.bin.analyze_embeddings import main
from espnet2_caresep.data.files import write_table
from espnet2_caresep.inference.checkpoint import load_checkpoint
from espnet2_caresep.network import SYSTEMS
from espnet2_caresep.scoring.embeddings import candidates, embed_clips, read_classes

UNET = {"unet_channels": 2, "unet_levels": 3}
OTHERS = {  # what differs from the tiny model; None: is not set
    "unshared": ("caresep", {"shared": False}),
    "spectrum": ("caresep", {"query_spectrum": True}),
    "st_sed": ("st_sed_sep", {"decoder_depths": None, **UNET}),
    "pann": (
        "pann_sep",
        {
            **dict.fromkeys(["embed_dim", "depths", "decoder_depths", "heads"]),
            "segment_frames": 64,
            "cnn_channels": 2,
            **UNET,
        },
    ),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory, tiny_model):
    """Untrained models of the other systems, as folders."""
    root = tmp_path_factory.mktemp("models")
    tiny = yaml.safe_load((tiny_model / "config.yaml").read_text())
    for name, (system, changes) in OTHERS.items():
        conf = {**tiny["extractor_conf"], **changes}
        conf = {key: value for key, value in conf.items() if value is not None}
        torch.manual_seed(1)
        state = SYSTEMS[system](**conf).state_dict()
        (root / name).mkdir()
        config = {**tiny, "extractor": system, "extractor_conf": conf}
        (root / name / "config.yaml").write_text(yaml.safe_dump(config))
        state = {f"extractor.network.{key}": value for key, value in state.items()}
        torch.save(state, root / name / "latest.pth")
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Hisses and beeps, clips that are both, other classes, useless clips."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    labels = {f"hiss{i:02}": "hiss" for i in range(12)}
    labels |= {f"beep{i:02}": "beep loud" for i in range(10)}
    labels |= {f"both{i}": "hiss beep" for i in range(2)} | {"hum": "hum"}
    labels |= {f"gone{i}": "gone" for i in range(8)}
    labels |= {"hiss_silent": "hiss", "hiss_text": "hiss", "hiss_none": "hiss"}
    wavs = {}
    for uid, classes in labels.items():
        wavs[uid] = root / f"{uid}.wav"
        time = np.arange(16000) / 32000
        audio = 0.1 * rng.standard_normal(16000)
        if "beep" in classes:
            audio = 0.01 * audio + np.sin(rng.uniform(3000, 9000) * time)
        audio[:4000] *= 0.01
        soundfile.write(wavs[uid], audio / 4, 32000, "FLOAT")
    soundfile.write(wavs["hiss_silent"], np.zeros(16000), 32000)
    wavs["hiss_text"].write_text("no audio")
    for uid in ("hiss_none", *(f"gone{i}" for i in range(8))):
        wavs[uid].unlink()
    write_table(root / "wav.scp", wavs)
    write_table(root / "labels", labels)
    return root


def options(data, out, *models, **changes):
    chosen = {"models": models, "data_dir": data, "output_dir": out, **changes}
    words = []
    for key, value in chosen.items():
        several = value if isinstance(value, (list, tuple)) else [value]
        words += [f"--{key}", *several]
    return [str(word) for word in words]


def read(out):
    return json.loads((out / "embeddings.json").read_text())


def test_two_models_four_panels(data, models, tiny_model, tiny_zip, tmp_path, capsys):
    weights = tiny_model / "valid.mixture_sdr.best.pth"
    pair = f"{tiny_model / 'config.yaml'},{weights}"
    main(options(data, tmp_path, models / "st_sed", pair, names=["baseline", "ours"]))
    found = read(tmp_path)
    # The largest classes; clips of both are in neither.
    counts = {name: len(uids) for name, uids in found["clips"].items()}
    assert counts == {"hiss": 12, "beep": 10}
    assert all(uid.startswith(n) for n, uids in found["clips"].items() for uid in uids)
    panels = found["panels"]
    assert [panel["panel"] for panel in panels] == list("abcd")
    assert [panel["model"] for panel in panels] == [*["baseline"] * 2, *["ours"] * 2]
    assert [panel["size"] for panel in panels] == [16, 64, 64, 64]
    for panel in panels:
        assert np.shape(panel["places"]["hiss"]) == (12, 2)
        assert np.shape(panel["places"]["beep"]) == (10, 2)
    # Hisses and beeps differ to any network, more than clips dealt at random do.
    kls = [panel["kl"] for panel in panels]
    assert all(kl["mean"] > kl["chance"] + 3 * kl["chance_std"] for kl in kls)
    page = capsys.readouterr().out
    for panel in panels:
        assert f"{panel['what']}: KL {panel['kl']['mean']:.2f}, chance" in page
    assert "Wang, Kulkarni and Verdu" in page and "components" in found["estimator"]
    picture = imread(tmp_path / "embeddings.png")
    assert picture.shape[0] > 1000 and picture[..., :3].std() > 0.05
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {"embeddings.json", "embeddings.png"}

    # Both models hear what is a segment for the one with the shorter segments.
    main(options(data, tmp_path / "zip", models / "pann", tiny_zip))
    again = read(tmp_path / "zip")
    assert [model["name"] for model in again["models"]] == ["pann", "tiny"]
    assert again["models"][1]["weights_sha256"] == found["models"][1]["weights_sha256"]
    assert again["seconds"] == 63 * 320 / 32000 and found["seconds"] == 1.27


def test_vectors_are_what_the_networks_give(data, models):
    names = list(OTHERS)
    networks = [load_checkpoint(models / name).network for name in names]
    paths = {"hiss00": str(data / "hiss00.wav")}
    found = embed_clips(networks, torch.device("cpu"), paths, ["hiss00"], 5)
    samples, _ = soundfile.read(paths["hiss00"], dtype="float32")
    clip = torch.from_numpy(samples)[None]  # shorter than every segment
    for network, (feature, query) in zip(networks, found["hiss00"]):
        with torch.no_grad():
            whole = network.embed(clip)
            expected = network.separation_feature(clip, whole)[0]
        np.testing.assert_allclose(feature, expected, atol=1e-4)
        np.testing.assert_allclose(query, whole[0, : len(query)], atol=1e-4)
    # The spectrum that a query may carry is no embedding.
    assert [len(query) for _, query in found["hiss00"]] == [64, 64, 64, 64]
    assert networks[names.index("spectrum")].query_dim == 64 + 513


def test_the_seed_chooses_the_clips(data, tiny_model, tmp_path):
    """Also in a process of its own."""
    changes = {"classes": ["beep", "hiss"], "num_clips": 9}
    twice = tiny_model, tiny_model
    words = options(data, tmp_path / "one", *twice, **changes)
    command = [sys.executable, "-m", "espnet2_caresep.bin.analyze_embeddings", *words]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "(d) " in done.stdout
    main(options(data, tmp_path / "two", *twice, **changes))
    one, two = (read(tmp_path / name) for name in ("one", "two"))
    assert one["clips"] == two["clips"]
    assert [p["kl"] for p in one["panels"]] == [p["kl"] for p in two["panels"]]
    _, classes = read_classes(data)
    drawn = [candidates(classes, ["beep", "hiss"], seed) for seed in (0, 1)]
    assert one["clips"]["beep"] == drawn[0]["beep"][:9] != drawn[1]["beep"][:9]
    assert list(one["clips"]) == ["beep", "hiss"]
    assert all(len(uids) == 9 for uids in one["clips"].values())
    # The same model twice has the same panels twice.
    first, second = one["panels"][:2], one["panels"][2:]
    assert [p["kl"] for p in first] == [p["kl"] for p in second]


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"models": ["none.zip", "none.zip"]}, "none.zip: no such"),
        ({"models": ["c.yaml,none.pth"] * 2}, ": cannot be read"),
        ({"data_dir": "none"}, "none/wav.scp: cannot be read"),
        ({"classes": ["hiss", "hiss"]}, "two classes are needed"),
        ({"output_dir": __file__}, "is a file, a folder is needed"),
        ({"classes": ["hiss", "rain"]}, "there is no clip of class rain"),
        ({"classes": ["loud", "beep"]}, "loud: 0 clips are not also of beep, 8 are"),
        ({"classes": ["hiss", "hum"]}, "hum: 1 clips are not also of hiss, 8 are"),
        ({"classes": ["hiss", "gone"]}, "class gone: 0 clips can be used"),
        ({"num_clips": 7}, "--num_clips must be at least 8"),
        ({"seed": -1}, "--seed not negative"),
        ({"ngpu": 2}, "--ngpu must be 0 or 1"),
    ],
)
def test_bad_inputs_are_one_line(data, tiny_model, tmp_path, capsys, changes, reason):
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as end:
        main(options(data, out, tiny_model, tiny_model, **changes))
    last = capsys.readouterr().err.splitlines()[-1]
    assert end.value.code == 2 and "error: " in last and reason in last
    assert not out.exists()


def test_useless_clips_are_skipped_and_named(data, models, caplog):
    """They do not count: the next clips take their places."""
    uids = ["hiss_silent", "hiss00", "hiss_text", "hiss_none", "short", "hiss01"]
    paths = {uid: str(data / f"{uid}.wav") for uid in [*uids, "hiss02"]}
    soundfile.write(paths["short"], np.ones(2000), 32000)
    networks = [load_checkpoint(models / "st_sed").network]
    done = embed_clips(networks, torch.device("cpu"), paths, [*uids, "hiss02"], 2)
    assert list(done) == ["hiss00", "hiss01"]
    for uid, reason in {
        "hiss_silent": "is silent",
        "hiss_text": "cannot be read",
        "hiss_none": "no such file",
        "short": "shorter than an analysis window (0.064 s)",
    }.items():
        lines = [line for line in caplog.messages if f"skipped {uid}: " in line]
        assert len(lines) == 1 and reason in lines[0]
