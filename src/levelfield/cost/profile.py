"""Everything that one model costs: thoroughly, in fresh processes (two for time, one for memory), or quickly, in one.

A process for each keeps what one model left behind (a fragmented heap, cached kernels, warm caches) from the next, and
the bookkeeping of memory out of the times. Times are taken twice because two processes of one program differ by more
than the calls within one of them (where memory lies, what else the machine does): a figure is the mean of both, and
where they are further apart than NOISY_PERCENT, the profile says that the machine is noisy. So two profiles that say
nothing of the kind agree. A quick profile measures the same in one process, memory first, then all times twice, with a
shorter warm-up: it cannot see how much processes differ. Before and after every process the machine is looked at while
nothing is asked of it: what it does then it does for others. On a GPU float32 is multiplied in one way by all layers,
which the profile names. What is built is described by a function that can be pickled.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Final, TypeVar

import torch

from levelfield.cost.machine_at_rest import BUSY_PERCENT, busy_percent
from levelfield.cost.one_process import (
    Setting,
    measure_all,
    measure_deployed_memory,
    measure_memory_of,
    measure_times,
)
from levelfield.cost.peak import kept_peak, shares_of_peak
from levelfield.cost.timing import Timing
from levelfield.errors import UserError
from levelfield.system.spawned import end_with_parent_process

T = TypeVar("T")
NOISY_PERCENT: Final = 2.0
"""A machine is noisy where repeated medians are further apart than this, or quartiles further than three times it."""
QUICK_LOOK_S: Final = 0.25
"""How long a quick profile looks at the machine before and after."""
TIMED: Final = ("latency", "throughput", "training", "deployed_latency", "deployed_throughput")


def profile(setting: Setting, say: Callable[[str], None] = lambda doing: None) -> dict[str, Any]:
    """Profile one model thoroughly: plain JSON values. `say` is told what is measured next.

    `params`, `trainable_params`, `frozen_params`, `buffers`, `param_mib`, `macs`, `flops`, `macs_by_kind` (one image);
    `latency` (batch 1), `throughput` and, if asked, `training` (a step): median, quartiles and p99 in ms and images/s;
    `images_per_s`, `ms_per_batch`; of the deployed form `deployed_latency`, `deployed_throughput`, `deployed` (what
    `Setting.deploy` says) and `deployed_speedup` of both, all null where none is asked for; `peak_flops`, the
    operations a second of a large product here in this dtype, and `share_of_peak` of inference and training (null where
    not measured); `memory` of inference, training and the deployed form in MiB; `compile_seconds`, `joules_per_image`
    (null where not measured); `noise_percent`, the largest of `noise_by_timing`, and `noisy`; `busy_percent`, the most
    that others used of the machine between the processes (null where it does not tell), and `resting`, whether that is
    at most BUSY_PERCENT; `threads`,
    `clocks_mhz`, `compiled`, `cuda_graphs`, `fp32_precision`.
    """
    device = torch.device(setting.device)
    looks = [busy_percent(device)]
    measured = []
    for work, doing in (
        (measure_times, _times_in_words(setting)),
        (measure_times, "the same times in another process"),
        (measure_memory_of, "memory, in a process of its own"),
    ):
        say(doing)
        measured.append(_in_own_process(work, setting))
        looks.append(busy_percent(device))
    one, two, memory = measured
    return {**joined(one, two), "memory": {**memory, "deployed": _deployed_memory(setting)}, **_rest(looks)}


def quick_profile(
    setting: Setting, say: Callable[[str], None] = lambda doing: None, *, fresh: bool = False
) -> dict[str, Any]:
    """As `profile`, in one process: this one where it is `fresh`, that is has measured nothing yet, else another.

    A machine is called noisy by the two halves of each timing, which processes of one program can exceed.
    """
    device = torch.device(setting.device)
    looks = [busy_percent(device, QUICK_LOOK_S)]
    threads = setting.threads or torch.get_num_threads()
    peak = "" if kept_peak(device, setting.dtype, setting.tf32, threads) else ", and once for this machine its peak"
    say(f"memory, then {_times_in_words(setting)}, each twice{peak}")
    one, two, memory = _explained(measure_all, setting) if fresh else _in_own_process(measure_all, setting)
    looks.append(busy_percent(device, QUICK_LOOK_S))
    return {**joined(one, two), "memory": {**memory, "deployed": _deployed_memory(setting)}, **_rest(looks)}


def _times_in_words(setting: Setting) -> str:
    batches = f"batch 1 and {setting.batch}" if setting.batch != 1 else "batch 1"
    deployed = " and of the deployed form" if setting.deploy is not None else ""
    return f"time of inference at {batches}{deployed}" + (" and of training steps" if setting.train else "")


def _deployed_memory(setting: Setting) -> dict[str, Any] | None:
    """Memory of the deployed form, in a process of its own; None where none is asked for."""
    return None if setting.deploy is None else _in_own_process(measure_deployed_memory, setting)


def _rest(looks: Sequence[float | None]) -> dict[str, Any]:
    """What the looks at the machine say together; a look that told nothing leaves it open whether it rested."""
    told = [look for look in looks if look is not None]
    busy = max(told) if len(told) == len(looks) else None
    return {"busy_percent": busy, "resting": busy is not None and busy <= BUSY_PERCENT}


def joined(one: Mapping[str, Any], two: Mapping[str, Any]) -> dict[str, Any]:
    """The times of two processes as those of one profile: mean medians, the wider quartiles, and how far they agree.

    A timing's noise in percent is the larger of the gap between its two medians and a third of its quartiles' distance.
    """
    timings = {name: _mean(one[name], two[name]) for name in TIMED if one.get(name) is not None}
    noise = {name: _noise_percent(Timing(**one[name]), Timing(**two[name])) for name in timings}
    worst = max(noise.values())
    peak = max(one["peak_flops"], two["peak_flops"])
    joules = [one["joules_per_image"], two["joules_per_image"]]
    return {
        **one,
        **timings,
        "images_per_s": timings["throughput"]["images_per_s"],
        "ms_per_batch": timings["throughput"]["ms_median"],
        "deployed_speedup": _speedup(timings),
        "peak_flops": peak,
        "share_of_peak": shares_of_peak(one["flops"], peak, timings),
        "noise_by_timing": noise,
        "noise_percent": worst,
        "noisy": worst > NOISY_PERCENT,
        "joules_per_image": None if None in joules else sum(joules) / 2,
        "clocks_mhz": one["clocks_mhz"] and two["clocks_mhz"] and [*one["clocks_mhz"], *two["clocks_mhz"]],
    }


def _speedup(timings: Mapping[str, Any]) -> dict[str, float] | None:
    """How many times as fast the deployed form is as the network, a batch at a time and one image at a time."""
    if "deployed_throughput" not in timings:
        return None
    both = ("throughput", "latency")
    return {name: timings[name]["ms_median"] / timings[f"deployed_{name}"]["ms_median"] for name in both}


def _mean(one: Mapping[str, Any], two: Mapping[str, Any]) -> dict[str, Any]:
    """Two timings of the same calls as one."""
    median = (one["ms_median"] + two["ms_median"]) / 2
    return {
        "batch": one["batch"],
        "ms_median": median,
        "ms_q1": min(one["ms_q1"], two["ms_q1"]),
        "ms_q3": max(one["ms_q3"], two["ms_q3"]),
        "ms_p99": max(one["ms_p99"], two["ms_p99"]),
        "images_per_s": one["batch"] * 1e3 / median,
        "repeats": one["repeats"] + two["repeats"],
        "warmup": one["warmup"] + two["warmup"],
    }


def _in_own_process(work: Callable[[Setting], T], setting: Setting) -> T:
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawning, initializer=end_with_parent_process) as pool:
        try:
            return pool.submit(_explained, work, setting).result()
        except BrokenProcessPool:
            raise UserError(
                f"profiling at batch {setting.batch}, {setting.image_size} px was killed, probably for want of memory\n"
                "lower --batch or --image-size"
            ) from None


def _explained(work: Callable[[Setting], T], setting: Setting) -> T:
    """What `work` measures; where it fails, in the process whose traceback shows why, with the error as explained."""
    try:
        return work(setting)
    except Exception as error:
        if setting.explain is None or (explained := setting.explain(error)) is None:
            raise
        raise explained from error


def _noise_percent(first: Timing, second: Timing) -> float:
    """The gap between two medians taken apart or a third of the quartiles' distance, the larger of both, in percent."""
    gap = abs(first.ms_median - second.ms_median) / min(first.ms_median, second.ms_median)
    spread = max((timing.ms_q3 - timing.ms_q1) / timing.ms_median for timing in (first, second))
    return 100 * max(gap, spread / 3)
