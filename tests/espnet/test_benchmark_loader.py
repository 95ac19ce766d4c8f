"""The rate of the data loader."""

import json

import pytest

from espnet2_caresep.bin import benchmark_loader
from espnet2_caresep.data.preprocessor import PairMixingPreprocessor


@pytest.mark.parametrize("workers", [0, 2])
def test_every_pair_is_made_and_timed(corpus, capsys, monkeypatch, workers):
    made = []
    pair = PairMixingPreprocessor._pair

    def spy(self, uid, rng):
        made.append(uid)
        return pair(self, uid, rng)

    monkeypatch.setattr(PairMixingPreprocessor, "_pair", spy)
    benchmark_loader.main(
        ["--data_dir", str(corpus / "train"), "--seconds", "0.5", "--batch_size", "3"]
        + ["--batches", "4", "--warmup", "1", "--num_workers", str(workers)]
    )
    result = json.loads(capsys.readouterr().out)
    assert result["pairs"] == 12 and result["clips"] == 14
    if workers == 0:
        assert len(made) == 15  # warm-up included
    rate = result["pairs_per_second"]
    assert rate > 0
    per_worker = result["pairs_per_second_per_worker"]
    assert per_worker == pytest.approx(rate / max(1, workers), abs=0.01)
    assert result["pairs_per_cpu_second"] > 0.9 * per_worker  # waiting is not counted
    assert result["source_clips_per_second"] == pytest.approx(2 * rate, abs=0.02)


def test_mistakes_are_one_line(tmp_path, capsys):
    for arguments, words in (
        (["--data_dir", str(tmp_path)], "stage 3 makes it"),
        (["--data_dir", str(tmp_path), "--batches", "0"], "--batches must be above 0"),
    ):
        with pytest.raises(SystemExit) as end:
            benchmark_loader.main(arguments)
        assert end.value.code == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
