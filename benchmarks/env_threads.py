"""What 64 threads of one process lose against one thread doing the same work: python benchmarks/env_threads.py."""

from __future__ import annotations

import argparse
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sides import SPLITS, StoppingCustomer, available, our_episode, print_machine, processor_seconds, seconds

from tau_retail_env import TauRetailEnv, load_tasks

Job = Callable[[], None]


def main() -> None:
    """Time the same jobs in one thread and in many, in turns, and print the loss beside the interpreter's own."""
    options = _options()
    print_machine()
    print(
        f"\n{options.threads} threads of {options.episodes} episodes each; least of {options.repeats} repeats, in turns"
    )
    print(f"{'':40s}{'one thread':>22s}{f'{options.threads} threads':>22s}{'lost':>16s}")
    print(f"{'':40s}{'wall      cpu':>22s}{'wall      cpu':>22s}{'wall    cpu':>16s}")
    for source in available(options.source):
        jobs = [_episodes(source, first, options.episodes) for first in range(options.threads)]
        ours, control = compare([jobs, _control(jobs)], options.repeats)
        _print(f"{source}: oracle episodes", ours)
        _print("control: JSON work that shares nothing", control)


@dataclass(frozen=True)
class Times:
    """How long the same jobs take, one after another and all at once.

    The interpreter lets one thread run at a time, so both ways use one core, and without contention both take the same
    time. The least of several times is taken: what else the machine does can only add to it. Processor time leaves out
    what other processes do, and waiting; wall time is what a user sees.
    """

    serial: tuple[float, float]
    """Least wall and processor seconds in one thread."""
    threaded: tuple[float, float]
    """Least wall and processor seconds in one thread for each job."""

    @property
    def lost_percent(self) -> tuple[float, float]:
        """What is missing of one thread's throughput, by wall and by processor time."""
        wall, cpu = (100 * (1 - one / many) for one, many in zip(self.serial, self.threaded, strict=True))
        return wall, cpu


def compare(sets_of_jobs: Sequence[Sequence[Job]], repeats: int) -> list[Times]:
    """Time every set of jobs both ways, in turns, so that a busy moment of the machine meets them all alike."""
    found: list[list[list[tuple[float, float]]]] = [[[], []] for _ in sets_of_jobs]
    for _ in range(repeats):
        for jobs, times in zip(sets_of_jobs, found, strict=True):
            for way, run in zip(times, (_one_after_another, _all_at_once), strict=True):
                way.append(_wall_and_cpu(run, jobs))
    return [Times(*((min(wall for wall, _ in way), min(cpu for _, cpu in way)) for way in times)) for times in found]


def _wall_and_cpu(run: Callable[[Sequence[Job]], None], jobs: Sequence[Job]) -> tuple[float, float]:
    wall, (cpu, _) = seconds(processor_seconds, run, jobs)
    return wall, cpu


def _print(name: str, found: Times) -> None:
    one, many, lost = found.serial, found.threaded, found.lost_percent
    print(f"{name:40s}{one[0]:10.3f} s{one[1]:8.3f} s{many[0]:10.3f} s{many[1]:8.3f} s{lost[0]:7.1f} %{lost[1]:5.1f} %")


def _episodes(source: str, first: int, count: int) -> Job:
    """`count` oracle episodes in an environment of the job's own; job n begins at task n."""
    tasks = load_tasks(source, SPLITS[source])
    play = our_episode(TauRetailEnv(source=source, user=StoppingCustomer(), tasks=tasks), tasks)

    def job() -> None:
        for place in range(count):
            if play((first + place) % len(tasks)) != 1.0:
                raise SystemExit(f"the oracle failed on {tasks[(first + place) % len(tasks)].id}")

    return job


def _control(jobs: Sequence[Job]) -> list[Job]:
    """Jobs that share nothing at all and take about as long: what they lose, the interpreter's switching costs."""
    text = json.dumps({"numbers": list(range(200)), "words": {str(number): "word" * 5 for number in range(50)}})

    def rounds(count: int) -> None:
        for _ in range(count):
            json.dumps(json.loads(text))

    round_s = min(seconds(rounds, 100)[0] for _ in range(10)) / 100
    count = int(min(seconds(_one_after_another, jobs)[0] for _ in range(2)) / len(jobs) / round_s)
    return [lambda: rounds(count)] * len(jobs)


def _one_after_another(jobs: Sequence[Job]) -> None:
    for job in jobs:
        job()


def _all_at_once(jobs: Sequence[Job]) -> None:
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", nargs="+", choices=sorted(SPLITS), default=["tau2", "tau_bench"])
    parser.add_argument("--threads", type=int, default=64)
    parser.add_argument("--episodes", type=int, default=30, help="of each thread")
    parser.add_argument("--repeats", type=int, default=15)
    return parser.parse_args()


if __name__ == "__main__":
    main()
