//! What holds of a real device. Where there is none, each test says so and passes.
// Launching kernels and copying memory of the device, of which each test owns all.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

use aegis_cuda::{
    Argument, CudaError, Device, Graph, Neighbour, Part, Partition, Pinned, Region, Registered, Shape, SmUnits, Waiting,
};
use std::collections::BTreeSet;
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const PTX: &str = include_str!("kernels.ptx");
/// One block of one thread.
const ONE: Shape = Shape { grid: [1, 1, 1], block: [1, 1, 1], shared: 0 };

/// What one test takes of the device another one would see.
fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

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

/// A partition of one unit.
fn one(device: &Arc<Device>, units: SmUnits) -> Partition {
    Part::divide(device, &[units.sms]).unwrap().pop().unwrap().enter().unwrap()
}

/// What lies in a region from a place on.
fn words<const COUNT: usize>(region: &Region) -> [u32; COUNT] {
    let mut bytes = vec![0; 4 * COUNT];
    // SAFETY: whoever asks has waited for all that writes it.
    unsafe { region.read(0, &mut bytes) }.unwrap();
    let words: Vec<u32> = bytes.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect();
    words.try_into().unwrap()
}

/// Notes on which SMs the blocks of a kernel of this partition run.
fn sms(partition: &Partition, region: &Region, blocks: u32) -> BTreeSet<u32> {
    let module = partition.load(PTX.as_bytes()).unwrap();
    let note = module.kernel(partition, c"note").unwrap();
    let bytes = usize::try_from(blocks * 4).unwrap();
    let out = region.address(0, u64::from(blocks * 4)).unwrap();
    // SAFETY: nobody else uses the region, and the kernel writes a word for each block.
    unsafe {
        region.write(0, &vec![0xff; bytes]).unwrap();
        let shape = Shape { grid: [blocks, 1, 1], block: [32, 1, 1], shared: 0 };
        note.launch(partition, shape, &[Argument::Address(out), Argument::U64(20_000)]).unwrap();
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
        Err(CudaError::NoSuchDevice { ordinal, count }) => assert!(ordinal == u16::MAX && count < 1_000),
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
fn what_is_taken_shows_in_what_the_used_memory_grew_by() {
    let _alone = alone();
    let Some(device) = device() else { return };
    let Some(before) = device.growth_bytes() else {
        println!("skipped: nobody tells of the used memory of {}", device.facts().name);
        return;
    };
    let region = Region::take(&device, 64 << 20).unwrap();
    let taken = device.growth_bytes().unwrap();
    println!("grew by {before} bytes, and by {taken} with a region of {}", region.length());
    assert!(taken >= before.saturating_add(64 << 20), "{before} {taken}");
    drop(region);
    assert!(device.growth_bytes().unwrap() < taken);
}

#[test]
fn a_kernel_runs_on_the_sms_of_its_partition_alone() {
    let _alone = alone();
    let Some((device, units)) = divisible() else { return };
    let sizes = [units.sms, 3 * units.sms, units.sms];
    let parts = Part::divide(&device, &sizes).unwrap();
    let region = Region::take(&device, 1 << 20).unwrap();
    let mut seen = BTreeSet::new();
    for (part, size) in parts.into_iter().zip(sizes) {
        assert_eq!(part.sms(), size);
        let partition = part.enter().unwrap();
        let own = sms(&partition, &region, 64 * device.facts().sms);
        println!("{size} SMs: {own:?}");
        assert_eq!(own.len(), usize::try_from(size).unwrap(), "as many as it has, and no other: {own:?}");
        assert!(own.iter().all(|sm| *sm < device.facts().sms && seen.insert(*sm)), "{own:?} beside {seen:?}");
        assert_eq!((partition.sms(), partition.device().ordinal()), (size, 0));
    }
}

#[test]
fn what_a_device_cannot_be_divided_into_is_refused_with_what_it_can() {
    let _alone = alone();
    let Some((device, units)) = divisible() else { return };
    let (unit, left) = (units.sms, units.sms * units.count);
    let refused = |sizes: &[u32]| Part::divide(&device, sizes).unwrap_err();
    for wanted in [0, unit - 1, unit + 1, left + unit] {
        assert_eq!(refused(&[wanted]), CudaError::Sms { wanted, left, unit });
    }
    let twice = CudaError::Sms { wanted: left, left: left - unit, unit };
    assert_eq!(refused(&[unit, left]), twice);
    assert_eq!(Part::divide(&device, &[left]).unwrap()[0].sms(), left);
    assert_eq!(Part::divide(&device, &[]).unwrap().len(), 0);
}

#[test]
fn a_completion_is_that_of_what_was_submitted_before_it_whoever_asks() {
    let _alone = alone();
    let Some((device, units)) = divisible() else { return };
    let partition = one(&device, units);
    let region = Region::take(&device, 8).unwrap();
    let module = partition.load(PTX.as_bytes()).unwrap();
    let work = module.kernel(&partition, c"work").unwrap();
    let submit = |iterations, at| {
        let arguments = [Argument::U64(iterations), Argument::Address(region.address(at, 4).unwrap())];
        // SAFETY: nobody else uses the region; the kernel writes 4 bytes of it.
        unsafe { work.launch(&partition, ONE, &arguments) }.unwrap();
    };
    for waiting in [Waiting::Polling, Waiting::Blocking] {
        let (first, second) = (partition.completion(waiting).unwrap(), partition.completion(waiting).unwrap());
        submit(5_000_000, 0);
        partition.mark(&first).unwrap();
        submit(100_000_000, 4);
        partition.mark(&second).unwrap();
        assert!(!first.is_done().unwrap(), "it takes some milliseconds");
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| match waiting {
                Waiting::Polling => while !first.is_done().unwrap() {},
                Waiting::Blocking => first.wait().unwrap(),
            });
            asked.join().unwrap();
        });
        assert!(!second.is_done().unwrap(), "what follows takes twenty times as long");
        second.wait().unwrap();
        assert!(first.is_done().unwrap() && second.is_done().unwrap());
    }
}

