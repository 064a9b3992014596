"""Attention distance: uniform attention has a formula, windows and grids their spacing, networks compute as ever."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import nn

from levelfield.analysis.studied_rows import studied
from levelfield.analysis.where_it_looks.attention import attention
from levelfield.analysis.where_it_looks.attention_distance import Distances, apart, distances_of, windows_of
from levelfield.errors import UserError
from levelfield.models import create_model
from levelfield.page.page import page
from levelfield.runs import write_json
from levelfield.spec import RunSpec
from levelfield.tables import build_table, read_study
from levelfield.training import train
from synthetic_runs import spec_of, write_run


def uniform(side: int, spacing: float) -> float:
    """The mean distance of two places of a lattice, by the number of pairs that lie (dy, dx) apart."""
    count = {d: side - abs(d) for d in range(1 - side, side)}
    total = sum(count[y] * count[x] * (y * y + x * x) ** 0.5 for y in count for x in count)
    return spacing * total / side**4


def silent(model: nn.Module) -> nn.Module:
    """Queries and keys of zero, and no bias of place: every token attends to all alike."""
    for name, parameter in model.named_parameters():
        if any(word in name for word in ("qkv", "rel_pos", "relative_position", "logits")):
            nn.init.zeros_(parameter)
    return model.eval()


@pytest.mark.parametrize(
    ("name", "side", "layers"),
    [
        ("vit_mini", 32, {("global", 8, 4.0)}),
        ("timm:deit_tiny_patch16_224", 64, {("global", 8, 8.0)}),
        ("outgrid_nano", 32, None),
        ("timm:swin_tiny_patch4_window7_224", 56, None),
        ("timm:maxvit_rmlp_pico_rw_256", 64, None),
    ],
)
def test_uniform_attention_has_its_formula(name: str, side: int, layers: set[tuple[str, int, float]] | None) -> None:
    torch.manual_seed(0)
    model = silent(create_model(name, 10, side))
    images = torch.randn(3, 3, side, side)
    with torch.no_grad(), distances_of(model, side) as found:
        model(images)
    assert found.layers
    for layer in found.layers.values():
        assert layer.images == 3
        if layer.kind == "outlook":
            expected = layer.spacing_px * (4 + 4 * 2**0.5) / 9
        else:
            expected = layer.uniform_px
            window = round(window_of(layer.uniform_px / layer.spacing_px))
            assert layer.uniform_px == pytest.approx(uniform(window, layer.spacing_px), rel=1e-4)
            assert window * layer.spacing_px <= side + 1e-6
        if not (name.startswith("timm:swin") and layer.kind == "window"):  # shifted windows mask some of theirs
            assert layer.heads_px == pytest.approx([expected] * len(layer.heads_px), rel=1e-4)
        else:
            assert max(layer.heads_px) <= expected * (1 + 1e-4)
    for kind, window, spacing in layers or ():
        assert {(layer.kind, layer.spacing_px) for layer in found.layers.values()} == {(kind, spacing)}
        assert layer.uniform_px == pytest.approx(uniform(window, spacing), rel=1e-4)


NOT_READ = ("xcit_nano_12_p8_224", "mobilevit_xxs", "nest_tiny", "twins_svt_small", "volo_d1_224")
"""Their attention is over channels, over scattered places, or over several maps: no distance is to be said of it."""


@pytest.mark.parametrize("name", NOT_READ)
def test_attention_of_another_kind_is_not_taken_for_one_over_the_image(name: str) -> None:
    model = timm.create_model(name, **({} if name.startswith("mobilevit") else {"img_size": 64})).eval()
    with torch.no_grad(), distances_of(model, 64) as found:
        model(torch.randn(1, 3, 64, 64))
    assert found.layers == {}


def test_registers_are_no_places_of_the_image() -> None:
    """A class token, four registers and 2 x 2 patches are not 3 x 3 of them."""
    model = silent(timm.create_model("vit_small_patch16_dinov3", img_size=32, depth=1))
    with torch.no_grad(), distances_of(model, 32) as found:
        model(torch.randn(1, 3, 32, 32))
    (layer,) = found.layers.values()
    assert layer.spacing_px == 16 and layer.uniform_px == pytest.approx(uniform(2, 16.0), rel=1e-5)


@pytest.mark.parametrize(("side", "window", "tokens"), [(32, 7, 8), (48, 5, 12), (32, 4, 8)])
def test_windows_that_do_not_divide_the_map_are_cut_where_the_image_ends(side: int, window: int, tokens: int) -> None:
    """Padding is nowhere in the image: neighbours stay one patch of 4 px apart."""
    model = silent(timm.create_model("swin_tiny_patch4_window7_224", img_size=side, window_size=window, depths=(2,)))
    with torch.no_grad(), distances_of(model, side) as found:
        model(torch.randn(2, 3, side, side))
    straight, shifted = found.layers.values()
    lengths = [min(window, tokens - start) for start in range(0, tokens, window)]
    own = [  # of each window's tokens the mean distance to the tokens of their window
        (h * w, sum(math.hypot(a - c, b - d) for a in range(h) for b in range(w) for c in range(h) for d in range(w)))
        for h in lengths for w in lengths
    ]  # fmt: skip
    expected = 4 * sum(total / count for count, total in own) / tokens**2
    assert straight.spacing_px == 4 and straight.uniform_px == pytest.approx(expected, rel=1e-4)
    assert straight.heads_px == pytest.approx([expected] * len(straight.heads_px), rel=1e-4)
    assert shifted.spacing_px == 4 and max(shifted.heads_px) < side


def test_a_map_of_another_size_than_its_network_was_built_for_is_as_it_is() -> None:
    model = create_model("swin_tiny_p2w4", 10, 32).eval()  # its patch projection was swapped after building
    with torch.no_grad(), distances_of(model, 32) as found:
        model(torch.randn(1, 3, 32, 32))
    assert [layer.spacing_px for layer in found.layers.values()][:2] == [2, 2]


def test_tokens_of_a_shifted_window_are_where_they_lie_in_the_image() -> None:
    places, real = windows_of(5, 5, 3, 1)
    assert len(places) == 4 and real.sum() == 25 and real[0].all()
    assert sorted(map(tuple, places[real].long().tolist())) == [(i, j) for i in range(5) for j in range(5)]
    assert places[0, 0].tolist() == [1, 1] and places[3].long().tolist()[:2] == [[4, 4], [4, 0]]


def window_of(ratio: float) -> int:
    """The side of the lattice whose uniform distance in spacings is `ratio`."""
    return min(range(1, 65), key=lambda side: abs(uniform(side, 1.0) - ratio))


def test_attention_to_oneself_is_no_distance_and_to_the_right_is_one_spacing() -> None:
    found = Distances()
    between = apart(2, 3, 5.0)
    assert between[0].tolist() == pytest.approx([0, 5, 10, 5, 50**0.5, 125**0.5])
    itself, right = torch.eye(6), torch.eye(6)[[1, 2, 2, 4, 5, 5]]
    found.add("a", "global", torch.stack([itself, right])[None, None], between, 5.0)
    assert found.layers["a"].heads_px == pytest.approx([0, 5 * 4 / 6])


def test_kinds_and_spacings_are_those_of_the_networks_and_outputs_stay() -> None:
    torch.manual_seed(0)
    for name, side, kinds in (
        ("timm:maxvit_rmlp_pico_rw_256", 64, {"window", "grid", "global"}),
        ("timm:swin_tiny_patch4_window7_224", 56, {"window", "global"}),
        ("outgrid_nano", 32, {"outlook", "grid"}),
    ):
        model = create_model(name, 10, side).eval()
        images = torch.randn(2, 3, side, side)
        with torch.no_grad():
            plain = model(images)
            with distances_of(model, side) as found:
                watched = model(images)
        torch.testing.assert_close(watched, plain, rtol=1e-3, atol=1e-4)
        assert {layer.kind for layer in found.layers.values()} <= kinds
        assert len({layer.kind for layer in found.layers.values()}) > 1
        first = next(iter(found.layers.values()))
        assert 0 < first.spacing_px <= side / 2


def test_of_a_real_run_it_is_kept_and_shown(tmp_path: Path) -> None:
    spec = RunSpec.parse({
        "model": {"name": "vit_mini", "image_size": 16}, "data": {"name": "digits", "image_size": 16},
        "recipe": {"name": "digits-fast"}, "budget": {"steps": 1},
    })  # fmt: skip
    train(spec, tmp_path / "vit")
    write_run(tmp_path / "other" / "seed0", spec_of("resnet_mini"), images=50)
    answer = attention(studied(tmp_path), images=10, device="cpu")
    assert list(answer["left_out"].values()) == ["its weights are not here"]
    layers = answer["rows"][0]["runs"][0]["layers"]
    assert [layer["kind"] for layer in layers] == ["global"] * len(layers) and layers[0]["spacing_px"] == 4
    assert answer["rows"][0]["runs"][0]["training"] == []  # two checkpoints at most are no course
    assert all(0 < head < 16 for layer in layers for head in layer["heads_px"])
    next(tmp_path.glob("vit/weights.safetensors")).rename(tmp_path / "kept")
    (tmp_path / "vit" / "weights.safetensors").write_bytes(b"")  # it is not read again
    assert attention(studied(tmp_path), images=10, device="cpu")["rows"] == answer["rows"]
    write_json(tmp_path / "analysis" / "attention.json", answer)
    html = page(build_table(read_study(tmp_path)))
    assert 'id="analysis-attention"' in html and "cifar10 is left out: its weights are not here." in html
    assert 'id="attention-training-far"' not in html


@pytest.mark.parametrize("evaluate", ["averaged", "raw"])
def test_of_a_run_that_kept_checkpoints_it_is_given_over_training(evaluate: str, tmp_path: Path) -> None:
    spec = RunSpec.parse({
        "model": {"name": "vit_mini", "image_size": 16},
        "data": {"name": "digits", "image_size": 16, "train_limit": 160, "test_limit": 40},
        "recipe": {"name": "digits-fast", "batch_size": 80, "optimizer": {"name": "sgd", "lr": 0.5},
                   "averaging": {"name": "ema", "decay": 0.9, "evaluate": evaluate}},
        "budget": {"epochs": 3}, "execution": {"checkpoint_every_steps": 2, "keep_checkpoints": 9},
    })  # fmt: skip
    train(spec, tmp_path / "vit")
    seen: list[str] = []
    answer = attention(studied(tmp_path), images=10, device="cpu", see=seen.append)
    assert seen[1:] == [f"vit_mini at step {step}" for step in (2, 4, 6)]
    (run,) = answer["rows"][0]["runs"]
    assert [(point["step"], point["epoch"]) for point in run["training"]] == [(2, 1), (4, 2), (6, 3)]
    first, _, last = (point["heads_px"] for point in run["training"])
    assert last == [layer["heads_px"] for layer in run["layers"]] != first
    for checkpoint in (tmp_path / "vit" / "checkpoints").iterdir():
        checkpoint.write_bytes(b"")  # they are not read again
    assert attention(studied(tmp_path), images=10, device="cpu") == answer
    with pytest.raises(UserError, match=r"checkpoint .*step-000000002\.ckpt is damaged .*\nremove it"):
        attention(studied(tmp_path), images=9, device="cpu")
    write_json(tmp_path / "analysis" / "attention.json", answer)
    html = page(build_table(read_study(tmp_path)))
    charts = json.loads(html.split('id="charts-data">')[1].split("</script>")[0])
    drawn = charts["attention-training-far"]["data"]["values"]
    assert [value["epoch"] for value in drawn] == [1, 2, 3] and "attention-training-near" not in charts
    assert drawn[-1]["mean"] == pytest.approx(np.mean(last) / 16 * 100)
    assert drawn[-1]["high"] == pytest.approx(np.mean(last, axis=1).max() / 16 * 100)


def test_rows_without_attention_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "seed0", spec_of("resnet_mini"), images=50)
    with pytest.raises(UserError, match="has attention that can be read"):
        attention(studied(tmp_path))
