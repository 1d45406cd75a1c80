//! What models of kernels have: inputs and outputs with their element types, buffers, and a list of launches.

use aegis_core::desc::{Backend, ElementType, LaunchDesc, MOST_LIVE};
use aegis_core::units::Bytes;
use toml::Spanned;
use toml::de::DeValue;

use crate::finding::{Code, Finding};
use crate::launches::{Argument, ArgumentKind, Form, Kernels, Launch};
use crate::manifest::model::Span;
use crate::manifest::reader::Section;

/// Keys that only models of kernels have.
const KEYS: [&str; 3] = ["outputs", "buffers", "launch"];

/// The element types of a name.
const ELEMENTS: &[(&str, ElementType)] = &[
    (ElementType::F32.name(), ElementType::F32),
    (ElementType::I64.name(), ElementType::I64),
    (ElementType::I32.name(), ElementType::I32),
    (ElementType::U8.name(), ElementType::U8),
];

/// Something that launches can be given the address of.
struct Known {
    name: Spanned<String>,
    what: &'static str,
    /// Whether a launch is given it.
    used: bool,
}

/// What a model of kernels says besides its file; `None` of other backends, and where something of it was reported.
pub(super) fn kernels(section: &mut Section<'_>, backend: Option<Backend>) -> Option<Kernels> {
    match backend {
        Some(Backend::Kernels) => read(section),
        Some(other) => {
            for key in KEYS {
                let Some(span) = section.key_span(key) else { continue };
                let message = format!("{} is of the backend \"{}\" and has `{key}`", section.title(), other.name());
                let finding =
                    Finding::error(Code::LaunchRefused, message).at(section.sink.file, span.clone(), "no effect here");
                let finding = finding.help("remove it, or let the backend be \"kernels\"");
                section.sink.push(section.sink.without(finding, &span));
            }
            None
        }
        // What it should be is not known; the keys are.
        None => {
            KEYS.into_iter().for_each(|key| {
                section.has(key);
            });
            None
        }
    }
}

fn read(section: &mut Section<'_>) -> Option<Kernels> {
    let inputs = forms(section, "inputs");
    let example = "outputs = { out = { dtype = \"f32\", shape = [16] } }";
    let outputs =
        section.required("outputs", example, |section, key| if section.has(key) { forms(section, key) } else { None });
    let buffers = buffers(section);
    let example = "[[model.NAME.launch]]";
    let launches = section.required("launch", example, |section, key| {
        section.sections(key, 1..=LaunchDesc::MOST, "{ kernel = \"blur\", … }", |model, number| {
            format!("launch {number} of {model}")
        })
    });
    // Where a form could not be read, launches are read all the same, but for the names that it may have.
    let mut sound = inputs.is_some() && outputs.is_some() && buffers.is_some();
    let whole = sound;
    let (inputs, outputs) = (inputs.unwrap_or_default(), outputs.unwrap_or_default());
    let (buffers, launches) = (buffers.unwrap_or_default(), launches?);
    let known = |what: &'static str| move |name: &Spanned<String>| Known { name: name.clone(), what, used: false };
    let names = inputs.iter().map(|(name, _)| name).map(known("input"));
    let names = names.chain(outputs.iter().map(|(name, _)| name).map(known("output")));
    let mut known: Vec<Known> = names.chain(buffers.iter().map(|(name, _)| name).map(known("buffer"))).collect();
    sound &= are_distinct(section, &known);
    let mut read = Vec::new();
    let tensors = inputs.len().saturating_add(outputs.len());
    let mut order: Vec<usize> = Vec::new();
    for one in launches {
        match launch(one, (&mut known, whole), tensors, &mut order) {
            Some(one) => read.push(one),
            None => sound = false,
        }
    }
    // Where a launch could not be read, what it would use is not known.
    if !sound {
        return None;
    }
    for one in known.iter().filter(|one| !one.used) {
        let (name, what) = (one.name.get_ref(), one.what);
        let message = format!("no launch of {} has its {what} `{name}` as an argument", section.title());
        let finding =
            Finding::error(Code::UnusedByLaunches, message).at(section.sink.file, one.name.span(), "not used");
        section
            .sink
            .push(finding.help("add it to the `arguments` of the launch that reads or writes it, or remove it"));
        sound = false;
    }
    let sizes = order.iter().filter_map(|buffer| buffers.get(*buffer)).map(|(_, size)| *size);
    let of = |forms: Vec<(Spanned<String>, Form)>| forms.into_iter().map(|(_, form)| form).collect();
    sound.then(|| Kernels { inputs: of(inputs), outputs: of(outputs), buffers: sizes.collect(), launches: read })
}

