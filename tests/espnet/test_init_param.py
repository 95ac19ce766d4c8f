import logging

import pytest
import torch

from espnet2_caresep.config import ConfigError
from espnet2_caresep.training.init_param import check_init_param


class Model(torch.nn.Module):
    def __init__(self, classes=3):
        super().__init__()
        self.encoder = torch.nn.Linear(4, 4)
        self.encoder2 = torch.nn.Linear(4, 4)
        self.head = torch.nn.Linear(4, classes)


@pytest.fixture
def save(tmp_path):
    def save(state, name="model.pth"):
        torch.save(state, tmp_path / name)
        return str(tmp_path / name)

    return save


def test_full_and_partial_coverage_are_told(save, caplog):
    caplog.set_level(logging.INFO)
    path = save(Model().state_dict())
    assert check_init_param(path, Model())["not_covered"] == []
    assert "loads 6 of 6 tensors; not covered: none" in caplog.text
    report = check_init_param(f"{path}:::head", Model())
    assert report["not_covered"] == ["head.weight", "head.bias"]
    assert "loads 4 of 6" in caplog.text
    assert "head.weight (1), head.bias (1)" in caplog.text


def test_prefixes_move_weights(save):
    path = save({f"net.{k}": v for k, v in torch.nn.Linear(4, 4).state_dict().items()})
    report = check_init_param(f"{path}:net:encoder", Model())
    assert report["loaded"] == ["weight", "bias"]


def test_nothing_matched_is_an_error(save):
    path = save(Model().state_dict())
    with pytest.raises(ConfigError, match="none of the 0 weights fits"):
        check_init_param(f"{path}:decoder", Model())
    other = save({"model.layers.weight": torch.zeros(3)}, "other.pth")
    with pytest.raises(ConfigError, match="the file model.layers.weight"):
        check_init_param(other, Model())


def test_a_mismatch_is_an_error_unless_it_is_ignored(save):
    path = save(Model(classes=5).state_dict())
    with pytest.raises(ConfigError, match="head.weight.*--ignore_init_mismatch"):
        check_init_param(path, Model())
    report = check_init_param(path, Model(), ignore_mismatch=True)
    assert report["left_out"] == ["head.weight", "head.bias"]


def test_files_that_hold_no_weights_are_refused(save, tmp_path):
    path = save({"model": Model().state_dict(), "reporter": {}})
    with pytest.raises(ConfigError, match="must hold weights by name"):
        check_init_param(path, Model())
    (tmp_path / "broken.pth").write_bytes(b"no weights")
    with pytest.raises(ConfigError, match="not a file of weights"):
        check_init_param(str(tmp_path / "broken.pth"), Model())
    path = save(Model().state_dict())
    with pytest.raises(ConfigError, match="bogus"):
        check_init_param(f"{path}:encoder:bogus", Model())
