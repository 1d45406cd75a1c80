//! What holds of a real device. Where there is none, each test says so and passes.
// Launching kernels and copying memory of the device, of which each test owns all.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

use aegis_cuda::{Argument, CudaError, Device, Graph, Partition, Region, SmUnits, Waiting};
use std::collections::BTreeSet;
use std::os::fd::AsFd as _;
use std::sync::Arc;

const KERNELS: &[u8] = include_bytes!("kernels.ptx");

/// The first device, or `None` with a printed reason.
fn device() -> Option<Arc<Device>> {
    match Device::open(0) {
        Ok(device) => Some(device),
        Err(error @ (CudaError::NoDriver | CudaError::NoSuchDevice { .. })) => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Likewise, where it can be divided.
fn divisible() -> Option<(Arc<Device>, SmUnits)> {
    let device = device()?;
    let units = device.facts().units;
    if units.is_none() {
        println!("skipped: {} cannot be divided by CUDA {}", device.facts().name, device.facts().driver);
    }
    units.map(|units| (device, units))
}

/// Notes on which SMs the blocks of a kernel of this partition run.
fn sms(partition: &Partition, region: &Region, blocks: u32) -> BTreeSet<u32> {
    let module = partition.load(KERNELS).unwrap();
    let note = module.kernel(c"note").unwrap();
    let bytes = usize::try_from(blocks * 4).unwrap();
    let out = region.address(0, u64::from(blocks * 4)).unwrap();
    // SAFETY: nobody else uses the region, and the kernel writes a word for each block.
    unsafe {
        region.write(0, &vec![0xff; bytes]).unwrap();
        let arguments = [Argument::Address(out), Argument::U64(20_000)];
        partition.launch(&note, [blocks, 1, 1], [32, 1, 1], &arguments).unwrap();
    }
    partition.wait().unwrap();
    let mut noted = vec![0; bytes];
    // SAFETY: the kernel has completed.
    unsafe { region.read(0, &mut noted) }.unwrap();
    noted.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect()
}

#[test]
fn a_machine_without_a_driver_or_such_a_device_is_told_so() {
    match Device::open(u16::MAX) {
        Err(CudaError::NoDriver) => println!("skipped in part: there is no driver"),
        Err(CudaError::NoSuchDevice { ordinal, count }) => assert!(ordinal == u16::MAX && count > 0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_device_tells_of_itself() {
    let Some(device) = device() else { return };
    let facts = device.facts();
    println!("{facts:?}");
    assert!(!facts.name.is_empty() && facts.sms > 0 && facts.memory_bytes > 1 << 28 && facts.l2_bytes > 0);
    assert!(device.free_bytes().unwrap() <= facts.memory_bytes && device.ordinal() == 0);
    if let Some(SmUnits { sms, count }) = facts.units {
        assert!(sms > 0 && count > 0 && sms * count <= facts.sms);
    }
}

#[test]
fn a_kernel_runs_on_the_sms_of_its_partition_alone() {
    let Some((device, units)) = divisible() else { return };
    let sizes = [units.sms, 3 * units.sms, units.sms];
    let partitions = Partition::divide(&device, &sizes).unwrap();
    let region = Region::take(&device, 1 << 20).unwrap();
    let mut seen = BTreeSet::new();
    for (partition, size) in partitions.iter().zip(sizes) {
        let own = sms(partition, &region, 64 * device.facts().sms);
        println!("{size} SMs: {own:?}");
        assert_eq!(own.len(), usize::try_from(size).unwrap(), "as many as it has, and no other: {own:?}");
        assert!(own.iter().all(|sm| *sm < device.facts().sms && seen.insert(*sm)), "{own:?} beside {seen:?}");
        assert_eq!(partition.sms(), size);
    }
}

#[test]
fn what_a_device_cannot_be_divided_into_is_refused_with_what_it_can() {
    let Some((device, units)) = divisible() else { return };
    let (unit, left) = (units.sms, units.sms * units.count);
    let refused = |sizes: &[u32]| Partition::divide(&device, sizes).unwrap_err();
    for wanted in [0, unit - 1, unit + 1, left + unit] {
        assert_eq!(refused(&[wanted]), CudaError::Sms { wanted, left, unit });
    }
    let twice = CudaError::Sms { wanted: left, left: left - unit, unit };
    assert_eq!(refused(&[unit, left]), twice);
    assert_eq!(Partition::divide(&device, &[left]).unwrap()[0].sms(), left);
    assert_eq!(Partition::divide(&device, &[]).unwrap().len(), 0);
}

#[test]
fn a_completion_is_that_of_what_was_submitted_before_it_and_a_graph_runs_all_that_was_captured() {
    let Some((device, units)) = divisible() else { return };
    let partitions = Partition::divide(&device, &[units.sms]).unwrap();
    let [partition] = &partitions[..] else { panic!("one") };
    let region = Region::take(&device, 4).unwrap();
    let module = partition.load(KERNELS).unwrap();
    let work = module.kernel(c"work").unwrap();
    let out = region.address(0, 4).unwrap();
    // SAFETY: nobody else uses the region; the kernel writes 4 bytes.
    let submit = |iterations| unsafe {
        partition.launch(&work, [1, 1, 1], [1, 1, 1], &[Argument::U64(iterations), Argument::Address(out)])
    };
    for waiting in [Waiting::Polling, Waiting::Blocking] {
        let mut completion = partition.completion(waiting).unwrap();
        submit(20_000_000).unwrap();
        completion.mark().unwrap();
        assert!(!completion.is_done().unwrap(), "it takes some milliseconds");
        completion.wait().unwrap();
        assert!(completion.is_done().unwrap());
    }
    let graph = Graph::capture(partition, || (0..3).try_for_each(|_| submit(5_000_000))).unwrap().unwrap();
    let mut completion = partition.completion(Waiting::Polling).unwrap();
    // SAFETY: as above.
    unsafe { region.write(0, &[0; 4]).unwrap() };
    // SAFETY: as above.
    unsafe { graph.launch().unwrap() };
    completion.mark().unwrap();
    while !completion.is_done().unwrap() {}
    let mut written = [0; 4];
    // SAFETY: all has completed.
    unsafe { region.read(0, &mut written) }.unwrap();
    assert_ne!(written, [0; 4], "what was captured ran");
    assert!(Graph::capture(partition, || Ok(())).unwrap().is_none_or(|_| true), "nothing was submitted");
    let failed = Graph::capture(partition, || Err(CudaError::NoDriver)).unwrap_err();
    assert_eq!(failed, CudaError::NoDriver);
    submit(1).unwrap();
    partition.wait().unwrap();
}

#[test]
fn memory_is_the_same_for_who_imports_it_and_outside_it_there_is_nothing() {
    let Some(device) = device() else { return };
    let region = Region::take(&device, 3 << 20).unwrap();
    // SAFETY: nobody else uses the region.
    unsafe { region.write((3 << 20) - 3, &[1, 2, 3]) }.unwrap();
    let outside = CudaError::Outside { at: (3 << 20) - 2, end: (3 << 20) + 1, length: 3 << 20 };
    assert_eq!(region.address((3 << 20) - 2, 3).unwrap_err(), outside);
    if device.facts().exports {
        let exported = region.export().unwrap();
        let same = Region::import(&device, exported.as_fd(), 3 << 20).unwrap();
        drop(region);
        let mut bytes = [0; 3];
        // SAFETY: nobody writes it.
        unsafe { same.read((3 << 20) - 3, &mut bytes) }.unwrap();
        assert_eq!(bytes, [1, 2, 3], "it outlives who took it");
    }
    let free = device.free_bytes().unwrap();
    let Err(CudaError::Call { call, name, .. }) = Region::take(&device, device.facts().memory_bytes * 2) else {
        panic!("twice its memory")
    };
    assert_eq!((call, name.as_str()), ("cuMemCreate", "CUDA_ERROR_OUT_OF_MEMORY"));
    assert_eq!(device.free_bytes().unwrap(), free, "nothing of it is kept");
}

#[test]
fn a_module_that_is_none_and_a_kernel_that_it_does_not_have_are_refused_by_name() {
    let Some((device, units)) = divisible() else { return };
    let partitions = Partition::divide(&device, &[units.sms]).unwrap();
    let refused = |image: &[u8]| match partitions[0].load(image) {
        Err(CudaError::Call { call, name, .. }) => (call, name),
        other => panic!("{other:?}"),
    };
    let (call, name) = refused(b"no kernel");
    assert!(call == "cuModuleLoadData" && name.starts_with("CUDA_ERROR_"), "{name}");
    assert_eq!(refused(b".version 7.0\n.target sm_70\n.address_size 64\nnonsense").1, "CUDA_ERROR_INVALID_PTX");
    let module = partitions[0].load(KERNELS).unwrap();
    let Err(CudaError::Call { call, name, .. }) = module.kernel(c"play") else { panic!("there is no such kernel") };
    assert_eq!((call, name.as_str()), ("cuModuleGetFunction", "CUDA_ERROR_NOT_FOUND"));
}
