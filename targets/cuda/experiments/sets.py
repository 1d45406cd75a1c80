"""The vehicles of experiments.py: what runs on which lanes, and their manifests."""

import dataclasses
import pathlib
import shutil

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
LOOKOUT = ROOT / "examples/lookout/system.toml"
# A kernel of 36 cycles a turn: 0.1 ms at 1,980 MHz.
CRITICAL_TURNS = 5_500
# With all threads that 40 SMs hold, about ten milliseconds.
LOAD_TURNS, LOAD_WORDS, LOAD_ROUNDS = 200_000, 32 << 20, 24
LOADS = ("compute", "stream", "batch")
KERNELS = ("critical", "compute", "stream")
# Models that models.py makes, by task: their files.
MADE = {
    "batch": ["batch.onnx"], "parted": ["object.1.onnx", "object.2.onnx", "object.3.onnx"],
    "slices": ["motion.1.onnx", "motion.2.onnx", "motion.3.onnx"],
}
# Without real-time priority one dispatch in some thousands takes up to a millisecond, and overheads of that length refuse what is short.
# These are above what 99 of 100 were measured to take; the runs show what that is worth.
DISPATCH, WAKEUP = "40us", "30us"


@dataclasses.dataclass(frozen=True)
class Lane:
    name: str
    sms: int
    tasks: tuple
    gpu: int = 0
    # Further keys of the lane, as TOML.
    keys: str = ""

    def measured(self, task):
        """What a profile of the task depends on: measured once, it serves every lane that is so."""
        return (task, self.sms, self.gpu, "blocking" in self.keys)


def lane(name, sms, *tasks, **more):
    return Lane(name, sms, tasks, **more)


CUT = 'preemption = "segments"\nlaunch-overhead = "5us"\n'
SETS = {
    "critical": [lane("critical", 32, "critical"), lane("load", 80, "compute")],
    "models-32": [lane("one", 32, "object"), lane("two", 32, "glimpse"), lane("load", 56, "compute")],
    "four-60": [lane("near", 24, "glimpse"), lane("side", 16, "motion"), lane("far", 80, "object", "scene")],
    "four-85": [lane("near", 24, "glimpse"), lane("side", 16, "motion"), lane("far", 40, "object"), lane("wide", 40, "scene")],
    "four-loaded": [
        lane("near", 16, "glimpse"), lane("side", 16, "motion"), lane("far", 24, "object"), lane("wide", 24, "scene"),
        lane("load", 40, "stream"),
    ],
    "four-batch": [
        lane("near", 16, "glimpse"), lane("side", 16, "motion"), lane("far", 24, "object"), lane("wide", 24, "scene"),
        lane("load", 40, "batch"),
    ],
    "witness-loaded": [
        lane("near", 24, "glimpse"), lane("side", 16, "motion"), lane("far", 40, "object", "scene"), lane("load", 40, "stream"),
    ],
    "segments": [
        lane("far", 40, "glimpse", "parted", keys=CUT), lane("side", 24, "motion", keys='completion = "blocking"\n'),
        lane("wide", 40, "scene"),
    ],
    "four-shared": [lane("near", 40, "glimpse", "slices", keys=CUT), lane("far", 80, "object", "scene")],
    "whole": [lane("far", 40, "glimpse", "object", keys=CUT)],
    "two-gpus": [lane("near", 40, "glimpse", "motion"), lane("far", 40, "object", "scene", gpu=1)],
}


def measured_by():
    """Of what is measured, the set that measures it: the first that has it."""
    found = {}
    for name, lanes in SETS.items():
        for one in lanes:
            for task in one.tasks:
                found.setdefault(one.measured(task), name)
    return found


def to_measure(name):
    """A set's lanes with the tasks that no earlier set measures."""
    by = measured_by()
    lanes = []
    for one in SETS[name]:
        tasks = tuple(task for task in one.tasks if by[one.measured(task)] == name)
        if tasks:
            lanes.append(dataclasses.replace(one, tasks=tasks))
    return lanes


