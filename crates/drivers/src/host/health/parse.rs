//! What the kernel's files say. Pure; text that is not what it should be says nothing.

/// Coldest and hottest that is believed, degrees Celsius. A sensor that is not connected says less or
/// more.
const CELSIUS: std::ops::RangeInclusive<f32> = -100.0..=250.0;
/// Bits of what a Raspberry Pi says: its frequency is capped, it throttles, its soft limit is reached.
/// The lowest bit is the voltage; bits from 16 on tell of the past.
const PI_SLOW: u64 = 0b1110;
/// Cooling devices that cool by doing less, as the kernel names them.
const SLOWING: &[&str] =
    &["cpufreq-", "thermal-cpufreq-", "devfreq-", "thermal-devfreq-", "Processor"];
/// Graphics processors of a Jetson behind the address in a device's name.
const JETSON_GPUS: &[&str] = &["gpu", "gp10b", "gv11b", "ga10b"];

/// Time that all cores together spent, in the kernel's ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CpuTimes {
    busy: u64,
    idle: u64,
}

impl CpuTimes {
    /// From `/proc/stat`. The times of guests are in those of their users already.
    pub(super) fn of(text: &str) -> Option<Self> {
        let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let times: Option<Vec<u64>> =
            line.split_ascii_whitespace().take(8).map(|word| word.parse().ok()).collect();
        let times = times?;
        let [user, nice, system, idle, rest @ ..] = times.as_slice() else { return None };
        let sum = |times: &[u64]| times.iter().fold(0_u64, |sum, time| sum.saturating_add(*time));
        let (waits, rest) = rest.split_first().unwrap_or((&0, &[]));
        let busy = sum(&[*user, *nice, *system]).saturating_add(sum(rest));
        Some(Self { busy, idle: idle.saturating_add(*waits) })
    }

    /// `None`: no time passed.
    pub(super) fn busy_percent_since(self, before: Self) -> Option<f32> {
        // The kernel says that the time of waiting may go backwards.
        let busy = self.busy.saturating_sub(before.busy);
        let idle = self.idle.saturating_sub(before.idle);
        let all = busy.saturating_add(idle);
        (all > 0).then(|| share(busy, all) * 100.0)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share is shown with a few digits")]
fn share(part: u64, whole: u64) -> f32 {
    (part as f32 / whole as f32).clamp(0.0, 1.0)
}

/// Memory as `/proc/meminfo` has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// What is not available to a program that asks for it.
    pub(super) used_bytes: u64,
    /// In all.
    pub(super) total_bytes: u64,
}

impl Memory {
    /// What is unknown is 0.
    pub(super) fn of(text: &str) -> Self {
        let bytes = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
            kib.checked_mul(1024)
        };
        let total_bytes = bytes("MemTotal").unwrap_or(0);
        let available = bytes("MemAvailable").unwrap_or(total_bytes);
        Self { used_bytes: total_bytes.saturating_sub(available), total_bytes }
    }
}

/// From thousandths of a degree.
pub(super) fn celsius(text: &str) -> Option<f32> {
    let degrees = text.parse::<i32>().ok()? / 100;
    let degrees = f32::from(i16::try_from(degrees).ok()?) / 10.0;
    CELSIUS.contains(&degrees).then_some(degrees)
}

/// A share in hundredths.
pub(super) fn percent(text: &str) -> Option<f32> {
    let percent: u8 = text.parse().ok()?;
    (percent <= 100).then(|| f32::from(percent))
}

/// A share in thousandths.
pub(super) fn per_mille(text: &str) -> Option<f32> {
    let share: u16 = text.parse().ok()?;
    (share <= 1_000).then(|| f32::from(share) / 10.0)
}

/// Whether a cooling device of this kind slows the host down in this state. A fan does not.
pub(super) fn slows_down(kind: &str, state: &str) -> bool {
    let slowing = SLOWING.iter().any(|name| kind.starts_with(name));
    slowing && state.parse::<u64>().is_ok_and(|state| state > 0)
}

/// Whether a Raspberry Pi is slow right now.
pub(super) fn pi_is_throttled(text: &str) -> bool {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u64::from_str_radix(digits, 16).is_ok_and(|bits| bits & PI_SLOW != 0)
}

/// Whether a device is the graphics processor of a Jetson: `gpu.0`, `17000000.ga10b`.
pub(super) fn is_jetson_gpu(device: &str) -> bool {
    device.split('.').any(|part| JETSON_GPUS.contains(&part))
}
