//! The memory of this process: how much it has, and how much it may have.

use std::{fs, path::Path};

/// Returns the bytes that this process may have: the limit of its control group, or of one above it,
/// or the memory of the machine. `None` if the system does not say.
pub(crate) fn limit() -> Option<u64> {
    limit_below(Path::new("/"))
}

/// Returns the bytes that this process has in memory; `None` if the system does not say.
pub(crate) fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    field(&status, "VmRSS:")
}

fn limit_below(root: &Path) -> Option<u64> {
    let group = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let memory = fs::read_to_string(root.join("proc/meminfo")).unwrap_or_default();
    let of_groups = group.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap_or(""), parts.next().unwrap_or("/"));
        let (folder, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return Vec::new(),
        };
        let folder = root.join(folder);
        // A container sees its own group at the top, whatever its path is outside.
        let own = folder.join(path.trim_start_matches('/'));
        let groups = own.ancestors().take_while(|group| group.starts_with(&folder));
        let limits = groups.filter_map(|group| fs::read_to_string(group.join(file)).ok());
        // "max" is no limit, as is a number that no machine has.
        limits.filter_map(|text| text.trim().parse().ok()).collect::<Vec<u64>>()
    });
    of_groups.chain(field(&memory, "MemTotal:")).min()
}

/// Returns a number of a file of `/proc`, which is in kB.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit_of(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        limit_below(root.path())
    }

    const MACHINE: (&str, &str) = ("proc/meminfo", "MemTotal:       2048 kB\nMemFree: 1 kB\n");

    #[test]
    fn the_lowest_limit_counts() {
        assert_eq!(limit_of(&[]), None);
        assert_eq!(limit_of(&[MACHINE]), Some(2 << 20));
        let version_2 = ("proc/self/cgroup", "0::/kubepods/pod1/worker\n");
        let own = ("sys/fs/cgroup/kubepods/pod1/worker/memory.max", "1000000\n");
        assert_eq!(limit_of(&[MACHINE, version_2, own]), Some(1_000_000));
        let above = ("sys/fs/cgroup/kubepods/memory.max", "900000\n");
        assert_eq!(limit_of(&[MACHINE, version_2, own, above]), Some(900_000));
        let none = ("sys/fs/cgroup/kubepods/pod1/worker/memory.max", "max\n");
        assert_eq!(limit_of(&[MACHINE, version_2, none]), Some(2 << 20));
        // The view from inside of a container.
        let container = ("sys/fs/cgroup/memory.max", "800000\n");
        assert_eq!(limit_of(&[MACHINE, version_2, container]), Some(800_000));
        let version_1 = ("proc/self/cgroup", "3:cpu,cpuacct:/x\n2:hugetlb,memory:/docker/a\n");
        let limit = ("sys/fs/cgroup/memory/docker/a/memory.limit_in_bytes", "700000\n");
        assert_eq!(limit_of(&[MACHINE, version_1, limit]), Some(700_000));
        let endless =
            ("sys/fs/cgroup/memory/docker/a/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(limit_of(&[MACHINE, version_1, endless]), Some(2 << 20));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_memory_and_a_limit() {
        let (resident, limit) = (resident().unwrap(), limit().unwrap());
        assert!(resident > 1 << 20 && resident < limit, "{resident} of {limit}");
    }
}