/// A name stands for one tensor or buffer.
fn are_distinct(section: &Section<'_>, known: &[Known]) -> bool {
    let mut sound = true;
    for (number, one) in known.iter().enumerate() {
        let name = one.name.get_ref();
        let Some(first) = known.iter().take(number).find(|first| first.name.get_ref() == name) else { continue };
        let message = format!("{} has an {} and an {} of the name `{name}`", section.title(), first.what, one.what);
        let message = message.replace("an buffer", "a buffer");
        let finding = Finding::error(Code::LaunchNameTwice, message);
        let finding = finding.at(section.sink.file, one.name.span(), "which of them?");
        let finding = finding.also(section.sink.file, first.name.span(), "first here");
        section.sink.push(finding.help("launches name inputs, outputs and buffers alike: give each its own name"));
        sound = false;
    }
    sound
}

/// The forms under `key`, in their order; none where the key is absent.
fn forms(section: &mut Section<'_>, key: &'static str) -> Option<Vec<(Spanned<String>, Form)>> {
    let example = "a table such as { picture = { dtype = \"f32\", shape = [1, 224, 224] } }";
    if !section.has(key) {
        return Some(Vec::new());
    }
    let table = section.section(key, example)?;
    let mut all = Some(Vec::new());
    for (name, value) in table.pairs() {
        let form = table
            .entry_of(&name, value, "a table such as { dtype = \"f32\", shape = [1, 224, 224] }")
            .and_then(|form| one(form, &name));
        match (form, &mut all) {
            (Some(form), Some(all)) => all.push((name, form)),
            _ => all = None,
        }
    }
    all
}

fn one(mut section: Section<'_>, name: &Spanned<String>) -> Option<Form> {
    let element = section.required("dtype", "dtype = \"f32\"", |section, key| section.choice(key, ELEMENTS, &[]));
    let shape = section.required("shape", "shape = [1, 224, 224]", |section, key| section.dimensions_at(key));
    let sink = section.sink;
    let title = section.title().to_owned();
    section.finish();
    let (element, shape) = (*element?.get_ref(), shape?);
    let bytes =
        |shape: &[u32]| shape.iter().try_fold(element.size().0, |size, side| size.checked_mul(u64::from(*side)));
    let Some(size) = bytes(shape.get_ref()).filter(|bytes| *bytes <= 1 << 48) else {
        let message = format!("{title} has more than 2^48 bytes");
        sink.push(Finding::error(Code::NumberOutOfRange, message).at(sink.file, shape.span(), "out of range"));
        return None;
    };
    Some(Form { name: name.get_ref().clone(), element, shape: shape.into_inner(), size: Bytes(size) })
}

