#!/usr/bin/env python3
"""The experiments of docs/gpu.md: vehicles on a GPU, measured through the whole runtime, and what users do without it.

    experiments.py models FOLDER AEGIS              makes the models that no package has; needs pip's onnx 1.23.2
    experiments.py write FOLDER                     vehicles to be profiled, one folder for each set of lanes
    experiments.py tools FOLDER                     builds what runs there: aegis, probe, raw launches, tests; writes FOLDER/measure.tar.xz
    experiments.py profile FOLDER [SET…]            on the machine with the GPU: measures the sets, writes FOLDER/profiles.tar.gz
    experiments.py plan FOLDER AEGIS                periods from profiles, phases from seeds; proves, builds, writes FOLDER/run.tar.xz
    experiments.py all FOLDER OUT BUDGET [NAME…]    on the machine with the GPU: what fits into so many seconds, OUT/results.json
    experiments.py run FOLDER OUT SECONDS [NAME…]   likewise vehicles alone, each for so long
    experiments.py table RESULTS…                   the results as Markdown

Between the steps a file travels into a FOLDER that has nothing else: measure.tar.xz to `profile`, run.tar.xz to `all` and `run`, which
unpack it; profiles.tar.gz is unpacked by hand in the FOLDER that it belongs to. Only `tools` and `plan` need Cargo. AEGIS is the program
`aegis`. Without names all is done but what needs a second GPU (SET and NAME `two-gpus`); a NAME is the beginning of an experiment's, or
`tests`, `baseline`, `lookout`. What was not profiled is not planned, and what the budget is too short for is left out and said so. `write`
takes the device's profile from `aegis device probe` where FOLDER/device.toml is one, and else the built-in `h200`; it leaves out sets whose
models were not made.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import tomllib

import sets
from baseline import cache
from figures import nanoseconds, percentiles
from sets import LOADS, ROOT, SETS
from table import table

SEEDS = (1, 2, 3)


@dataclasses.dataclass(frozen=True)
class Experiment:
    set: str
    # What share of its period each task's p99 alone is, or the period by task.
    share: object
    seconds: int
    seeds: tuple = SEEDS
    # The lanes that take part; all without.
    lanes: tuple = ()
    # What the longest execution is multiplied by, where it is not the default.
    margin: float = None
    # Raw launches of the critical kernel right before.
    raw: bool = False


# In the order in which they are run. A seed that names a task is the release pattern in which that task waits longest.
EXPERIMENTS = {
    "critical-alone": Experiment("critical", {"critical": "1ms"}, 10, lanes=("critical",), raw=True),
    "critical-beside": Experiment("critical", {"critical": "1ms"}, 10),
    "four-batch": Experiment("four-batch", 0.60 / 4, 20),
    "four-shared": Experiment("four-shared", 0.60 / 4, 20),
    "segments": Experiment("segments", 0.60 / 4, 20, (1,)),
    # The same without segments: that it is refused is the result.
    "whole": Experiment("whole", 0.60 / 4, 10, (1,)),
    "witness": Experiment("four-60", 0.60 / 4, 15, ("object", "scene")),
    "witness-loaded": Experiment("witness-loaded", 0.60 / 4, 15, ("object", "scene"), margin=1.1),
    "four-85": Experiment("four-85", 0.85 / 4, 20),
    "four-60": Experiment("four-60", 0.60 / 4, 20),
    "four-loaded": Experiment("four-loaded", 0.60 / 4, 20, (1,)),
    "models-32-alone-object": Experiment("models-32", 0.15, 10, (0,), ("one",)),
    "models-32-alone-glimpse": Experiment("models-32", 0.15, 10, (0,), ("two",)),
    "models-32-only-object": Experiment("models-32", 0.15, 10, (0,), ("one", "load")),
    "models-32-only-glimpse": Experiment("models-32", 0.15, 10, (0,), ("two", "load")),
    "models-32-beside": Experiment("models-32", 0.15, 10, (0,)),
    "two-gpus": Experiment("two-gpus", 0.10, 10, (1,)),
}
# What users do: the models of a vehicle, in so many seconds, beside a model in batches or not.
BASELINE = [("four-batch-1", 15, True), ("four-60-1", 15, False), ("four-85-1", 15, False)]
LOOKOUT_SECONDS = 60
# What a run takes besides its seconds: loading, and reading its trace.
AROUND = 12
TESTS = {"aegis-cuda": ["device"], "aegis-host": ["gpu", "gpu_kernels", "gpu_isolation", "gpu_tensorrt", "gpu_domains"]}


def write(where):
    device = where / "device.toml"
    device = device if device.exists() else None
    for name in SETS:
        lanes = sets.to_measure(name)
        if not lanes:
            continue
        if not sets.is_made(lanes, where / "models"):
            print(f"== {name}: left out, its models were not made")
            continue
        # Overheads are measured of two lanes; the others' are no different.
        text = sets.manifest(
            name, lanes, lambda _: "500ms", lambda _: "0ms", "device.toml" if device else "h200", declared=name != "critical")
        sets.folder(where / "sets" / name, name, text, device, where / "models")


def tools(where):
    """Builds with `--release` and strips: as the vehicles are, and so that they travel."""
    to = where / "tools"
    (to / "tests").mkdir(parents=True, exist_ok=True)
    cargo("build", "-p", "aegis-codegen", "-p", "aegis-host", "-p", "lookout", "--bins")
    for name in ("aegis", "aegis-host-probe", "lookout"):
        stripped(ROOT / "target/release" / name, to / name)
    stripped(cargo("bench", "-p", "aegis-cuda", "--bench", "raw", "--no-run")["raw"], to / "raw")
    for package, names in TESTS.items():
        built = cargo("test", "-p", package, *(word for name in names for word in ("--test", name)), "--no-run")
        for name in names:
            stripped(built[name], to / "tests" / name)
    pack(where, "measure.tar.xz", "w:xz", ["tools/aegis", "tools/aegis-host-probe", "sets/*"], preset=9)


def cargo(command, *arguments):
    """Builds something in the repository; the programs by their names."""
    release = [] if command == "bench" else ["--release"]
    built = subprocess.run(
        ["cargo", command, *release, "--quiet", "--message-format=json-render-diagnostics", *arguments],
        cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    return {one["target"]["name"]: one["executable"] for one in messages if one.get("executable")}


def stripped(program, to):
    shutil.copy(program, to)
    subprocess.run(["strip", to], check=True)


def profile(where, *names):
    unpack(where, "measure.tar.xz")
    for name in names or [name for name in SETS if name != "two-gpus"]:
        folder = where / "sets" / name
        if not folder.exists():
            continue
        print(f"== profile {name}", flush=True)
        began = time.monotonic()
        command = [where / "tools/aegis", "profile", "--probe", where / "tools/aegis-host-probe", "--seconds", "3", "system.toml"]
        done = subprocess.run(command, cwd=folder)
        print(f"== profile {name}: status {done.returncode}, {time.monotonic() - began:.0f} s", flush=True)
        # After each set, so that what was measured is not lost.
        pack(where, "profiles.tar.gz", "w:gz", ["sets/*/profiles/*.toml"])


def p99(path):
    """The 99th percentile alone, in nanoseconds."""
    segments = tomllib.loads(path.read_text())["segment"]
    return sum(one.get("alone", one["execution"])["p99-ns"] for one in segments)


def longest(text):
    return sum(one["execution"]["max-ns"] for one in tomllib.loads(text)["segment"])


def profiles(where, lanes):
    """Each task's profile, of the set that measured it; `None` where one is missing."""
    by = sets.measured_by()
    found = {task: where / "sets" / by[one.measured(task)] / "profiles" / f"{task}.toml" for one in lanes for task in one.tasks}
    return found if all(path.exists() for path in found.values()) else None


