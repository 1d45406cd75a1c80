//! Fault domains and pools of memory.

use super::text;
use aegis_core::Duration;
use aegis_core::desc::{DomainDesc, GpuDesc, PoolDesc, ProcessDesc, RestartDesc};
use aegis_core::units::{Bytes, DomainId, ModeId, PoolId};

pub(super) fn domain(domain: &crate::plan::Domain) -> DomainDesc {
    let process = domain.process.as_ref().map(|process| ProcessDesc {
        kill_after: Duration::from_ns(process.kill_after_ns),
        hand_over: Duration::from_ns(process.hand_over_ns),
        heartbeat: process.heartbeat_ns.map(Duration::from_ns),
        memory: process.memory_bytes.map(Bytes),
        restart: process.restart.map(|restart| RestartDesc {
            max: restart.max,
            within: Duration::from_ns(restart.within_ns),
            back_off: Duration::from_ns(restart.back_off_ns),
            probation: Duration::from_ns(restart.probation_ns),
        }),
        meanwhile: process.meanwhile.map(ModeId),
        cores: process.cores.clone().leak(),
    });
    DomainDesc { name: text(&domain.name), process }
}

pub(super) fn pool(pool: &crate::plan::Pool) -> PoolDesc {
    PoolDesc {
        name: text(&pool.name),
        domain: pool.domain.map(DomainId),
        gpu: pool.gpu.as_ref().map(|gpu| GpuDesc {
            ordinal: gpu.ordinal,
            name: text(&gpu.name),
            driver: text(&gpu.driver),
            compute_capability: gpu.compute_capability,
            sms: gpu.sms,
            unit: gpu.unit,
            units: gpu.units,
            context: gpu.context_bytes.map(Bytes),
            staging: gpu.staging.map(PoolId),
        }),
        capacity: Bytes(pool.capacity_bytes),
        shares: pool.shares.map(PoolId),
        weights: Bytes(pool.weights_bytes),
        height: Bytes(pool.height_bytes),
        lower_bound: Bytes(pool.lower_bound_bytes),
        private: Bytes(pool.private_bytes),
        copy_per_mib: Duration::from_ns(pool.copy_per_mib_ns),
        page: Bytes(pool.page_bytes),
    }
}
