#!/usr/bin/env python3
"""The experiments of docs/gpu.md: vehicles on a GPU, measured through the whole runtime.

    experiments.py write FOLDER                      vehicles to be profiled, one folder for each set of lanes
    experiments.py profile FOLDER AEGIS PROBE [SET…] on the machine with the GPU: measures them there
    experiments.py plan FOLDER AEGIS                 periods from the profiles, phases from the seeds; proves and builds
    experiments.py run FOLDER OUT SECONDS [NAME…]    on the machine with the GPU: runs what was built, writes OUT/results.json
    experiments.py table RESULTS                     the results as Markdown

AEGIS and PROBE are the programs `aegis` and `aegis-host-probe`. Between the steps FOLDER travels; only `plan` needs Cargo. Without names all
is done but what needs a second GPU (SET and NAME `two-gpus`); sets that were not profiled are not planned. `write` takes
the device's profile from `aegis device probe` where FOLDER/device.toml is one, and else the built-in `h200`.
"""

import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
LOOKOUT = ROOT / "examples/lookout/system.toml"
SEEDS = (1, 2, 3)
# A kernel of 36 cycles a turn: 0.1 ms at 1,980 MHz.
CRITICAL_TURNS = 5_500
# With all threads that 40 SMs hold, several milliseconds.
LOAD_TURNS, LOAD_WORDS, LOAD_ROUNDS = 100_000, 32 << 20, 2

# What runs on which lane: (lane, SMs, [task]), on the first GPU unless a fourth says which. Of each set the tasks that share a letter of `light_…onnx` are those of examples/lookout.
SETS = {
    "critical": [("critical", 32, ["critical"]), ("load", 80, ["compute"])],
    "models-32": [("one", 32, ["object"]), ("two", 32, ["glimpse"]), ("load", 56, ["compute"])],
    "four-60": [("near", 24, ["glimpse"]), ("side", 16, ["motion"]), ("far", 80, ["object", "scene"])],
    "four-85": [("near", 24, ["glimpse"]), ("side", 16, ["motion"]), ("far", 40, ["object"]), ("wide", 40, ["scene"])],
    "four-loaded": [
        ("near", 16, ["glimpse"]), ("side", 16, ["motion"]), ("far", 24, ["object"]), ("wide", 24, ["scene"]), ("load", 40, ["stream"]),
    ],
    "two-gpus": [("near", 40, ["glimpse", "motion"], 0), ("far", 40, ["object", "scene"], 1)],
}
# name: (set, lanes that take part or all, share of its period that each task's p99 alone is or the period, seeds)
EXPERIMENTS = {
    "critical-alone": ("critical", ["critical"], {"critical": "1ms"}, (0,)),
    "critical-beside": ("critical", None, {"critical": "1ms"}, (0,)),
    "models-32-alone-object": ("models-32", ["one"], 0.3, (0,)),
    "models-32-alone-glimpse": ("models-32", ["two"], 0.3, (0,)),
    "models-32-beside": ("models-32", None, 0.3, (0,)),
    "four-60": ("four-60", None, 0.60 / 4, SEEDS),
    "four-85": ("four-85", None, 0.85 / 4, SEEDS),
    "four-loaded": ("four-loaded", None, 0.60 / 4, SEEDS),
    "witness": ("four-60", None, 0.60 / 4, ("witness",)),
    "two-gpus": ("two-gpus", None, 0.10, (1,)),
}
LOADS = ("compute", "stream")
# Without real-time priority one dispatch in some thousands takes up to a millisecond, and overheads of that length refuse what is short.
# These are above what 99 of 100 were measured to take; the runs show what that is worth.
DISPATCH, WAKEUP = "40us", "30us"


def models():
    """The models of examples/lookout, as TOML, by name."""
    text = LOOKOUT.read_text()
    found = {}
    for part in text.split("[model.")[1:]:
        name, rest = part.split("]", 1)
        found[name] = f"[model.{name}]" + rest.split("\n\n")[0] + "\n"
    return found


