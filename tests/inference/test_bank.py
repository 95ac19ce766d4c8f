"""Query banks: what they say of their clips, and what is refused."""

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from espnet2_caresep.inference import CaRESeparator
from espnet2_caresep.inference.banks.bank import Bank, BankError, Source
from espnet2_caresep.inference.banks.clips import embed_clip, extend_bank
from espnet2_caresep.inference.banks.files import (
    bank_folder,
    bank_path,
    load_bank,
    read_bank,
    save_bank,
)
from espnet2_caresep.network.query_layout import QueryLayout


def _bank(embeddings, pooled=None, name="dog"):
    embeddings = np.asarray(embeddings, np.float32)
    sources = [Source(f"{i}.wav", f"{i:064x}", 1.5) for i in range(len(embeddings))]
    size = embeddings.shape[1]
    layout = QueryLayout(pooled or size, size - (pooled or size))
    tags = np.arange(3.0 * len(embeddings), dtype=np.float32).reshape(-1, 3)
    return Bank(name, "0123456789abcdef", embeddings, tags, tuple(sources), layout)


@given(arrays(np.float32, (4, 6), elements=st.floats(-100, 100, width=32)))
def test_a_bank_comes_back_as_it_was(tmp_path_factory, embeddings):
    path = tmp_path_factory.mktemp("banks") / "dog.safetensors"
    bank = _bank(embeddings)
    save_bank(path, bank)
    again = load_bank(path, bank.fingerprint)
    assert np.array_equal(again.embeddings, embeddings)
    assert again.sources == bank.sources and again.name == "dog"
    assert again.layout == bank.layout
    assert np.array_equal(again.tags, bank.tags)
    assert np.allclose(again.query.embedding, embeddings.mean(0), atol=1e-4)
    assert np.allclose(again.query.tags, bank.tags.mean(0))
    assert 0 <= again.dispersion <= 1 + 1e-9


def test_the_file_holds_what_other_programs_need(tmp_path):
    from safetensors.numpy import load_file

    bank = _bank([[1, 0], [0, 1]])
    save_bank(tmp_path / "b.safetensors", bank)
    tensors = load_file(tmp_path / "b.safetensors")
    assert np.allclose(tensors["mean"], [0.5, 0.5])
    # Clips of length 1 at a distance of sqrt(1/2) from their mean.
    assert tensors["dispersion"] == pytest.approx(np.sqrt(0.5))


def test_an_outlier_is_named_and_a_spectrum_is_not_compared():
    near = np.random.default_rng(0).normal(size=(5, 8))
    far = np.full((1, 8), 20.0)
    assert _bank(near).outliers == []
    assert [s.file for s in _bank(np.vstack([near, far])).outliers] == ["5.wav"]
    spectra = np.vstack([np.zeros((5, 8)), 99 * np.ones((1, 8))])
    six = np.vstack([near, near[:1]])
    assert _bank(np.hstack([six, spectra]), pooled=8).outliers == []
    # Of two clips neither can be called the odd one.
    assert _bank([[0.0, 0.0], [9.0, 9.0]]).outliers == []


def test_distances_are_to_the_mean_of_the_others():
    points = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    expected = [
        np.linalg.norm(points[i] - np.delete(points, i, 0).mean(0)) for i in range(4)
    ]
    assert np.allclose(_bank(points).distances, expected, atol=1e-6)
    assert _bank(points[:1]).distances == [0] and _bank(points[:1]).dispersion == 0


def test_a_clip_is_embedded_with_its_hash(tiny_model, sound, tmp_path):
    separator = CaRESeparator.from_pretrained(tiny_model, "cpu")
    soundfile.write(tmp_path / "a.wav", sound(1)[0], 32000)
    soundfile.write(tmp_path / "b.wav", sound(1)[0], 32000)
    query, source = embed_clip(separator, tmp_path / "a.wav")
    assert np.array_equal(query.embedding, separator.embed(tmp_path / "a.wav"))
    assert (source.file, source.seconds) == ("a.wav", 0.5)
    other = embed_clip(separator, tmp_path / "b.wav")
    assert source.sha256 == other[1].sha256
    one = extend_bank("dog", separator, [(query, source)])
    two = extend_bank("dog", separator, [other], one)
    assert two.fingerprint == separator.fingerprint and len(two.sources) == 2
    assert np.allclose(two.query.embedding, query.embedding)
    assert np.allclose(two.query.tags, query.tags)