def is_made(lanes, models):
    """Whether the files are there that some lanes' tasks need and that models.py makes."""
    return all((models / file).exists() for one in lanes for task in one.tasks for file in MADE.get(task, []))


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
        return out + launch(name, "compute", [1, 1, 1], [1, 1, 1], ['"out"', f"{{ u64 = {CRITICAL_TURNS} }}"])
    if name == "compute":
        return out + launch(name, "compute", [2 * sms, 1, 1], [1024, 1, 1], ['"out"', f"{{ u64 = {LOAD_TURNS} }}"])
    words = ['"out"', f"{{ u64 = {LOAD_WORDS} }}", '"region"', f"{{ u64 = {LOAD_ROUNDS} }}"]
    return out + f'buffers = {{ region = "{LOAD_WORDS * 8 >> 20}MiB" }}\n' + launch(name, "stream", [2 * sms, 1, 1], [1024, 1, 1], words)


def launch(name, kernel, grid, block, arguments):
    return f'[[model.{name}.launch]]\nkernel = "{kernel}"\ngrid = {grid}\nblock = {block}\narguments = [{", ".join(arguments)}]\n'


def model(name, sms):
    if name in KERNELS:
        return kernels(name, sms)
    if name in MADE:
        files = MADE[name]
        source = f'file = "{files[0]}"' if len(files) == 1 else "files = [" + ", ".join(f'"{file}"' for file in files) + "]"
        return f'[model.{name}]\nbackend = "onnxruntime"\n{source}\ntensors = "job"\n'
    return models()[name]


def manifest(name, lanes, period, phase, device, declared=True, margin=None):
    """A vehicle; `period` and `phase` say of a task what they are; overheads are `declared`, or those of lanes' profiles."""
    text = [f'[system]\nname = "{name}"\npolicy = "rate-monotonic"\nwaiting = "polling"\n']
    tasks = [(task, one) for one in lanes for task in one.tasks]
    if any(task not in KERNELS for task, _ in tasks):
        text.append(runtime())
    memory = "8GiB" if any(task == "batch" for task, _ in tasks) else "4GiB"
    for gpu in sorted({one.gpu for one in lanes}):
        text.append(f'[device.gpu{gpu}]\nkind = "gpu"\nordinal = {gpu}\nmemory = "{memory}"\nprofile = "{device}"\n')
    for number, one in enumerate(lanes):
        text.append(
            f'[lane.{one.name}]\ndevice = "gpu{one.gpu}"\nsms = {one.sms}\ncore = {number + 1}\n{one.keys}'
            + (f'dispatch-overhead = "{DISPATCH}"\nwakeup-latency = "{WAKEUP}"\n' if declared else f'profile = "profiles/lane-{one.name}.toml"\n'))
    text += [model(task, one.sms) for task, one in tasks]
    for task, one in tasks:
        # A load is to be there all the time; that it sometimes takes longer than it was measured to hurts nobody.
        of_task = "margin = 1.02\n" if task in LOADS else f"margin = {margin}\n" if margin else ""
        text.append(
            f'[task.{task}]\nmodel = "{task}"\nlane = "{one.name}"\nperiod = "{period(task)}"\nphase = "{phase(task)}"\n'
            f'profile = "profiles/{task}.toml"\n{of_task}'
        )
    return "\n".join(text)


def folder(path, name, text, device, made):
    """A vehicle's crate; what models.py made is in the folder `made`."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "src").mkdir(exist_ok=True)
    (path / "system.toml").write_text(text)
    (path / "load.ptx").write_text((HERE / "load.ptx").read_text())
    for file in (file for files in MADE.values() for file in files if f'"{file}"' in text):
        shutil.copy(made / file, path / file)
    if device:
        shutil.copy(device, path / "device.toml")
    (path / "Cargo.toml").write_text(
        f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2024"\npublish = false\n\n[dependencies]\n'
        f'aegis-core = {{ path = "{ROOT}/core" }}\naegis-host = {{ path = "{ROOT}/targets/host" }}\n\n[build-dependencies]\n'
        f'aegis-codegen = {{ path = "{ROOT}/codegen", default-features = false }}\n'
    )
    (path / "build.rs").write_text('fn main() {\n    aegis_codegen::build_rs::render("system.toml");\n}\n')
    (path / "src/main.rs").write_text("aegis_host::plan!();\n\nfn main() -> std::process::ExitCode {\n    plan::vehicle().run()\n}\n")


def of_alone(text):
    """A profile whose times are those without a neighbour: of a load, whose bound concerns nobody, and which so has no time to itself."""
    kept, table = [], ""
    for line in text.splitlines():
        if line.startswith("["):
            table = line.strip()
            line = "[segment.execution]" if table == "[segment.alone]" else line
        if table not in ("[segment.execution]", "[segment.tail]", "[segment.tail.fit]"):
            kept.append(line)
    return "\n".join(kept) + "\n"