def periods(experiment, measured):
    """Each task's period, as the manifest spells it."""
    found = {}
    for task, path in measured.items():
        if isinstance(experiment.share, dict) and task in experiment.share:
            found[task] = nanoseconds(experiment.share[task])
        elif task in LOADS:
            # With what else its lane does in a period.
            found[task] = longest(sets.of_alone(path.read_text())) * 103 // 100 + 750_000
        else:
            found[task] = round(p99(path) / experiment.share)
    if any(seed in measured for seed in experiment.seeds):
        # So that the pattern comes again: multiples of the shortest one.
        shortest = min(period for task, period in found.items() if task not in LOADS)
        found = {task: period if task in LOADS else -(-period // shortest) * shortest for task, period in found.items()}
    return found


def phases(name, seed, of):
    """Each task's phase in nanoseconds."""
    if seed == 0:
        return dict.fromkeys(of, 0)
    if seed in of:
        # It arrives with all that is more important, right after the longest of what is less important has begun.
        late = [task for task in of if of[task] <= of[seed] or task in LOADS]
        return {task: 200_000 if task in late else 0 for task in of}
    chosen = random.Random(f"{name} {seed}")
    return {task: chosen.randrange(of[task]) for task in of}


def plan(where, aegis):
    members, refused = [], []
    for name, experiment in EXPERIMENTS.items():
        lanes = [one for one in SETS[experiment.set] if not experiment.lanes or one.name in experiment.lanes]
        measured = profiles(where, lanes)
        if measured is None:
            print(f"== {name}: not profiled", flush=True)
            refused.append(f"{name} (not profiled)")
            continue
        for seed in experiment.seeds:
            vehicle = f"{name}-{seed}"
            is_proven = vehicle_of(where, vehicle, experiment, lanes, measured, phases(name, seed, periods(experiment, measured)), aegis)
            print(f"== {vehicle}: {'proven' if is_proven else 'REFUSED, see check.txt'}", flush=True)
            if is_proven:
                members.append(f"vehicles/{vehicle}")
            else:
                refused.append(vehicle)
    # So that a table without them does not look complete.
    (where / "refused.json").write_text(json.dumps(refused))
    (where / "Cargo.toml").write_text(
        f"[workspace]\nresolver = \"3\"\nmembers = {json.dumps(members)}\n\n[profile.release]\noverflow-checks = true\n"
    )
    shutil.copy(ROOT / "Cargo.lock", where / "Cargo.lock")
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=where, check=True)
    # What was refused this time is not run as it was before.
    shutil.rmtree(where / "bin", ignore_errors=True)
    (where / "bin").mkdir()
    for member in members:
        name = pathlib.Path(member).name
        stripped(where / "target/release" / name, where / "bin" / name)
    to_run = ["bin/*", "refused.json", "tools/lookout", "tools/raw", "tools/tests", "vehicles/*/system.toml", "models/*.onnx"]
    pack(where, "run.tar.xz", "w:xz", to_run, preset=9)


def pack(where, name, mode, patterns, **more):
    """Puts files together, for a journey; with a preset of 9 the dictionary is large enough to see how much programs are alike."""
    with tarfile.open(where / name, mode, **more) as packed:
        for path in sorted(path for pattern in patterns for path in where.glob(pattern)):
            packed.add(path, path.relative_to(where))


def vehicle_of(where, name, experiment, lanes, measured, phase, aegis):
    """Writes a vehicle and proves it; whether it holds."""
    device = where / "device.toml"
    device = device if device.exists() else None
    period = periods(experiment, measured)
    spelled = lambda of: lambda task: f"{of[task]}ns"
    text = sets.manifest(
        name, lanes, spelled(period), spelled(phase), "device.toml" if device else "h200", margin=experiment.margin)
    path = where / "vehicles" / name
    sets.folder(path, name, text, device, where / "models")
    (path / "profiles").mkdir(exist_ok=True)
    for task, of in measured.items():
        text = of.read_text()
        (path / "profiles" / f"{task}.toml").write_text(sets.of_alone(text) if task in LOADS else text)
    checked = subprocess.run([aegis, "check", "system.toml"], cwd=path, capture_output=True, text=True)
    (path / "check.txt").write_text(checked.stdout + checked.stderr)
    return checked.returncode == 0


class Results:
    """What was found so far, in a file."""

    def __init__(self, out, refused=None):
        out.mkdir(parents=True, exist_ok=True)
        self.out = out
        what = "name,driver_version,clocks.sm,clocks.mem,temperature.gpu"
        self.all_of = {"device": query(what), "date": date(), "cores": os.cpu_count(), "runs": [], "left_out": []}
        self.all_of["refused"] = json.loads(refused.read_text()) if refused and refused.exists() else []

    def add(self, one):
        self.all_of["runs"].append(one)
        self.write()
        print(f"== {one['name']}: status {one['status']}", flush=True)

    def leave_out(self, name):
        self.all_of["left_out"].append(name)
        self.write()
        print(f"== {name}: left out", flush=True)

    def write(self):
        (self.out / "results.json").write_text(json.dumps(self.all_of, indent=1))


def experiment_of(program):
    """The experiment that a program is of."""
    return EXPERIMENTS[max((name for name in EXPERIMENTS if program.startswith(f"{name}-")), key=len)]


def programs(where, names):
    """The vehicles that were built, in the experiments' order."""
    order = list(EXPERIMENTS.values())
    found = sorted((path.name for path in (where / "bin").iterdir()), key=lambda name: (order.index(experiment_of(name)), name))
    return [name for name in found if is_wanted(name, names)]


def is_wanted(name, names):
    return any(name.startswith(one) for one in names) if names else not name.startswith("two-gpus")


def run(where, out, seconds, *names):
    unpack_run(where)
    results = Results(out)
    for name in programs(where, names):
        results.add(run_vehicle(where / "bin" / name, out, seconds))
    if not results.all_of["runs"]:
        raise SystemExit(f"no vehicle of {where / 'bin'} has such a name")


def everything(where, out, budget, *names):
    """All that is wanted, as long as the budget lasts: tests, vehicles, what users do, and lookout."""
    unpack_run(where)
    results = Results(out, where / "refused.json")
    end = time.monotonic() + budget
    has_time = lambda name, seconds: time.monotonic() + seconds + AROUND < end or results.leave_out(name)
    if is_wanted("tests", names) and has_time("tests", 60):
        results.add(run_tests(where, out))
    for name in programs(where, names):
        experiment = experiment_of(name)
        if has_time(name, experiment.seconds * (2 if experiment.raw else 1)):
            raw = run_raw(where, experiment.seconds) if experiment.raw else None
            results.add({**run_vehicle(where / "bin" / name, out, experiment.seconds), "raw": raw})
    for vehicle, seconds, is_beside in BASELINE:
        for how in ("threads", "processes"):
            name = f"baseline-{how}-{vehicle}"
            if is_wanted(name, names) and (where / "vehicles" / vehicle).exists() and has_time(name, seconds + AROUND):
                results.add(run_baseline(where, name, vehicle, how, seconds, is_beside))
    if is_wanted("lookout", names) and has_time("lookout", LOOKOUT_SECONDS):
        results.add(run_vehicle(where / "tools/lookout", out, LOOKOUT_SECONDS))


def unpack(where, name):
    if (where / name).exists():
        with tarfile.open(where / name) as archive:
            archive.extractall(where, filter="data")


def unpack_run(where):
    unpack(where, "run.tar.xz")
    # Vehicles find their files in the cache; those of packages are there already, from the machine that fetched them.
    files = cache() / "sha256"
    files.mkdir(parents=True, exist_ok=True)
    for path in [*where.glob("models/*.onnx"), sets.HERE / "load.ptx"]:
        shutil.copy(path, files / hashlib.sha256(path.read_bytes()).hexdigest())


def run_vehicle(program, out, seconds):
    trace, summary = out / "trace.jsonl", out / "summary.json"
    before = query("memory.used")
    command = [program, "--for", f"{seconds}s", "--allow-void", "--trace", trace, "--summary", summary]
    ran = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        text, _ = ran.communicate(timeout=seconds / 2)
        during = ""
    except subprocess.TimeoutExpired:
        during = query("memory.used,clocks.sm,clocks.mem,temperature.gpu,power.draw")
        # One that does not end takes the time of those after it.
        give_up = threading.Timer(seconds + 60, ran.kill)
        give_up.start()
        text, _ = ran.communicate()
        give_up.cancel()
    one = {"name": program.name, "seconds": seconds, "status": ran.returncode, "memory_before": before, "during": during, "text": text[-1500:]}
    if summary.exists():
        one["summary"] = json.loads(summary.read_text())
        one["responses"] = responses(trace)
        summary.unlink()
    trace.unlink(missing_ok=True)
    return one


def run_tests(where, out):
    """The tests that need a device, one program after the other; what they printed is in a file."""
    text, worst = "", 0
    for program in sorted((where / "tools/tests").iterdir()):
        done = subprocess.run(["timeout", "120", program, "--nocapture", "--test-threads=1"], capture_output=True, text=True)
        text += f"== {program.name}: status {done.returncode}\n{done.stdout}{done.stderr}\n"
        worst = max(worst, abs(done.returncode))
    (out / "tests.txt").write_text(text)
    skipped = sum(line.startswith("skipped") for line in text.splitlines())
    return {"name": "tests", "seconds": 0, "status": worst, "text": text[-1500:] + f"\n{skipped} skipped"}


def run_raw(where, seconds):
    """Raw launches of the critical kernel, on the part and the core that its lane has; half of the time with the copy of its output."""
    (critical,) = [one for one in SETS["critical"] if one.name == "critical"]
    jobs = seconds * 1_000 // 2
    command = [where / "tools/raw", str(critical.sms), str(sets.CRITICAL_TURNS), "1000", str(jobs)]
    pinned = lambda: os.sched_setaffinity(0, {1})
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=pinned)
    try:
        return json.loads(done.stdout)
    except ValueError:
        return {"error": (done.stdout + done.stderr).strip()[-500:]}


