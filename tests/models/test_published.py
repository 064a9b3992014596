"""Every published count, exact, and every published MAC figure, within half a percent."""

from __future__ import annotations

import pytest

from levelfield.cost import count_macs, count_parameters
from levelfield.models import list_models, model_info, on_meta

NAMES = list_models()
PUBLISHED = [name for name in NAMES if model_info(name).published.get("params")]

COUNTS = [
    # name, classes, params: as the reference tables state them, apart from the metadata that the models carry
    ("outgrid_7m", 100, 7_518_102),
    ("outgrid_14m", 100, 14_599_198),
    ("outgrid_14m", 10, 14_564_548),
    ("outgrid_22m", 200, 22_542_628),
    ("outgrid_33m", 100, 32_974_583),
    ("convnext_tiny_p2", 100, 27_893_572),
    ("convnext_tiny_k3s2", 100, 27_895_012),
    ("deit_tiny_p4", 100, 5_380_132),
    ("deit_small_p4", 100, 21_376_996),
    ("efficientnetv2_s_s1", 100, 20_305_588),
    ("maxvit_tiny_s1", 100, 30_426_476),
    ("maxvit_nano_s1", 100, 17_379_140),
    ("maxvit_tiny_s1w2", 100, 30_427_820),
    ("maxvit_nano_s1w2", 100, 17_380_164),
    ("resnet18_s1", 100, 11_220_132),
    ("resnet50_s1", 100, 23_705_252),
    ("swin_tiny_p2w4", 100, 27_571_054),
    ("swin_tiny_p2", 100, 27_574_318),
    ("efficientnet_b0_s1", 10, 4_020_358),
    ("roadmap_1", 200, 23_917_832),
    ("roadmap_2", 200, 31_302_728),
    ("roadmap_3", 200, 27_568_232),
    ("roadmap_4", 200, 27_614_600),
    ("roadmap_5", 200, 27_973_928),
    ("roadmap_1", 120, 23_753_912),
    ("roadmap_2", 120, 31_056_888),
    ("roadmap_3", 120, 27_506_712),
    ("roadmap_4", 120, 27_553_080),
    ("roadmap_5", 120, 27_912_408),
    ("convnext_simple_s_p1", 10, 6_378_378),
    ("convnext_simple_s_p2", 10, 6_378_954),
    ("convnext_simple_s_p4", 10, 6_381_258),
    ("convnext_simple_t_p2", 200, 27_970_472),
    ("rexnet_1.0", 10, 3_528_683),
    ("rexnet_tiny", 10, 1_944_440),
    ("rexnet_tiny_0.5", 10, 1_155_881),
    ("rexnet_tiny_0.35", 10, 697_226),
]

MACS = [
    # name, px, millions
    ("outgrid_7m", 32, 441.9),
    ("outgrid_14m", 32, 904.3),
    ("convnext_tiny_p2", 32, 362.8),
    ("convnext_tiny_k3s2", 32, 363.2),
    ("deit_tiny_p4", 32, 365.1),
    ("deit_small_p4", 32, 1420.3),
    ("efficientnetv2_s_s1", 32, 236.0),
    ("maxvit_tiny_s1", 32, 440.4),
    ("maxvit_nano_s1", 32, 302.5),
    ("resnet18_s1", 32, 555.5),
    ("resnet50_s1", 32, 1298.0),
    ("swin_tiny_p2w4", 32, 356.9),
    ("efficientnet_b0_s1", 32, 32.0),
    ("roadmap_1", 224, 4087.5),
    ("roadmap_2", 224, 5265.5),
    ("roadmap_3", 224, 5583.1),
    ("roadmap_4", 224, 4570.5),
    ("roadmap_5", 224, 4454.9),
    ("roadmap_1", 112, 1076.3),
    ("roadmap_2", 112, 1378.8),
    ("roadmap_3", 112, 1442.6),
    ("roadmap_4", 112, 1198.5),
    ("roadmap_5", 112, 1063.6),
    ("convnext_simple_s_p1", 64, 1223.4),
    ("convnext_simple_s_p1", 32, 305.8),
    ("rexnet_tiny", 32, 232.9),
    ("rexnet_tiny_0.5", 32, 148.0),
]


@pytest.mark.parametrize(("name", "num_classes", "params"), COUNTS)
def test_parameter_count_is_exact(name: str, num_classes: int, params: int) -> None:
    assert count_parameters(on_meta(name, num_classes)).total == params


@pytest.mark.parametrize(("name", "image_size", "macs_m"), MACS)
def test_macs_are_within_half_a_percent(name: str, image_size: int, macs_m: float) -> None:
    total = count_macs(on_meta(name, image_size=image_size), image_size).total
    assert total / 1e6 == pytest.approx(macs_m, rel=0.005)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_facts_are_those_of_the_model(name: str) -> None:
    info = model_info(name)
    model = on_meta(name)
    assert count_parameters(model).total == info.published["params"]
    if "macs_m" in info.published:
        macs_m = count_macs(model, info.image_size).total / 1e6
        assert macs_m == pytest.approx(info.published["macs_m"], rel=0.005)


@pytest.mark.parametrize("name", ["maxvit_tiny_s1", "maxvit_nano_s1"])
def test_a_sister_with_larger_partitions_has_the_same_linear_macs(name: str) -> None:
    published, sister = (count_macs(on_meta(each), 32).by_kind for each in (name, f"{name}w2"))
    assert {key: macs for key, macs in sister.items() if key != "attention"} == {
        key: macs for key, macs in published.items() if key != "attention"
    }
    assert sister["attention"] == pytest.approx(4 * published["attention"], rel=0.02)


def test_misleading_names_are_metadata_and_not_models() -> None:
    assert model_info("deit_tiny_p4").published["alias"] == "Deit_Nano"
    assert model_info("deit_small_p4").published["alias"] == "Deit_Tiny"
    assert not {"Deit_Nano", "Deit_Tiny"} & set(NAMES)
