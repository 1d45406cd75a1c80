//! A manifest of two lanes whose thread waits are easily summed, to change in one place.

use aegis_codegen::check::{Checked, Options, check};

/// Three periodic tasks, two of them on the second lane.
pub const TWO_LANES: &str = "\
system = { name = \"lab\", policy = \"rate-monotonic\" }
lane.main = { kind = \"cpu\", core = 1, dispatch-overhead = \"20us\", wakeup-latency = \"50us\" }
lane.side = { kind = \"cpu\", core = 2, dispatch-overhead = \"7us\", wakeup-latency = \"50us\" }
task.steer = { lane = \"main\", period = \"10ms\", wcet = \"2ms\" }
task.ask = { lane = \"side\", period = \"40ms\", wcet = \"8ms\" }
task.tell = { lane = \"side\", period = \"60ms\", wcet = \"8ms\" }
";

/// Checks a manifest that passes, the exact analysis included.
///
/// # Panics
/// Where it does not pass.
#[must_use]
pub fn checked(text: &str) -> Checked {
    let checked = check("system.toml", text.to_owned(), Options { exact: true, ..Options::default() });
    let checked = checked.expect("it can be checked");
    assert!(checked.passes(), "{:#?}", checked.findings);
    checked
}

/// The lanes' thread waits in nanoseconds.
///
/// # Panics
/// Where nothing was resolved.
#[must_use]
pub fn waits(checked: &Checked) -> Vec<u64> {
    let resolved = checked.resolved.as_ref().expect("a manifest that passes");
    resolved.system.lanes.iter().map(|lane| lane.thread_wait.as_ns()).collect()
}