def runtime():
    text = LOOKOUT.read_text()
    return "[runtime.onnxruntime]" + text.split("[runtime.onnxruntime]")[1].split("\n\n")[0] + "\n"


def kernels(name, sms):
    """A model of kernels: its file is beside the manifest."""
    out = f'[model.{name}]\nbackend = "kernels"\nfile = "load.ptx"\noutputs = {{ out = {{ dtype = "f32", shape = [2] }} }}\ntensors = "job"\n'
    if name == "critical":
        return out + launch("compute", [1, 1, 1], [1, 1, 1], ['"out"', f"{{ u64 = {CRITICAL_TURNS} }}"])
    if name == "compute":
        return out + launch("compute", [2 * sms, 1, 1], [1024, 1, 1], ['"out"', f"{{ u64 = {LOAD_TURNS} }}"])
    words = ['"out"', f"{{ u64 = {LOAD_WORDS} }}", '"region"', f"{{ u64 = {LOAD_ROUNDS} }}"]
    return out + f'buffers = {{ region = "{LOAD_WORDS * 8 >> 20}MiB" }}\n' + launch("stream", [2 * sms, 1, 1], [1024, 1, 1], words)


def launch(kernel, grid, block, arguments):
    return f'[[model.{{}}.launch]]\nkernel = "{kernel}"\ngrid = {grid}\nblock = {block}\narguments = [{", ".join(arguments)}]\n'


def model(name, sms):
    if name in ("critical",) + LOADS:
        return kernels(name, sms).replace("model.{}", f"model.{name}")
    return models()[name]


def parts(lanes):
    """Each lane with its device's number."""
    return [(lane, sms, tasks, *device) if device else (lane, sms, tasks, 0) for lane, sms, tasks, *device in lanes]


def manifest(name, lanes, period, phase, device, declared=False):
    """A vehicle; `period` and `phase` say of a task what they are; overheads are `declared`, or those of lanes' profiles."""
    lanes = parts(lanes)
    text = [f'[system]\nname = "{name}"\npolicy = "rate-monotonic"\nwaiting = "polling"\n']
    tasks = [(task, lane, sms) for lane, sms, all_of, _ in lanes for task in all_of]
    if any(task not in ("critical",) + LOADS for task, _, _ in tasks):
        text.append(runtime())
    for gpu in sorted({gpu for *_, gpu in lanes}):
        text.append(f'[device.gpu{gpu}]\nkind = "gpu"\nordinal = {gpu}\nmemory = "1GiB"\nprofile = "{device}"\n')
    for number, (lane, sms, _, gpu) in enumerate(lanes):
        text.append(
            f'[lane.{lane}]\ndevice = "gpu{gpu}"\nsms = {sms}\ncore = {number + 1}\n'
            + (f'dispatch-overhead = "{DISPATCH}"\nwakeup-latency = "{WAKEUP}"\n' if declared else f'profile = "profiles/lane-{lane}.toml"\n'))
    text += [model(task, sms) for task, _, sms in tasks]
    for task, lane, _ in tasks:
        # A load is to be there nearly always; that it sometimes takes longer than it was measured to hurts nobody.
        margin = "margin = 1.02\n" if task in LOADS else ""
        text.append(
            f'[task.{task}]\nmodel = "{task}"\nlane = "{lane}"\nperiod = "{period(task)}"\nphase = "{phase(task)}"\n'
            f'profile = "profiles/{task}.toml"\n{margin}'
        )
    return "\n".join(text)


def folder(path, name, text, device):
    path.mkdir(parents=True, exist_ok=True)
    (path / "src").mkdir(exist_ok=True)
    (path / "system.toml").write_text(text)
    (path / "load.ptx").write_text((HERE / "load.ptx").read_text())
    if device:
        shutil.copy(device, path / "device.toml")
    (path / "Cargo.toml").write_text(
        f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2024"\npublish = false\n\n[dependencies]\n'
        f'aegis-core = {{ path = "{ROOT}/core" }}\naegis-host = {{ path = "{ROOT}/targets/host" }}\n\n[build-dependencies]\n'
        f'aegis-codegen = {{ path = "{ROOT}/codegen", default-features = false }}\n'
    )
    (path / "build.rs").write_text('fn main() {\n    aegis_codegen::build_rs::render("system.toml");\n}\n')
    (path / "src/main.rs").write_text("aegis_host::plan!();\n\nfn main() -> std::process::ExitCode {\n    plan::vehicle().run()\n}\n")


