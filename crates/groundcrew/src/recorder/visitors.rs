//! The recorder's socket: producers ask for a ring, or send records (REC-3).
//!
//! A Unix socket of type `SOCK_SEQPACKET`; each packet is one thing said. What the first says, in
//! JSON, decides what follows. `docs/internals/recorder-socket.md` says it for those who write a
//! producer. Each connection has a thread and, unless it asked for a shared ring, a ring of its own
//! in this process; a producer that sends faster than the disk takes is held up, and one that does
//! not want to be held up says by its numbers what it left out.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, lchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use groundcrew_recorder::chain;
use groundcrew_recorder::recorder::{NoRing, Options, Recorder, now};
use groundcrew_recorder::ring::heap::Heap;
use groundcrew_recorder::ring::{CAPACITY_MAX, HEADER_LEN, Producer, capacity_for};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType,
    accept_with, bind, listen, recv, send, shutdown, socket_with, sockopt,
};
use serde::{Deserialize, Serialize};

use super::{AGENT_RING, health, pilot};

/// The socket's name in the run directory.
pub(super) const NAME: &str = "recorder.sock";
/// Version of what is said.
const VERSION: u32 = 1;
/// Most connections at a time.
const CONNECTIONS_MAX: usize = 64;
/// Bytes of the first packet at most.
const HELLO_MAX: usize = 4 << 10;
/// A first packet comes within so long.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// Bytes before the body of a record.
const HEAD: usize = 24;
/// The longest packet: a record with the longest body.
const PACKET_MAX: usize = HEAD + groundcrew_recorder::format::frame::BODY_MAX;
/// Bytes of the ring of a connection: a few of the longest records.
const RING_BYTES: usize = 4 << 20;
/// Bytes of all shared rings at most: they lie in memory.
const RINGS_MAX_BYTES: u64 = 512 << 20;
/// A record waits so long for room in its ring; a disk that hangs for longer loses it, and says so.
const ROOM_WITHIN: Duration = Duration::from_secs(5);
/// Between two looks for room.
const ROOM_PAUSE: Duration = Duration::from_millis(2);

/// The recorder, for as long as it records.
pub(super) type Desk = Arc<Mutex<Option<Recorder>>>;

/// Where shared rings are made, and for whom.
#[derive(Clone, Debug)]
pub(super) struct Rings {
    /// Their directory, which only we write to.
    pub(super) dir: PathBuf,
    /// Whose members may attach to them.
    pub(super) group: Option<u32>,
}

/// What a producer says first.
#[derive(Debug, Deserialize)]
struct Hello {
    v: u32,
    /// What its records are known by.
    name: String,
    /// It wants a shared ring instead of sending.
    #[serde(default)]
    ring: bool,
    /// Bytes of the ring.
    bytes: Option<usize>,
    /// It is drained before all others.
    #[serde(default)]
    critical: bool,
}

/// What it is told.
#[derive(Debug, Serialize)]
struct Answer {
    v: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    ring: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// A record as it was sent.
#[derive(Debug, PartialEq, Eq)]
struct Sent<'a> {
    kind: u16,
    /// 0: when it arrives.
    time_ns: u64,
    number: u64,
    body: &'a [u8],
}

/// Opens the socket. The caller holds the standing recording, so what lies there is a dead one's.
///
/// # Errors
///
/// The host failed.
pub(super) fn open(run: &Path, mode: u32, group: Option<u32>) -> io::Result<OwnedFd> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = run.join(NAME);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket =
        socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrUnix::new(&path)?)?;
    std::os::unix::fs::chown(&path, None, group)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
    listen(&socket, i32::try_from(CONNECTIONS_MAX).unwrap_or(i32::MAX))?;
    Ok(socket)
}

