"""Progress: nesting, time left, plain lines where there is no terminal."""

import pytest

from levelfield.progress import Progress
from levelfield.units import duration


def test_a_level_moves_the_enclosing_one_by_its_share() -> None:
    with Progress(shown=False) as study:
        study.start(10, "study")
        run = study.inside(4)
        run.start(100, "run")
        run.advance(50)
        assert study.done == pytest.approx(2.0)
        run.finish()
        run.finish()
        assert study.done == pytest.approx(4.0)
        cut_short = study.inside(6)
        cut_short.start(100, "run")
        cut_short.advance(1)
        cut_short.finish()
        assert study.done == pytest.approx(10.0)


def test_work_done_before_does_not_count_for_the_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("levelfield.progress.time.monotonic", lambda: clock[0])
    progress = Progress(shown=False)
    progress.start(100, "run", done=50)
    assert progress.seconds_left() is None
    clock[0] = 10.0
    progress.advance(25)
    assert progress.seconds_left() == pytest.approx(10.0)


def test_plain_lines_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(every_s=0.0) as study:
        study.start(2, "quickstart")
        run = study.inside(1)
        run.start(4, "resnet_mini seed 0")
        run.advance(2, epoch="1/2", loss="0.52")
        study.note("a note")
    captured = capsys.readouterr()
    assert captured.out == ""
    first, second = captured.err.strip().splitlines()
    assert first.startswith("quickstart 25 %") and "resnet_mini seed 0 50 %" in first and "loss 0.52" in first
    assert second == "a note"


def test_silent_when_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(shown=False, every_s=0.0) as progress:
        progress.start(2, "run")
        progress.advance(1)
        progress.note("nothing")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(8.2, "8 s"), (200, "3 min 20 s"), (7390, "2 h 3 min"), (59.6, "1 min"), (360_000, "4 d 4 h")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
