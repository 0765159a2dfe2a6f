//! Whose process holds one end of a connection on this machine.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

/// The name of the node that connected from `near` to `far`: the folder of its `--identity`. See proc(5).
pub(crate) fn owner(near: SocketAddr, far: SocketAddr) -> Option<String> {
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let socket = format!("socket:[{}]", inode(&table, near.port(), far.port())?);
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut processes = processes.filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok());
    // What ends meanwhile, and what is not ours to look into, is passed over.
    let process = processes.find(|process| {
        let handles = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        handles.filter_map(|handle| fs::read_link(handle.path()).ok()).any(|link| link == Path::new(&socket))
    })?;
    let arguments = fs::read_to_string(process.path().join("cmdline")).ok()?;
    let mut arguments = arguments.split('\0').skip_while(|argument| *argument != "--identity");
    let identity = arguments.nth(1)?;
    Some(Path::new(identity).file_name()?.to_string_lossy().into_owned())
}

/// The socket whose own port is `near` and whose peer's is `far`.
fn inode(table: &str, near: u16, far: u16) -> Option<&str> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (own, peer) = (fields.next()?, fields.next()?);
        let is_port = |address: &str, port: u16| address.rsplit(':').next() == Some(&format!("{port:04X}"));
        (is_port(own, near) && is_port(peer, far)).then(|| fields.nth(6))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_found_by_both_its_ports() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 0100007F:1F90 0100007F:C000 01 00000000:00000000 00:00000000 00000000     0        0 111 1\n   \
             1: 0100007F:C000 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 222 1\n";
        assert_eq!(inode(table, 0xC000, 0x1F90), Some("222"));
        assert_eq!(inode(table, 0x1F90, 0xC000), Some("111"));
        assert_eq!(inode(table, 1, 2), None);
    }
}
