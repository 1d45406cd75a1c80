//! The plug-in of TensorRT-RTX: its devices, and why it does not take one.
// The runtime's C interface, where `ort` has no functions for it.
#![allow(unsafe_code)]

use ort::AsPointer as _;
use ort::device::Device as ProviderDevice;
use ort::environment::Environment;
use ort::sys::{OrtHardwareDevice, OrtStatusPtr};
use std::ffi::CStr;
use std::ptr::{null, null_mut};

/// The name of the plug-in's provider: by it the environment tells its devices from others.
pub(super) const NAME: &str = "NvTensorRTRTXExecutionProvider";
/// Likewise.
const C_NAME: &CStr = c"NvTensorRTRTXExecutionProvider";

/// The plug-in's device at an address on the PCI bus.
pub(super) fn device_at<'e>(environment: &'e Environment, pci: &str) -> Option<ProviderDevice<'e>> {
    let is_there = |device: &ProviderDevice<'_>| {
        // SAFETY: the device belongs to the environment, which is alive.
        unsafe { is_at(device.hardware_device().ptr(), pci) }
    };
    environment.devices().find(|device| device.ep().is_ok_and(|name| name == NAME) && is_there(device))
}

/// Why the plug-in does not take the device at an address on the PCI bus, in its own words; `None` where it says nothing against
/// it.
///
/// # Errors
/// What the runtime says, also that it sees no such device.
pub(super) fn objection(environment: &Environment, pci: &str) -> Result<Option<String>, String> {
    let api = ort::api();
    let mut count = 0_usize;
    // SAFETY: the environment is alive, and the number is written.
    check(unsafe { (api.GetNumHardwareDevices)(environment.ptr(), &raw mut count) })?;
    let mut devices: Vec<*const OrtHardwareDevice> = vec![null(); count];
    // SAFETY: as above; there is room for so many.
    check(unsafe { (api.GetHardwareDevices)(environment.ptr(), devices.as_mut_ptr(), count) })?;
    // SAFETY: the devices belong to the environment.
    let device = devices.into_iter().find(|device| !device.is_null() && unsafe { is_at(*device, pci) });
    let device = device.ok_or_else(|| format!("ONNX Runtime sees no device at {pci}"))?;
    let mut details = null_mut();
    // SAFETY: environment and device are alive, the name is a C string; the details are released below.
    check(unsafe {
        (api.GetHardwareDeviceEpIncompatibilityDetails)(environment.ptr(), C_NAME.as_ptr(), device, &raw mut details)
    })?;
    if details.is_null() {
        return Ok(None);
    }
    let (mut reasons, mut notes) = (0_u32, null());
    // SAFETY: the details are alive, and number and pointer are written.
    let told = check(unsafe { (api.DeviceEpIncompatibilityDetails_GetReasonsBitmask)(details, &raw mut reasons) });
    // SAFETY: as above.
    let told = told.and(check(unsafe { (api.DeviceEpIncompatibilityDetails_GetNotes)(details, &raw mut notes) }));
    let words = if notes.is_null() {
        String::new()
    } else {
        // SAFETY: a C string that lives as long as the details.
        unsafe { CStr::from_ptr(notes) }.to_string_lossy().into_owned()
    };
    // SAFETY: the details are ours, and not used any more.
    unsafe { (api.ReleaseDeviceEpIncompatibilityDetails)(details) };
    told.map(|()| (reasons != 0).then_some(words))
}

/// Whether a device is at an address on the PCI bus, as the runtime found it.
///
/// # Safety
/// The device is alive.
unsafe fn is_at(device: *const OrtHardwareDevice, pci: &str) -> bool {
    let api = ort::api();
    // SAFETY: the caller's; the pairs live as long as the device.
    let pairs = unsafe { (api.HardwareDevice_Metadata)(device) };
    if pairs.is_null() {
        return false;
    }
    // SAFETY: the pairs are alive, the key is a C string; the answer is null or a C string that lives as long as they.
    let value = unsafe { (api.GetKeyValue)(pairs, c"pci_bus_id".as_ptr()) };
    // SAFETY: as above.
    !value.is_null() && unsafe { CStr::from_ptr(value) }.to_string_lossy().eq_ignore_ascii_case(pci)
}

fn check(status: OrtStatusPtr) -> Result<(), String> {
    // SAFETY: each status comes fresh from a call of the runtime and is consumed once.
    unsafe { ort::Error::result_from_status(status) }.map_err(|error| error.to_string())
}