fn buffers(section: &mut Section<'_>) -> Option<Vec<(Spanned<String>, Bytes)>> {
    if !section.has("buffers") {
        return Some(Vec::new());
    }
    let table = section.section("buffers", "a table such as { partial = \"64KiB\" }")?;
    let pairs = table.pairs();
    if pairs.len() > MOST_LIVE {
        let message = format!("{} must have at most {MOST_LIVE} buffers, not {}", section.title(), pairs.len());
        let finding = Finding::error(Code::NumberOutOfRange, message);
        section.sink.push(finding.at(section.sink.file, table.span.clone(), format!("this has {}", pairs.len())));
        return None;
    }
    let sizes = pairs.into_iter().map(|(name, value)| {
        let size = table.size_of(name.get_ref(), value)?;
        let bytes = *size.get_ref();
        if bytes.0 <= 1 << 48 {
            return Some((name, bytes));
        }
        let message = format!("the buffer `{}` has more than 2^48 bytes", name.get_ref());
        let finding = Finding::error(Code::NumberOutOfRange, message);
        table.sink.push(finding.at(table.sink.file, size.span(), "out of range"));
        None
    });
    // All are read, so that all that is wrong with them is reported now.
    let sizes: Vec<_> = sizes.collect();
    sizes.into_iter().collect()
}

/// A launch; `order` are the buffers in the order of their first use, and `whole` says whether all names are known.
fn launch(
    mut section: Section<'_>,
    (known, whole): (&mut [Known], bool),
    tensors: usize,
    order: &mut Vec<usize>,
) -> Option<Launch> {
    let kernel = section.required("kernel", "kernel = \"blur\"", Section::text);
    let grid = section.required("grid", "grid = [28, 28, 1]", |section, key| section.dimensions_at(key));
    let block = section.required("block", "block = [8, 8, 1]", |section, key| section.dimensions_at(key));
    let has_shared = section.has("shared");
    let shared =
        if has_shared { section.size("shared").map(|size| (size.get_ref().0, size.span())) } else { Some((0, 0..0)) };
    let grid = grid.and_then(|grid| sides(&section, "grid", &grid, LaunchDesc::MOST_BLOCKS));
    let block = block.and_then(|block| {
        let sides = sides(&section, "block", &block, LaunchDesc::MOST_SIDES)?;
        let threads = sides.iter().map(|side| u64::from(*side)).product::<u64>();
        let few = threads <= u64::from(LaunchDesc::MOST_THREADS);
        if !few {
            let text = format!("{threads} threads, at most {} are possible", LaunchDesc::MOST_THREADS);
            size(&section, "block", block.span(), text);
        }
        few.then_some(sides)
    });
    let shared = shared.and_then(|(bytes, span)| {
        let fits = bytes <= LaunchDesc::MOST_SHARED.0;
        if !fits {
            size(
                &section,
                "shared",
                span,
                format!("{bytes} bytes, at most {} are possible", LaunchDesc::MOST_SHARED.0),
            );
        }
        fits.then_some(bytes)
    });
    let arguments = section.required("arguments", "arguments = [\"picture\", { u32 = 224 }]", |section, key| {
        section.arguments(key, "an array such as [\"picture\", { u32 = 224 }]", LaunchDesc::MOST_ARGUMENTS)
    });
    let mut read = Some(Vec::new());
    for item in arguments.unwrap_or_default() {
        match (argument(&section, item, (known, whole), tensors, order), &mut read) {
            (Some(argument), Some(read)) => read.push(argument),
            _ => read = None,
        }
    }
    let missing = arguments.is_none();
    section.finish();
    let launch = Launch { kernel: kernel?.into_inner(), grid: grid?, block: block?, shared: shared?, arguments: read? };
    (!missing).then_some(launch)
}

/// Three sides, each at most what it may be.
fn sides(section: &Section<'_>, key: &str, given: &Spanned<Vec<u32>>, most: [u32; 3]) -> Option<[u32; 3]> {
    let Ok(sides) = <[u32; 3]>::try_from(given.get_ref().as_slice()) else {
        let count = given.get_ref().len();
        size(section, key, given.span(), format!("{count} numbers, three are needed: of x, y and z"));
        return None;
    };
    if sides.iter().zip(most).all(|(side, most)| *side <= most) {
        return Some(sides);
    }
    size(section, key, given.span(), format!("{sides:?}, at most {most:?} is possible"));
    None
}

