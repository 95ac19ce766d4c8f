"""Models from strangers: bounded, confined, and never run."""

import pickle
import shutil
import sys
import types
import zipfile

import pytest
import torch
import yaml

from espnet2_caresep.inference import checkpoint, package
from espnet2_caresep.inference.checkpoint import load_checkpoint
from espnet2_caresep.inference.package import ModelError
from espnet2_caresep.inference.presence.listening_rule import ListeningRule

WEIGHTS = "valid.mixture_sdr.best.pth"


@pytest.fixture
def folder(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "exp")


def _refused(source, message):
    with pytest.raises(ModelError, match=message) as caught:
        load_checkpoint(source)
    assert "\n" not in str(caught.value)


def _packed(folder, **changes):
    """The content of a zip, unpacked as a download may be."""
    files = {"files": {"model_file": f"exp/{WEIGHTS}"}}
    meta = {**files, "yaml_files": {"train_config": "exp/config.yaml"}, **changes}
    (folder.parent / "meta.yaml").write_text(yaml.safe_dump(meta))
    return folder.parent


def test_a_packed_folder_is_the_model(folder, tiny_zip):
    found = load_checkpoint(_packed(folder))
    assert found.fingerprint == load_checkpoint(tiny_zip).fingerprint


@pytest.mark.parametrize("name", ["../exp/config.yaml", "exp/../../secret", "none"])
def test_a_packed_folder_names_nothing_outside(folder, name):
    (folder.parent.parent / "secret").write_text("extractor: caresep")
    _refused(_packed(folder, yaml_files={"train_config": name}), "holds no")
    _refused(_packed(folder, files={"model_file": name}), "holds no")


def _config(folder, **changes):
    path = folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    conf = {**config["extractor_conf"], **changes.pop("extractor_conf", {})}
    path.write_text(yaml.safe_dump({**config, "extractor_conf": conf, **changes}))
    return folder


@pytest.mark.parametrize(
    "conf, reason",
    [
        ({"embed_dim": 2**40}, "embed_dim must not exceed"),
        ({"embed_dim": 2**19}, "bytes of weights|divisible|heads"),
        ({"num_classes": 2**20, "embed_dim": 2**12}, "bytes of weights"),
        ({"depths": [1] * 1000}, "has 1000 items"),
        ({"depths": [[1]]}, "lists of lists"),
        ({"sample_rate": float("inf")}, "must be a whole number|must not exceed"),
    ],
)
def test_no_network_of_any_size(folder, conf, reason):
    _refused(_config(folder, extractor_conf=conf), reason)


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"labels": 5}, "labels are no list"),
        ({"labels": [1, 2, 3]}, "labels are no list"),
        ({"presence": {"threshold": 7}}, "threshold and certain in 0..1"),
        ({"presence": {"threshold": 0.2, "absent": 0.3}}, "absent not above threshold"),
        ({"presence": {"bias": 0.0, "absent": 0.6}}, "absent not above threshold"),
        ({"presence": {"treshold": 0.1}}, "did you mean threshold"),
        ({"presence": {"bias": 1.0, "width_db": 2.0}}, "unknown key 'width_db'"),
        ({"presence": {"target_weight": -2.0}}, "weights of 0 or more"),
        ({"presence": {"mixture_weight": "much"}}, "mixture_weight"),
        ({"presence": 3}, "must be a mapping"),
        ({"extractor": ["caresep"]}, "not 'caresep'"),
    ],
)
def test_settings_of_another_kind(folder, changes, reason):
    _refused(_config(folder, **changes), reason)


def test_presence_rule_of_the_model(folder):
    rule = load_checkpoint(
        _config(folder, presence={"midpoint_db": -7.5, "width_db": 3.0})
    ).presence_rule
    assert (rule.midpoint_db, rule.width_db, rule.threshold) == (-7.5, 3.0, 0.5)


