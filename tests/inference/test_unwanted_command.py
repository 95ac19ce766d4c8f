"""The command that measures what naming an unwanted sound is worth."""

import numpy as np
import pytest
import soundfile

from espnet2_caresep.bin import unwanted
from espnet2_caresep.inference import CaRESeparator
from espnet2_caresep.scoring.metrics import sdr


@pytest.fixture(scope="module")
def pairs(tmp_path_factory, sound):
    """Two pairs as stage 3 leaves them."""
    folder = tmp_path_factory.mktemp("pairs")
    rows = {}
    for pair in range(2):
        sources = [sound(2 * pair + i, 0.6)[0] for i in range(2)]
        audio = {"wav": sources[0] + sources[1]}
        for i, source in enumerate(sources, 1):
            audio |= {f"spk{i}": source, f"enroll_spk{i}": source}
            audio[f"other_spk{i}"] = sound(9 + i, 0.6)[0]
        for name, samples in audio.items():
            path = folder / f"{pair}_{name}.wav"
            soundfile.write(path, samples, 32000, "FLOAT")
            rows.setdefault(name, []).append(f"pair{pair} {path}\n")
    for name, lines in rows.items():
        (folder / f"{name}.scp").write_text("".join(lines))
    return folder


def test_items_are_what_a_person_would_get(pairs, tiny_model):
    separator = CaRESeparator.from_pretrained(tiny_model, "cpu")
    rows = list(unwanted.measure(separator, pairs, "enroll", 2))
    assert len(rows) == 4
    files = [pairs / f"1_{name}.wav" for name in ("wav", "spk2", "spk1")]
    target = soundfile.read(files[1], dtype="float32")[0]
    alone = separator.separate(files[0], files[1]).target
    against = separator.separate(files[0], files[1], unwanted=[files[2]]).target
    assert rows[3] == pytest.approx((sdr(target, alone), sdr(target, against)))
    third = list(unwanted.measure(separator, pairs, "enroll", 3, every=2))
    assert len(third) == 2 and not np.isclose(third[0][0], rows[0][0])


def test_the_command(pairs, tiny_model, capsys):
    given = ["--model", str(tiny_model), "--data_dir"]
    unwanted.main([*given, str(pairs), "--every", "2"])
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith("sources") and len(rows) == 4
    for wrong in ([str(pairs), "--every", "0"], ["none"]):
        with pytest.raises(SystemExit) as end:
            unwanted.main([*given, *wrong])
        assert end.value.code == 2 and capsys.readouterr().err.count("\n") == 1
