"""A record: time to a stated accuracy, over seeds 0 to n - 1, the previous record replicated in pairs beside it.

Every run has a process of its own, which opens the data, warms up on random labels, trains and tests. A finished run is
written at once, so that a record may be stopped at any time and goes on with the next run. Runs of other source, of
another machine or of other science never join.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from levelfield.errors import UserError
from levelfield.progress import Progress
from levelfield.runs import FolderLock, write_bytes, write_json
from levelfield.spec import RunSpec
from levelfield.studies.results.record_json import COUNTED, FORMAT, Run, as_markdown, pairs, read_record, summary
from levelfield.system.source_digest import source_digest
from levelfield.training.prepare_run import Prepared, prepare

_MACHINE: Final = ("machine", "processor", "gpu", "threads", "cpp_loops")
"""What of an environment makes times comparable."""


@dataclass(frozen=True)
class Declared:
    """What is to be shown: `target` percent of top-1, over `count` runs, within so many seconds each (None: any).

    `changed`: what was said beyond model, data and recipe, as KEY=VALUE, for the page.
    """

    target: float
    count: int
    within: float | None = None
    changed: tuple[str, ...] = ()


def make_record(
    spec: RunSpec, declared: Declared, out: Path, against: Path | None, progress: Progress
) -> dict[str, Any]:
    """Carry out what `out` lacks of the record of `spec`, and return its content, which `out`/record.json holds.

    Raises UserError where `out` holds runs that were made otherwise, for a previous record of other data, and for a run
    that fails.
    """
    previous = None if against is None else read_record(against)
    with FolderLock(out):
        sides = {"runs": prepare(spec.changed({"seed": 0}))}
        if previous is not None:
            sides["against"] = prepare(_replicated(previous, spec))
            if _images(sides["against"]) != _images(sides["runs"]):
                raise UserError(f"--against {against} is a record on other data\ngive a record of the same data set")
        content = _begun(out, sides, declared)
        _write(out, content, declared)
        todo = [(seed, side) for seed in range(declared.count) for side in _order(seed, list(sides))]
        progress.start(len(todo), "record")
        for seed, side in todo:
            runs: list[Run] = content[side] if side == "runs" else content[side]["runs"]
            if all(run["seed"] != seed for run in runs):
                run = _in_own_process(sides[side].spec.changed({"seed": seed}), progress.inside(1))
                runs.append(run)
                runs.sort(key=lambda run: int(run["seed"]))
                _write(out, content, declared)
                whose = "" if side == "runs" else "the previous record's "
                progress.note(f"{whose}seed {seed}: {run['top1']:.2f} % in {run['everything_s']:.1f} s, all included")
            else:
                progress.advance(1)
        progress.finish()
        return content


def _images(prepared: Prepared) -> tuple[str | None, int | None, int | None]:
    data = prepared.spec.data
    return data.checksum, data.train_limit, data.test_limit


def _order(seed: int, sides: list[str]) -> list[str]:
    """The sides of a pair take turns in being first."""
    return sides if seed % 2 == 0 else sides[::-1]


def _replicated(previous: dict[str, Any], spec: RunSpec) -> RunSpec:
    """The previous record's run, on this machine's data and the new one's device."""
    here = {"execution.data_dir": spec.execution.data_dir, "execution.device": spec.execution.device, "seed": 0}
    return RunSpec.parse(previous["spec"], "the previous record").changed(here)


def _begun(out: Path, sides: dict[str, Prepared], declared: Declared) -> dict[str, Any]:
    """The content so far: what `out` holds, if it was made alike; else nothing but how it is made."""
    from levelfield.training.environment import describe_environment

    made = {name: _made(prepared) for name, prepared in sides.items()}
    content: dict[str, Any] = {"format": FORMAT, "data": sides["runs"].data.name, **made["runs"], "runs": []}
    content |= {"changed": list(declared.changed), "test_images": len(sides["runs"].data.test)}
    content |= {"counted": COUNTED, "environment": describe_environment(sides["runs"].device)}
    content["source"] = {"sha256": source_digest(), "git_commit": content["environment"]["git_commit"]}
    if "against" in made:
        content["against"] = {**made["against"], "runs": []}
    path = out / "record.json"
    if not path.is_file():
        return content
    before = read_record(path)
    keys: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
        ("its run", lambda c: (c["identity"], c["spec"]["execution"])),
        ("its source", lambda c: c["source"]["sha256"]),
        ("its machine", lambda c: [c["environment"].get(key) for key in _MACHINE]),
        ("the versions of its packages", lambda c: c["environment"].get("packages")),
        ("what it is to show (--target, --within)", lambda c: (c["target"], c["within"])),
    ]
    content |= {"target": declared.target, "within": declared.within}
    if other := [name for name, key in keys if key(before) != key(content)]:
        raise UserError(f"{out} holds runs that were made otherwise: {', '.join(other)} differs\nchoose another --out")
    if (finished := len(before["runs"])) > declared.count:
        raise UserError(
            f"{out} holds {finished} runs, of which none can be left out\nask for {finished} or more (--runs)"
        )
    content["runs"] = before["runs"]
    earlier = before.get("against")
    if earlier is not None and "against" in content:
        if _side(earlier) != _side(content["against"]):
            raise UserError(f"{out} replicates another record than --against names\nchoose another --out")
        content["against"]["runs"] = earlier["runs"]
    return content


