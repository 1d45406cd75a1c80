//! What the keys of GPUs and of their parts mean.

use crate::{parse_checked, valid_gpu};
use aegis_codegen::manifest::{is_path, unbuildable};
use aegis_core::desc::Waiting;

#[test]
fn a_device_has_a_number_and_a_profile_and_a_lane_a_part() {
    let manifest = parse_checked("valid-gpu.toml", &valid_gpu()).0.unwrap();
    let devices = manifest.devices.iter().map(|device| {
        let profile = device.profile.as_ref().map(|profile| profile.get_ref().as_str());
        (device.ordinal, profile, profile.is_some_and(is_path))
    });
    let expected = [(0, None, false), (0, Some("h200"), false), (1, Some("profiles/lab/device.toml"), true)];
    assert_eq!(devices.collect::<Vec<_>>(), expected);
    let lanes = manifest.lanes.iter().map(|lane| {
        let part = lane.partition.as_ref();
        part.map(|part| (*part.sms.get_ref(), part.completion))
    });
    let (polling, blocking) = (Waiting::Polling, Waiting::Blocking);
    let expected = [Some((32, blocking)), Some((88, polling)), Some((8, polling)), None, None];
    assert_eq!(lanes.collect::<Vec<_>>(), expected);
}

#[test]
fn a_lane_of_a_device_without_tasks_needs_no_part() {
    let text = valid_gpu() + "\n[lane.idle]\ndevice = \"gpu0\"\ncore = 6\n";
    let (manifest, findings) = parse_checked("valid-gpu.toml", &text);
    assert!(manifest.is_some(), "{findings:#?}");
}

#[test]
fn a_gpu_lane_with_a_part_can_be_built() {
    let manifest = parse_checked("valid-gpu.toml", &valid_gpu()).0.unwrap();
    let messages: Vec<String> =
        unbuildable("valid-gpu.toml", &manifest).into_iter().map(|finding| finding.message).collect();
    let of_lanes: Vec<&String> = messages.iter().filter(|message| message.starts_with("lane")).collect();
    assert_eq!(of_lanes, ["lane `guess` is a GPU and has no `sms`, so no part of the device is its own"]);
}
