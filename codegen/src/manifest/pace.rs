//! The same vehicle at a slower pace.

use super::model::Manifest;
use aegis_core::time::Duration;
use toml::Spanned;

impl Manifest {
    /// This vehicle with every time that its environment sets `times` as long: periods, deadlines, phases, what chains are
    /// allowed, how long a process of a domain may take before it is killed, and the times between its starts. What a machine needs
    /// stays: executions, hooks, jitters, budgets, overheads and blackouts.
    ///
    /// `None` where a time would exceed 2⁶⁴ − 1 ns.
    #[must_use]
    pub fn slowed(&self, times: u64) -> Option<Self> {
        let stretch = |time: &mut Duration| {
            *time = Duration::from_ns(time.as_ns().checked_mul(times)?);
            Some(())
        };
        let stretch_spanned = |time: &mut Spanned<Duration>| stretch(time.get_mut());
        let mut slowed = self.clone();
        slowed.pace = self.pace.checked_mul(times)?;
        for task in &mut slowed.tasks {
            stretch_spanned(&mut task.period)?;
            stretch_spanned(&mut task.deadline)?;
            stretch(&mut task.phase)?;
        }
        for chain in &mut slowed.chains {
            for limit in [&mut chain.max_reaction, &mut chain.max_age].into_iter().flatten() {
                stretch_spanned(limit)?;
            }
        }
        for domain in &mut slowed.domains {
            domain.kill_after.iter_mut().try_for_each(stretch_spanned)?;
            if let Some(restart) = &mut domain.restart {
                let policy = &mut restart.policy;
                [&mut policy.within, &mut policy.back_off, &mut policy.probation].into_iter().try_for_each(stretch)?;
            }
        }
        Some(slowed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use aegis_core::time::Duration;

    #[test]
    fn what_the_environment_sets_is_stretched_and_what_the_machine_needs_is_not() {
        let text = "
            system = { name = \"tiny\", policy = \"edf\" }
            runtime.onnxruntime = { version = \"1.24.0\", file = \"ort.so\" }
            device.cpu0 = { kind = \"cpu\", memory = \"1MiB\" }
            lane.main = { device = \"cpu0\", core = 1, dispatch-overhead = \"1us\", wakeup-latency = \"1us\" }
            task.a = { lane = \"main\", period = \"10ms\", deadline = \"8ms\", phase = \"3ms\", jitter = \"1ms\", wcet = \"2ms\" }
            task.b = { lane = \"main\", period = \"20ms\", wcet = \"5ms\" }
            chain.c = { tasks = [\"a\", \"b\"], max-reaction = \"60ms\" }
            domain.d = { hand-over = \"1us\", fault-blackout = \"1us\", kill-after = \"15ms\", heartbeat = \"7ms\", restart = { max = 2, within = \"5s\", blackout = \"4ms\" } }
            model.m = { backend = \"onnxruntime\", file = \"m.onnx\", domain = \"d\" }
            task.e = { lane = \"main\", model = \"m\", period = \"90ms\", wcet = \"6ms\" }";
        let manifest = parse("tiny.toml", text).0.unwrap();
        let slowed = manifest.slowed(3).unwrap();
        let ms = |count: u64| Duration::from_ns(count * 1_000_000);
        let times = |task: usize| {
            let task = &slowed.tasks[task];
            [*task.period.get_ref(), *task.deadline.get_ref(), task.phase, task.jitter]
        };
        assert_eq!((manifest.pace, slowed.pace), (1, 3));
        assert_eq!(times(0), [ms(30), ms(24), ms(9), ms(1)]);
        assert_eq!(times(1), [ms(60), ms(60), ms(0), ms(0)]);
        assert_eq!(slowed.chains[0].max_reaction.as_ref().map(|limit| *limit.get_ref()), Some(ms(180)));
        assert_eq!(format!("{:?}", slowed.tasks[0].execution), format!("{:?}", manifest.tasks[0].execution));
        let domain = &slowed.domains[0];
        let [kill_after, heartbeat] =
            [&domain.kill_after, &domain.heartbeat].map(|time| time.as_ref().map(|t| *t.get_ref()));
        assert_eq!((kill_after, heartbeat), (Some(ms(45)), Some(ms(7))));
        let (before, after) = (manifest.domains[0].restart.as_ref().unwrap(), domain.restart.as_ref().unwrap());
        assert_eq!((after.policy.within, after.blackout), (ms(15_000), ms(4)));
        assert_eq!(after.policy.back_off.as_ns(), before.policy.back_off.as_ns() * 3);
        assert!(manifest.slowed(u64::MAX).is_none(), "beyond the range");
    }
}