def run_baseline(where, name, vehicle, how, seconds, is_beside):
    command = [sys.executable, sets.HERE / "baseline.py", where / "vehicles" / vehicle, how, str(seconds)]
    command = ["timeout", str(seconds + 60), *command]
    done = subprocess.run(command + [where / "models/batch.onnx"] * is_beside, capture_output=True, text=True)
    one = {"name": name, "seconds": seconds, "status": done.returncode, "text": done.stderr[-1500:]}
    if done.returncode == 0:
        one["baseline"] = json.loads(done.stdout.splitlines()[-1])
    return one


def responses(trace):
    """Per task: percentiles of responses and executions, in nanoseconds."""
    found = {}
    with open(trace) as lines:
        for line in lines:
            if '"completion"' not in line:
                continue
            record = json.loads(line)
            if record["event"] == "completion":
                found.setdefault(record["task"], []).append((record["response_ns"], record["execution_ns"]))
    return {task: {"jobs": len(all_of), "response": percentiles([r for r, _ in all_of]), "execution": percentiles([e for _, e in all_of])}
            for task, all_of in found.items()}


def query(what):
    try:
        answer = subprocess.run(["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader,nounits"], capture_output=True, text=True)
    except OSError:
        return ""
    return "; ".join(answer.stdout.split("\n")).strip("; ")


def date():
    return time.strftime("%F", time.gmtime())


def main():
    step, where, *rest = sys.argv[1:]
    where = pathlib.Path(where).resolve()
    if step == "models":
        import models

        models.make(where / "models", os.path.abspath(rest[0]))
    elif step == "write":
        write(where)
    elif step == "tools":
        tools(where)
    elif step == "profile":
        profile(where, *rest)
    elif step == "plan":
        plan(where, os.path.abspath(rest[0]))
    elif step in ("all", "run"):
        (everything if step == "all" else run)(where, pathlib.Path(rest[0]).resolve(), int(rest[1]), *rest[2:])
    elif step == "table":
        for path in [where, *rest]:
            table(json.loads(pathlib.Path(path).read_text()))
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    main()
