"""Loading models: folders, zips, and everything that is wrong with them."""

import io
import shutil
import zipfile

import numpy as np
import pytest
import torch
import yaml

from espnet2_caresep.inference import CaRESeparator
from espnet2_caresep.inference.checkpoint import (
    ModelError,
    load_checkpoint,
    load_files,
)

WEIGHTS = "valid.mixture_sdr.best.pth"


@pytest.fixture
def folder(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "exp")


def _edit_config(folder, **changes):
    path = folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**config, **changes}))


def _edit_weights(folder, change):
    state = torch.load(folder / WEIGHTS)
    torch.save(change(state), folder / WEIGHTS)


def _refused(source, message):
    with pytest.raises(ModelError, match=message) as caught:
        load_checkpoint(source)
    assert "\n" not in str(caught.value)


def test_folder_zip_and_files_are_one_model(tiny_model, tiny_zip, sound):
    models = [
        CaRESeparator.from_pretrained(tiny_model, "cpu"),
        CaRESeparator.from_pretrained(str(tiny_zip), "cpu"),
        CaRESeparator.from_files(
            tiny_model / "config.yaml", tiny_model / WEIGHTS, "cpu"
        ),
    ]
    outputs = [m.separate(sound(0), sound(1), 32000).target for m in models]
    assert np.array_equal(outputs[0], outputs[1])
    assert np.array_equal(outputs[0], outputs[2])
    assert len({m.fingerprint for m in models}) == 1
    assert models[1].labels == ["bell", "dog", "rain"]


def test_weights_of_a_folder_are_chosen_in_order(folder):
    chosen = []
    for name in ("latest.pth", "valid.loss.ave_2best.pth", "valid.loss.ave.pth"):
        shutil.copy(folder / WEIGHTS, folder / name)
    for name in (WEIGHTS, "valid.loss.ave.pth", "latest.pth"):
        chosen.append(load_checkpoint(folder).name.rsplit("/")[-1])
        (folder / name).unlink()
    assert chosen == [WEIGHTS, "valid.loss.ave.pth", "latest.pth"]
    _refused(folder, "holds no weights")


def test_config_problems(folder):
    _edit_config(folder, extractor_conf={"embed_dimm": 8})
    _refused(folder, "unknown key 'embed_dimm', did you mean embed_dim")
    _edit_config(folder, extractor_conf={"embed_dim": 8, "heads": [3, 3, 3, 3]})
    _refused(folder, "heads")
    _edit_config(folder, extractor="td_speakerbeam")
    _refused(folder, "not 'caresep'")
    (folder / "config.yaml").write_text("a: [1, 2")
    _refused(folder, "YAML cannot be read")
    (folder / "config.yaml").write_text("only words")
    _refused(folder, "holds no settings")
    (folder / "config.yaml").unlink()
    _refused(folder, "config.yaml: cannot be read")


def test_labels_must_fit(folder):
    _edit_config(folder, labels=["one"])
    _refused(folder, "1 labels for 3 classes")


def test_configuration_of_another_model(folder):
    config = yaml.safe_load((folder / "config.yaml").read_text())
    conf = {**config["extractor_conf"], "embed_dim": 16}
    _edit_config(folder, extractor_conf=conf)
    _refused(folder, "weights are of another shape, first extractor.network.")


def test_missing_weights(folder):
    _edit_weights(folder, lambda state: dict(list(state.items())[:-1]))
    _refused(folder, "1 of the network's .* weights are missing")


def test_unknown_weights(folder):
    _edit_weights(
        folder, lambda state: {**state, "extractor.network.more": torch.ones(1)}
    )
    _refused(folder, "are unknown, first extractor.network.more")


def test_weights_are_data_not_programs(folder):
    class Bomb:
        def __reduce__(self):
            return print, ("code from a checkpoint ran",)

    torch.save({"extractor.network.x": Bomb()}, folder / WEIGHTS)
    _refused(folder, "weights cannot be read")
    (folder / WEIGHTS).write_bytes(b"not weights")
    _refused(folder, "weights cannot be read")
    torch.save([1, 2], folder / WEIGHTS)
    _refused(folder, "holds no weights by name")


def _zip(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_zip_problems(tmp_path, tiny_zip):
    _refused(tmp_path / "none.zip", "no such model")
    (tmp_path / "text.zip").write_text("hello")
    _refused(tmp_path / "text.zip", "neither a model folder nor a model-zoo zip")
    _refused(_zip(tmp_path / "a.zip", {"b": "c"}), "holds no meta.yaml")
    _refused(_zip(tmp_path / "b.zip", {"meta.yaml": "x: 1"}), "names no files")
    meta = {"files": {"model_file": "m.pth"}, "yaml_files": {"train_config": "c"}}
    text = yaml.safe_dump(meta)
    _refused(_zip(tmp_path / "c.zip", {"meta.yaml": text}), "holds no c")
    content = bytearray(tiny_zip.read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "flipped.zip").write_bytes(content)
    _refused(tmp_path / "flipped.zip", "damaged")


def test_zip_members_never_reach_the_file_system(tmp_path, tiny_zip):
    secret = tmp_path / "secret.yaml"
    secret.write_text("extractor: caresep")
    for name in (str(secret), "../secret.yaml"):
        meta = {
            "files": {"model_file": "m.pth"},
            "yaml_files": {"train_config": name},
        }
        (tmp_path / "in").mkdir(exist_ok=True)
        path = _zip(tmp_path / "in" / "x.zip", {"meta.yaml": yaml.safe_dump(meta)})
        _refused(path, "holds no")


def test_pth_file_alone_is_explained(folder):
    _refused(folder / WEIGHTS, "give the folder")


def test_stripped_prefix_covers_every_weight(folder, tiny_network):
    loaded = load_files(folder / "config.yaml", folder / WEIGHTS).network
    for name, value in tiny_network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
    assert not loaded.training


def test_same_bytes_same_fingerprint(folder):
    first = load_checkpoint(folder).fingerprint
    assert first == load_checkpoint(folder).fingerprint
    state = torch.load(folder / WEIGHTS)
    next(iter(state.values())).add_(1)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    (folder / WEIGHTS).write_bytes(buffer.getvalue())
    assert first != load_checkpoint(folder).fingerprint
