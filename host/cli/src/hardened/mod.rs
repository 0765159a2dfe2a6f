//! `spillway up --hardened`: the process takes rights away from itself that a node never needs, for good and for its children.
//!
//! Sandboxes keep guests in; this is for the case that one gets out, or that a file of a stranger breaks a parser: what is left
//! then is a process that reads and writes its data folder, reads a few folders of the system, starts nothing but itself,
//! and listens on its own ports.
//!
//! | module | what |
//! | --- | --- |
//! | `files` | Landlock: which files may be opened and how, which ports may be listened on |
//! | `rights` | capabilities, of which root has all |
//! | `calls` | seccomp: which system calls the kernel refuses |
//!
//! Before any thread is there, since threads inherit it from the one that starts them.

mod calls;
mod files;
mod rights;

use std::path::PathBuf;

/// What a node needs.
#[derive(Debug)]
pub(crate) struct Needs {
    /// Folders that it writes.
    pub(crate) writes: Vec<PathBuf>,
    /// Files and folders that it reads, beside those of the system.
    pub(crate) reads: Vec<PathBuf>,
    /// Ports that it listens on.
    pub(crate) listens: Vec<u16>,
}

/// Takes everything else away. Says in words what holds now.
///
/// # Errors
/// What the kernel lacks: a node that is to be hardened does not start without it.
pub(crate) fn harden(needs: &Needs) -> anyhow::Result<String> {
    let landlock = files::restrict(needs)?;
    rights::drop_others()?;
    let refused = calls::restrict()?;
    Ok(format!("{landlock}; seccomp refuses {refused} system calls"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind::PermissionDenied;
    use std::net::TcpListener;
    use std::path::Path;
    use std::process::Command;

    use super::*;

    fn denied<T>(result: std::io::Result<T>) -> bool {
        result.is_err_and(|error| error.kind() == PermissionDenied)
    }

    fn call(number: libc::c_long, arguments: [libc::c_long; 3]) -> std::io::Result<()> {
        #[allow(unsafe_code, reason = "a call that no library makes is what is tried here")]
        // SAFETY: none of the calls below with these arguments reads or writes memory of this process.
        let result = unsafe { libc::syscall(number, arguments[0], arguments[1], arguments[2]) };
        if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
    }

    /// What is left to a thread that has given up the rest. Others of this process are as before.
    fn probe(data: &Path, certificates: &Path, outside: &Path) {
        let needs = Needs { writes: vec![data.to_owned()], reads: vec![certificates.to_owned()], listens: vec![0] };
        harden(&needs).expect("the kernels that this is developed on have both");

        // What a node does.
        fs::write(data.join("a"), "text").expect("its folder is its own");
        fs::create_dir(data.join("folder")).expect("folders, too");
        fs::rename(data.join("a"), data.join("folder/b")).expect("from one folder to another, as uploads go");
        assert_eq!(fs::read_to_string(certificates.join("chain.pem")).expect("it may be read"), "chain");
        fs::read_to_string("/proc/self/statm").expect("what it uses");
        drop(TcpListener::bind("127.0.0.1:0").expect("a port that it was told of"));
        std::thread::spawn(|| ()).join().expect("threads");

        // What it does not.
        let kept = [caps::Capability::CAP_NET_BIND_SERVICE, caps::Capability::CAP_DAC_OVERRIDE];
        let permitted = caps::read(None, caps::CapSet::Permitted).expect("it is asked of the kernel");
        assert!(permitted.iter().all(|one| kept.contains(one)), "{permitted:?}");
        assert!(fs::read("/proc/1/environ").is_err(), "of another process");
        assert!(denied(fs::read_to_string(outside.join("secret"))));
        assert!(denied(fs::write(outside.join("new"), "text")));
        assert!(denied(fs::write(certificates.join("chain.pem"), "another")));
        assert!(denied(fs::read_dir("/root")) && denied(fs::read_dir("/home")) && denied(fs::read_dir("/etc")));
        assert!(denied(fs::read("/etc/passwd")), "it is no secret, but beside it are some");
        assert!(denied(fs::write("/proc/self/comm", "another")), "in /proc are switches of the kernel");
        assert!(denied(fs::write("/etc/spillway-was-here", "")));
        assert!(denied(Command::new("/bin/sh").arg("-c").arg("true").status()));
        fs::copy("/proc/self/exe", data.join("program")).expect("a copy is a file like any other");
        assert!(denied(Command::new(data.join("program")).status()));
        Command::new("/proc/self/exe").arg("--list").output().expect("itself, as a child");
        for (what, result) in [
            ("ptrace", call(libc::SYS_ptrace, [libc::PTRACE_TRACEME.into(), 0, 0])),
            ("unshare", call(libc::SYS_unshare, [libc::CLONE_NEWUSER.into(), 0, 0])),
            ("bpf", call(libc::SYS_bpf, [0, 0, 0])),
            ("io_uring_setup", call(libc::SYS_io_uring_setup, [1, 0, 0])),
            ("keyctl", call(libc::SYS_keyctl, [0, 0, 0])),
            ("a packet socket", call(libc::SYS_socket, [libc::AF_PACKET.into(), libc::SOCK_RAW.into(), 0])),
            ("typing into a terminal", call(libc::SYS_ioctl, [0, 0x5412, 0])),
            ("clone with a namespace", call(libc::SYS_clone, [libc::CLONE_NEWUSER.into(), 0, 0])),
            #[cfg(target_arch = "x86_64")]
            ("ptrace by its second number", call(libc::SYS_ptrace | 0x4000_0000, [0, 0, 0])),
        ] {
            assert!(
                result.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::EPERM)),
                "{what}: {result:?}"
            );
        }
    }

    #[test]
    fn a_hardened_thread_has_what_a_node_needs_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let [data, certificates, outside] = ["data", "certificates", "outside"].map(|name| folder.path().join(name));
        fs::create_dir(&certificates).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(certificates.join("chain.pem"), "chain").unwrap();
        fs::write(outside.join("secret"), "secret").unwrap();
        std::thread::spawn(move || probe(&data, &certificates, &outside)).join().unwrap();
        fs::remove_dir_all(folder.path()).expect("this thread has given up nothing");
    }

    #[test]
    fn a_port_that_was_not_named_is_not_listened_on() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().to_owned();
        let refused = std::thread::spawn(move || {
            harden(&Needs { writes: vec![data], reads: Vec::new(), listens: vec![1] }).unwrap();
            denied(TcpListener::bind("127.0.0.1:0"))
        });
        assert!(refused.join().unwrap());
    }
}
