"""The command that measures what naming an unwanted sound is worth."""

import numpy as np
import pytest
import soundfile

from espnet2_caresep.bin import unwanted
from espnet2_caresep.inference import CaRESeparator
from espnet2_caresep.scoring.metrics import sdr


def test_items_are_what_a_person_would_get(pairs, tiny_model):
    separator = CaRESeparator.from_pretrained(tiny_model, "cpu")
    rows = list(unwanted.measure(separator, pairs, "own", 2, every=6))
    assert len(rows) == 4
    files = [pairs / f"6_{name}.wav" for name in ("wav", "spk2", "spk1")]
    target = soundfile.read(files[1], dtype="float32")[0]
    alone = separator.separate(files[0], files[1]).target
    against = separator.separate(files[0], files[1], unwanted=[files[2]]).target
    assert rows[3] == pytest.approx((sdr(target, alone), sdr(target, against)))
    third = list(unwanted.measure(separator, pairs, "own", 3, every=7))
    assert len(third) == 2 and not np.isclose(third[0][0], rows[0][0])


def test_the_command(pairs, tiny_model, capsys):
    given = ["--model", str(tiny_model), "--data_dir"]
    unwanted.main([*given, str(pairs), "--every", "7"])
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith("sources") and len(rows) == 4
    for wrong in ([str(pairs), "--every", "0"], ["none"]):
        with pytest.raises(SystemExit) as end:
            unwanted.main([*given, *wrong])
        assert end.value.code == 2 and capsys.readouterr().err.count("\n") == 1