#[test]
fn a_graph_runs_all_that_was_captured_and_capturing_leaves_nothing_behind() {
    let _alone = alone();
    let Some((device, units)) = divisible() else { return };
    let partition = one(&device, units);
    let region = Region::take(&device, 12).unwrap();
    let module = partition.load(PTX.as_bytes()).unwrap();
    let work = module.kernel(&partition, c"work").unwrap();
    let submit = |at| {
        let arguments = [Argument::U64(1_000), Argument::Address(region.address(at, 4)?)];
        // SAFETY: nobody else uses the region; the kernel writes 4 bytes of it.
        unsafe { work.launch(&partition, ONE, &arguments) }
    };
    let graph = Graph::capture(&partition, |_| false, || [0, 4, 8].into_iter().try_for_each(submit)).unwrap();
    let completion = partition.completion(Waiting::Polling).unwrap();
    for _ in 0..2 {
        // SAFETY: nothing runs.
        unsafe { region.write(0, &[0; 12]).unwrap() };
        assert_eq!(words::<3>(&region), [0; 3], "capturing ran nothing");
        // SAFETY: module and region live, and nobody else uses them.
        unsafe { partition.launch(&graph).unwrap() };
        partition.mark(&completion).unwrap();
        while !completion.is_done().unwrap() {}
        let written = words::<3>(&region);
        assert!(written.iter().all(|word| *word != 0 && *word == written[0]), "{written:?}");
    }
    let nothing = Graph::capture(&partition, |_| false, || Ok::<_, CudaError>(())).unwrap();
    // SAFETY: it has no launch.
    unsafe { partition.launch(&nothing).unwrap() };
    partition.wait().unwrap();
    let failed = Graph::capture(&partition, |_| false, || Err(CudaError::NoDriver)).unwrap_err();
    assert_eq!(failed, CudaError::NoDriver);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        Graph::capture(&partition, |_| false, || -> Result<(), CudaError> { panic!("while it captures") }).map(|_| ())
    }));
    assert!(caught.is_err());
    submit(0).unwrap();
    partition.wait().unwrap();
}

