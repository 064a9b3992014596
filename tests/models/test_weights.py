"""Starting from weights: what is loaded, re-shaped, left out, and refused. All weights are made on the spot."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from safetensors.torch import _TYPES

from levelfield.errors import UserError
from levelfield.models import create_model, start_model_from, transfer, weights_digest
from levelfield.runs import content_digest


def _saved(path: Path, name: str, **options: object) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    state = timm.create_model(name, **options).state_dict()
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, path)
    return state


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_local_file_fills_all_but_head_and_stem(
    tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"weights{suffix}"
    state = _saved(path, "resnet18", num_classes=20)
    model = create_model("resnet18_s1", num_classes=10, start_from=str(path))
    ours = model.state_dict()
    assert torch.equal(ours["layer4.1.conv2.weight"], state["layer4.1.conv2.weight"])
    assert torch.equal(ours["conv1.weight"], state["conv1.weight"][:, :, 2:5, 2:5])
    printed = capsys.readouterr().err
    assert "re-shaped conv1.weight: (64, 3, 7, 7) to (64, 3, 3, 3), the kernel's centre" in printed
    assert "left at its fresh start fc.weight: another number of classes (20, here 10)" in printed


def test_patch_embedding_and_positions_are_fitted(tmp_path: Path) -> None:
    path = tmp_path / "vit.safetensors"
    state = _saved(path, "deit_tiny_patch16_224", num_classes=10)
    model = create_model("deit_tiny_p4", num_classes=10)
    account = start_model_from(model, str(path))
    ours = model.state_dict()
    assert set(account.reshaped) == {"pos_embed", "patch_embed.proj.weight"} and not account.fresh
    assert torch.equal(ours["head.weight"], state["head.weight"])
    assert torch.equal(ours["pos_embed"][:, 0], state["pos_embed"][:, 0])
    old, new = state["patch_embed.proj.weight"], ours["patch_embed.proj.weight"]
    torch.testing.assert_close(new.sum((2, 3)), old.sum((2, 3)), rtol=0.2, atol=0.2)


def test_a_constant_position_table_stays_constant() -> None:
    model = create_model("deit_tiny_p4", num_classes=10)
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    weights["pos_embed"] = torch.full((1, 1 + 14 * 14, 192), 0.5)
    transfer(model, weights, "made here")
    torch.testing.assert_close(model.state_dict()["pos_embed"], torch.full((1, 65, 192), 0.5))


def test_window_tables_are_interpolated() -> None:
    model = create_model("swin_tiny_p2", num_classes=10)
    source = timm.create_model("swin_tiny_patch4_window7_224", num_classes=10)
    account = transfer(model, source.state_dict(), "made here")
    table = "layers.0.blocks.0.attn.relative_position_bias_table"
    assert account.reshaped[table].startswith("(169, 3) to (49, 3), interpolated")
    assert not account.fresh


def test_a_run_folder_is_a_source(tmp_path: Path) -> None:
    model = create_model("resnet_nano", 10)
    safetensors.torch.save_file(model.state_dict(), tmp_path / "weights.safetensors")
    (tmp_path / "run.json").write_text(json.dumps({"run": {"model": {"name": "resnet_nano"}}}))
    twin = create_model("resnet_nano", 10, start_from=str(tmp_path))
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), twin.state_dict().values(), strict=True))


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    state = create_model("resnet_nano", 10).state_dict()
    for name in ("a.safetensors", "b.safetensors"):
        safetensors.torch.save_file(state, tmp_path / name)
    torch.save(state, tmp_path / "c.pth")
    digests = {weights_digest(str(tmp_path / name)) for name in ("a.safetensors", "b.safetensors", "c.pth")}
    assert len(digests) == 1
    state["head.bias"] = state["head.bias"] + 1
    safetensors.torch.save_file(state, tmp_path / "d.safetensors")
    assert weights_digest(str(tmp_path / "d.safetensors")) not in digests


@pytest.mark.parametrize("dtype", sorted(str(dtype).removeprefix("torch.") for dtype in _TYPES.values()))
def test_the_digest_without_torch_is_the_same(dtype: str, tmp_path: Path) -> None:
    values = torch.arange(12).reshape(3, 4).to(getattr(torch, dtype))
    tensors = {"b": values, "a": values[0, 1].clone(), "c": values[:0].clone(), "ü": values.flatten().clone()}
    safetensors.torch.save_file(tensors, tmp_path / "w.safetensors", metadata={"of": "a test"})
    torch.save(tensors, tmp_path / "w.pth")
    assert content_digest(tmp_path / "w.safetensors") == weights_digest(str(tmp_path / "w.pth"))


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\x02" + bytes(7) + b"[]", b"\x40" + bytes(7) + b"{"])
def test_a_file_of_another_format_has_no_digest(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="cannot be read as safetensors"):
        content_digest(tmp_path / "w.safetensors")


class _Exploit:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code from the file ran",)


def test_a_file_is_never_executed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps({"state_dict": _Exploit()}))
    with pytest.raises(UserError, match="is refused: it holds more than tensors") as caught:
        create_model("resnet_nano", 10, start_from=str(path))
    assert "weights_only" not in str(caught.value)  # torch's message says how to switch the safety off
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("absent.safetensors", "no such file"),
        ("timm:resnet1234567", "unknown timm model"),
        ("timm:test_resnet_not_there", "unknown timm model"),
    ],
)
def test_a_missing_source_is_said(source: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        create_model("resnet_nano", 10, start_from=source)


def test_without_network_the_line_is_clear(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match="neither in the Hugging Face cache nor within reach"):
        create_model("resnet50_s1", 10, start_from="timm:resnet50.tv_in1k")


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vit.safetensors"
    safetensors.torch.save_file(create_model("vit_mini", 10).state_dict(), path)
    model = create_model("resnet_nano", 10)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(UserError, match="is of another architecture"):
        start_model_from(model, str(path))
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
