//! Memory of a server: the proportional set size of its processes, in bytes.
//!
//! Pss counts a page shared by n processes as 1/n in each, so a master and the worker it forked
//! add up without counting twice. Kernel memory (sockets, thread stacks of the kernel) is not in
//! it.

use std::fs;

use anyhow::Context;
use rustix::process::Pid;

use crate::cpu;

/// Sum of `Pss` from /proc/PID/smaps_rollup over `root` and its descendants, in bytes.
pub(crate) fn of_tree(root: Pid) -> anyhow::Result<u64> {
    cpu::tree(root).into_iter().map(of_process).sum()
}

fn of_process(pid: Pid) -> anyhow::Result<u64> {
    let path = format!("/proc/{}/smaps_rollup", pid.as_raw_nonzero());
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    pss(&text).with_context(|| format!("{path}: no Pss"))
}

fn pss(rollup: &str) -> Option<u64> {
    let value = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kibibytes: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pss_is_read_among_its_neighbours() {
        let rollup =
            "7f00-7fff ---p 0 00:00 0 [rollup]\nRss:  512 kB\nPss:    308 kB\nPss_Dirty: 9 kB\n";
        assert_eq!(pss(rollup), Some(308 * 1024));
        assert_eq!(pss("Rss: 1 kB\n"), None);
    }

    #[test]
    fn touched_memory_is_counted() {
        let own = rustix::process::getpid();
        let before = of_process(own).expect("own memory");
        let touched = vec![1_u8; 8 << 20];
        let after = of_process(own).expect("own memory");
        assert!(std::hint::black_box(&touched).iter().all(|&byte| byte == 1));
        assert!(after >= before + (6 << 20), "{before} then {after}");
    }
}
