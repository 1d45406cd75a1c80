//! What is told of devices, without one.

use super::{Found, Pci, available, has_room, other, shared_staging, staged_at, void};
use aegis_core::desc::{Backend, ElementType, GpuDesc, ModelDesc, PoolDesc, SystemDesc, TensorDesc, TensorLife};
use aegis_core::trace::VoidReason;
use aegis_core::{ByteOffset, Bytes, Duration, ModelId, PoolId};
use aegis_cuda::{DeviceFacts, SmUnits, Version};

fn planned() -> GpuDesc {
    GpuDesc {
        ordinal: 0,
        name: "NVIDIA H200",
        driver: "13.0",
        compute_capability: (9, 0),
        sms: 132,
        unit: 8,
        units: 15,
        context: None,
        staging: None,
    }
}

#[test]
fn a_device_with_too_little_free_memory_is_refused_with_all_values() {
    let pool: &'static PoolDesc = Box::leak(Box::new(PoolDesc {
        name: "gpu0",
        domain: None,
        gpu: Some(planned()),
        capacity: Bytes(1 << 20),
        shares: None,
        weights: Bytes(300),
        height: Bytes(512),
        lower_bound: Bytes(512),
        private: Bytes(512),
        copy_per_mib: Duration::ZERO,
        page: Bytes(0),
    }));
    assert!(has_room(pool, 0, 812).is_ok() && has_room(pool, 64, 876).is_ok());
    let refused = has_room(pool, 64, 875).unwrap_err();
    assert_eq!(refused.status(), 2);
    assert_eq!(
        refused.to_string(),
        "device \"gpu0\": the plan needs 876 bytes of its memory, for the arena 512, for what backends hold 300 and for \
         copies 64, and 875 are free"
    );
    let beyond = PoolDesc { weights: Bytes(u64::MAX), ..*pool };
    assert!(has_room(Box::leak(Box::new(beyond)), 1, u64::MAX - 1).is_err());
    assert!(available().is_some_and(|bytes| bytes > 0), "this machine has a /proc");
}

fn facts() -> DeviceFacts {
    DeviceFacts {
        name: "NVIDIA H200".into(),
        driver: Version { major: 13, minor: 0 },
        compute_capability: (9, 0),
        sms: 132,
        units: Some(SmUnits { sms: 8, count: 15 }),
        memory_bytes: 1 << 37,
        integrated: false,
        exports: true,
        l2_bytes: 1 << 25,
        clock_khz: 1_980_000,
        memory_clock_khz: 3_201_000,
    }
}

fn found() -> Found {
    Found {
        driver: Version { major: 13, minor: 0 },
        is_divided: true,
        has_all_queues: true,
        integrated: false,
        pci: Some(Pci(0, [0x3b, 0, 0])),
    }
}

#[test]
fn another_device_than_the_planned_one_is_refused_with_all_differences() {
    let planned = planned();
    assert_eq!((other(&planned, &facts()), void("gpu0", Some(&planned), &found())), (None, vec![]));
    let builtin = GpuDesc { name: "", driver: "", ..planned };
    assert_eq!((other(&builtin, &facts()), void("gpu0", Some(&builtin), &found())), (None, vec![]), "it knows neither");
    let finer = DeviceFacts { units: Some(SmUnits { sms: 4, count: 33 }), ..facts() };
    assert_eq!(other(&planned, &finer), None, "of units of 4 parts of multiples of 8 are made as well");
    let orin = GpuDesc { name: "Orin", compute_capability: (8, 7), sms: 16, unit: 4, units: 4, ..planned };
    assert_eq!(
        other(&orin, &facts()).unwrap(),
        "its name is \"NVIDIA H200\", planned was \"Orin\"; its compute capability is 9.0, planned was 8.7; it has 132 SMs, \
         planned were 16; its driver makes units of 8 SMs, planned were parts of multiples of 4"
    );
}

#[test]
fn without_partitions_or_with_another_driver_the_guarantee_is_void() {
    let older = DeviceFacts { units: None, driver: Version { major: 12, minor: 2 }, ..facts() };
    assert_eq!(other(&planned(), &older), None);
    let older = Found { is_divided: false, driver: Version { major: 12, minor: 2 }, ..found() };
    let voids = void("gpu0", Some(&planned()), &older);
    let reasons: Vec<_> = voids.iter().map(|void| void.reason).collect();
    assert_eq!(reasons, [VoidReason::NoPartitions, VoidReason::OtherDriver]);
    assert_eq!(voids[1].text, "the driver of device \"gpu0\" has CUDA 12.2, the plan was made for 13.0");
}

#[test]
fn a_place_on_the_bus_is_read_as_the_driver_tells_it_and_written_as_the_management_library_takes_it() {
    assert_eq!(Pci::parse("0000:3B:00.0"), Some(Pci(0, [0x3b, 0, 0])));
    assert_eq!(Pci::parse("00010000:c1:1f.7").unwrap().to_string(), "00010000:C1:1F.7");
    for wrong in ["", "0000:3B:00", "0000:3BB:00.0", "3B:00.0", "x:3B:00.0"] {
        assert_eq!(Pci::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn a_device_that_shares_queues_is_told() {
    let voids = void("gpu0", Some(&planned()), &Found { has_all_queues: false, ..found() });
    assert!(voids.len() == 1 && voids[0].text.contains("share a queue"), "{voids:?}");
}

#[test]
fn the_inputs_and_outputs_of_a_pools_models_lie_one_after_the_other() {
    const TENSOR: TensorDesc =
        TensorDesc { name: "x", element: ElementType::F32, shape: &[25], at: ByteOffset(0), size: Bytes(100) };
    const MODEL: ModelDesc = ModelDesc {
        name: "net",
        backend: Backend::Kernels,
        engines: None,
        pool: PoolId(1),
        weights: Bytes(0),
        tensors: TensorLife::Job,
        inputs: &[TENSOR],
        outputs: &[TENSOR],
        carried: &[],
        segments: &[],
    };
    let models = &[MODEL, ModelDesc { pool: PoolId(0), ..MODEL }, MODEL, ModelDesc { inputs: &[], ..MODEL }];
    let system = SystemDesc { models, ..SystemDesc::EMPTY };
    let begin = [0, 1, 2, 3].map(|model| staged_at(&system, ModelId(model)));
    assert_eq!(begin, [Some(0), Some(0), Some(256), Some(512)], "each length in multiples of 64");
    assert_eq!(staged_at(&system, ModelId(4)), None);
    let page = u64::try_from(rustix::param::page_size()).unwrap();
    assert_eq!((shared_staging(&system, 1), shared_staging(&system, 7)), (page.max(640), page));
}
