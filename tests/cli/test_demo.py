"""``caresep demo``: what the page does, without a browser and in a real one."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet2_caresep.cli.main import main
from espnet2_caresep.inference import CaRESeparator
from espnet2_caresep.inference.demo import draw_mark, separate_into


@pytest.fixture(scope="module")
def separator(tiny_model):
    return CaRESeparator.from_pretrained(tiny_model, "cpu")


@pytest.fixture
def mixture(tmp_path, sound):
    """Three seconds of stereo, 16 bits at 44.1 kHz."""
    path = tmp_path / "street.wav"
    soundfile.write(path, sound(0, 3, 44100, channels=2).T, 44100, "PCM_16")
    return path


@pytest.fixture
def clip(tmp_path, sound):
    path = tmp_path / "bell.flac"
    soundfile.write(path, sound(1, 0.7, 22050)[0], 22050)
    return path


def _is_picture(path):
    return Path(path).read_bytes().startswith(b"\x89PNG")


def test_a_marked_part_is_the_query(separator, mixture, tmp_path):
    done = separate_into(separator, tmp_path, mixture, start=1, end=1.5)
    whole, rate = soundfile.read(mixture, dtype="float32")
    query = separator.query(whole[44100 : round(1.5 * rate)].T, rate)
    expected = separator.separate(mixture, query)
    target, target_rate = soundfile.read(done.target, dtype="float32")
    residual, _ = soundfile.read(done.residual, dtype="float32")
    assert done.target.name == "street_target.wav" and target_rate == rate
    assert np.array_equal(target.T, expected.target)
    assert np.array_equal(target + residual, whole)
    assert _is_picture(done.picture) and f"{expected.presence:.2f}" in done.verdict


def test_a_clip_is_the_query(separator, mixture, clip, tmp_path):
    done = separate_into(separator, tmp_path, mixture, clip)
    target, _ = soundfile.read(done.target, dtype="float32")
    assert np.array_equal(target.T, separator.separate(mixture, clip).target)


def test_the_verdict_says_what_the_rule_says(separator, mixture, tmp_path, monkeypatch):
    verdicts = {
        "judged present.": {"threshold": 0.0},
        "judged present, but in doubt": {"threshold": 0.0, "certain": 1.0},
        "judged absent": {"threshold": 1.0},
    }
    for word, values in verdicts.items():
        rule = type(separator.presence_rule)(**values)
        monkeypatch.setattr(separator, "presence_rule", rule)
        done = separate_into(separator, tmp_path, mixture, end=1)
        assert word in done.verdict and "faded" not in done.verdict


def test_what_is_judged_absent_is_faded(separator, mixture, tmp_path, monkeypatch):
    before, _ = soundfile.read(
        separate_into(separator, tmp_path, mixture, end=1).target
    )
    rule = type(separator.presence_rule)(threshold=1.0, absent=1.0)
    monkeypatch.setattr(separator, "presence_rule", rule)
    done = separate_into(separator, tmp_path, mixture, end=1)
    assert "faded by 40 dB" in done.verdict
    target, residual = (soundfile.read(p)[0] for p in (done.target, done.residual))
    assert np.abs(before).max() > 0.01
    assert np.allclose(target, before / 100, rtol=1e-4, atol=1e-7)
    assert np.array_equal(target + residual, soundfile.read(mixture)[0])


def test_what_is_marked_is_seen(mixture, tmp_path):
    folders = [tmp_path / name for name in ("none", "some", "other")]
    pictures = []
    for folder, end in zip(folders, (0, 1, 2)):
        folder.mkdir()
        pictures.append(draw_mark(mixture, 0.5 * end, end, folder).read_bytes())
    assert len(set(pictures)) == 3


def test_without_gradio_one_line_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr("espnet2_caresep.cli.demo.find_spec", lambda name: None)
    assert main(["demo"]) == 2
    err = capsys.readouterr().err
    assert "pip install 'espnet2_caresep[demo]'" in err and err.count("\n") == 1


@pytest.mark.parametrize("port", ["0", "65536", "x"])
def test_ports_that_are_none(port, capsys):
    with pytest.raises(SystemExit) as end:
        main(["demo", "--port", port])
    assert end.value.code == 2 and "1 to 65535" in capsys.readouterr().err


@pytest.fixture(scope="module")
def page():
    pytest.importorskip("gradio", reason="needs gradio, the extra demo")
    from espnet2_caresep.cli import demo_page

    return demo_page


def _last(values):
    (value,) = values
    return value


def test_what_is_wrong_is_said_in_one_line(page, separator, mixture, tmp_path):
    def verdict(mixture, how, start=0.0, end=1.0, clip=None):
        given = (mixture, how, start, end, clip)
        *files, line = _last(page.separate(separator, *given))
        assert files == [None] * 3 and "\n" not in line and str(tmp_path) not in line
        return line

    text = tmp_path / "text.wav"
    text.write_text("no audio")
    long = tmp_path / "long.wav"
    soundfile.write(long, np.zeros(601 * 1000, np.int16), 1000)
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(32000), 32000)
    mixture = str(mixture)
    assert "Drop a mixture" in verdict(None, page.MARKED)
    assert "Drop a clip" in verdict(mixture, page.DROPPED)
    assert "nothing is marked" in verdict(mixture, page.MARKED, 1.0, 1.0)
    assert "lie outside" in verdict(mixture, page.MARKED, 4.0, 5.0)
    assert "text.wav: cannot be read" in verdict(str(text), page.MARKED)
    assert "lasts 10.0 minutes" in verdict(str(long), page.MARKED)
    line = verdict(mixture, page.DROPPED, clip=str(silent))
    assert "silent.wav: the query is silent" in line
    _, end, problem = page.measure(str(text))
    assert "text.wav: cannot be read" in problem and end["maximum"] == 1
    assert _last(page.mark(str(text), 0.0, 1.0)) is None


def test_a_bug_of_ours_is_not_hidden(page, separator, mixture, monkeypatch):
    def broken(*given):
        raise KeyError("ours")

    monkeypatch.setattr(page, "separate_into", broken)
    with pytest.raises(KeyError):
        next(page.separate(separator, str(mixture), page.MARKED, 0.0, 1.0, None))


def test_files_are_there_until_they_are_taken(page, separator, mixture, clip):
    given = (str(mixture), page.DROPPED, 0.0, 1.0, str(clip))
    made = page.separate(separator, *given)
    *files, verdict = next(made)
    assert all(Path(file).is_file() for file in files) and "Presence" in verdict
    assert list(made) == [] and not any(Path(file).exists() for file in files)
    start, end, problem = page.measure(str(mixture))
    assert start["maximum"] == end["maximum"] == 3 and not problem


def test_nothing_is_reported_home(page, separator):
    assert page.build_page(separator).analytics_enabled is False


class _Waiting:
    """Stands where the command waits to be interrupted: runs what a person does."""

    def __init__(self, person):
        self.person = person

    def Event(self):
        return self

    def wait(self):
        self.person()
        raise KeyboardInterrupt


def test_a_port_in_use_is_one_line(page, tiny_zip, monkeypatch, capsys):
    from espnet2_caresep.cli import demo

    codes = []

    def another():
        port = capsys.readouterr().out.split(":")[2].split("/")[0]
        monkeypatch.setattr(demo, "threading", _Waiting(lambda: None))
        codes.append(main([*command, "--port", port]))
        assert f"port {port} of 127.0.0.1" in capsys.readouterr().err

    command = ["demo", "--no-browser", "--model", str(tiny_zip)]
    monkeypatch.setattr(demo, "threading", _Waiting(another))
    assert main(command) == 0 and codes == [2]


@pytest.fixture
def browser():
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if not all(programs):
        pytest.skip("needs Debian's chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for option in (
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "window-size=1200,1700",
    ):
        options.add_argument(f"--{option}")
    service = webdriver.ChromeService(programs[1])
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


PATIENCE = 240  # seconds: the machine may be busy

# What the players of the page hold: [seconds, largest sample] of every file.
LISTEN = """
const done = arguments[arguments.length - 1];
const links = [...document.querySelectorAll("#target a, #residual a")];
const heard = links.map(async (link) => {
  const file = await (await fetch(link.href)).arrayBuffer();
  const audio = await new OfflineAudioContext(2, 1, 44100).decodeAudioData(file);
  return [audio.duration, Math.max(...audio.getChannelData(0).slice(0, 44100))];
});
Promise.all(heard).then(done);
"""


def test_a_person_in_a_browser(
    page, browser, tiny_zip, mixture, clip, tmp_path, monkeypatch, capsys
):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    from espnet2_caresep.cli import demo

    def find(css):
        return WebDriverWait(browser, PATIENCE).until(
            lambda driver: driver.find_element(By.CSS_SELECTOR, css)
        )

    def verdict_with(text):
        box = find("#verdict textarea")
        WebDriverWait(browser, PATIENCE).until(
            lambda _: text in box.get_attribute("value")
        )

    def set_slider(name, value):
        number = find(f"#{name} input[type=number]")
        number.send_keys(Keys.CONTROL, "a")
        number.send_keys(value, Keys.TAB)

    def person():
        browser.get(capsys.readouterr().out.split()[0])
        find("#separate").click()
        assert browser.title == "caresep"
        verdict_with("Drop a mixture first")
        find("#mixture input[type=file]").send_keys(str(mixture))
        find("#marked img")
        set_slider("end", "2")
        set_slider("start", "1.5")
        find("#separate").click()
        verdict_with("Presence")
        picture = find("#picture img")
        WebDriverWait(browser, PATIENCE).until(
            lambda _: picture.get_attribute("naturalWidth") != "0"
        )
        browser.set_script_timeout(PATIENCE)
        heard = browser.execute_async_script(LISTEN)
        assert len(heard) == 2
        assert all(abs(seconds - 3) < 0.01 and peak > 0 for seconds, peak in heard)
        # Now with a clip; what it gives is what Python gives.
        browser.find_elements(By.CSS_SELECTOR, "#how input")[1].click()
        find("#separate").click()
        verdict_with("Drop a clip")
        find("#clip input[type=file]").send_keys(str(clip))
        find("#clip button[aria-label=Play]")
        find("#separate").click()
        verdict_with("Presence")

    monkeypatch.setattr(demo, "threading", _Waiting(person))
    assert main(["demo", "--no-browser", "--model", str(tiny_zip)]) == 0
    assert capsys.readouterr().err == ""
