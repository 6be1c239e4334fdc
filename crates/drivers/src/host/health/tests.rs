//! Hosts in directories: small trees in the kernel's formats.

use super::*;

const STAT: &str = "cpu  100 10 50 800 40 0 0 0 30 0\ncpu0 100 10 50 800 40 0 0 0 30 0\nintr 5\n";
const MEMINFO: &str =
    "MemTotal:        2048 kB\nMemFree:          100 kB\nMemAvailable:   1536 kB\n";

/// A host with these files.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        files.iter().for_each(|(path, text)| tree.put(path, text));
        tree
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::io::Write::write_all(&mut File::create(path).unwrap(), text.as_bytes()).unwrap();
    }

    fn sampler(&self) -> Sampler {
        Sampler::new(self.0.path(), self.0.path())
    }
}

#[test]
fn rec_14_load_is_what_was_busy_between_two_samples() {
    let tree = Tree::new(&[("proc/stat", STAT), ("proc/meminfo", MEMINFO)]);
    let mut sampler = tree.sampler();
    let first = sampler.sample();
    assert!(first.cpu_percent.is_nan(), "there is nothing to compare with");
    assert_eq!((first.ram_used_bytes, first.ram_total_bytes), (512 << 10, 2048 << 10));
    assert!(first.storage_left_bytes > 0);
    // 60 ticks: 10 user, 5 of interrupts, 5 stolen; 30 idle, 10 waiting.
    tree.put("proc/stat", "cpu  110 10 50 830 50 2 3 5 30 0\n");
    assert_eq!(sampler.sample().cpu_percent.round(), 33.0);
    assert!(sampler.sample().cpu_percent.is_nan(), "no time passed");
    tree.put("proc/stat", "cpu  120 10 50 830 40 2 3 5 30 0\n");
    assert_eq!(sampler.sample().cpu_percent, 100.0, "waiting went backwards");
}

#[test]
fn rec_14_what_is_not_there_is_unknown_and_no_error() {
    let tree = Tree::new(&[]);
    let mut sampler = Sampler::new(tree.0.path(), &tree.0.path().join("none"));
    for _ in 0..2 {
        let health = sampler.sample();
        let SystemHealth { cpu_percent, gpu_percent, temperature_c, .. } = health;
        assert!([cpu_percent, gpu_percent, temperature_c].into_iter().all(f32::is_nan));
        let bytes = [
            health.ram_used_bytes,
            health.ram_total_bytes,
            health.vram_used_bytes,
            health.vram_total_bytes,
            health.storage_left_bytes,
        ];
        assert_eq!((bytes, health.throttled), ([0; 5], false));
    }
}

#[test]
fn rec_14_nonsense_is_unknown() {
    let tree = Tree::new(&[
        ("proc/stat", "cpu  a b c\n"),
        ("proc/meminfo", "MemTotal: -5 kB\nMemAvailable: 9 kB\n"),
        ("sys/class/thermal/thermal_zone0/temp", "hot\n"),
        ("sys/class/thermal/thermal_zone1/temp", "99999999999\n"),
        ("sys/class/thermal/cooling_device0/type", "cpufreq-cpu0\n"),
        ("sys/class/thermal/cooling_device0/cur_state", "-1\n"),
        ("sys/class/drm/card0/device/gpu_busy_percent", "101\n"),
        ("sys/class/drm/card0/device/mem_info_vram_used", "7\n"),
        ("sys/devices/gpu.0/load", "1001\n"),
        (PI_THROTTLED, "throttled\n"),
    ]);
    let health = tree.sampler().sample();
    assert!(health.cpu_percent.is_nan() && health.gpu_percent.is_nan());
    assert!(health.temperature_c.is_nan() && !health.throttled);
    assert_eq!((health.ram_total_bytes, health.vram_used_bytes), (0, 0));
}

#[test]
fn rec_14_the_hottest_sensor_counts_and_one_that_is_broken_does_not() {
    let tree = Tree::new(&[
        ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
        ("sys/class/thermal/thermal_zone0/temp", "48312\n"),
        ("sys/class/thermal/thermal_zone1/type", "PMIC-Die\n"),
        ("sys/class/thermal/thermal_zone1/temp", "100000\n"),
        ("sys/class/thermal/thermal_zone2/temp", "-256000\n"),
        ("sys/class/hwmon/hwmon0/temp1_input", "61850\n"),
        ("sys/class/hwmon/hwmon0/temp1_crit", "105000\n"),
        ("sys/class/hwmon/hwmon0/temp2_input", "90000\n"),
        ("sys/class/hwmon/hwmon0/temp2_fault", "1\n"),
    ]);
    assert_eq!(tree.sampler().sample().temperature_c, 61.8);
    tree.put("sys/class/hwmon/hwmon0/temp1_input", "-3500\n");
    assert_eq!(tree.sampler().sample().temperature_c, 48.3);
}