def _side(made: dict[str, Any]) -> tuple[Any, Any]:
    """What the runs of a replicated record are made by."""
    return made["identity"], made["spec"]["execution"]


def _made(prepared: Prepared) -> dict[str, Any]:
    from levelfield.cost import count_parameters
    from levelfield.training.timed_run import check_timed

    check_timed(prepared)
    spec = prepared.spec
    return {
        "model": spec.model.name, "recipe": spec.recipe.name, "identity": prepared.identity,
        "parameters": count_parameters(prepared.build_model()).total, "spec": spec.model_dump(mode="json"),
    }  # fmt: skip


def _write(out: Path, content: dict[str, Any], declared: Declared) -> None:
    content |= {"target": declared.target, "within": declared.within, "wanted_runs": declared.count}
    content["summary"] = _summary(content["runs"], declared)
    if "against" in content:
        content["against"]["summary"] = _summary(content["against"]["runs"], declared)
        content["pairs"] = pairs(content["runs"], content["against"]["runs"])
    write_json(out / "record.json", content)
    write_bytes(out / "record.md", as_markdown(content).encode())


def _summary(runs: list[Run], declared: Declared) -> dict[str, Any]:
    return summary(runs, declared.target, declared.within) if runs else {"runs": 0}


def _in_own_process(spec: RunSpec, progress: Progress) -> Run:
    """Carry out one run, shown on `progress`. Raises UserError where it fails; the process ends with this one, however
    this one ends."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_carry_out, args=(spec.model_dump_json(), theirs, os.getpid()))
    begin = time.perf_counter()
    process.start()
    theirs.close()
    try:
        found: Any = ours.recv()
        while isinstance(found, tuple):  # so far
            if not progress.total:
                progress.start(found[1], f"seed {spec.seed}")
            progress.advance(found[0] - progress.done)
            found = ours.recv()
    except EOFError:
        process.join()
        found = f"its process ended with exit code {process.exitcode}\nnothing else is lost: the same command goes on"
    finally:
        seconds = time.perf_counter() - begin
        process.kill()
        process.join()
        progress.finish()
    if isinstance(found, str):
        raise UserError(f"seed {spec.seed} of the record failed: {found}")
    return {"seed": spec.seed, **found, "everything_s": seconds - found["warm_up_s"] - found.pop("looked_s")}


def _carry_out(run: str, answer: Connection, parent: int) -> None:
    """One run in this process: its figures, or the message of what went wrong, to `answer`; before them, now and then,
    how many steps of how many are done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is asked, and ends this process
    begin = time.perf_counter()
    try:
        from levelfield.cost.machine_at_rest import busy_percent
        from levelfield.training.timed_run import timed_run, warm_up

        prepared = prepare(RunSpec.model_validate_json(run))
        loaded = time.perf_counter()
        busy = busy_percent(prepared.device)
        looked = time.perf_counter()
        warming = warm_up(prepared)
        timed = timed_run(prepared, lambda: os.getppid() != parent, lambda *done: answer.send(done))
        found: Run | str = {
            "top1": timed.top1, "loss": timed.loss, "steps": timed.steps, "load_s": loaded - begin,
            "build_s": timed.build_s, "warm_up_s": warming, "train_s": timed.train_s,
            "train_and_test_s": timed.train_s + timed.test_s, "looked_s": looked - loaded, "busy_percent": busy,
        }  # fmt: skip
    except UserError as error:
        found = str(error)
    except KeyboardInterrupt:  # the parent has ended, and nobody waits for an answer
        os._exit(130)
    answer.send(found)