#[test]
fn an_undivided_part_is_the_whole_device() {
    let _alone = alone();
    let Some(device) = device() else { return };
    let (one, two) = (Part::undivided(&device).unwrap(), Part::undivided(&device).unwrap());
    assert_eq!(one.sms(), device.facts().sms);
    let region = Region::take(&device, 1 << 16).unwrap();
    for part in [one, two] {
        let partition = part.enter().unwrap();
        let used = sms(&partition, &region, device.facts().sms * 4);
        assert_eq!(used.len(), usize::try_from(device.facts().sms).unwrap());
        // It can go before the device and beside it.
        drop(partition.leave());
    }
}

#[test]
fn a_neighbour_is_busy_until_it_is_stopped() {
    let _alone = alone();
    let Some((device, units)) = divisible() else { return };
    let part = Part::divide(&device, &[units.sms]).unwrap().pop().unwrap();
    let neighbour = Neighbour::start(part).unwrap();
    // A small device needs some 50 ms for a launch.
    std::thread::sleep(std::time::Duration::from_secs(2));
    // More than are submitted before the first one's end is waited for.
    assert!(neighbour.stop().unwrap() > 8);
}

#[test]
fn copies_are_captured_and_a_part_goes_from_thread_to_thread_with_what_was_made_for_it() {
    let _alone = alone();
    let Some((device, units)) = divisible() else { return };
    let region = Region::take(&device, 8).unwrap();
    let at = region.address(0, 8).unwrap();
    let (from, to) = (Pinned::take(&device, 8).unwrap(), Pinned::take(&device, 8).unwrap());
    let part = Part::divide(&device, &[units.sms]).unwrap().pop().unwrap();
    let partition = part.enter().unwrap();
    let copies = || {
        // SAFETY: only this test uses the memory, and nothing reads or writes it while a launch runs.
        unsafe {
            partition.upload(at, from.base().as_ptr(), 8)?;
            partition.download(to.base().as_ptr(), at, 8)
        }
    };
    let ends = [at, u64::try_from(from.base().addr().get()).unwrap(), u64::try_from(to.base().addr().get()).unwrap()];
    let graph = Graph::capture(&partition, |address| ends.contains(&address), copies).unwrap();
    // A launch would copy again from where the memory of somebody else is by then.
    let kept = |address| address == at;
    let refused = Graph::capture(&partition, kept, copies).unwrap_err();
    assert_eq!(refused, CudaError::NotRepeatable { what: "a copy from or to memory that is not planned" });
    let completion = partition.completion(Waiting::Polling).unwrap();
    let mut part = partition.leave();
    for round in 1..=3_u8 {
        // SAFETY: no launch runs.
        unsafe { from.base().as_ptr().write_bytes(round, 8) };
        // Each time by a thread of its own.
        part = std::thread::scope(|scope| {
            let (graph, completion) = (&graph, &completion);
            let run = move || {
                let partition = part.enter().unwrap();
                // SAFETY: as for the capture.
                unsafe { partition.launch(graph) }.unwrap();
                partition.mark(completion).unwrap();
                partition.leave()
            };
            scope.spawn(run).join().unwrap()
        });
        completion.wait().unwrap();
        // SAFETY: the launch has completed.
        assert_eq!(unsafe { to.base().as_ptr().add(7).read() }, round);
    }
    let other = one(&device, units);
    // SAFETY: it is refused.
    assert_eq!(unsafe { other.launch(&graph) }.unwrap_err(), CudaError::OtherPartition);
}

