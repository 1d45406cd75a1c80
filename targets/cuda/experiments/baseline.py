#!/usr/bin/env python3
"""What users do without AegisRT: the models of a vehicle, each with a thread of one process or with a process of its own.

    baseline.py VEHICLE threads|processes SECONDS [BATCH]

VEHICLE is the folder of a vehicle that experiments.py planned: its tasks' models, periods and phases are taken, and a response is from the
planned release until the outputs are in the CPU's memory. Each model is a session of pip's `onnxruntime` with its defaults for CUDA, which
are a stream of its own and an exhaustive search for convolutions; a thread sleeps until the next release. BATCH is a model that a further
thread, or process, runs without a pause beside them. Models lie in the cache that `aegis fetch` fills. One line of JSON on the standard
output, times in nanoseconds. BASELINE_PROVIDER names another provider than CUDAExecutionProvider, to try this without a device.
"""

import collections
import ctypes
import json
import multiprocessing
import os
import pathlib
import sys
import threading
import time
import tomllib

from figures import nanoseconds, percentiles

WARM_UP = 30
# Until everybody has begun, after all have loaded.
AHEAD_NS = 500_000_000
PR_SET_TIMERSLACK = 29
Task = collections.namedtuple("Task", "name path period phase")


def tasks(vehicle, cache):
    """The tasks of a vehicle's manifest that run a network, loads apart."""
    manifest = tomllib.loads((vehicle / "system.toml").read_text())
    found = []
    for name, task in manifest["task"].items():
        source = manifest["model"][task["model"]].get("source")
        if source:
            path = cache / "sha256" / source["sha256"]
            found.append(Task(name, path, nanoseconds(task["period"]), nanoseconds(task["phase"])))
    return found


def cache():
    """Where `aegis fetch` puts files."""
    if os.environ.get("AEGIS_CACHE"):
        return pathlib.Path(os.environ["AEGIS_CACHE"])
    home = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    return home / "aegis"


def provider():
    return os.environ.get("BASELINE_PROVIDER", "CUDAExecutionProvider")


def open_model(path):
    """A function that runs a model once, warmed up."""
    import numpy
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=[provider()])
    if session.get_providers()[0] != provider():
        raise RuntimeError(f"{path} runs by {session.get_providers()}, not by {provider()}: is this onnxruntime-gpu, and does it find CUDA and cuDNN?")
    inputs = {one.name: numpy.full(one.shape, 0.5, numpy.float32) for one in session.get_inputs()}

    def run():
        session.run(None, inputs)

    for _ in range(WARM_UP):
        run()
    return run


def periodic(run, task, start, end, clock=time.monotonic_ns, sleep=time.sleep):
    """Runs a model at each of its releases until `end`; each job's lateness, response and execution. A job that is released while another
    one runs follows it."""
    # Woken as exactly as the system can without real-time priority.
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    jobs = []
    due = start + task.phase
    while due < end:
        ahead = due - clock()
        if ahead > 0:
            sleep(ahead / 1e9)
        began = clock()
        run()
        ended = clock()
        jobs.append((began - due, ended - due, ended - began))
        due += task.period
    return jobs


def told(task, jobs):
    late, responses, executions = ([job[place] for job in jobs] for place in range(3))
    return {
        "name": task.name, "period_ns": task.period, "jobs": len(jobs), "misses": sum(response > task.period for response in responses),
        "late": percentiles(late), "response": percentiles(responses), "execution": percentiles(executions),
    }


def work(task, barrier, start, seconds, answers):
    """One task, in a thread or process of its own."""
    run = open_model(task.path)
    barrier.wait()
    jobs = periodic(run, task, start.value, start.value + int(seconds * 1e9))
    answers.put(told(task, jobs))


def saturate(path, barrier, start, seconds, answers):
    """The neighbour: from the barrier until the others end."""
    run = open_model(path)
    barrier.wait()
    end = start.value + int(seconds * 1e9)
    runs = 0
    while time.monotonic_ns() < end:
        run()
        runs += 1
    answers.put({"runs": runs})


def measure(all_of, how, seconds, batch):
    # Each process has a context of its own on the device.
    context = multiprocessing.get_context("spawn")
    is_apart = how == "processes"
    parties = len(all_of) + (batch is not None) + 1
    barrier = context.Barrier(parties) if is_apart else threading.Barrier(parties)
    start = context.Value("q", 0, lock=False)
    answers = context.SimpleQueue()
    start_one = context.Process if is_apart else threading.Thread
    workers = [start_one(target=work, args=(task, barrier, start, seconds, answers), daemon=True) for task in all_of]
    if batch is not None:
        workers.append(start_one(target=saturate, args=(batch, barrier, start, seconds, answers), daemon=True))
    for worker in workers:
        worker.start()
    # Set before anybody passes the barrier: this one is the last that it waits for, or the others wait for it.
    waiting = threading.Thread(target=lambda: [worker.join() for worker in workers])
    while barrier.n_waiting < parties - 1:
        time.sleep(0.01)
        if any(not worker.is_alive() for worker in workers):
            raise SystemExit("a model could not be loaded")
    start.value = time.monotonic_ns() + AHEAD_NS
    barrier.wait()
    waiting.start()
    found = [answers.get() for _ in workers]
    waiting.join()
    order = [task.name for task in all_of]
    rows = sorted((one for one in found if "name" in one), key=lambda one: order.index(one["name"]))
    return rows, next((one["runs"] for one in found if "runs" in one), None)


def main():
    vehicle, how, seconds, *batch = sys.argv[1:]
    if how not in ("threads", "processes"):
        raise SystemExit(__doc__)
    import onnxruntime

    batch = pathlib.Path(batch[0]).resolve() if batch else None
    # Threads hand the interpreter over sooner than every 5 ms.
    sys.setswitchinterval(0.0005)
    rows, runs = measure(tasks(pathlib.Path(vehicle), cache()), how, float(seconds), batch)
    print(json.dumps({"how": how, "vehicle": pathlib.Path(vehicle).name, "onnxruntime": onnxruntime.__version__, "provider": provider(),
                      "seconds": float(seconds), "neighbour_runs": runs, "tasks": rows}))


if __name__ == "__main__":
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    main()