def write(where):
    device = where / "device.toml"
    device = device if device.exists() else None
    for name, lanes in SETS.items():
        text = manifest(name, lanes, lambda _: "100ms", lambda _: "0ms", "device.toml" if device else "h200")
        folder(where / "sets" / name, name, text, device)


def profile(where, aegis, probe, *names):
    for name in names or [name for name in SETS if name != "two-gpus"]:
        print(f"== profile {name}", flush=True)
        subprocess.run([aegis, "profile", "--probe", probe, "system.toml"], cwd=where / "sets" / name, check=True)


def p99(path):
    """The 99th percentile alone, in nanoseconds."""
    segments = tomllib.loads(path.read_text())["segment"]
    return sum(one.get("alone", one["execution"])["p99-ns"] for one in segments)


def longest(path):
    return sum(one["execution"]["max-ns"] for one in tomllib.loads(path.read_text())["segment"])


def plan(where, aegis):
    members = []
    for experiment, (of, taking_part, share, seeds) in EXPERIMENTS.items():
        lanes = [lane for lane in SETS[of] if taking_part is None or lane[0] in taking_part]
        profiles = where / "sets" / of / "profiles"
        if not profiles.exists():
            print(f"== {experiment}: not profiled", flush=True)
            continue
        periods = {}
        for task in (task for _, _, tasks, _ in parts(lanes) for task in tasks):
            path = profiles / f"{task}.toml"
            if isinstance(share, dict) and task in share:
                periods[task] = share[task]
            elif task in LOADS:
                periods[task] = f"{longest(path) * 103 // 100 + 750_000}ns"
            else:
                periods[task] = f"{round(p99(path) / share)}ns"
        for seed in seeds:
            name = f"{experiment}-{seed}"
            random_phase = random.Random(f"{experiment} {seed}")

            def phase(task):
                if seed == 0:
                    return "0ms"
                if seed == "witness":
                    # The longest job of a lane begins just before all others arrive.
                    return "0ms" if task == "scene" else "200us"
                return f"{random_phase.randrange(nanoseconds(periods[task]))}ns"

            device = where / "device.toml"
            device = device if device.exists() else None
            text = manifest(name, lanes, periods.__getitem__, phase, "device.toml" if device else "h200", True)
            path = where / "vehicles" / name
            folder(path, name, text, device)
            shutil.copytree(profiles, path / "profiles", dirs_exist_ok=True)
            checked = subprocess.run([aegis, "check", "system.toml"], cwd=path, capture_output=True, text=True)
            (path / "check.txt").write_text(checked.stdout + checked.stderr)
            print(f"== {name}: {'proven' if checked.returncode == 0 else 'REFUSED, see check.txt'}", flush=True)
            if checked.returncode == 0:
                members.append(f"vehicles/{name}")
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
        shutil.copy(where / "target/release" / name, where / "bin" / name)
        subprocess.run(["strip", where / "bin" / name], check=True)


def nanoseconds(text):
    for unit, factor in (("ns", 1), ("us", 1_000), ("ms", 1_000_000)):
        if text.endswith(unit):
            return int(float(text.removesuffix(unit)) * factor)
    raise ValueError(text)