fn size(section: &Section<'_>, key: &str, span: Span, what: String) {
    let message = format!("`{key}` of {} has {what}", section.title());
    let finding = Finding::error(Code::LaunchSize, message).at(section.sink.file, span, "cannot be launched");
    section
        .sink
        .push(finding.help("the limits are CUDA's; let each thread do more, or launch the kernel several times"));
}

/// A name, or a number with its type.
fn argument(
    section: &Section<'_>,
    item: &Spanned<DeValue<'_>>,
    (known, whole): (&mut [Known], bool),
    tensors: usize,
    order: &mut Vec<usize>,
) -> Option<Argument> {
    let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let DeValue::String(name) = item.get_ref() else { return scalar(section, item) };
    let Some((position, one)) = known.iter_mut().enumerate().find(|(_, one)| one.name.get_ref().as_str() == &**name)
    else {
        if !whole {
            return None;
        }
        let message =
            format!("{} has the argument {name:?}, which is no input, output or buffer of its model", section.title());
        let finding = Finding::error(Code::UnknownArgument, message).at(section.sink.file, item.span(), "not known");
        let names: Vec<&str> = known.iter().map(|one| one.name.get_ref().as_str()).collect();
        let help =
            format!("the model has `{}`; a number is given with its type, such as {{ u32 = 224 }}", names.join("`, `"));
        section.sink.push(finding.help(help));
        return None;
    };
    one.used = true;
    let Some(buffer) = position.checked_sub(tensors) else {
        return Some(Argument(ArgumentKind::Tensor, number(position)));
    };
    let place = order.iter().position(|other| *other == buffer).unwrap_or_else(|| {
        order.push(buffer);
        order.len().saturating_sub(1)
    });
    Some(Argument(ArgumentKind::Buffer, number(place)))
}

/// A number with its type: its bits.
fn scalar(section: &Section<'_>, item: &Spanned<DeValue<'_>>) -> Option<Argument> {
    let bits = match item.get_ref() {
        DeValue::Table(table) => match table.iter().next() {
            Some((kind, value)) if table.len() == 1 => bits(kind.get_ref(), value.get_ref()),
            _ => None,
        },
        _ => None,
    };
    if bits.is_none() {
        let message =
            format!("an argument of {} is no name, and no number with its type that fits it", section.title());
        let finding =
            Finding::error(Code::UnknownArgument, message).at(section.sink.file, item.span(), "not understood");
        section.sink.push(finding.help("write a number as one of { u32 = 224 }, { i32 = -1 }, { u64 = 7 }, { i64 = -7 }, { f32 = 1.5 }, { f64 = 1.5 }"));
    }
    bits
}

/// The bits of a number of a type; `None` where the type is not known or the number does not fit.
fn bits(kind: &str, value: &DeValue<'_>) -> Option<Argument> {
    let word = |bits: u32| Argument(ArgumentKind::Word, i64::from(bits));
    let long = |bits: u64| Argument(ArgumentKind::Long, bits.cast_signed());
    let integer = || match value {
        DeValue::Integer(integer) => i128::from_str_radix(integer.as_str(), integer.radix()).ok(),
        _ => None,
    };
    let text = || match value {
        DeValue::Float(float) => Some(float.as_str()),
        DeValue::Integer(integer) if integer.radix() == 10 => Some(integer.as_str()),
        _ => None,
    };
    Some(match kind {
        "u32" => word(u32::try_from(integer()?).ok()?),
        "i32" => word(i32::try_from(integer()?).ok()?.cast_unsigned()),
        "u64" => long(u64::try_from(integer()?).ok()?),
        "i64" => long(i64::try_from(integer()?).ok()?.cast_unsigned()),
        "f32" => word(text()?.parse::<f32>().ok().filter(|number| number.is_finite())?.to_bits()),
        "f64" => long(text()?.parse::<f64>().ok().filter(|number| number.is_finite())?.to_bits()),
        _ => return None,
    })
}