/// Lets producers in until the process ends.
pub(super) fn serve(socket: &OwnedFd, desk: &Desk, rings: &Rings) {
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        // An accept that fails (no more descriptors) is tried again with the next connection.
        let Ok(visitor) = accept_with(socket, SocketFlags::CLOEXEC) else {
            std::thread::sleep(Duration::from_millis(100));
            continue;
        };
        if open.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS_MAX {
            open.fetch_sub(1, Ordering::SeqCst);
            let text = format!("there are {CONNECTIONS_MAX} connections already");
            answer(&visitor, None, Some(text)).ok();
            continue;
        }
        let (desk, count, rings) = (Arc::clone(desk), Arc::clone(&open), rings.clone());
        let started = std::thread::Builder::new().name("visitor".to_owned()).spawn(move || {
            // A connection that breaks concerns only its other end.
            visit(&visitor, &desk, &rings).ok();
            count.fetch_sub(1, Ordering::SeqCst);
        });
        if started.is_err() {
            open.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

fn visit(visitor: &OwnedFd, desk: &Desk, rings: &Rings) -> io::Result<()> {
    sockopt::set_socket_timeout(visitor, sockopt::Timeout::Recv, Some(HELLO_WITHIN))?;
    let mut packet = vec![0; HELLO_MAX];
    let (_, len) = recv(visitor, packet.as_mut_slice(), RecvFlags::empty())?;
    let said = packet.get(..len).unwrap_or_default();
    let welcome = hello(said).and_then(|hello| welcome(&hello, desk, rings));
    match welcome {
        Err(error) => answer(visitor, None, Some(error)),
        Ok(Welcome::Ring(path)) => answer(visitor, Some(path), None),
        Ok(Welcome::Producer(mut producer)) => {
            answer(visitor, None, None)?;
            sockopt::set_socket_timeout(visitor, sockopt::Timeout::Recv, None)?;
            take(visitor, &mut producer)
        }
    }
}

/// What a producer gets.
enum Welcome {
    Ring(PathBuf),
    Producer(Box<Producer<Heap>>),
}

fn hello(said: &[u8]) -> Result<Hello, String> {
    let hello: Hello = serde_json::from_slice(said).map_err(|error| {
        format!("not understood: {error}; the first packet is {{\"v\":1,\"name\":\"…\"}}")
    })?;
    if hello.v != VERSION {
        return Err(format!("version {} is not known; this is {VERSION}", hello.v));
    }
    if [AGENT_RING, pilot::NAME, health::NAME].contains(&hello.name.as_str()) {
        return Err(format!("{:?} is groundcrew itself; take another name", hello.name));
    }
    Ok(hello)
}

fn welcome(hello: &Hello, desk: &Desk, rings: &Rings) -> Result<Welcome, String> {
    let said = |error: NoRing| chain(&error);
    let desk = desk.lock().unwrap_or_else(PoisonError::into_inner);
    let recorder = desk.as_ref().ok_or("the recorder is ending")?;
    let critical = hello.critical;
    if !hello.ring {
        // Our memory, and nobody else's choice.
        let options = Options { bytes: RING_BYTES, critical };
        let producer = recorder.producer(&hello.name, options).map_err(said)?;
        return Ok(Welcome::Producer(Box::new(producer)));
    }
    let options = Options { bytes: hello.bytes.unwrap_or(Options::default().bytes), critical };
    room_for(&hello.name, options.bytes, &rings.dir)?;
    let path = recorder.shared(&hello.name, options).map_err(said)?;
    // Before anybody is told of it.
    lchown(&path, None, rings.group)
        .map_err(|error| format!("cannot set who uses {}: {error}", path.display()))?;
    Ok(Welcome::Ring(path))
}

/// Whether a shared ring fits beside those that are there, unless it is one of them.
fn room_for(name: &str, bytes: usize, rings: &Path) -> Result<(), String> {
    if rings.join(format!("{name}.ring")).exists() {
        return Ok(());
    }
    let there: u64 = std::fs::read_dir(rings)
        .map_err(|error| format!("cannot list {}: {error}", rings.display()))?
        .filter_map(|entry| entry.ok()?.metadata().ok())
        // What it has of our memory: whoever may attach to one may also make it look long.
        .map(|found| found.blocks().saturating_mul(512))
        .sum();
    let more = HEADER_LEN.saturating_add(capacity_for(bytes));
    if there + more > RINGS_MAX_BYTES {
        return Err(format!(
            "the rings have {there} bytes, and {more} more are over {RINGS_MAX_BYTES} (a ring has at \
             most {CAPACITY_MAX})"
        ));
    }
    Ok(())
}

fn answer(visitor: &OwnedFd, ring: Option<PathBuf>, error: Option<String>) -> io::Result<()> {
    let text = serde_json::to_vec(&Answer { v: VERSION, ring, error })?;
    send(visitor.as_fd(), &text, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Takes records until the producer closes, or says something that is none.
fn take(visitor: &OwnedFd, producer: &mut Producer<Heap>) -> io::Result<()> {
    let mut packet = vec![0; PACKET_MAX];
    loop {
        let (_, len) = match recv(visitor, packet.as_mut_slice(), RecvFlags::TRUNC) {
            Err(rustix::io::Errno::INTR) => continue,
            received => received?,
        };
        if len == 0 {
            return Ok(());
        }
        let sent = packet.get(..len).ok_or("it is longer than a record".to_owned()).and_then(sent);
        let pushed = sent.and_then(|sent| push(producer, &sent));
        if let Err(error) = pushed {
            answer(visitor, None, Some(error))?;
            return say_goodbye(visitor, &mut packet);
        }
    }
}

/// Closes so that the producer reads what it was told: with packets that nobody read, the kernel
/// would tell it of a reset instead.
fn say_goodbye(visitor: &OwnedFd, packet: &mut [u8]) -> io::Result<()> {
    shutdown(visitor, Shutdown::Read)?;
    while recv(visitor, &mut *packet, RecvFlags::DONTWAIT).is_ok_and(|(_, len)| len > 0) {}
    Ok(())
}

/// Reads a packet.
fn sent(packet: &[u8]) -> Result<Sent<'_>, String> {
    let short = || format!("{} bytes are no record: its head has {HEAD}", packet.len());
    let (head, body) = packet.split_first_chunk::<HEAD>().ok_or_else(short)?;
    let [k0, k1, flags @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = *head;
    if flags != [0; 6] {
        return Err("bytes 2 to 7 of a record are 0".to_owned());
    }
    let words: Vec<u64> =
        head.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
    let [_, time_ns, number] = words.as_slice() else { return Err(short()) };
    let kind = u16::from_le_bytes([k0, k1]);
    Ok(Sent { kind, time_ns: *time_ns, number: *number, body })
}

/// Hands a record on, and says of those before it that did not come that they are lost.
fn push(producer: &mut Producer<Heap>, sent: &Sent<'_>) -> Result<(), String> {
    let next = producer.made();
    let Some(left_out) = sent.number.checked_sub(next) else {
        return Err(format!("record {} came after record {}", sent.number, next - 1));
    };
    if left_out > 0 {
        producer.skip(left_out);
    }
    let deadline = Instant::now() + ROOM_WITHIN;
    while !producer.fits(sent.body.len()) && Instant::now() < deadline {
        std::thread::sleep(ROOM_PAUSE);
    }
    let time_ns = if sent.time_ns == 0 { now().time_ns } else { sent.time_ns };
    // One that is refused is counted.
    producer.push(sent.kind, time_ns, sent.body);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use groundcrew_recorder::ring::heap;

    #[test]
    fn nobody_else_records_under_the_name_of_groundcrew() {
        assert!(hello(br#"{"v":1,"name":"camera"}"#).is_ok());
        for name in ["agent", "recorder", "host"] {
            let said = format!(r#"{{"v":1,"name":"{name}"}}"#);
            let refused = hello(said.as_bytes()).map(drop).unwrap_err();
            assert!(refused.contains("groundcrew itself"), "{refused}");
        }
    }

    #[test]
    fn rec_3_a_packet_is_a_head_and_a_body() {
        let mut packet = vec![0x12, 0x80, 0, 0, 0, 0, 0, 0];
        packet.extend_from_slice(&7_u64.to_le_bytes());
        packet.extend_from_slice(&9_u64.to_le_bytes());
        packet.extend_from_slice(b"body");
        let whole = Sent { kind: 0x8012, time_ns: 7, number: 9, body: b"body" };
        assert_eq!(sent(&packet), Ok(whole));
        assert_eq!(sent(&packet[..24]).unwrap().body, b"");
        assert!(sent(&packet[..23]).unwrap_err().contains("23 bytes"));
        packet[5] = 1;
        assert!(sent(&packet).unwrap_err().contains("bytes 2 to 7"));
    }

    #[test]
    fn rec_4_numbers_that_did_not_come_are_lost_and_old_ones_are_refused() {
        let (mut producer, _consumer) = heap::ring(0, false);
        let record = |number| Sent { kind: 0x8000, time_ns: 1, number, body: b"" };
        push(&mut producer, &record(0)).unwrap();
        push(&mut producer, &record(5)).unwrap();
        assert_eq!(producer.made(), 6);
        let error = push(&mut producer, &record(5)).unwrap_err();
        assert_eq!(error, "record 5 came after record 5");
        let error = push(&mut producer, &record(2)).unwrap_err();
        assert_eq!(error, "record 2 came after record 5");
    }

    #[test]
    fn a_ring_that_is_there_is_not_refused_for_lack_of_room() {
        let dir = tempfile::tempdir().unwrap();
        let ring = std::fs::File::create(dir.path().join("camera.ring")).unwrap();
        ring.set_len(1 << 40).unwrap();
        room_for("other", 1 << 20, dir.path()).expect("that it looks long takes nobody's memory");
        ring.set_len(0).unwrap();
        let flags = rustix::fs::FallocateFlags::empty();
        rustix::fs::fallocate(&ring, flags, 0, RINGS_MAX_BYTES).unwrap();
        let refused = room_for("other", 1 << 20, dir.path()).unwrap_err();
        assert!(refused.contains("are over"), "{refused}");
        room_for("camera", 1 << 20, dir.path()).unwrap();
    }
}
