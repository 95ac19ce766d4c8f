"""Stages 7 to 10 with a packed model in the place of a trained one."""

import shutil

from espnet2_caresep.data.files import read_table


def test_a_packed_model_separates_the_test_sets(
    run, recipe, tiny_zip, tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))  # the zoo's cache lies there
    run("--stop_stage", "3")
    model = tmp_path / "some model.zip"
    shutil.copy(tiny_zip, model)
    options = ["--stage", "6", "--stop_stage", "11", "--skip_eval", "true"]
    text = run(*options, "--download_model", model).stdout
    assert "Stage" not in text  # neither trained nor packed
    options = ["--stage", "7", "--stop_stage", "7", "--eval_sets", "mixture_own"]
    run(*options, "--download_model", model)
    outputs = recipe / "exp/some model/inference_some model/test_mixture_own"
    assert list(read_table(outputs / "spk1.scp")) == ["p1_1", "p1_2", "p2_1", "p2_2"]
    text = run(*options, "--download_model", model).stdout
    assert "Stage 7 is done already for test_mixture_own" in text
    error = run(*options, "--download_model", "none.zip", status=2).stderr
    assert error == "fetch_model.py: error: none.zip: no such file\n"
