//! Built-in profiles can be read, and written ones say what they mean or why not.

use super::{BUILT_IN, DeviceProfile, SCHEMA, built_in, built_ins, parse, parse_built_ins};

const WRITTEN: &str = "\
schema = \"aegis.device-profile/1\"
name = \"NVIDIA H200\"
driver = \"13.0\"
compute-capability = \"9.0\"
sms = 132
unit = 8
units = 15
memory-bytes = 150754820096
integrated = false
exports = true
l2-bytes = 62914560
clock-khz = 1980000
memory-clock-khz = 3201000
";

const KIND: &str = "\
[[device]]
name = \"small\"
title = \"A small device\"
compute-capability = \"8.7\"
sms = 16
partition-unit = 4
partition-step = 2
memory-bytes = 68719476736
integrated = true
l2-bytes = 4194304
source = [\"its data sheet\"]
";

#[test]
fn every_built_in_profile_can_be_read_and_has_a_source() {
    let all = parse_built_ins(BUILT_IN).unwrap();
    assert_eq!(all, built_ins());
    assert!(!all.is_empty());
    for device in &all {
        let facts = device.facts().unwrap_or_else(|error| panic!("{}: {error}", device.name));
        assert!(facts.divisible > 0 && facts.memory_bytes > 0, "{}", device.name);
        assert!(!device.source.is_empty() && !device.title.is_empty(), "{}", device.name);
        assert_eq!(built_in(&device.name), Some(device), "one of each name");
        assert!(!device.name.ends_with(".toml"), "{} is no path", device.name);
    }
}

#[test]
fn a_kind_of_device_is_divided_into_whole_units_and_steps() {
    let kind = &parse_built_ins(KIND).unwrap()[0];
    let facts = kind.facts().unwrap();
    assert_eq!((facts.unit, facts.step, facts.divisible), (Some(4), 4, 16));
    assert_eq!((facts.name.as_str(), facts.driver, facts.compute_capability), ("", None, (8, 7)));
    let with = |unit, step| super::BuiltIn { partition_unit: unit, partition_step: step, ..kind.clone() }.facts();
    let steps = |unit, step| with(unit, step).map(|facts| (facts.step, facts.divisible));
    assert_eq!((steps(2, 4), steps(5, 5), steps(4, 6)), (Ok((4, 16)), Ok((5, 15)), Ok((12, 12))));
    assert!(steps(0, 2).is_err() && steps(2, 0).is_err() && steps(32, 2).is_err());
}

#[test]
fn a_written_profile_says_what_the_device_told_and_is_written_the_same_again() {
    let profile = parse(WRITTEN).unwrap();
    assert_eq!((profile.schema.as_str(), profile.units), (SCHEMA, Some(15)));
    assert_eq!(toml::to_string(&profile).unwrap(), WRITTEN);
    let facts = profile.facts().unwrap();
    assert_eq!((facts.sms, facts.unit, facts.step), (132, Some(8), 8));
    assert_eq!(facts.divisible, 120, "no more than its driver made groups of");
    assert_eq!((facts.name.as_str(), facts.driver.as_deref()), ("NVIDIA H200", Some("13.0")));
    let whole = DeviceProfile { units: None, ..profile.clone() };
    assert_eq!(whole.facts().unwrap().divisible, 128);
    let undivided = DeviceProfile { units: None, unit: None, ..profile };
    assert_eq!(undivided.facts().unwrap().divisible, 0);
}

#[test]
fn what_a_driver_takes_is_what_was_measured_for_the_process_and_each_part() {
    let of = |keys: &str, parts| parse(&format!("{WRITTEN}{keys}")).unwrap().facts().unwrap().context_of(parts);
    let both = "context-bytes = 500\npart-bytes = 20\n";
    assert_eq!((of(both, 0), of(both, 3)), (Some(500), Some(560)));
    assert_eq!((of("", 1), of("context-bytes = 500\n", 1), of("part-bytes = 20\n", 1)), (None, None, None));
    let most = i64::MAX;
    assert_eq!(
        of(&format!("context-bytes = {most}\npart-bytes = {most}\n"), 3),
        Some(u64::MAX),
        "never less than it is"
    );
    let text = toml::to_string(&parse(&format!("{WRITTEN}{both}")).unwrap()).unwrap();
    assert_eq!(text, format!("{WRITTEN}{both}"));
    let kind = parse_built_ins(KIND).unwrap()[0].facts().unwrap();
    assert_eq!((kind.integrated, kind.context_of(1)), (true, None), "a driver's, and so of no kind of device");
}

#[test]
fn what_is_wrong_with_a_written_profile_is_told() {
    let says = |from: &str, to: &str, what: &str| {
        assert!(WRITTEN.contains(from), "{from}");
        let result = parse(&WRITTEN.replace(from, to)).and_then(|profile| profile.facts());
        let error = result.unwrap_err();
        assert!(error.contains(what), "{error} does not say {what}");
    };
    says("profile/1", "profile/2", "`aegis.device-profile/2`");
    says("schema = \"aegis.device-profile/1\"\n", "", "no schema");
    says("sms = 132", "sms = many", "line 5");
    says("exports = true\n", "", "exports");
    says("exports = true", "exports = true\ncolour = \"green\"", "colour");
    says("units = 15", "units = 17", "17 groups of 8 are not in 132 SMs");
    says("unit = 8", "unit = 0", "groups of 0");
    says("\"9.0\"", "\"nine\"", "`nine`");
}
