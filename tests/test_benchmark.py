"""The benchmark's line against counts made by hand."""

import argparse
import json
import subprocess
import sys

import pytest
import torch
import yaml
from torch import nn

from espnet2_caresep.bin import benchmark
from espnet2_caresep.inference.network_config import build_network
from espnet2_caresep.inference.overlap_add import hop_between


@pytest.fixture
def config(tiny_model, tmp_path):
    source = yaml.safe_load((tiny_model / "config.yaml").read_text())
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({"extractor_conf": source["extractor_conf"]}))
    return path


def _run(*options):
    done = subprocess.run(
        [sys.executable, "-m", "espnet2_caresep.bin.benchmark", *map(str, options)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    return json.loads(done.stdout)


def test_one_json_line(config, tiny_network):
    options = ("--config", config, "--threads", 1, "--runs", 3, "--warmup", 1)
    line = _run(*options, "--seconds", 1)
    assert line["mode"] == "separate" and line["runs"] == 3
    assert 0 < line["seconds_min"] <= line["seconds"] <= line["seconds_max"]
    parameters = sum(p.numel() for p in tiny_network.parameters())
    assert line["parameters"] == parameters
    assert 100 < line["peak_memory_mb"] < 4000
    assert line["matmul_share"] == pytest.approx(
        2 * line["multiply_adds"] / line["seconds"] / line["matmul_flops"], rel=0.01
    )


def _measure(config, **changes):
    args = benchmark.get_parser().parse_args(["--config", str(config)])
    small = {"threads": 1, "runs": 1, "warmup": 0, "seconds": 1.0}
    return benchmark.measure(argparse.Namespace(**{**vars(args), **small, **changes}))


def test_work_grows_as_it_must(config):
    one = _measure(config)
    # 5 s are 4 query segments (1 s is one) and, as they overlap, far more of the mixture
    segment = 127 * 320
    mixture = 1 + -(-(5 * 32000 - segment) // hop_between(segment, 320))
    long = _measure(config, seconds=5.0)["multiply_adds"]
    assert mixture / 2 * one["multiply_adds"] < long < mixture * one["multiply_adds"]
    train = _measure(config, train=True, batch_size=1)
    # Forward and backward of the same pair: about three times forward.
    ratio = train["multiply_adds"] / one["multiply_adds"]
    assert 2.5 < ratio < 3.5
    assert _measure(config, dtype="bf16")["dtype"] == "bf16"


@pytest.mark.parametrize("extractor", ["st_sed_sep", "pann_sep"])
def test_other_systems_are_measured_too(tmp_path, extractor):
    conf = {"segment_frames": 128, "unet_channels": 2, "unet_levels": 3}
    if extractor == "pann_sep":
        conf["cnn_channels"] = 2
    else:
        conf |= {"embed_dim": 8, "depths": [1, 1, 1, 1], "heads": [1, 2, 4, 8]}
    path = tmp_path / "row.yaml"
    path.write_text(yaml.safe_dump({"extractor": extractor, "extractor_conf": conf}))
    line = _measure(path)
    network = build_network(yaml.safe_load(path.read_text()), str(path))
    assert line["parameters"] == sum(p.numel() for p in network.parameters())
    assert line["multiply_adds"] > 0


def test_counts_products_and_attention():
    linear, x = nn.Linear(24, 48), torch.randn(10, 24)
    assert benchmark._count_flops(lambda: linear(x)) == 2 * 10 * 24 * 48
    q = torch.randn(2, 4, 16, 8)

    def attend():
        with torch.inference_mode():
            nn.functional.scaled_dot_product_attention(q, q, q)

    # Scores and weighted sum: 16 x 16 x 8 products each, for 8 heads.
    assert benchmark._count_flops(attend) == 2 * 2 * 8 * 16 * 16 * 8


@pytest.mark.parametrize(
    "options, reason",
    [
        (("--config", "none.yaml"), "none.yaml: cannot be read"),
        (("--seconds", "0"), "--seconds must be above 0"),
        (("--seconds", "0.01"), "less than one STFT window"),
        (("--seconds", "99", "--train"), "at most a segment"),
        (("--device", "toaster"), "device must be"),
    ],
)
def test_bad_options_are_one_line(config, capsys, options, reason):
    with pytest.raises(SystemExit) as end:
        benchmark.main(["--config", str(config), "--threads", "1", *options])
    error = capsys.readouterr().err
    assert end.value.code == 2 and reason in error and error.count("\n") == 1