#[test]
fn rec_14_a_host_that_slows_itself_down_says_so_in_one_of_three_ways() {
    let count = "sys/devices/system/cpu/cpu3/thermal_throttle/core_throttle_count";
    let tree = Tree::new(&[(count, "7\n")]);
    let mut sampler = tree.sampler();
    assert!(!sampler.sample().throttled, "what happened before is not now");
    assert!(!sampler.sample().throttled);
    tree.put(count, "8\n");
    assert!(sampler.sample().throttled);
    assert!(!sampler.sample().throttled, "it is over");
    let time = "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_total_time_ms";
    tree.put(time, "5\n");
    assert!(sampler.sample().throttled);

    let state = "sys/class/thermal/cooling_device1/cur_state";
    for (kind, states, slow) in [
        ("cpufreq-cpu0", ["0", "3"], true),
        ("devfreq-17000000.gpu", ["0", "1"], true),
        ("Processor", ["0", "1"], true),
        ("pwm-fan", ["0", "4"], false),
    ] {
        let tree = Tree::new(&[("sys/class/thermal/cooling_device1/type", kind)]);
        let throttled = states.map(|text| {
            tree.put(state, text);
            tree.sampler().sample().throttled
        });
        assert_eq!(throttled, [false, slow], "{kind}");
    }
    for (text, slow) in
        [("0", false), ("50000", false), ("1", false), ("50005", true), ("0x8", true)]
    {
        let tree = Tree::new(&[(PI_THROTTLED, text)]);
        assert_eq!(tree.sampler().sample().throttled, slow, "{text}");
    }
}

#[test]
fn rec_14_graphics_of_amd_and_of_a_jetson() {
    let tree = Tree::new(&[
        ("sys/class/drm/card0/device/vendor", "0x8086\n"),
        ("sys/class/drm/card1/device/gpu_busy_percent", "37\n"),
        ("sys/class/drm/card1/device/mem_info_vram_used", "1000\n"),
        ("sys/class/drm/card1/device/mem_info_vram_total", "4000\n"),
        ("sys/class/drm/card1-DP-1/device/gpu_busy_percent", "99\n"),
        ("sys/class/drm/card12/device/gpu_busy_percent", "12\n"),
        ("sys/class/drm/card12/device/mem_info_vram_used", "30\n"),
        ("sys/class/drm/card12/device/mem_info_vram_total", "50\n"),
    ]);
    let health = tree.sampler().sample();
    assert_eq!(health.gpu_percent, 37.0);
    assert_eq!((health.vram_used_bytes, health.vram_total_bytes), (1_030, 4_050));
    for place in [
        "sys/devices/gpu.0/load",
        "sys/devices/platform/gpu.0/load",
        "sys/devices/platform/17000000.ga10b/load",
        "sys/devices/platform/bus@0/17000000.gpu/load",
    ] {
        let tree =
            Tree::new(&[(place, "455\n"), ("sys/devices/platform/1c28000.serial/load", "1")]);
        let mut sampler = tree.sampler();
        let health = sampler.sample();
        assert_eq!((health.gpu_percent, health.vram_total_bytes), (45.5, 0), "{place}");
        tree.put(place, "0\n");
        assert_eq!(sampler.sample().gpu_percent, 0.0);
    }
}

#[test]
fn this_host_has_memory_and_load() {
    let mut sampler = Sampler::new(Path::new("/"), Path::new("/"));
    let first = sampler.sample();
    assert!(first.ram_total_bytes > first.ram_used_bytes && first.ram_used_bytes > 0, "{first:?}");
    assert!(first.storage_left_bytes > 0);
    // A tick of the kernel is at most a hundredth of a second, and any work takes some.
    let begun = std::time::Instant::now();
    let mut second = sampler.sample();
    while second.cpu_percent.is_nan() && begun.elapsed().as_secs() < 60 {
        std::thread::yield_now();
        second = sampler.sample();
    }
    assert!((0.0..=100.0).contains(&second.cpu_percent), "{second:?}");
}
