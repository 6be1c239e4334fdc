//! How the host is: load, memory, heat, graphics, room (REC-14), from what the kernel shows in files.
//!
//! What a host does not show is unknown, and that is no error: a share or a temperature is then not a
//! number, an amount of bytes 0, and a host that does not say so does not slow itself down. Formats
//! and places are the kernel's, `Documentation/` of its sources:
//!
//! | what | where | described in |
//! |---|---|---|
//! | load | `/proc/stat` | `filesystems/proc.rst` |
//! | memory | `/proc/meminfo` | `filesystems/proc.rst` |
//! | heat | `thermal_zone*/temp` | `driver-api/thermal/sysfs-api.rst` |
//! | heat | `hwmon*/temp*_input` | `hwmon/sysfs-interface.rst` |
//! | slowed down | `thermal_throttle/*_throttle_*` | `admin-guide/thermal/intel_thermal_throttle.rst` |
//! | slowed down | `cooling_device*/cur_state` | `driver-api/thermal/sysfs-api.rst` |
//! | graphics | `gpu_busy_percent`, `mem_info_vram_*` | `gpu/amdgpu/` |
//!
//! A Jetson shows the load of its graphics processor in per mille in `load`, and a Raspberry Pi why it
//! is slow in `get_throttled`; both are their makers' own.
//!
//! A sample reads a few dozen small files. A sensor on a slow bus answers late, and a file system that
//! is gone may not answer at all: whoever samples does so in a thread that nothing waits for.

mod parse;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use groundcrew_recorder::body::types::SystemHealth;

use parse::{CpuTimes, Memory};

/// Most of a file that is read; the files here are smaller, or begin with what counts.
const READ_MAX_BYTES: u64 = 16 << 10;
/// Most entries of a directory that are looked at.
const ENTRIES_MAX: usize = 4_096;

/// Where a Raspberry Pi says why it is slow.
const PI_THROTTLED: &str = "sys/devices/platform/soc/soc:firmware/get_throttled";
/// A sensor of a Jetson Nano that shows 100 °C whatever it is.
const NO_SENSOR: &str = "PMIC-Die";
/// Folders with the devices of a Jetson, its graphics processor among them.
const JETSON_PLACES: &[&str] =
    &["sys/devices", "sys/devices/platform", "sys/devices/platform/bus@0"];

/// Looks at a host once a second.
#[derive(Debug)]
pub struct Sampler {
    root: PathBuf,
    storage: PathBuf,
    /// At the last sample.
    cpu: Option<CpuTimes>,
    /// Counts of throttling at the last sample, all of them together.
    throttled: Option<u64>,
}

impl Sampler {
    /// Of the host whose root directory this is; `storage` is where recordings are kept.
    #[must_use]
    pub fn new(root: &Path, storage: &Path) -> Self {
        let (root, storage) = (root.to_owned(), storage.to_owned());
        Self { root, storage, cpu: None, throttled: None }
    }

    /// How the host is now. The load is that since the last sample, so the first one has none.
    pub fn sample(&mut self) -> SystemHealth {
        let memory = self.read("proc/meminfo").as_deref().map(Memory::of).unwrap_or_default();
        let (vram_used_bytes, vram_total_bytes) = self.vram();
        SystemHealth {
            cpu_percent: self.cpu_percent(),
            gpu_percent: self.gpu_percent(),
            temperature_c: self.temperature_c(),
            throttled: self.is_throttled(),
            ram_used_bytes: memory.used_bytes,
            ram_total_bytes: memory.total_bytes,
            vram_used_bytes,
            vram_total_bytes,
            storage_left_bytes: storage_left_bytes(&self.storage),
        }
    }

    fn cpu_percent(&mut self) -> f32 {
        let now = self.read("proc/stat").as_deref().and_then(CpuTimes::of);
        let before = std::mem::replace(&mut self.cpu, now);
        let percent = before.zip(now).and_then(|(before, now)| now.busy_percent_since(before));
        percent.unwrap_or(f32::NAN)
    }

