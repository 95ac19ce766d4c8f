"""CNN14 against librosa's filters and the network written out with functions."""

import librosa
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from espnet2_caresep.network.cnn14 import CNN14, mel_filters


@pytest.mark.parametrize("rate, n_fft, mels", [(32000, 1024, 64), (16000, 512, 40)])
def test_filters_are_librosas(rate, n_fft, mels):
    high = min(14000, rate / 2)
    wanted = librosa.filters.mel(
        sr=rate, n_fft=n_fft, n_mels=mels, fmin=50, fmax=high
    ).T
    got = mel_filters(n_fft // 2 + 1, mels, rate)
    np.testing.assert_allclose(got.numpy(), wanted, atol=1e-6)


@pytest.mark.parametrize("query", ["embedding", "probabilities"])
def test_equals_the_network_written_out(query):
    torch.manual_seed(0)
    net = CNN14(segment_frames=128, channels=2, num_classes=5, query=query).eval()
    for name, buffer in net.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 1.5)
    samples = 70 * 320
    audio = torch.randn(1, samples)
    anchor = net.encode_anchor(audio)

    # The same audio, by hand: power at unit mean, log-mel, zeros after its 71 frames.
    padded = F.pad(audio, (0, net.segment_samples - samples))
    power = net.stft(padded)[:, :71].abs() ** 2
    mel = torch.log(power / power.mean() @ mel_filters(513, 64, 32000) + 1e-6)
    mel = (mel - net.norm.running_mean) / (net.norm.running_var + 1e-5).sqrt()
    x = F.pad(mel, (0, 0, 0, 128 - 71))[:, None]
    for i, block in enumerate(net.blocks):
        for conv, norm in ((block[0], block[1]), (block[3], block[4])):
            x = F.conv2d(x, conv.weight, padding=1)
            shape = (1, -1, 1, 1)
            x = x - norm.running_mean.view(shape)
            x = (x / (norm.running_var + 1e-5).sqrt().view(shape)).clamp(min=0)
        if i < 5:
            x = F.avg_pool2d(x, 2)
    x = x.mean(3)[0].T[:3]  # 71 frames are 3 output frames
    embedding = F.relu(net.hidden(x.amax(0) + x.mean(0)))
    logits = net.classes(embedding)
    wanted = embedding if query == "embedding" else logits.sigmoid()
    torch.testing.assert_close(anchor.query[0], wanted, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(anchor.clip_logits[0], logits, rtol=1e-3, atol=1e-4)
    frame_logits = net.classes(F.relu(net.hidden(x)))
    torch.testing.assert_close(
        anchor.frame_logits[0, :3], frame_logits, rtol=1e-3, atol=1e-4
    )