def test_a_rule_that_listens(folder):
    numbers = {"bias": -1.5, "share_weight": 2.0, "target_weight": 3, "threshold": 0.4}
    rule = load_checkpoint(_config(folder, presence=numbers)).presence_rule
    assert rule == ListeningRule(-1.5, 2.0, 3.0, threshold=0.4)


def test_sizes_are_bounded(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(package, "CONFIG_LIMIT", 10)
        _refused(folder, "larger than 10 bytes")
    (folder / WEIGHTS).write_bytes(bytes(100 * 2**20))
    _refused(folder, "larger than .* bytes, which fits no such model")


def test_a_zip_bomb_is_not_unpacked(tmp_path, folder):
    path = tmp_path / "bomb.zip"
    meta = {"files": {"model_file": "m.pth"}, "yaml_files": {"train_config": "c"}}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("meta.yaml", yaml.safe_dump(meta))
        archive.writestr("c", (folder / "config.yaml").read_text())
        archive.writestr("m.pth", bytes(200 * 2**20))
    assert path.stat().st_size < 2**20
    _refused(path, "m.pth: is larger than")


def test_weights_that_unpack_to_more_are_refused(folder):
    """A bomb inside the weights, which are a zip themselves."""
    source = folder / "plain.pth"
    (folder / WEIGHTS).rename(source)
    with (
        zipfile.ZipFile(source) as whole,
        zipfile.ZipFile(folder / WEIGHTS, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in whole.namelist():
            packed.writestr(name, whole.read(name))
        packed.writestr("archive/data/more", bytes(100 * 2**20))
    _refused(folder, "they unpack to")


def test_a_program_in_the_weights_does_not_run(folder, tmp_path):
    class Bomb:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    for save in (torch.save, lambda x, path: path.write_bytes(pickle.dumps(x))):
        save({"extractor.network.x": Bomb()}, folder / WEIGHTS)
        _refused(folder, "weights cannot be read")
    assert not (tmp_path / "ran").exists()


def test_yaml_is_data(folder):
    (folder / "config.yaml").write_text("!!python/object/apply:os.getcwd []")
    _refused(folder, "YAML cannot be read")
    (folder / "config.yaml").write_text("[" * 3000)
    _refused(folder, "YAML cannot be read")


class _Downloader:
    """Stands in for the zoo's, which needs a network."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []

    def __call__(self):
        return self

    def download(self, name, quiet):
        self.asked.append(name)
        if isinstance(self.answer, Exception):
            raise self.answer
        return str(self.answer)


def _zoo(monkeypatch, answer):
    module = types.ModuleType("espnet_model_zoo.downloader")
    module.ModelDownloader = _Downloader(answer)
    monkeypatch.setitem(sys.modules, "espnet_model_zoo", types.ModuleType("zoo"))
    monkeypatch.setitem(sys.modules, "espnet_model_zoo.downloader", module)
    return module.ModelDownloader


def test_a_model_of_the_zoo(monkeypatch, tiny_zip):
    zoo = _zoo(monkeypatch, tiny_zip)
    found = load_checkpoint("someone/caresep_tiny")
    assert zoo.asked == ["someone/caresep_tiny"]
    assert found.fingerprint == load_checkpoint(tiny_zip).fingerprint


def test_a_zoo_that_fails_is_one_line(monkeypatch):
    zoo = _zoo(monkeypatch, OSError("no\nroute to host"))
    _refused("someone/caresep_tiny", r"could be fetched \(no\)")
    # What cannot be a name is not asked for.
    zoo.asked.clear()
    for name in ("nothing.zip", "../up/model", "a/b/c"):
        _refused(name, "no such model folder or zip$")
    assert zoo.asked == []


def test_folders_of_earlier_weights_still_load(folder):
    for name in ("valid.loss.ave.pth", checkpoint.PREFIX + "pth"):
        shutil.copy(folder / WEIGHTS, folder / name)
    shutil.copy(folder / WEIGHTS, folder / "valid.mixture_sdr_other.best.pth")
    assert load_checkpoint(folder).name.endswith("sdr_other.best.pth")
