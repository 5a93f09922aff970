//! Resources of this process and the CPU's name, as the system reports them; `None` where it does
//! not.

use std::fs;

use rustix::time::{ClockId, clock_gettime};

/// Returns the CPU time of all threads of this process.
pub(crate) fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Returns the resident memory.
pub(crate) fn resident_bytes() -> Option<u64> {
    status("VmRSS:")
}

/// Returns the peak of resident memory since the start, or since [`reset_peak`].
pub(crate) fn peak_resident_bytes() -> Option<u64> {
    status("VmHWM:")
}

/// Restarts the measurement of the peak. Where the system does not allow that, peaks are those
/// since the start of the process.
pub(crate) fn reset_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

fn status(key: &str) -> Option<u64> {
    kilobytes(&fs::read_to_string("/proc/self/status").ok()?, key)
}

fn kilobytes(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Returns the number of minor page faults. Each costs time: the system maps a page.
pub(crate) fn page_faults() -> Option<u64> {
    faults(&fs::read_to_string("/proc/self/stat").ok()?)
}

fn faults(stat: &str) -> Option<u64> {
    // The name may contain blanks. After it comes the state; minor faults are the eighth field.
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(7)?.parse().ok()
}

/// Returns the CPU's name.
pub(crate) fn cpu() -> Option<String> {
    cpu_of(&fs::read_to_string("/proc/cpuinfo").ok()?)
}

fn cpu_of(cpuinfo: &str) -> Option<String> {
    let value = |key: &str| {
        cpuinfo.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == key).then(|| value.trim().to_owned())
        })
    };
    // x86 reports names, Arm reports numbers (of its MIDR register, see util-linux's lscpu-arm.c).
    value("model name").or_else(|| {
        let (implementer, part) = (value("CPU implementer")?, value("CPU part")?);
        Some(match (implementer.as_str(), part.as_str()) {
            ("0x41", "0xd0c") => "Neoverse-N1".to_owned(),
            ("0x41", "0xd40") => "Neoverse-V1".to_owned(),
            ("0x41", "0xd49") => "Neoverse-N2".to_owned(),
            ("0x41", "0xd4f") => "Neoverse-V2".to_owned(),
            ("0x41", "0xd84") => "Neoverse-V3".to_owned(),
            ("0x41", "0xd8e") => "Neoverse-N3".to_owned(),
            _ => format!("implementer {implementer}, part {part}"),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_files_of_proc() {
        let status = "Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n";
        assert_eq!(kilobytes(status, "VmRSS:"), Some(1 << 20));
        assert_eq!(kilobytes(status, "VmHWM:"), Some(2 << 20));
        assert_eq!(kilobytes("VmRSS: much\n", "VmRSS:"), None);
        assert_eq!(faults("7 (a) b) S 1 2 3 4 5 6 77 8 9"), Some(77));
        assert_eq!(faults(""), None);
        let x86 = "processor\t: 0\nmodel name\t: AMD EPYC 9R14\nmodel name\t: other\n";
        assert_eq!(cpu_of(x86).as_deref(), Some("AMD EPYC 9R14"));
        let arm = "CPU implementer\t: 0x41\nCPU part\t: 0xd4f\n";
        assert_eq!(cpu_of(arm).as_deref(), Some("Neoverse-V2"));
        let other = cpu_of("CPU implementer\t: 0x61\nCPU part\t: 0x022\n");
        assert_eq!(other.as_deref(), Some("implementer 0x61, part 0x022"));
        assert_eq!(cpu_of(""), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_peak_covers_memory_in_use() {
        let before = peak_resident_bytes().unwrap();
        let memory = vec![1u8; 64 << 20];
        assert!(std::hint::black_box(&memory).iter().all(|&byte| byte == 1));
        assert!(peak_resident_bytes().unwrap() > before.saturating_sub(1 << 20) + (32 << 20));
        drop(memory);
        assert!(cpu_seconds() > 0.0 && page_faults().unwrap() > 0);
    }
}