#[test]
fn memory_is_the_same_for_who_imports_it_and_outside_it_there_is_nothing() {
    let _alone = alone();
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

/// What the other process of the next test is told: the length of what it is given as its standard input.
const SHARED: &str = "AEGIS_TEST_SHARED";

/// That process, where this is one: maps what it is given, checks and changes it by a kernel and a copy, and is killed with it
/// mapped.
#[test]
fn of_another_process() {
    let Ok(length) = std::env::var(SHARED) else { return };
    let device = device().unwrap();
    // The driver takes the number in place of a pointer, and the standard input's is that of none.
    let given = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let region = Region::import(&device, given.as_fd(), length.parse().unwrap()).unwrap();
    assert_eq!(words::<4>(&region), [1, 2, 3, 4], "what the first process wrote");
    let partition = Part::undivided(&device).unwrap().enter().unwrap();
    let module = partition.load(PTX.as_bytes()).unwrap();
    let work = module.kernel(&partition, c"work").unwrap();
    let arguments = [Argument::U64(1_000), Argument::Address(region.address(4, 4).unwrap())];
    // SAFETY: the first process waits; the kernel writes 4 bytes of the region.
    unsafe { work.launch(&partition, ONE, &arguments) }.unwrap();
    partition.wait().unwrap();
    // SAFETY: as above.
    unsafe { region.write(8, &[9, 0, 0, 0]) }.unwrap();
    println!("written");
    loop {
        std::thread::park();
    }
}

#[test]
fn two_processes_have_one_region_and_it_outlives_the_one_that_is_killed() {
    use std::io::{BufRead as _, BufReader};
    let _alone = alone();
    let Some(device) = device() else { return };
    if !device.facts().exports {
        println!("skipped: {} exports no memory", device.facts().name);
        return;
    }
    let length = 3 << 20;
    let region = Region::take(&device, length).unwrap();
    let bytes: Vec<u8> = [1_u32, 2, 3, 4].iter().flat_map(|word| word.to_le_bytes()).collect();
    // SAFETY: nobody else uses the region.
    unsafe { region.write(0, &bytes) }.unwrap();
    let own = std::env::current_exe().unwrap();
    let mut other = std::process::Command::new(own)
        .args(["--exact", "of_another_process", "--nocapture"])
        .env(SHARED, length.to_string())
        .stdin(std::process::Stdio::from(region.export().unwrap()))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = Vec::new();
    for line in BufReader::new(other.stdout.take().unwrap()).lines().map_while(Result::ok) {
        println!("the other process: {line}");
        let is_over = line.contains("written");
        said.push(line);
        if is_over {
            break;
        }
    }
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(said.iter().any(|line| line.contains("written")), "{said:?}");
    let [first, second, third, fourth] = words::<4>(&region);
    assert_eq!((first, third, fourth), (1, 9, 4), "what the other process copied, and what nobody touched");
    assert!(second != 2 && second != 0, "what its kernel wrote: {second:08x}");
    // It is whole after the other one is gone.
    // SAFETY: nobody else uses the region.
    unsafe { region.write(0, &bytes) }.unwrap();
    assert_eq!(words::<4>(&region), [1, 2, 3, 4]);
    // What is no memory of the device is refused by name.
    let file = std::fs::File::open("/dev/null").unwrap();
    let refused = Region::import(&device, file.as_fd(), length).unwrap_err();
    println!("not memory: {refused}");
    assert!(matches!(&refused, CudaError::Call { call, .. } if *call == "cuMemImportFromShareableHandle"), "{refused}");
}

#[test]
fn memory_that_another_process_maps_too_is_pinned_and_copied_from_and_to() {
    use std::ptr::NonNull;
    let _alone = alone();
    let Some((device, units)) = divisible() else { return };
    // What stands for it: a page of the heap.
    let layout = std::alloc::Layout::from_size_align(8_192, 4_096).unwrap();
    // SAFETY: the layout has a length.
    let base = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) }).unwrap();
    // SAFETY: the bytes are there until they are given back below, after it is dropped.
    let registered = unsafe { Registered::of(&device, base, 8_192) }.unwrap();
    // SAFETY: it is refused.
    let again = unsafe { Registered::of(&device, base, 8_192) }.unwrap_err();
    println!("again: {again}");
    let region = Region::take(&device, 4_096).unwrap();
    let at = region.address(0, 4_096).unwrap();
    let partition = one(&device, units);
    let ends = [at, u64::try_from(base.addr().get()).unwrap(), u64::try_from(base.addr().get() + 4_096).unwrap()];
    let copies = || {
        // SAFETY: only this test uses the memory, and nothing reads or writes it while a launch runs.
        unsafe {
            partition.upload(at, base.as_ptr(), 4_096)?;
            partition.download(base.as_ptr().add(4_096), at, 4_096)
        }
    };
    let graph = Graph::capture(&partition, |address| ends.contains(&address), copies).unwrap();
    for round in 1..=3_u8 {
        // SAFETY: no launch runs.
        unsafe { base.as_ptr().write_bytes(round, 4_096) };
        // SAFETY: as for the capture.
        unsafe { partition.launch(&graph) }.unwrap();
        partition.wait().unwrap();
        // SAFETY: the launch has completed.
        assert_eq!(unsafe { base.as_ptr().add(8_191).read() }, round);
    }
    drop(graph);
    drop(registered);
    // SAFETY: allocated above with this layout, and nobody refers to it.
    unsafe { std::alloc::dealloc(base.as_ptr(), layout) };
}