def run(where, out, seconds, *names):
    out.mkdir(parents=True, exist_ok=True)
    results = {"device": query("name,driver_version,clocks.sm,clocks.mem,temperature.gpu"), "date": date(), "seconds": seconds, "runs": []}
    for program in sorted((where / "bin").iterdir()):
        if not any(program.name.startswith(name) for name in names or [""]) or (not names and "two-gpus" in program.name):
            continue
        trace, summary = out / "trace.jsonl", out / "summary.json"
        before = query("memory.used")
        command = [program, "--for", f"{seconds}s", "--allow-void", "--trace", trace, "--summary", summary]
        ran = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            ran.wait(timeout=seconds / 2)
        except subprocess.TimeoutExpired:
            pass
        during = query("memory.used,clocks.sm,clocks.mem,temperature.gpu")
        text, _ = ran.communicate()
        one = {"name": program.name, "status": ran.returncode, "memory_before": before, "during": during, "text": text[-1500:]}
        if summary.exists():
            one["summary"] = json.loads(summary.read_text())
            one["responses"] = responses(trace)
            summary.unlink()
        results["runs"].append(one)
        trace.unlink(missing_ok=True)
        (out / "results.json").write_text(json.dumps(results, indent=1))
        print(f"== {program.name}: status {ran.returncode}", flush=True)
    if not results["runs"]:
        raise SystemExit(f"no vehicle of {where / 'bin'} has such a name")


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


def percentiles(values):
    values = sorted(values)
    at = lambda share: values[min(len(values) * share // 1000, len(values) - 1)]
    return {"p50": at(500), "p99": at(990), "p999": at(999), "max": values[-1]}


def query(what):
    answer = subprocess.run(["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader,nounits"], capture_output=True, text=True)
    return "; ".join(answer.stdout.split("\n")).strip("; ")


def date():
    return subprocess.run(["date", "--utc", "+%F"], capture_output=True, text=True).stdout.strip()


def table(path):
    results = json.loads(pathlib.Path(path).read_text())
    print(f"{results['date']}, {results['device']}, {results['seconds']} s each\n")
    print("| vehicle | task | jobs | missed | bounds exceeded | response p50 / p99 / max, ms | bound, ms | max / bound | execution p99 / max, ms |")
    print("|---|---|---|---|---|---|---|---|---|")
    for one in results["runs"]:
        if "summary" not in one:
            print(f"| {one['name']} | status {one['status']}: {one['text'].splitlines()[-1:]} |")
            continue
        for task in one["summary"]["tasks"]:
            times = one["responses"].get(task["name"])
            if times is None:
                continue
            if task["name"] in LOADS:
                share = times["jobs"] * times["execution"]["p50"] / results["seconds"] / 1e9
                print(f"| {one['name']} | {task['name']}, a load | {times['jobs']}: {share:.0%} of the time |")
                continue
            ms = lambda value: f"{value / 1e6:.3f}"
            response, execution = times["response"], times["execution"]
            ratio = response["max"] / task["bound_ns"]
            print(f"| {one['name']} | {task['name']} | {times['jobs']} | {task['misses']} | {task['exceeded']} | "
                  f"{ms(response['p50'])} / {ms(response['p99'])} / {ms(response['max'])} | {ms(task['bound_ns'])} | {ratio:.2f} | "
                  f"{ms(execution['p99'])} / {ms(execution['max'])} |")
    for one in results["runs"]:
        if "summary" in one:
            print(f"\n{one['name']}: status {one['status']}, {one['summary']['exit']['why']}; void: "
                  f"{sorted({void['reason'] for void in one['summary']['guarantee']['void']})}")
            pools = [f"{m['pool']}: planned {m['arena_bytes']}, handed out {m['highest_bytes']}, private arenas {m['private_bytes']}" for m in one["summary"]["memory"]]
            print(f"\n{one['name']}: {'; '.join(pools)}; the driver's used MiB before {one['memory_before']}, during {one['during'].split(',')[0]}")


def main():
    step, where, *rest = sys.argv[1:]
    where = pathlib.Path(where).resolve()
    paths = {"profile": 2, "plan": 1, "run": 1}.get(step, 0)
    rest = [os.path.abspath(one) for one in rest[:paths]] + rest[paths:]
    if step == "write":
        write(where)
    elif step == "profile":
        profile(where, *rest)
    elif step == "plan":
        plan(where, *rest)
    elif step == "run":
        run(where, pathlib.Path(rest[0]), int(rest[1]), *rest[2:])
    elif step == "table":
        table(where)
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    main()
