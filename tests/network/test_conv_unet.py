"""The U-Net against the same network written out with functions."""

import pytest
import torch
from torch.nn import functional as F

from espnet2_caresep.network.conv_unet import ConvUNet


def unet(**conf):
    torch.manual_seed(0)
    net = ConvUNet(6, **{"channels": 4, "levels": 2, **conf}).eval()
    for name, parameter in net.named_parameters():
        torch.nn.init.normal_(parameter, std=0.3)
        if name.endswith("norm.weight"):
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    for name, buffer in net.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 1.5)
    return net


def by_hand(net, image, query):
    state = net.state_dict()

    def conv(x, name, up=False):
        weight = state[f"{name}.conv.weight"]
        if up:  # each pixel adds its kernel, twice as far apart
            x = F.conv_transpose2d(x, weight, stride=2)[..., 1:, 1:]
        else:
            x = F.conv2d(x, weight, padding=1)
        shape = (1, -1, 1, 1)
        mean, var, gain, offset = (
            state[f"{name}.norm.{key}"].view(shape)
            for key in ("running_mean", "running_var", "weight", "bias")
        )
        x = ((x - mean) / (var + 1e-5).sqrt() * gain + offset).clamp(min=0)
        bias = query @ state[f"{name}.query.weight"].T + state[f"{name}.query.bias"]
        return x + bias[:, :, None, None]

    def block(x, name):
        return conv(conv(x, f"{name}.convs.0"), f"{name}.convs.1")

    one = block(image, "encoder.0")
    two = block(F.avg_pool2d(one, 2), "encoder.1")
    x = block(F.avg_pool2d(two, 2), "bottleneck")
    for i, skip in enumerate((two, one)):
        x = conv(x, f"decoder.{i}.up", up=True)
        x = block(torch.cat([x, skip], 1), f"decoder.{i}.block")
    x = block(x, "after")
    return F.conv2d(x, state["final.weight"], state["final.bias"])[:, 0]


def test_equals_the_network_written_out():
    net = unet(in_channels=2)
    image, query = torch.randn(2, 2, 8, 12), torch.randn(2, 6)
    with torch.no_grad():
        out = net(image, query)
        torch.testing.assert_close(
            out, by_hand(net, image, query), rtol=1e-4, atol=1e-4
        )
        assert out.std() > 0.1
        # Every convolution hears the query, and nothing else differs.
        assert (net(image, query.flip(0)) - out).abs().max() > 0.1


@pytest.mark.parametrize("size", [(1, 1), (5, 9), (16, 64), (37, 70)])
def test_any_size_comes_back(size):
    net = unet(levels=6)
    image, query = torch.randn(2, 1, *size), torch.randn(2, 6)
    with torch.no_grad():
        out = net(image, query)
        assert out.shape == (2, *size)
        # The same as a picture that is padded to a size that can be halved.
        padded = F.pad(image, (0, 128 - size[1], 0, 64 - size[0]))
        if size == (37, 70):
            whole = net(padded, query)[:, : size[0], : size[1]]
            torch.testing.assert_close(out, whole)