def test_what_has_no_embedding_is_no_example(tiny_model, sound, tmp_path):
    separator = CaRESeparator.from_pretrained(tiny_model, "cpu")
    soundfile.write(tmp_path / "loud.wav", 1e30 * sound(1)[0], 32000, "FLOAT")
    with pytest.raises(ValueError, match="loud.wav: its embedding is not finite"):
        embed_clip(separator, tmp_path / "loud.wav")


def test_names_and_paths(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert bank_path("@dog") == tmp_path / "caresep" / "banks" / "dog.safetensors"
    assert bank_path("x/y.safetensors").parts == ("x", "y.safetensors")
    for name in ("", "../dog", "a/b", ".hidden", "a\nb", "x" * 65):
        with pytest.raises(BankError, match="names no bank"):
            bank_path(name)
    monkeypatch.setenv("XDG_DATA_HOME", "not/absolute")
    assert bank_folder().is_absolute()


def test_a_bank_of_another_model_is_refused(tmp_path):
    save_bank(tmp_path / "b.safetensors", _bank([[1, 2]]))
    with pytest.raises(BankError, match="bank dog: was made with another model") as e:
        load_bank(tmp_path / "b.safetensors", "f" * 16)
    assert "\n" not in str(e.value)


def test_what_is_no_bank_is_refused(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "b.safetensors"
    with pytest.raises(BankError, match="no such bank"):
        read_bank(path)
    save_bank(path, _bank([[1, 2], [3, 4]]))
    whole = path.read_bytes()
    path.write_bytes(whole[:-4])
    with pytest.raises(BankError, match="is damaged"):
        read_bank(path)
    path.write_bytes(b"not a bank")
    with pytest.raises(BankError, match="is damaged"):
        read_bank(path)
    for earlier in (b"caresep-bank-1", b"caresep-bank-2"):
        path.write_bytes(whole.replace(b"caresep-bank-3", earlier))
        with pytest.raises(BankError, match="by an earlier version; make it again"):
            read_bank(path)
    save_file({"embeddings": np.ones((1, 2), np.float32)}, path)
    with pytest.raises(BankError, match="is not a query bank"):
        read_bank(path)
    for bad in (_bank([[1, np.nan]]), _bank([[1, 2]], pooled=3)):
        save_bank(path, bad)
        with pytest.raises(BankError, match="do not fit"):
            read_bank(path)
    path.write_bytes(whole.replace(b'\\"seconds\\"', b'\\"minutes\\"'))
    with pytest.raises(BankError, match="is damaged"):
        read_bank(path)
    for old, new in (
        (b"1.5}", b"NaN}"),
        (b'\\"1.wav\\"', b'\\"\\\\u001b\\"'),
        (b'\\"seconds\\": 1.5', b'\\"seconds\\": \\"\\" '),
        (b'[{\\"file', b'[0,\\"fil'),
    ):
        assert old in whole
        header = whole.replace(old, new)
        size = int.from_bytes(whole[:8], "little") + len(header) - len(whole)
        path.write_bytes(size.to_bytes(8, "little") + header[8:])
        with pytest.raises(BankError, match="is damaged") as caught:
            read_bank(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(BankError, match="cannot be written"):
        save_bank(path / "below.safetensors", _bank([[1, 2]]))


def test_a_bank_of_queries_with_templates(tiny_model_with_parts, sound, tmp_path):
    separator = CaRESeparator.from_pretrained(tiny_model_with_parts, "cpu")
    clips = []
    for number in range(3):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, sound(number, 0.5)[0], 32000)
        clips.append(embed_clip(separator, path))
    bank = extend_bank("dogs", separator, clips)
    save_bank(tmp_path / "b.safetensors", bank)
    again = load_bank(tmp_path / "b.safetensors", separator.fingerprint)
    assert again.layout == separator.network.layout
    expected = separator.query([tmp_path / f"{number}.wav" for number in range(3)])
    assert np.allclose(again.query.embedding, expected.embedding, atol=1e-5)
    assert again.query.embedding.shape == (again.layout.size,)
