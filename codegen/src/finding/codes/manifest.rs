//! The entries of the table that are about a manifest's text, AEG0xx, and its names, references and values, AEG1xx.

/// Puts these entries before the others of the table.
macro_rules! before {
    ($($others:tt)*) => { $crate::finding::declare::codes! {
    Syntax = "AEG001", "the file is not TOML",
        "The manifest is a TOML 1.1 document, and here its grammar is broken. Until it is mended the rest of \
         the file cannot be understood reliably, so only syntax errors are reported.";
    Duplicate = "AEG002", "a key or table is given twice",
        "Each key and each table may be given once. AegisRT does not guess which of two values was meant. \
         Remove one, or rename one if two things were meant.";
    UnknownKey = "AEG003", "a key or table is not known",
        "A key that AegisRT does not know has no effect, so it is refused: a misspelt deadline must not \
         silently become a default. The manual lists each table's keys.";
    MissingKey = "AEG004", "a required key or table is missing",
        "AegisRT has no safe default for this key, so the manifest must give it.";
    WrongType = "AEG005", "a value has the wrong type",
        "Each key takes one type of value: a string, an integer, a decimal number, an array or a table. Times \
         and sizes are strings with a unit.";
    KeyConflict = "AEG006", "keys exclude each other, or one of them is needed",
        "Some keys are alternatives: a file or a source, a worst-case execution time or a profile of one. \
         Exactly one of them says what is meant.";
    Unsupported = "AEG007", "a feature of the design that this version does not have",
        "The key, table or value belongs to AegisRT's design, but this version does not implement it. It is \
         refused, because a vehicle must not run with less than its manifest asks for.";
    NoTask = "AEG008", "the manifest has no task",
        "A vehicle without tasks has nothing to plan. Add at least one [task.NAME] table with a lane, a period \
         and a worst-case execution time or a profile.";

    BadName = "AEG101", "a name has a character that it must not have",
        "Names become the names of files, constants and threads. They begin with a lower-case letter a to z, \
         and go on with lower-case letters, digits and hyphens; all but the vehicle's name may have \
         underscores too.";
    NameClash = "AEG102", "two names become the same constant",
        "In generated Rust code a hyphen becomes an underscore, so two names that differ only in these would \
         become one constant, and so does the point in the name of a stage, such as `detect.1`. Rename one of them.";
    UnknownReference = "AEG103", "a name refers to nothing",
        "Tasks name their lane and model, lanes name their device, tasks and models their domain, chains, pressure levels and modes their \
         tasks, the answers to overruns, misses, failed jobs and stalls their mode, \
         devices the one whose memory they share. The named table must exist in the same manifest, under exactly this name.";
    BadTime = "AEG104", "a time cannot be read",
        "A time is a string of a decimal number and a unit without a space: \"33ms\", \"1.5ms\", \"250us\". The \
         units are ns, us (or µs), ms and s. It is held in whole nanoseconds, at most 2^64 - 1 of them, and \
         nothing is rounded.";
    BadSize = "AEG105", "a size cannot be read",
        "A size is a string of a decimal number and a unit without a space: \"256MiB\". The units are B, KiB, \
         MiB, GiB (powers of 1,024) and kB, MB, GB (powers of 1,000). It is held in whole bytes, at most \
         2^64 - 1 of them, and nothing is rounded.";
    NumberOutOfRange = "AEG106", "a number lies outside its range",
        "The key's value must lie in the range that the finding states. A period, deadline, worst-case \
         execution time, budget or memory size of zero would have no meaning.";
    UnknownValue = "AEG107", "a value is none of those the key can have",
        "The key takes one of a fixed set of words, which the finding lists.";
    BadText = "AEG108", "a text is empty or malformed",
        "Paths, versions and package names must not be empty. A checksum is the SHA-256 of the file in 64 \
         lower-case hexadecimal digits, as `sha256sum` prints it.";
    SharedCore = "AEG109", "two threads are bound to one core",
        "Each lane's worker and the orchestration thread own a CPU core each. On a shared core one would delay \
         the other by time that the analysis does not count, so the proven bounds would not hold.";
    NoDevice = "AEG110", "a lane whose tasks have models names no device",
        "A model's memory is planned inside its device's budget. A lane with only kind = \"cpu\" has no budget, \
         so it serves for analysis and simulation alone.";
    NoOverheads = "AEG111", "a lane whose tasks have models has no overheads",
        "Starting a job and waking the dispatcher cost time, and a bound that leaves them out does not hold on \
         a machine. Give dispatch-overhead and wakeup-latency, or measure them with `aegis profile` and name \
         the profile.";
    NoPriority = "AEG112", "a task under fixed priorities has no priority",
        "Under the policy fixed-priority the manifest orders the tasks. Every task of such a lane needs a \
         priority, unique in the lane; 0 is the most important.";
    UnusedPriority = "AEG113", "a task has a priority that its lane's policy would not use",
        "Under rate-monotonic, deadline-monotonic and edf the order follows from periods and deadlines, under \
         time-triggered from the table, and between its slots from deadlines. A priority beside them would have no effect: remove it, or choose the policy \
         fixed-priority.";
    EqualPriority = "AEG114", "two tasks of one lane have the same priority",
        "The analysis needs a strict order of a lane's tasks, and so does whoever reads a trace. Give each task \
         of the lane another number; 0 is the most important.";
    BcetAboveWcet = "AEG115", "the best-case execution time exceeds the worst-case one",
        "The shortest execution cannot take longer than the longest.";
    DeadlineBelowWcet = "AEG116", "a job cannot complete by its deadline even alone",
        "The worst-case execution time, with the hooks' time, is longer than the deadline. No schedule can help: \
         allow a longer deadline, or use a faster model.";
    DeadlineBeyondQueue = "AEG117", "the deadline is longer than the queue can hold",
        "The longer a deadline is in periods, the more jobs can wait without one being late, and all of them have \
         their place in a queue of fixed size. A deadline has at most 64 periods. Use a longer period or a shorter \
         deadline.";
    SharedModel = "AEG118", "two tasks use one model",
        "A model's inputs and outputs lie at one planned place, which each job of its task uses in place. Two \
         tasks would overwrite each other's. Declare the model a second time under another name.";
    TooMany = "AEG119", "more tasks, lanes, pressure levels or modes than a plan can hold",
        "A plan holds at most 1,024 tasks, each stage counted, 64 lanes, 16 pressure levels and 16 modes. Its tables and the state \
         of the dispatcher have a fixed size, and so have the indexes that make a decision cost the same for one task and for all.";
    UnusedLane = "AEG120", "a lane has no task",
        "The lane takes a core and has nothing to run. Remove it, or give a task to it.";
    UnusedModel = "AEG121", "no task uses a model",
        "The model is neither loaded nor planned. Remove it, or name it in a task.";
    MarginWithoutProfile = "AEG122", "a margin without a profile to apply it to",
        "The margin multiplies the longest execution that a profile observed. A declared wcet is taken as it is, \
         so a margin beside it would have no effect.";
    ProfileWithoutModel = "AEG123", "a profile of a task that has no model",
        "A profile holds measured executions of a model. A task without a model has a declared wcet.";
    PreemptionRefused = "AEG124", "a lane's preemption is one that it cannot have",
        "A kernel that a GPU has started cannot be stopped, so a GPU lane is preempted between segments at most. A \
         time-triggered lane follows its table, in which each job has a time of its own; between slots it is preempted \
         between segments at most.";
    UnusedSegments = "AEG125", "a task has segments that its lane does not preempt between",
        "Segments are what a job is preempted between, on lanes of preemption \"segments\". On other lanes the \
         execution as a whole is all that counts: declare its `wcet`, or change the lane's preemption.";
    UnusedRegion = "AEG126", "a task has a non-preemptive region on a lane that is not fully preemptive",
        "A region keeps the lane for a part of a job where it could be lost anywhere, on lanes of preemption \
         \"full\". On other lanes nothing could be lost in it: remove it.";
    RegionAboveWcet = "AEG127", "a non-preemptive region is longer than the execution",
        "The region is a part of the execution, so it is at most the worst-case execution time.";
    SuspensionRefused = "AEG128", "a suspension that no bound covers",
        "A job that suspends itself has a bound on a fully preemptive lane under fixed priorities, where its \
         deadline is at most its period and it has no jitter. Elsewhere nothing is claimed: model what it waits for \
         as a stage on another lane.";
    MixedPriorities = "AEG129", "a lane's priorities are both given and to be found",
        "With priority = \"optimal\" the order of all tasks of the lane is found, so none of them has a number. \
         Write it in the lane, or in every task; or give every task a number.";
    StageInTable = "AEG130", "a stage is on a time-triggered lane",
        "A stage is released when the stage before it completes, and a table knows no such instant. Use a lane of \
         another policy, or tasks with phases of their own.";
    UnusedDomainSwitch = "AEG131", "a CPU has a cost of switching domains",
        "The cost is that of a GPU, which goes from one process's work to another's. On a CPU the measured \
         overheads hold what changing threads costs.";
    UnusedDomain = "AEG132", "nothing lies in a domain",
        "A domain without models and tasks separates nothing. Remove it, or name it in a model or a task.";
    SharedDevice = "AEG133", "two lanes of one GPU run tasks of different domains",
        "A GPU gives processes slices of time, during which a lane's work stands still without any bound that the \
         analysis could count. What names no domain lies in another one than what does. Let one lane run all \
         domains' tasks, or let all tasks of the device lie in one domain.";
    RepeatedMember = "AEG134", "a chain has a task twice",
        "A chain goes from its first task to its last, and each task is in it once.";
    LetRefused = "AEG135", "a chain communicates by logical execution time through a task that cannot",
        "Under logical execution time a job reads at its arrival and writes at its deadline, so the deadline must \
         not exceed the period, and there is no place in between for stages to read and write.";
    RepeatedFile = "AEG136", "a model has a file twice",
        "The files of a model are the segments that it was cut into, each in its place. `aegis model cut` writes each of \
         them once.";
    CutWithoutProfile = "AEG137", "a task declares one execution for a model whose segments are preempted between",
        "On a lane of preemption \"segments\" a job can lose its lane between the files of its model, so the longest \
         execution of each file is a term of bounds. A declared wcet has one for all: measure the files with `aegis \
         profile` and name the profile, or use a lane of another preemption.";
    SharesRefused = "AEG138", "a device shares a memory that is not another's own",
        "Devices that share a memory have one budget, which the device that owns it states with `memory`. So `shares` \
         names that device itself: neither one that shares another's, nor the device where it stands.";
    RepeatedInLevel = "AEG139", "a pressure level names a task twice",
        "A level sheds a task, which gives its memory back, or rejects its arrivals, and its memory stays. One of the two \
         holds for each task that the level names, and it is said once.";
    NothingRemains = "AEG140", "a pressure level sheds every task",
        "A level gives up tasks so that others keep their memory and their deadlines. Where all are shed no task is left \
         that this could be for.";
    NoCopyTime = "AEG141", "a pressure level compacts memory whose copying time is not known",
        "Compaction moves what stays to lower addresses, and the time of the copy is a term of what entering the level \
         takes. So each device whose lanes run models says with copy-per-mib how long one MiB takes at most, or with page-size that \
         its memory is given back in pages, where nothing has to move.";
    NoBoundAtLevel = "AEG142", "a chain has no bound at a pressure level",
        "A chain's reaction and age count on each of its tasks arriving every period. While a level sheds or rejects one \
         of them nothing passes there, so no reaction and no age is claimed; at the other levels the bounds hold.";
    SubmittedRefused = "AEG143", "a submitted task is where strictly periodic arrivals are needed",
        "A task with release = submitted comes when the application says, at most once a period. A chain's reaction and age count \
         on each member's arriving every period, so it cannot have it. Fixed priorities, EDF and the gaps of a table hold for \
         such arrivals as they are.";

    WatchdogTooShort = "AEG150", "the watchdog's timeout is not longer than a planned wake-up may be late",
        "The watchdog takes a wake-up that is late by more than its timeout for a stall. How late a wake-up may be is a term of \
         the analysis, so a timeout within it would answer what the plan allows.";
    WatchdogDevice = "AEG151", "a watchdog device's path is not absolute",
        "A vehicle is started in any folder, so the device that resets the machine is named by its whole path.";

    AbortedInChain = "AEG160", "a chain has a task whose jobs may be aborted within their WCET",
        "With on-overrun = abort-job and a budget below the WCET a job that the analysis permits may end without what is left of \
         it, and so may the next one. A chain's reaction and age count on each of its tasks delivering every period, so no \
         bound exists. With a budget that is the WCET only a job beyond every assumption is aborted.";
    WaitsForLevels = "AEG161", "an event may wait for longer than level, mode and what is admitted stay as they are",
        "A change of the level of memory pressure, of the mode, or of what is admitted is a step of the orchestration thread, and \
         every bound counts one of them before each event. They come at most once a second, so an event that may wait for the \
         thread a second or longer could meet two. The wait is the sum of the dispatch overheads of the other lanes and of what \
         else the thread does: lower these.";

    NoDomainToFail = "AEG162", "a task without a domain would have its domain fail",
        "The answer fail-domain ends all that a fault domain does, for the rest of the run. A task that lies in no domain, itself or by \
         its model, has none that could be given up.";
    FailsInChain = "AEG163", "a chain lies in a domain that may fail within its tasks' WCETs",
        "With on-overrun = fail-domain and a budget below the WCET an execution that the analysis permits may end all that a domain \
         does. From then on no task of it delivers anything, so a chain through it has no reaction and no age. With a budget that is \
         the WCET the domain fails only beyond every assumption.";
    StagesInDomains = "AEG164", "the stages of a task lie in different fault domains",
        "A job goes from stage to stage, and one that has failed hands nothing on. So all stages of a task lie in one process: the \
         domain that the task names, or else that of its models.";

    TaskInNoMode = "AEG165", "a task is in no mode",
        "Once a manifest has modes, a task is released in those that name it. One that none names would never run, and \
         nothing would be proven of it.";
    RepeatedInMode = "AEG166", "a mode has a task twice",
        "A mode is a set of tasks: each is in it or not, and their order means nothing.";
    TableAcrossModes = "AEG167", "a task of a time-triggered lane is not in every mode",
        "A table's slots hold for arrivals every period since the start. A task that stops and begins again would arrive at \
         other instants, and one table serves all modes. So these tasks go on across every change.";
    ModesRefused = "AEG168", "modes beside something that the analysis of their changes does not cover",
        "A change of mode rests on each lane's being idle once, and on the same order of its tasks before and after. Stages \
         go from lane to lane, a task that suspends itself leaves its lane idle with a job half done, a chain counts on \
         every period, a level of pressure stops tasks at other times, and optimal priorities are found for one set of \
         tasks. This version has none of them beside modes.";

    BadPercent = "AEG169", "a percentage cannot be read",
        "A percentage is a string of a decimal number and the sign % without a space: \"20%\", \"0.5%\". It is held in whole \
         hundredths of a percent, as Linux tells the shares of its pressure stall information, and nothing is rounded.";
    UntilNotBeyond = "AEG170", "a threshold's `until` does not lie on its milder side",
        "A source asks for a level or a mode from `when` on, and until it has come back to `until`: a share must then be lower, \
         free memory more. The room between the two is what keeps a reading that trembles around one value from asking again and \
         again. Without `until` a share ends at half of `when`, and free memory with a quarter more.";
    LevelsOutOfOrder = "AEG171", "a severer level or mode is asked for no later than a milder one",
        "Pressure levels, and modes that sources ask for, are listed from the mildest to the severest, and the severest whose \
         threshold is crossed is asked for. If a severer one were crossed no later, the milder one would never hold; if it ended \
         later, the vehicle would never come back to the milder one. So by each source thresholds rise with severity.";
    UnusedWatch = "AEG172", "something is said about watching that nothing uses",
        "[watch] says how often sources are looked at and for how long what they ask for is held, `until` where a threshold ends. \
         Without a `when` that they belong to neither has an effect, so one of the two was forgotten.";

    IdleMode = "AEG173", "a change of the mode that would change nothing",
        "Two modes with the same tasks are one: going from one to the other stops nothing and begins nothing. And an overrun, a \
         miss or a failed job of a task that only one mode has comes while that mode holds, so an answer that asks for it does no more than \
         `continue`. Something else was meant, or nothing is to be done.";

    OptionalRefused = "AEG174", "an optional task is where its arrivals are counted on",
        "A task with optional = true releases nothing until the application admits it, and again nothing once it is dismissed. \
         Everything is proven with it, so every other task's bound holds with and without it. A chain's reaction and age count on \
         each member's arriving every period, a stage goes from lane to lane, and a mode already says which tasks are \
         released: none of these is covered beside an optional task.";

    PartRefused = "AEG175", "a lane has `sms` or `completion` where it can have no part of a GPU",
        "With `sms` so many streaming multiprocessors of a GPU are a lane's alone, and `completion` says how its thread learns that \
         they have completed a segment. So the lane names a `device` of kind \"gpu\", which is what is divided; a CPU has nothing \
         that could be, and a lane of kind \"gpu\" alone names no device.";
    UnusedDeviceKey = "AEG176", "a CPU has a number or a profile of a GPU",
        "`ordinal` is a device's number among the CUDA devices of the machine, `profile` says what such a device has. A CPU's \
         `cpu-model` and `governor` are conditions that its lanes' profiles are compared with.";

    NoSlots = "AEG177", "a time-triggered lane has no task with slots",
        "Tasks that the application submits have no slots: they run in the gaps between those of periodic tasks. Where there are \
         none, there is no table, and nothing that a gap would be between. Fixed priorities are the same without a table.";
    SegmentsInSlot = "AEG178", "a task with slots is cut into segments",
        "A slot of a table holds a whole job, which nothing preempts. On a time-triggered lane with preemption between segments \
         only the tasks without slots, which the application submits, give way, so that each of their segments fits a gap.";
    ShortGaps = "AEG179", "a task without slots asks for more than its lane's table leaves",
        "A job that the application submits begins its next segment only if that ends before the next slot. So of each gap all \
         is certain to be used but the length of the longest segment that goes first. Where no gap is as long as that, or all \
         that is certain is less than what is asked for, no response is bounded.";

    StreamBudget = "AEG180", "a task's stages use more streams than its budget",
        "A lane is one stream, and a job goes from lane to lane with its stages. `budget = { streams = … }` says how many \
         different ones it may use. The assignment is planned, so nothing else ever uses one.";
    NoDeviceProfile = "AEG181", "a lane has a part of a GPU of which nothing is known",
        "Whether lanes can have the SMs that they ask for follows from how many the device has, and in which groups its driver \
         divides them. A device's `profile` says so: the name of a built-in one, or the path of what `aegis device probe` wrote.";
    UndividedLane = "AEG182", "a lane of a divided GPU has no part of it",
        "Kernels of a lane without `sms` run on any multiprocessor of its device, also on those that another lane was given, which \
         then waits for them without any bound. So where one lane has a part, every lane of the device that has tasks has one.";
    SharedOrdinal = "AEG183", "two devices of the manifest are one GPU",
        "Each device is divided by itself, and each has a memory of its own. Two of one `ordinal`, which is 0 where it is not given, \
         would have the same multiprocessors and the same memory twice.";
    PartSize = "AEG184", "a lane's part is not made of whole groups of its GPU's multiprocessors",
        "A driver divides a GPU in groups of multiprocessors, which differ from device to device: `aegis device list` tells those of \
         known devices, `aegis device probe` those of this machine's. A lane has a whole number of them.";
    PartsExceeded = "AEG185", "the lanes of a GPU have more multiprocessors than it has",
        "Parts share none, so all lanes of a device together have at most those that its driver puts into groups. Some are left over \
         where their number is not a multiple of the group's.";

    BadExceedance = "AEG186", "a probability of exceedance cannot be read",
        "`exceedance` is a power of ten as a string, \"1e-3\" to \"1e-12\": how likely one execution may be to exceed a bound from a tail.";
    TailWithoutEffect = "AEG187", "a key about WCETs from tails that has no effect",
        "A declared wcet is taken as it is, `exceedance` is of tails alone, and the margin is not applied to bounds from tails.";
    ProcessUnmeasured = "AEG188", "a fault domain that runs models does not say what its process costs",
        "A domain that runs models is a process of its own. Handing a segment over to it and back takes `hand-over` at most, which is \
         part of every execution of its tasks; and when it ends, by itself or because it is killed, any lane may stand still for \
         `fault-blackout` at most, which is part of every bound that holds while it fails. Both are measured, and neither has a default.";
    WatchedWhilePolling = "AEG189", "a vehicle whose threads look again and again is to watch itself",
        "The watching thread shares the orchestration thread's core, which that one never leaves under `waiting = \"polling\"`.";
    LaunchRefused = "AEG190", "launches of a model whose backend has none",
        "`outputs`, `buffers` and `[[model.NAME.launch]]` say what kernels of the application's own are launched with. Only models of the backend \
         `kernels` are launched so; another backend reads all that from its file.";
    UnknownArgument = "AEG191", "an argument of a launch is nothing of its model, and no number",
        "A string in `arguments` is the name of an input, output or buffer of the model, and stands for its address. A number is given with its \
         type, such as { u32 = 224 } or { f32 = 1.5 }, because a kernel takes bits: 4 or 8 bytes of the type that it was compiled for.";
    UnusedByLaunches = "AEG192", "no launch has an input, an output or a buffer as an argument",
        "What no launch is given the address of, no kernel reads or writes: an output would keep what was there before, and an input would \
         never count. Mostly a name is missing in `arguments`.";
    LaunchSize = "AEG193", "a launch has a grid, a block or shared memory that no device can launch",
        "`grid` and `block` have three numbers of at least 1, of x, y and z. CUDA launches at most 2^31 - 1, 65,535 and 65,535 blocks, of at most \
         1,024, 1,024 and 64 threads and 1,024 in all; shared memory that is asked for at the launch is at most 227 KiB, on most devices less.";
    LaunchesWithoutPart = "AEG194", "a model of kernels is on a lane that has no part of a GPU",
        "Kernels run on the multiprocessors that their lane has. A lane of a CPU has none, and on one of a GPU without `sms` nothing would \
         separate them from what other lanes launch.";
    LaunchesCut = "AEG195", "a model of kernels has several files",
        "The launches of a model of kernels are one segment: one file, one captured graph. Where another job shall run between them, make two \
         models of them, and stages of one task that run them.";
    LaunchNameTwice = "AEG196", "a name stands for two of a model's inputs, outputs and buffers",
        "Launches name inputs, outputs and buffers alike, so each needs a name of its own.";

    ProviderRefused = "AEG197", "a model has a provider that its backend or lane does not have",
        "`provider` says what runs a model of ONNX Runtime on a part of a GPU: \"cuda\", which needs no saying, \"tensorrt\" or \"tensorrt-rtx\". \
         Other backends have no providers, and on a lane without `sms` nothing separates what a provider launches from other lanes' work.";
    EngineOption = "AEG198", "an option of TensorRT that has no effect or that a provider does not have",
        "`[model.NAME.tensorrt]` says how the engines of providers \"tensorrt\" and \"tensorrt-rtx\" are built, and is of no other provider. \
         TensorRT-RTX computes in the numbers of the model's file, so it takes no `precision`. An engine is built for the shapes that the \
         file has, so such a model has no `inputs`.";
    ProviderLibrary = "AEG199", "the runtime lacks the library of a model's provider",
        "ONNX Runtime looks for a provider's library in its own folder. Where it comes from a package, `beside` names each library that shall lie \
         there: for \"tensorrt\" libonnxruntime_providers_tensorrt.so, for \"tensorrt-rtx\" libonnxruntime_providers_nv_tensorrt_rtx.so.";
        $($others)*
    } };
}

pub(super) use before;
