"""Weights in half precision: half the size, the same network."""

import pytest
import torch

from espnet2_caresep.bin import export_weights
from espnet2_caresep.network import CaRESep

SMALL = {"segment_frames": 64, "embed_dim": 16, "depths": (1, 1, 1, 1)}
SMALL |= {"decoder_depths": (1, 1, 1), "heads": (1, 2, 4, 8), "num_classes": 3}
SMALL |= {"query_spectrum": True}


def test_half_as_large_and_nearly_the_same_output(tmp_path):
    torch.manual_seed(0)
    network = CaRESep(**SMALL).eval()
    for parameter in network.parameters():  # no branch may be silent
        torch.nn.init.normal_(parameter, std=0.05)
    network.norm.running_var.fill_(1e6)  # beyond float16
    source, output = tmp_path / "float.pth", tmp_path / "out/half.pth"
    torch.save(network.state_dict(), source)
    export_weights.main(["--model_file", str(source), "--output", str(output)])
    assert output.stat().st_size < 0.6 * source.stat().st_size
    half = CaRESep(**SMALL).eval()
    half.load_state_dict(torch.load(output, weights_only=True))
    assert half.norm.running_var[0] == 1e6
    mixture, query = torch.randn(2, 1, network.segment_samples)
    with torch.no_grad():
        one = network.separate(mixture, network.embed(query))
        two = half.separate(mixture, half.embed(query))
    assert two.dtype == torch.float32
    error = (one - two).square().sum() / one.square().sum()
    assert 0 < error < 1e-4


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no weights", "cannot be read"),
        (
            {"a": torch.tensor([1e6])},
            "a does not fit into float16; give --dtype float32",
        ),
        ({"epoch": 3}, "is no file of weights"),
        (None, "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_one_line(tmp_path, capsys, content, words):
    source, output = tmp_path / "in.pth", tmp_path / "out.pth"
    if isinstance(content, bytes):
        source.write_bytes(content)
    elif content is not None:
        torch.save(content, source)
    with pytest.raises(SystemExit) as stop:
        export_weights.main(["--model_file", str(source), "--output", str(output)])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1 and words in error
    assert not output.exists()
