//! The ETag of a local file: its size and its time of modification.
//!
//! The inode is no part of it: a copy that keeps the times (`cp -p`, `rsync -t`), an archive that was
//! moved to another disk, and a file system that gives its files new numbers at each mount (sshfs, exFAT)
//! have other inodes for the same files. So a change is seen from size and time, as `rsync` and `make`
//! see it: a file that got other bytes of the same number, and its old time back, counts as the same.
//!
//! File systems keep times more or less precisely, so a copy may have less of the time than its
//! original: [`same_content`] compares what both have.

use std::{
    fs::{File, Metadata},
    os::unix::fs::MetadataExt,
    time::Duration,
};

const SECOND: i128 = 1_000_000_000;

/// Nanoseconds to which file systems and programs round times: two seconds (FAT, zip), one second
/// (SFTP, tar, HFS+), 10 ms (exFAT), and what system calls and SMB take.
const PRECISIONS: [i128; 6] = [2 * SECOND, SECOND, 10_000_000, 1_000_000, 1_000, 100];

/// Returns the ETag of a file.
pub(super) fn etag_of(metadata: &Metadata) -> String {
    format!("{:x}-{:x}", metadata.len(), modified(metadata))
}

/// Returns the time of modification in nanoseconds since 1970.
fn modified(metadata: &Metadata) -> i128 {
    i128::from(metadata.mtime()) * SECOND + i128::from(metadata.mtime_nsec())
}

/// Returns whether a file with the ETag `current` is the file whose ETag was `recorded`, perhaps on
/// another file system or by an earlier version of this program, whose ETags end in the inode.
pub(super) fn same_content(recorded: &str, current: &str) -> bool {
    if recorded == current {
        return true;
    }
    match (parse(recorded), parse(current)) {
        (Some((size, time)), Some((current_size, current_time))) => {
            size == current_size && (same_time(time, current_time) || same_time(current_time, time))
        }
        _ => false,
    }
}

/// Returns size and time of modification.
fn parse(etag: &str) -> Option<(u64, i128)> {
    let mut parts = etag.split('-');
    let size = u64::from_str_radix(parts.next()?, 16).ok()?;
    // Times before 1970 are negative, and written as two's complement.
    let time = u128::from_str_radix(parts.next()?, 16).ok()?.cast_signed();
    let inode = parts.next().is_none_or(|inode| u64::from_str_radix(inode, 16).is_ok());
    (inode && parts.next().is_none()).then_some((size, time))
}

/// Returns whether the times are equal, or `coarse` is `fine` as a file system with less precision
/// keeps it. Two different whole seconds are two times, whatever their distance.
fn same_time(fine: i128, coarse: i128) -> bool {
    let rounded = |unit: i128| {
        coarse % unit == 0
            && fine % unit.min(SECOND) != 0
            && fine.abs_diff(coarse) < unit.unsigned_abs()
    };
    fine == coarse || PRECISIONS.into_iter().any(rounded)
}

/// Sets the time of modification of a file that is about to replace another, if the ETags of both
/// would be equal: two writes of the same size can lie within one tick of the file system's clock.
pub(super) fn make_different(new: &File, old: &Metadata) {
    let steps = [Duration::from_nanos(1), Duration::from_millis(10), Duration::from_secs(2)];
    for step in steps {
        let differs = new.metadata().is_ok_and(|new| etag_of(&new) != etag_of(old));
        // Where times cannot be set, the write matters more than the ETag.
        let Some(later) = old.modified().ok().and_then(|time| time.checked_add(step)) else {
            return;
        };
        if differs || new.set_modified(later).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn etag(size: u64, time: i128) -> String {
        format!("{size:x}-{time:x}")
    }

    #[test]
    fn a_copy_with_the_time_that_its_file_system_keeps_is_the_same_recording() {
        let original = etag(7, 1_700_000_001_123_456_789);
        for kept in [
            1_700_000_001_123_456_789,
            1_700_000_001_123_456_700,
            1_700_000_001_123_456_000,
            1_700_000_001_123_000_000,
            1_700_000_001_120_000_000,
            1_700_000_001_000_000_000,
            1_700_000_000_000_000_000,
            // FAT as Windows writes it: rounded up.
            1_700_000_002_000_000_000,
        ] {
            assert!(same_content(&original, &etag(7, kept)), "{kept}");
            assert!(same_content(&etag(7, kept), &original), "{kept}");
            assert!(!same_content(&original, &etag(8, kept)), "{kept}");
        }
    }

    #[test]
    fn another_time_is_another_recording() {
        let second = |time: i128| etag(7, time * SECOND);
        assert!(!same_content(&second(1_700_000_000), &second(1_700_000_001)));
        assert!(!same_content(&second(1_700_000_000), &second(1_700_000_002)));
        let original = etag(7, 1_700_000_001_123_456_789);
        for other in [1_700_000_001_123_456_788, 1_700_000_001_654_321_000, 1_700_000_003 * SECOND]
        {
            assert!(!same_content(&original, &etag(7, other)), "{other}");
        }
    }

    #[test]
    fn etags_with_the_inode_are_still_understood() {
        assert!(same_content("7-17979cfe362a1115-4d2", "7-17979cfe362a1115"));
        assert!(!same_content("7-17979cfe362a1115-4d2", "7-17979cfe362a1116"));
        // Before 1970.
        let early = etag(7, -5);
        assert_eq!(parse(&early), Some((7, -5)));
        for odd in ["", "7", "7-", "7-x", "7-1-2-3", "9b2cf535f27731c974343645a3985328"] {
            assert_eq!(parse(odd), None, "{odd}");
            assert!(same_content(odd, odd) && !same_content(odd, "7-1"), "{odd}");
        }
    }
}
