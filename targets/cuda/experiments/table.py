"""Results of experiments.py as Markdown."""

from sets import LOADS


def ms(value):
    return f"{value / 1e6:.3f}"


def times(of):
    return " / ".join(ms(of[key]) for key in ("p50", "p99", "max"))


def table(results):
    print(f"{results['date']}, {results['device']}, {results['cores']} cores\n")
    runs = results["runs"]
    vehicles([one for one in runs if "summary" in one])
    raw_launches([one for one in runs if one.get("raw")])
    without([one for one in runs if "baseline" in one])
    for one in runs:
        if "summary" not in one and "baseline" not in one:
            print(f"{one['name']}: status {one['status']}: {' '.join(one['text'].splitlines()[-1:])}\n")
        if "summary" in one:
            ends(one)
    if results.get("refused"):
        print(f"Planned and not run, since it was refused by the checker or not profiled: {', '.join(results['refused'])}\n")
    if results["left_out"]:
        print(f"Left out, for lack of time: {', '.join(results['left_out'])}\n")


def vehicles(runs):
    if not runs:
        return
    print("| vehicle, seconds | task | jobs | missed | bounds exceeded (explained) | response p50 / p99 / max, ms | bound, ms | bound / max | execution p99 / max, ms |")
    print("|---|---|---|---|---|---|---|---|---|")
    for one in runs:
        for task in one["summary"]["tasks"]:
            found = one["responses"].get(task["name"])
            if found is None:
                print(f"| {one['name']}, {one['seconds']} | {task['name']} | 0 |")
                continue
            if task["name"] in LOADS:
                share = found["jobs"] * found["execution"]["p50"] / one["seconds"] / 1e9
                print(f"| {one['name']}, {one['seconds']} | {task['name']}, a load | {found['jobs']}: {share:.0%} of the time |")
                continue
            print(f"| {one['name']}, {one['seconds']} | {task['name']} | {found['jobs']} | {task['misses']} | {task['exceeded']} ({task['explained']}) | "
                  f"{times(found['response'])} | {ms(task['bound_ns'])} | {task['bound_ns'] / found['response']['max']:.2f} | "
                  f"{ms(found['execution']['p99'])} / {ms(found['execution']['max'])} |")
    print()


def raw_launches(runs):
    """The critical kernel's response in a vehicle, beside its graph launched right before without one."""
    if not runs:
        return
    print("| vehicle | raw launches p50 / p99 / max, ms | without the copy | in the vehicle | more at p50, p99, µs |")
    print("|---|---|---|---|---|")
    for one in runs:
        raw, found = one["raw"], one.get("responses", {}).get("critical")
        if "copied" not in raw or found is None:
            print(f"| {one['name']} | {raw.get('error', 'no response')} |")
            continue
        more = ", ".join(f"{(found['response'][key] - raw['copied'][key]) / 1e3:.1f}" for key in ("p50", "p99"))
        print(f"| {one['name']} | {times(raw['copied'])} | {times(raw['kernel'])} | {times(found['response'])} | {more} |")
    print()


def without(runs):
    """What users do: each model in a thread or process."""
    if not runs:
        return
    print("| how, periods of, seconds | beside | model | jobs | missed | response p50 / p99 / max, ms | execution p99 / max, ms | begun late p99 / max, ms |")
    print("|---|---|---|---|---|---|---|---|")
    for one in runs:
        found = one["baseline"]
        beside = "" if found["neighbour_runs"] is None else f"{found['neighbour_runs']} runs of a model in batches"
        for task in found["tasks"]:
            execution, late = task["execution"], task["late"]
            print(f"| {found['how']}, {found['vehicle']}, {one['seconds']} | {beside} | {task['name']} | {task['jobs']} | {task['misses']} "
                  f"({task['misses'] / task['jobs']:.2%}) | {times(task['response'])} | {ms(execution['p99'])} / {ms(execution['max'])} | "
                  f"{ms(late['p99'])} / {ms(late['max'])} |")
    print()


def ends(one):
    summary = one["summary"]
    print(f"{one['name']}: status {one['status']}, {summary['exit']['why']}; void: "
          f"{sorted({void['reason'] for void in summary['guarantee']['void']})}")
    pools = [f"{m['pool']}: planned {m['arena_bytes']}, handed out {m['highest_bytes']}, private arenas {m['private_bytes']}" for m in summary["memory"]]
    print(f"  {'; '.join(pools)}; the driver's used MiB before {one['memory_before']}, during {one['during']}\n")
