//! The kernel's notices about devices (`man 7 netlink`, `NETLINK_KOBJECT_UEVENT`): CPUs that come and go, and power.

use super::Occurrence;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{self, Errno};
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recvfrom, socket_with};

/// The kernel's own messages; group 2 carries udev's.
const KERNEL_GROUP: u32 = 1;

/// The kernel sends at most 2048 bytes of variables after the header line.
const LONGEST_MESSAGE: usize = 8192;

/// Messages read at one wake-up; a flood of them must not keep the loop from all else.
const MOST_MESSAGES: usize = 256;

/// A socket that receives them.
#[derive(Debug)]
pub(super) struct Uevents(OwnedFd);

impl Uevents {
    pub(super) fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = Some(KOBJECT_UEVENT);
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, protocol)?;
        // Port 0: the kernel chooses one.
        bind(&socket, &SocketAddrNetlink::new(0, KERNEL_GROUP))?;
        Ok(Self(socket))
    }

    /// Readable when a message has come.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// What the messages tell that came since the last call.
    pub(super) fn take(&mut self) -> io::Result<Vec<Occurrence>> {
        let mut happened = Vec::new();
        let mut buffer = [0; LONGEST_MESSAGE];
        for _ in 0..MOST_MESSAGES {
            match recvfrom(&self.0, &mut buffer, RecvFlags::empty()) {
                Ok((length, _, sender)) => {
                    let sender = sender.map(SocketAddrNetlink::try_from);
                    // A privileged process can send to this group, too, from a port that is its own.
                    if matches!(sender, Some(Ok(address)) if address.pid() == 0) {
                        happened.extend(told(&buffer[..length]));
                    }
                }
                // More came than the socket holds: anything may have changed.
                Err(Errno::NOBUFS) => {
                    happened.extend([Occurrence::CpusChanged, Occurrence::PowerChanged]);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(happened)
    }
}

/// What one message tells: `online@/devices/system/cpu/cpu1`, then `KEY=value`, each ended by a NUL.
fn told(message: &[u8]) -> Option<Occurrence> {
    let value = |key: &[u8]| {
        message
            .split(|byte| *byte == 0)
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(b"="))
    };
    match (value(b"SUBSYSTEM")?, value(b"ACTION")?) {
        (b"cpu", b"online" | b"offline") => Some(Occurrence::CpusChanged),
        (b"power_supply", b"change") => Some(Occurrence::PowerChanged),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(action: &str, subsystem: &str) -> Vec<u8> {
        let lines = [
            format!("{action}@/devices/x"),
            format!("ACTION={action}"),
            "DEVPATH=/devices/x".to_owned(),
            format!("SUBSYSTEM={subsystem}"),
            "SEQNUM=7".to_owned(),
        ];
        lines.join("\0").into_bytes()
    }

    #[test]
    fn only_cpus_that_come_and_go_and_power_count() {
        let of = |action, subsystem| told(&message(action, subsystem));
        assert_eq!(of("online", "cpu"), Some(Occurrence::CpusChanged));
        assert_eq!(of("offline", "cpu"), Some(Occurrence::CpusChanged));
        assert_eq!(of("change", "power_supply"), Some(Occurrence::PowerChanged));
        assert_eq!(of("change", "cpu"), None);
        assert_eq!(of("online", "memory"), None);
        assert_eq!(of("add", "power_supply"), None);
    }

    #[test]
    fn any_bytes_are_a_message_of_no_interest_at_worst() {
        for bytes in [
            &b""[..],
            b"\0\0\0",
            b"ACTION",
            b"SUBSYSTEM=cpu",
            b"libudev\0\xfe\xed\xca\xfe",
            b"online@/devices/system/cpu/cpu1",
        ] {
            assert_eq!(told(bytes), None);
        }
    }
}