    fn temperature_c(&self) -> f32 {
        let zones = self.list("sys/class/thermal", "thermal_zone").into_iter();
        let zones = zones.filter(|zone| read(&zone.join("type")).as_deref() != Some(NO_SENSOR));
        let zones = zones.map(|zone| zone.join("temp"));
        let chips = self.list("sys/class/hwmon", "hwmon").into_iter();
        let sensors = chips.flat_map(|chip| list(&chip, "temp"));
        let is_input = |path: &PathBuf| {
            let name = path.to_string_lossy();
            let fault = name.strip_suffix("_input").map(|sensor| format!("{sensor}_fault"));
            fault.is_some_and(|fault| read(fault.as_ref()).as_deref() != Some("1"))
        };
        let all = zones.chain(sensors.filter(is_input));
        let temperatures = all.filter_map(|path| parse::celsius(&read(&path)?));
        // The greater one of a number and none is the number.
        temperatures.fold(f32::NAN, f32::max)
    }

    fn is_throttled(&mut self) -> bool {
        let now = self.throttle_counts();
        let before = std::mem::replace(&mut self.throttled, now);
        let counted = before.zip(now).is_some_and(|(before, now)| now > before);
        let cools = self.list("sys/class/thermal", "cooling_device").iter().any(|device| {
            let state = read(&device.join("cur_state"));
            let kind = read(&device.join("type")).unwrap_or_default();
            parse::slows_down(&kind, &state.unwrap_or_default())
        });
        let pi = self.read(PI_THROTTLED).is_some_and(|text| parse::pi_is_throttled(&text));
        counted || cools || pi
    }

    /// Counts and times of all cores; they rise when one throttles. `None`: there are none.
    fn throttle_counts(&self) -> Option<u64> {
        let cores = self.list("sys/devices/system/cpu", "cpu").into_iter();
        let counts = cores.flat_map(|core| {
            let dir = core.join("thermal_throttle");
            let names = ["core_throttle_count", "core_throttle_total_time_ms"];
            let more = ["package_throttle_count", "package_throttle_total_time_ms"];
            names
                .into_iter()
                .chain(more)
                .filter_map(move |name| read(&dir.join(name))?.parse().ok())
        });
        counts.fold(None, |sum: Option<u64>, count: u64| Some(sum.unwrap_or(0).wrapping_add(count)))
    }

    fn cards(&self) -> impl Iterator<Item = PathBuf> + use<> {
        let is_card = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            let number = name.and_then(|name| name.strip_prefix("card"));
            number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let cards = self.list("sys/class/drm", "card").into_iter().filter(is_card);
        cards.map(|card| card.join("device"))
    }

    /// The busiest one.
    fn gpu_percent(&self) -> f32 {
        let cards = self.cards();
        let cards = cards.filter_map(|card| parse::percent(&read(&card.join("gpu_busy_percent"))?));
        let jetsons = self.jetsons().filter_map(|path| parse::per_mille(&read(&path)?));
        cards.chain(jetsons).fold(f32::NAN, f32::max)
    }

    /// Loads of graphics processors of a Jetson. Their driver may come later than we do.
    fn jetsons(&self) -> impl Iterator<Item = PathBuf> {
        let devices = JETSON_PLACES.iter().flat_map(|place| self.list(place, ""));
        let is_gpu = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(parse::is_jetson_gpu)
        };
        devices.filter(is_gpu).map(|device| device.join("load"))
    }

    /// Of all cards: memory in use, memory in all.
    fn vram(&self) -> (u64, u64) {
        let mut sum = (0_u64, 0_u64);
        for card in self.cards() {
            let bytes = |name: &str| read(&card.join(name))?.parse::<u64>().ok();
            // Half of it says nothing.
            if let Some(used) = bytes("mem_info_vram_used")
                && let Some(total) = bytes("mem_info_vram_total")
            {
                sum = (sum.0.saturating_add(used), sum.1.saturating_add(total));
            }
        }
        sum
    }

    fn read(&self, path: &str) -> Option<String> {
        read(&self.root.join(path))
    }

    fn list(&self, dir: &str, prefix: &str) -> Vec<PathBuf> {
        list(&self.root.join(dir), prefix)
    }
}

/// The beginning of a file, without white space around it; `None`: it cannot be read now.
fn read(path: &Path) -> Option<String> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(READ_MAX_BYTES).read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).trim().to_owned())
}

/// What is in a directory and is called so.
fn list(dir: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().take(ENTRIES_MAX).flatten();
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    named.map(|entry| entry.path()).collect()
}

/// What somebody without privileges may still write there.
fn storage_left_bytes(dir: &Path) -> u64 {
    rustix::fs::statvfs(dir).map_or(0, |at| at.f_bavail.saturating_mul(at.f_frsize))
}
