"""The command that measures what likeness to known clips gives."""

import numpy as np
import pytest
import soundfile
import torch
from sklearn.metrics import average_precision_score

from espnet2_caresep.bin import known_clips
from espnet2_caresep.data.files import write_table
from espnet2_caresep.inference import CaRESeparator
from espnet2_caresep.inference.models import shipped_models


@pytest.fixture(scope="module")
def clips(tmp_path_factory, sound):
    """Folder and samples of eight clips of a second, of three classes in turn."""
    labels = CaRESeparator.from_pretrained(shipped_models()[0], "cpu").labels
    folder = tmp_path_factory.mktemp("clips")
    audio = {f"clip{i}": sound(i, 1.0)[0] for i in range(8)}
    for name, samples in audio.items():
        soundfile.write(folder / f"{name}.wav", samples, 32000, "FLOAT")
    write_table(folder / "wav.scp", {name: folder / f"{name}.wav" for name in audio})
    write_table(folder / "labels", dict(zip(audio, 3 * labels[:3])))
    return folder, torch.from_numpy(np.stack(list(audio.values())))


def test_the_ends_are_what_tags_alone(clips, capsys):
    folder, audio = clips
    model = shipped_models()[0]
    net = CaRESeparator.from_pretrained(model, "cpu").network.anchor_net
    lengths = torch.full((len(audio),), audio.shape[1])
    padded = torch.nn.functional.pad(audio, (0, net.segment_samples - audio.shape[1]))
    with torch.no_grad():
        picture, _ = net.clip_pictures(padded, lengths)
        alone = [
            net.conv_tagger(picture),
            net.kernel(net.encode_anchor(audio).features),
        ]
    truth = np.arange(8)[:, None] % 3 == np.arange(3)
    expected = [
        np.mean([average_precision_score(truth[:, c], x[:, c]) for c in range(3)])
        for x in alone
    ]
    given = ["--model", str(model), "--data_dir", str(folder)]
    known_clips.main([*given, "--shares", "0", "1", "0.3"])
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["share", "mAP"]
    shares, scores = np.array([row.split() for row in rows], float).T
    assert shares.tolist() == [0, 1, 0.3]
    assert scores[:2] == pytest.approx(expected, abs=6e-4)
    assert scores[0] != scores[1]


def test_mistakes(clips, tiny_model, tmp_path, capsys):
    folder, _ = clips
    write_table(tmp_path / "wav.scp", {"clip0": folder / "clip0.wav"})
    write_table(tmp_path / "labels", {"clip1": "bird"})
    for model, data, shares, message in (
        (tiny_model, folder, "0.5", "knows no clips"),
        (tiny_model, folder, "1.5", "--shares must be within 0 and 1"),
        (shipped_models()[0], tmp_path / "none", "0.5", "none"),
        (shipped_models()[0], tmp_path, "0.5", "labels: lacks clip0"),
    ):
        with pytest.raises(SystemExit) as end:
            known_clips.main(
                ["--model", str(model), "--data_dir", str(data), "--shares", shares]
            )
        assert end.value.code == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and message in error