#[test]
fn a_region_outlives_what_runs_and_a_thread_that_leaves_a_partition_leaves_no_context() {
    let _alone = alone();
    let Some((device, units)) = divisible() else { return };
    for _ in 0..20 {
        let partition = one(&device, units);
        let module = partition.load(PTX.as_bytes()).unwrap();
        let work = module.kernel(&partition, c"work").unwrap();
        let region = Region::take(&device, 4).unwrap();
        let arguments = [Argument::U64(1_000_000), Argument::Address(region.address(0, 4).unwrap())];
        // SAFETY: module and region live until it has completed, the region because it waits when it is dropped.
        unsafe { work.launch(&partition, ONE, &arguments) }.unwrap();
        drop(region);
        partition.wait().unwrap();
    }
    // Memory is taken through another context, which is there whatever this thread used before.
    Region::take(&device, 4).unwrap();
}

#[test]
fn a_module_that_is_none_and_a_kernel_that_it_does_not_have_are_refused_by_name() {
    let _alone = alone();
    let Some((device, units)) = divisible() else { return };
    let partition = one(&device, units);
    let refused = |ptx: &str| match partition.load(ptx.as_bytes()) {
        Err(CudaError::Module { name, log, .. }) => (name, log),
        other => panic!("{other:?}"),
    };
    let (name, _) = refused("no kernel");
    assert!(name.starts_with("CUDA_ERROR_"), "{name}");
    let (name, log) = refused(".version 7.0\n.target sm_70\n.address_size 64\nnonsense");
    assert!(name == "CUDA_ERROR_INVALID_PTX" && log.contains("line 4"), "{name}: {log}");
    let module = partition.load(PTX.as_bytes()).unwrap();
    let Err(CudaError::Call { call, name, .. }) = module.kernel(&partition, c"play") else {
        panic!("there is no such kernel")
    };
    assert_eq!((call, name.as_str()), ("cuModuleGetFunction", "CUDA_ERROR_NOT_FOUND"));
    let work = module.kernel(&partition, c"work").unwrap();
    assert_eq!(work.parameters(&partition).unwrap(), Some(vec![8, 8]));
    // What is left of a module may be dropped by any thread: while this one has the part, it stays loaded.
    drop(module);
    std::thread::scope(|scope| scope.spawn(move || drop(work)).join().unwrap());
    let other = one(&device, units);
    let work = partition.load(PTX.as_bytes()).unwrap().kernel(&partition, c"work").unwrap();
    assert_eq!(work.parameters(&other), Err(CudaError::OtherPartition));
}
