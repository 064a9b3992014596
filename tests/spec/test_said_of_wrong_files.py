"""What is said of a study or recipe file with a slip in it: in words of the file, not of pydantic or Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from levelfield.errors import UserError
from levelfield.spec.yaml_files import read_yaml
from levelfield.studies.declared.study import StudySpec

GOOD = "data: {name: digits}\nrecipes: cpu-fast\nmodels: [resnet_nano]\n"
SLIPS = {
    "a word for a number": (
        "seeds: three\n" + GOOD,
        ["seeds: should be a number of seeds from 0 on, or a list (got 'three')"],
    ),
    "text for keys": (
        GOOD + "rows:\n  - {model: a, set: a=b}\n",
        ["rows.0.set: should hold keys and values (got 'a=b')"],
    ),
    "not indented": ("data:\nname: digits\nrecipes: cpu-fast\nmodels: [a]\n", ["data: holds nothing", "indented"]),
    "a key that is no list": (
        GOOD.replace("digits", "digits, image_size: big"),
        ["data.image_size: should be a whole"],
    ),
    "an item of a list": (GOOD.replace("{name: digits}", "[{name: digits, image_size: big}]"), ["data.0.image_size"]),
    "yes for a number": (GOOD + "budget: {epochs: yes}\n", ["budget.epochs: should be a number (got 'true')"]),
    "off for a whole number": (
        GOOD.replace("digits", "digits, image_size: off"),
        ["image_size: should be a whole number (got 'false')"],
    ),
    "on among numbers": (GOOD + "seeds: [1, on]\n", ["seeds.1: should be a whole number (got 'true')"]),
    "seeds without end": (GOOD + "seeds: 1000000000\n", ["seeds: at most 10,000"]),
    "a number for a text": (GOOD + "question: 3\n", ["question: should be a text (got 3)"]),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_told_in_words_of_the_file(slip: str, tmp_path: Path) -> None:
    text, said = SLIPS[slip]
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        StudySpec.parse({"name": "mine", **read_yaml(path)}, str(path))
    message = str(error.value)
    assert all(words in message for words in said), message
    assert not [word for word in ("tuple", "dictionary", "NoneType", "valid", "parse") if word in message], message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"# only a comment\n", "is empty"),
        ("models: [a]\n".encode("utf-16"), "save it as UTF-8"),
        ("question: Vögel?\n".encode("latin-1"), "save it as UTF-8"),
        (b"data:\n\tname: digits\n", "indentation"),
        (b"data: a\n  name: b\n", "indentation"),
        (b"- a\n- b\n", "must hold keys and values (a YAML mapping), not a list"),
    ],
)
def test_a_file_that_cannot_be_read_says_what_to_do(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_yaml(path)
    assert said in str(error.value) and str(path) in str(error.value)
    assert len(str(error.value).splitlines()) <= 2
