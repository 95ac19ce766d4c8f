"""Queries of classes: their most typical clips, read by the model again."""

import shutil

import numpy as np
import pytest
import soundfile

from espnet2_caresep.bin import class_queries
from espnet2_caresep.inference import CaRESeparator, Query


@pytest.fixture
def data(tmp_path, sound):
    for i in range(4):
        soundfile.write(tmp_path / f"{i}.wav", sound(i, 0.3)[0], 32000, "FLOAT")
    soundfile.write(tmp_path / "4.wav", np.zeros(9000), 32000)
    lines = [f"u{i} {tmp_path / f'{i}.wav'}\n" for i in range(5)]
    (tmp_path / "wav.scp").write_text("".join(lines))
    (tmp_path / "labels").write_text("u0 dog\nu1 dog bell\nu2 bell\nu3 cat\nu4 dog\n")
    return tmp_path


def test_queries_of_the_classes_are_those_of_clips(data, tiny_model, tmp_path, caplog):
    model = shutil.copytree(tiny_model, tmp_path / "model")
    options = ["--model", str(model), "--data_dir", str(data)]
    class_queries.main(options)
    separator = CaRESeparator.from_pretrained(model, "cpu")
    clips = [separator.query(data / f"{i}.wav") for i in range(4)]
    # rain has no clip, cat is no class of the model, the silent clip is skipped.
    assert sorted(separator.class_queries) == ["bell", "dog"]
    for label, members in (("dog", clips[:2]), ("bell", clips[1:3])):
        query = separator.class_queries[label]
        same = [np.allclose(query.embedding, c.embedding, atol=1e-5) for c in members]
        assert any(same)
        assert np.allclose(query.tags, members[same.index(True)].tags, atol=1e-5)
    assert "skipped u4" in caplog.text


def test_templates_are_not_those_of_a_class(data, tiny_model_with_parts, tmp_path):
    from safetensors.numpy import load_file

    model = shutil.copytree(tiny_model_with_parts, tmp_path / "model")
    class_queries.main(["--model", str(model), "--data_dir", str(data)])
    separator = CaRESeparator.from_pretrained(model, "cpu")
    layout = separator.network.layout
    kept = layout.without_templates().size
    found = separator.class_queries["dog"].embedding
    assert found.shape == (layout.size,) and not found[kept:].any()
    clips = [separator.query(data / f"{i}.wav").embedding for i in range(2)]
    assert all(clip[kept:].any() for clip in clips)
    assert any(np.allclose(found[:kept], clip[:kept], atol=1e-5) for clip in clips)
    # The file does not hold what is not there
    (size,) = load_file(model / class_queries.QUERIES_NAME)["dog"].shape
    assert size == kept + len(separator.labels)


def test_the_most_typical_clip_is_nearest_to_the_mean_of_embeddings():
    rows = np.array([[0, 0, 90], [4, 0, 5], [5, 0, 70], [7, 0, 0]], np.float32)
    queries = [Query(row, np.zeros(3, np.float32)) for row in rows]
    assert class_queries.most_typical(queries, 2) is queries[1]
    assert class_queries.most_typical(queries[:1], 2) is queries[0]


def test_queries_of_earlier_versions_are_sure_of_their_class(tiny_model, tmp_path):
    from safetensors.numpy import save_file

    model = shutil.copytree(tiny_model, tmp_path / "model")
    plain = CaRESeparator.from_pretrained(model, "cpu")
    vector = np.ones(plain.network.query_dim, np.float32)
    metadata = {"fingerprint": plain.fingerprint}
    save_file({"dog": vector}, model / "class_queries.safetensors", metadata)
    found = CaRESeparator.from_pretrained(model, "cpu").class_queries
    assert list(found) == ["dog"] and np.array_equal(found["dog"].embedding, vector)
    assert found["dog"].tags.tolist() == [-10, 10, -10]  # bell, dog, rain


def test_the_draw_is_bounded_and_repeatable():
    labels = {f"u{i}": "dog" if i % 2 else "dog bell" for i in range(50)}
    first = class_queries.draw(labels, ["dog", "bell", "rain"], 10, 0)
    assert {name: len(uids) for name, uids in first.items()} == {"dog": 10, "bell": 10}
    assert first == class_queries.draw(labels, ["dog", "bell", "rain"], 10, 0)
    assert first != class_queries.draw(labels, ["dog", "bell", "rain"], 10, 1)


def test_bad_input_is_one_line(data, tiny_zip, tiny_model, capsys):
    (data / "labels").write_text("u4 dog\n")
    for model, output, reason in (
        (tiny_zip, [], "--output is needed"),
        (tiny_model, ["--output", str(data / "q")], "no clip of class dog"),
        (data / "none", ["--output", str(data / "q")], "no such model"),
    ):
        with pytest.raises(SystemExit) as end:
            class_queries.main(
                ["--model", str(model), "--data_dir", str(data), *output]
            )
        error = capsys.readouterr().err
        assert end.value.code == 2 and reason in error.splitlines()[-1]
    assert not (data / "q").exists()
