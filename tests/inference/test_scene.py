"""A recording taken apart: pieces of time, windows, queries, exact sums, the page."""

import base64
import html
import io
import json
import re
import shutil
import subprocess
import tracemalloc
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from espnet2_caresep.inference import CaRESeparator
from espnet2_caresep.inference.audio import recording as audio_module
from espnet2_caresep.inference.audio.recording import Audio
from espnet2_caresep.inference.results import Tags
from espnet2_caresep.inference.scene.folder import describe, stem_names
from espnet2_caresep.inference.scene.page import render_scene
from espnet2_caresep.inference.scene.pieces import cut_at_borders, split_alone
from espnet2_caresep.inference.scene.report import Track, render
from espnet2_caresep.inference.scene.scene import (
    describe_sounds,
    find_scene,
    separate_scene,
)
from espnet2_caresep.inference.scene.stream import FADE, scene_blocks
from espnet2_caresep.inference.stream import Block
from espnet2_caresep.inference.tags.events import Event, EventRule

RATE, HOP = 32000, 10240


class Listener:
    """Stands for a separator: hears what a table says, and takes equal parts.

    A query is the number of the example.
    """

    def __init__(self, frames, segment=10 * HOP):
        self.frames = np.asarray(frames, np.float32)
        self.labels = [f"sound {i}" for i in range(self.frames.shape[1])]
        self.sample_rate, self.fingerprint = RATE, "0" * 16
        self.network = SimpleNamespace(
            sample_rate=RATE,
            hop_length=HOP // 32,
            n_fft=1024,
            segment_samples=10 * HOP,
            num_classes=len(self.labels),
        )
        self.segment = segment  # as it is to separate; to tag it is the recording
        self.examples, self.asked = [], []

    def tag(self, audio):
        self.network.segment_samples = self.segment
        frames = self.frames[: -(-audio.frames // HOP)]
        return Tags(self.labels, frames.max(0), frames, HOP / RATE)

    def query(self, audio, start=0.0, end=None):
        last = None if end is None else round(end * RATE)
        self.examples.append(audio.samples[:, round(start * RATE) : last])
        return len(self.examples) - 1

    def open_stream(self, queries, rate, channels, partition, judged):
        assert partition and not judged and rate == RATE
        self.asked.append(tuple(queries))
        return Sharing(len(queries))


class Sharing:
    """Stands for a stream: holds a block back, and gives every query as much."""

    def __init__(self, queries):
        self.queries, self.held = queries, None

    def push(self, block):
        held, self.held = self.held, block
        return None if held is None else self._share(held)

    def finish(self):
        return self._share(self.held)

    def _share(self, block):
        return Block(np.stack([block / self.queries] * self.queries), 0 * block)


@pytest.fixture(scope="module")
def recording():
    rng = np.random.default_rng(0)
    samples = np.round(rng.uniform(-0.5, 0.5, (2, 10 * HOP)) * 2**15) / 2**15
    return Audio(samples.astype(np.float32), RATE, "recording.wav")


def test_stems_hold_what_sounds_when_it_sounds(recording):
    # Sound 0 from frame 1 to 7, sound 1 from frame 5 to 9.
    frames = np.zeros((10, 3))
    frames[1:7, 0] = 0.9
    frames[5:9, 1] = 0.8
    listener = Listener(frames)
    scene = separate_scene(listener, recording, EventRule())
    spans = [(e.label, round(e.start, 9), round(e.end, 9)) for e in scene.events]
    assert spans == [("sound 0", 0.32, 2.24), ("sound 1", 1.6, 2.88)]
    first, second = scene.stems.values()
    fade = round(FADE * RATE / 2)

    def inside(start, end):
        return slice(start * HOP + fade, end * HOP - fade)

    mixture = recording.samples
    assert np.allclose(first[:, inside(1, 5)], mixture[:, inside(1, 5)], atol=1e-6)
    for stem in (first, second):  # where both sound they share
        shared = mixture[:, inside(5, 7)] / 2
        assert np.allclose(stem[:, inside(5, 7)], shared, atol=1e-6)
    assert np.allclose(second[:, inside(7, 9)], mixture[:, inside(7, 9)], atol=1e-6)
    assert not first[:, 7 * HOP + fade :].any() and not first[:, : HOP - fade].any()
    assert not second[:, : 5 * HOP - fade].any()
    # At a border one event loses what the other gains: nothing is lost between.
    middle = slice(HOP + fade, 9 * HOP - fade)
    assert np.allclose((first + second)[:, middle], mixture[:, middle], atol=1e-6)
    assert np.array_equal(first + second + scene.residual, mixture)
    # Where both sound, the queries are the parts in which they are alone.
    lengths = [example.shape[1] for example in listener.examples]
    assert lengths[:2] == [4 * HOP, 2 * HOP]
    assert np.array_equal(listener.examples[0], mixture[:, HOP : 5 * HOP])
    # Elsewhere what is separated is itself the query, with half a frame around it.
    assert lengths[2:] == [5 * HOP, 3 * HOP] and listener.asked == [(2,), (0, 1), (3,)]
    assert np.array_equal(
        listener.examples[2], mixture[:, HOP // 2 : 5 * HOP + HOP // 2]
    )


def test_long_events_are_queries_segment_by_segment(recording):
    frames = np.zeros((10, 1))
    frames[1:9] = 0.9
    listener = Listener(frames, segment=3 * HOP)
    scene = separate_scene(listener, recording, EventRule())
    assert listener.asked == [(0,), (1,), (2,)]
    fade = round(FADE * RATE / 2)
    middle = slice(HOP + fade, 9 * HOP - fade)
    stem = scene.stems["sound 0"][:, middle]
    assert np.allclose(stem, recording.samples[:, middle], atol=1e-6)


def test_without_a_part_alone_the_whole_span_is_the_query(recording):
    frames = np.zeros((10, 2))
    frames[2:6, 0] = frames[3:5, 1] = 0.9
    listener = Listener(frames)
    separate_scene(listener, recording, EventRule())
    lengths = [example.shape[1] for example in listener.examples[:2]]
    # Sound 0 is alone for one frame only, less than half a second; sound 1 never.
    assert lengths == [4 * HOP, 2 * HOP]


def test_nothing_found_leaves_all(recording):
    scene = separate_scene(Listener(np.zeros((10, 2))), recording, EventRule())
    assert scene.sounds == [] and scene.events == [] and scene.stems == {}
    assert np.array_equal(scene.residual, recording.samples)


def test_what_is_found_in_next_to_nothing_is_left_out(recording):
    quiet = recording.samples.copy()
    quiet[:, : 5 * HOP] *= 0.009  # -41 dB
    frames = np.zeros((10, 2))
    frames[:4, 0] = frames[6:, 1] = 0.9
    scene = separate_scene(Listener(frames), quiet, EventRule(), RATE)
    assert [sound.label for sound in scene.sounds] == ["sound 1"]
    assert [event.label for event in scene.events] == ["sound 1"]
    quiet[:, : 5 * HOP] *= 1.2  # -39 dB
    assert len(separate_scene(Listener(frames), quiet, EventRule(), RATE).sounds) == 2


def test_a_gap_within_an_event_is_no_query(recording):
    silent = recording.samples.copy()
    silent[:, 2 * HOP + HOP // 3 : 5 * HOP - HOP // 3] = 0
    listener = Listener(np.zeros((10, 2)))
    events = [
        Event("sound 0", 0.32, 3 * 0.32, 0.9),
        Event("sound 1", 2 * 0.32, 5 * 0.32, 0.9),
        Event("sound 0", 4 * 0.32, 7 * 0.32, 0.9),
    ]
    audio = Audio(silent, RATE, "gap.wav")
    blocks = list(scene_blocks(listener, audio, events, listener.labels))
    stems = np.concatenate([block.stems for block in blocks], -1)
    assert not stems[1, :, 3 * HOP : 4 * HOP].any() and len(listener.asked) == 4


def test_blocks_of_the_recording_change_nothing(recording, monkeypatch):
    frames = np.zeros((10, 2))
    frames[1:7, 0] = frames[5:9, 1] = 0.9
    scene = separate_scene(Listener(frames), recording, EventRule())
    for block in (999, 7 * HOP):
        monkeypatch.setattr(audio_module, "SMALL_BLOCK", block)
        other = separate_scene(Listener(frames), recording, EventRule())
        for label, stem in scene.stems.items():
            assert np.allclose(other.stems[label], stem, atol=1e-6)


class Long:
    """A recording that is nowhere in memory."""

    sample_rate, channels, name = RATE, 2, "long.wav"

    def __init__(self, seconds):
        self.frames = seconds * RATE

    def blocks(self, start=0, stop=None):
        stop = min(stop or self.frames, self.frames)
        for first in range(start, stop, RATE):
            yield np.full((2, min(RATE, stop - first)), 0.25, np.float32)


def test_memory_does_not_grow_with_length():
    def peak(seconds):
        listener = Listener(np.zeros((1, 2)))
        listener.query = lambda *given, **part: 0
        # One event for the first half, two for all the rest.
        spans = [("sound 0", 1, seconds), ("sound 1", seconds // 2, seconds)]
        events = [Event(*span, 0.9) for span in spans]
        tracemalloc.start()
        taken = 0
        for block in scene_blocks(listener, Long(seconds), events, listener.labels):
            taken += block.residual.shape[-1]
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert taken == seconds * RATE and len(listener.asked) > 1
        return most

    peak(4)  # what is allocated once
    short, long = peak(20), peak(120)
    assert long < 1.1 * short and short < 64 * 2**20


def test_a_real_model_on_real_rates(tiny_model, sound, tmp_path):
    separator = CaRESeparator.from_pretrained(tiny_model, "cpu")
    mixture = np.round(sound(0, 2.5, 44100, 2) * 2**15) / 2**15
    scene = separator.scene(mixture, 44100, threshold=0.05)
    assert scene.stems and scene.sample_rate == 44100
    assert [sound.label for sound in scene.sounds] == list(scene.stems)
    total = np.sum(list(scene.stems.values()), 0, dtype=np.float32)
    assert np.array_equal(total + scene.residual, mixture)
    soundfile.write(tmp_path / "one.wav", mixture[0], 44100)
    one = separator.scene(tmp_path / "one.wav", threshold=0.05)
    assert one.residual.shape == mixture[0].shape
    shares = [sound.share_db for sound in one.sounds]
    for share, stem in zip(shares, one.stems.values(), strict=True):
        energy = np.square(stem).sum() / np.square(mixture[0]).sum()
        assert share == pytest.approx(10 * np.log10(energy), abs=0.01)


spans = st.tuples(st.integers(0, 30), st.integers(1, 9)).map(
    lambda span: Event("x", span[0] * 0.32, (span[0] + span[1]) * 0.32, 0.9)
)


@given(st.lists(spans, max_size=6))
def test_pieces_are_the_whole_and_name_what_sounds(events):
    seconds = 12.9
    pieces = cut_at_borders(events, seconds)
    assert pieces[0].start == 0 and pieces[-1].end == seconds
    assert all(one.end == two.start for one, two in pairwise(pieces))
    for piece in pieces:
        middle = (piece.start + piece.end) / 2
        sounding = [i for i, e in enumerate(events) if e.start < middle < e.end]
        assert list(piece.events) == sounding
        parts = split_alone(piece, 0.7)
        if len(sounding) == 1:
            assert parts[0].start == piece.start and parts[-1].end == piece.end
            assert all(part.end - part.start < 0.7 + 1e-9 for part in parts)
        else:
            assert parts == ([piece] if sounding else [])


def test_names_of_stems_are_safe_and_distinct():
    labels = ["Dog", "dog", "a/b", "../x", "Vehicle horn, car horn", "?", "Гром"]
    names = stem_names(labels)
    assert names == [
        "Dog",
        "dog_2",
        "a_b",
        "x",
        "Vehicle_horn_car_horn",
        "sound",
        "Гром",
    ]


def _page(listener, recording):
    found = find_scene(listener, recording, EventRule())
    (block,) = scene_blocks(listener, recording, found.events, found.labels)
    audios = [Audio(part, RATE, "") for part in (*block.stems, block.residual)]
    sounds = describe_sounds(listener, found, [-3.0], audios[:-1])
    model = {"name": "m.zip", "fingerprint": "0" * 16}
    timeline = describe(found, sounds, ["one"], -3.0, model, 0.5)
    return render_scene(timeline, [recording, *audios], [None] * 3)


def test_the_page_needs_nothing_else_and_trusts_no_name(recording):
    frames = np.zeros((10, 1))
    frames[2:6] = 0.9
    listener = Listener(frames)
    listener.labels = ["<script>alert(1)</script>"]
    audio = Audio(recording.samples, RATE, "<img src=x>.wav")
    page = _page(listener, audio)
    assert "<script>alert" not in page and "<img src=x>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert page.count("<audio ") == page.count("data:audio/mpeg;base64,") == 3
    assert page.count("<img ") == page.count("data:image/png;base64,") == 3
    assert "http" not in page and "$" not in page


@pytest.mark.parametrize("rate, channels", [(44100, 2), (96000, 3), (8000, 1)])
def test_players_hold_the_sound_itself(sound, rate, channels):
    samples = sound(1, 1.0, rate, channels)
    audio = Audio(samples, rate, "")
    page = render("title", "", [Track("mixture", "", audio)], [], [])
    (player,) = re.findall(r"data:audio/mpeg;base64,([^\"]+)", page)
    heard, heard_rate = soundfile.read(io.BytesIO(base64.b64decode(player)))
    assert heard_rate == (48000 if rate == 96000 else rate)
    expected = samples if channels < 3 else samples.mean(0, keepdims=True)
    # MP3 changes the samples, but not the spectrum below a few kHz.
    for one, two in zip(np.atleast_2d(heard.T), expected, strict=True):
        assert abs(len(one) / heard_rate - len(two) / rate) < 0.1
        peaks = [
            np.abs(np.fft.rfft(x, r))[20:3000]
            for x, r in ((one, heard_rate), (two, rate))
        ]
        assert abs(int(peaks[0].argmax()) - int(peaks[1].argmax())) <= 2


CLICK = """<script>
addEventListener("load", () => setTimeout(async () => {
  const wait = () => new Promise((done) => setTimeout(done, 300));
  const playing = () => audios.findIndex((audio) => !audio.paused);
  document.querySelector(".bar").click();
  await wait();
  const first = [playing(), current.currentTime];
  audios[0].play();
  await wait();
  const heads = document.querySelectorAll(".head").length;
  document.title = JSON.stringify([first, playing(), current.currentTime, heads]);
}, 300));
</script></body>"""


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs the browser chromium")
def test_a_bar_plays_its_sound_in_a_browser(recording, tmp_path):
    frames = np.zeros((10, 1))
    frames[3:6] = 0.9
    page = _page(Listener(frames), recording)
    (tmp_path / "page.html").write_text(page.replace("</body>", CLICK))
    options = (
        "--headless --no-sandbox --disable-gpu --dump-dom --virtual-time-budget=5000 "
        "--autoplay-policy=no-user-gesture-required"
    )
    done = subprocess.run(
        ["chromium", *options.split(), (tmp_path / "page.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    title = html.unescape(re.search("<title>(.*)</title>", done.stdout)[1])
    (track, start), other, later, heads = json.loads(title)
    # The stem plays from its event on; the mixture goes on from there, alone.
    assert (track, other) == (1, 0)
    assert 0.96 <= start <= later < 2
    assert heads == 4  # three pictures and a row of the timeline
