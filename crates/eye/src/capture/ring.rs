//! The ring of blocks the kernel writes packets into (TPACKET_V3, packet(7) and the kernel's
//! `Documentation/networking/packet_mmap.rst`).
//!
//! A block belongs either to the kernel or to us, which one word at its start says. All that
//! happens inside a block of ours is reading of bytes, each bound checked, in [`packets`].

use std::io;
use std::iter;
use std::mem;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU32, Ordering};

use libc::{tpacket_block_desc, tpacket_hdr_v1, tpacket3_hdr};
use rustix::mm::{MapFlags, ProtFlags};
use sockeye_engine::probe::Stamp;
use sockeye_wire::packet::Link;

use crate::kernel::set_option;

/// How much of each packet is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Snap {
    /// The IP and TCP headers, and no byte of payload.
    #[default]
    Headers,
    /// All of it, with the link header in front where the interface has one.
    Whole,
}

/// How much memory a ring takes, and how much of each packet it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingSize {
    /// Bytes of a block: a power of two, at least a page.
    pub block_bytes: u32,
    /// How many blocks; at least 2.
    pub blocks: u32,
    /// Milliseconds after which a block that holds something is handed over though not full.
    pub retire_ms: u32,
    /// How much of each packet is kept.
    pub snap: Snap,
}

impl Default for RingSize {
    /// 4 MiB, enough for some 27,000 headers; a picture waits at most 32 ms for its packets.
    fn default() -> RingSize {
        RingSize { block_bytes: 1 << 19, blocks: 8, retire_ms: 32, snap: Snap::Headers }
    }
}

impl From<Snap> for RingSize {
    /// As by default, or for whole packets 32 MiB: some 500 of the largest.
    fn from(snap: Snap) -> RingSize {
        match snap {
            Snap::Headers => RingSize::default(),
            Snap::Whole => RingSize { block_bytes: 1 << 20, blocks: 32, retire_ms: 32, snap },
        }
    }
}

/// One captured packet, of which the ring still holds the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// When the kernel saw it.
    pub at: Stamp,
    /// The index of the interface it was seen on.
    pub interface: u32,
    /// It was about to leave this machine.
    pub outgoing: bool,
    /// How long it was on the wire, in bytes from its network header on.
    pub length: u32,
    /// Its first bytes, from its network header on; with [`Snap::Whole`] all of them.
    pub bytes: &'a [u8],
    /// The same from its link header on, where that was kept.
    pub frame: &'a [u8],
    /// What `frame` begins with: [`Link::Ip`] if no link header was kept.
    pub link: Link,
}

/// The shared memory.
#[derive(Debug)]
pub struct Ring {
    start: NonNull<u8>,
    size: RingSize,
    /// The block the kernel fills next, or has filled.
    next: u32,
}

// SAFETY: the memory belongs to this value alone; nothing in it is bound to a thread.
unsafe impl Send for Ring {}

impl Ring {
    /// Gives the socket a ring and maps it.
    pub(super) fn map(socket: BorrowedFd<'_>, size: RingSize) -> io::Result<Ring> {
        // The kernel wants a frame size though blocks hold packets of any length.
        let frame_bytes = 2048;
        let request = libc::tpacket_req3 {
            tp_block_size: size.block_bytes,
            tp_block_nr: size.blocks,
            tp_frame_size: frame_bytes,
            tp_frame_nr: (size.block_bytes / frame_bytes).saturating_mul(size.blocks),
            tp_retire_blk_tov: size.retire_ms,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set_option(socket, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        // SAFETY: a new mapping wherever the kernel likes; it overlaps nothing of ours.
        let start = unsafe {
            rustix::mm::mmap(
                ptr::null_mut(),
                size.bytes(),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                socket,
                0,
            )
        }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Ring { start, size, next: 0 })
    }

    /// Hands every packet of every block of ours to `each` and the blocks back to the kernel.
    pub(super) fn drain(&mut self, each: &mut impl FnMut(Packet<'_>)) {
        // At most one round: a kernel that fills faster than we read must not hold us here.
        for _ in 0..self.size.blocks {
            let Some(block) = self.block() else { return };
            packets(block).for_each(&mut *each);
            self.give_back();
        }
    }

    /// The next block, if the kernel has handed it over.
    fn block(&self) -> Option<&[u8]> {
        // Acquire: what the kernel wrote before it handed the block over is seen after this.
        let status = self.status().load(Ordering::Acquire);
        if status & libc::TP_STATUS_USER == 0 {
            return None;
        }
        let offset = self.next as usize * self.size.block_bytes as usize;
        // SAFETY: `next` is below the number of blocks, so the whole block lies in the mapping.
        let start = unsafe { self.start.add(offset) };
        // SAFETY: the mapping lives as long as `self`, and the kernel leaves a block alone that
        // has TP_STATUS_USER until it is given back, for which `&mut self` is needed.
        Some(unsafe { slice::from_raw_parts(start.as_ptr(), self.size.block_bytes as usize) })
    }

    fn give_back(&mut self) {
        // Release: the kernel writes into the block only after all our reads of it.
        self.status().store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.next = (self.next + 1) % self.size.blocks;
    }

    /// The word of the next block that says whose it is.
    fn status(&self) -> &AtomicU32 {
        let offset = self.next as usize * self.size.block_bytes as usize + BLOCK_STATUS;
        // SAFETY: as in `block`; the word is inside the block's descriptor.
        let word = unsafe { self.start.add(offset) };
        // SAFETY: it is aligned, since blocks begin on a page and the word at a multiple of 4
        // in them, and both sides only ever read or write the whole word.
        unsafe { AtomicU32::from_ptr(word.as_ptr().cast()) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: this is the mapping made in `map`, and no slice of it outlives `self`.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.size.bytes()) };
    }
}

impl RingSize {
    fn bytes(self) -> usize {
        self.block_bytes as usize * self.blocks as usize
    }
}

const BLOCK_HEADER: usize = mem::offset_of!(tpacket_block_desc, hdr);
const BLOCK_STATUS: usize = BLOCK_HEADER + mem::offset_of!(tpacket_hdr_v1, block_status);
const BLOCK_PACKETS: usize = BLOCK_HEADER + mem::offset_of!(tpacket_hdr_v1, num_pkts);
const BLOCK_FIRST: usize = BLOCK_HEADER + mem::offset_of!(tpacket_hdr_v1, offset_to_first_pkt);
/// The link-level address stands behind the packet's header, aligned (`TPACKET_ALIGN`).
const ADDRESS: usize = size_of::<tpacket3_hdr>().next_multiple_of(libc::TPACKET_ALIGNMENT);

/// The packets of one block. Ends early where a header points outside the block.
pub fn packets(block: &[u8]) -> impl Iterator<Item = Packet<'_>> {
    let mut left = word(block, BLOCK_PACKETS).unwrap_or(0);
    let mut at = word(block, BLOCK_FIRST).map_or(block.len(), |offset| offset as usize);
    iter::from_fn(move || {
        left = left.checked_sub(1)?;
        let header = block.get(at..)?;
        let packet = packet(header)?;
        let step = word(header, mem::offset_of!(tpacket3_hdr, tp_next_offset))?;
        // The last packet's step is 0.
        if step == 0 {
            left = 0;
        }
        at = at.checked_add(step as usize)?;
        Some(packet)
    })
}

/// The packet whose header stands at the start of `bytes`.
fn packet(bytes: &[u8]) -> Option<Packet<'_>> {
    let field = |offset| word(bytes, offset);
    let seconds = u64::from(field(mem::offset_of!(tpacket3_hdr, tp_sec))?);
    let nanos = u64::from(field(mem::offset_of!(tpacket3_hdr, tp_nsec))?);
    let kept = field(mem::offset_of!(tpacket3_hdr, tp_snaplen))? as usize;
    let network = usize::from(half(bytes, mem::offset_of!(tpacket3_hdr, tp_net))?);
    let start = usize::from(half(bytes, mem::offset_of!(tpacket3_hdr, tp_mac))?);
    let link_header = network.checked_sub(start)?;
    let frame = bytes.get(start..start.checked_add(kept)?)?;
    let packet = frame.get(link_header..)?;
    let length = field(mem::offset_of!(tpacket3_hdr, tp_len))?;
    let kind = *bytes.get(ADDRESS + mem::offset_of!(libc::sockaddr_ll, sll_pkttype))?;
    let hardware = half(bytes, ADDRESS + mem::offset_of!(libc::sockaddr_ll, sll_hatype))?;
    let (link, frame) = match hardware {
        _ if link_header == 0 => (Link::Ip, packet),
        libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => (Link::Ethernet, frame),
        // Of other links the header is left out: few could read it.
        _ => (Link::Ip, packet),
    };
    Some(Packet {
        at: Stamp(seconds * 1_000_000_000 + nanos),
        interface: field(ADDRESS + mem::offset_of!(libc::sockaddr_ll, sll_ifindex))?,
        outgoing: kind == libc::PACKET_OUTGOING,
        length: length.saturating_sub(u32::try_from(link_header).ok()?),
        bytes: packet,
        frame,
        link,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A block as the kernel lays it out, with these payloads.
    fn block(payloads: &[&[u8]]) -> Vec<u8> {
        const FIRST: usize = 48;
        const NET: usize = 96;
        let mut block = vec![0; FIRST];
        block[BLOCK_STATUS] = 1;
        block[BLOCK_PACKETS] = payloads.len().try_into().unwrap();
        block[BLOCK_FIRST] = FIRST.try_into().unwrap();
        for (index, payload) in payloads.iter().enumerate() {
            let step = (NET + payload.len()).next_multiple_of(8);
            let last = index + 1 == payloads.len();
            let mut packet = vec![0; step];
            let mut put = |at: usize, value: u32| {
                packet[at..at + 4].copy_from_slice(&value.to_ne_bytes());
            };
            let length = payload.len().try_into().unwrap();
            put(0, if last { 0 } else { step.try_into().unwrap() });
            put(4, 3);
            put(8, 5);
            put(12, length);
            put(16, length + 1000);
            put(26, 0);
            put(ADDRESS + 4, 7);
            packet[24] = NET.try_into().unwrap();
            packet[26] = NET.try_into().unwrap();
            packet[ADDRESS + 10] = if index == 0 { 4 } else { 0 };
            packet[NET..NET + payload.len()].copy_from_slice(payload);
            block.extend(packet);
        }
        block
    }

    #[test]
    fn reads_every_packet_of_a_block() {
        let block = block(&[b"first", b"", b"the third"]);
        let read: Vec<Packet<'_>> = packets(&block).collect();
        assert_eq!(read.len(), 3);
        assert_eq!(
            read[0],
            Packet {
                at: Stamp(3_000_000_005),
                interface: 7,
                outgoing: true,
                length: 1005,
                bytes: b"first",
                frame: b"first",
                link: Link::Ip,
            }
        );
        assert_eq!((read[1].bytes, read[1].outgoing), (&b""[..], false));
        assert_eq!(read[2].bytes, b"the third");
    }

    #[test]
    fn a_link_header_stands_in_front_where_one_was_kept() {
        let mut block = block(&[b"fourteen bytes, and the packet"]);
        let header = 48;
        block[header + 26] += 14;
        // ARPHRD_ETHER, and one that is not written out
        for (hardware, link, skipped) in [(1_u8, Link::Ethernet, 0), (32, Link::Ip, 14)] {
            block[header + ADDRESS + 8] = hardware;
            let packet = packets(&block).next().unwrap();
            assert_eq!((packet.bytes, packet.length), (&b", and the packet"[..], 1016));
            assert_eq!(packet.link, link);
            assert_eq!(packet.frame, &b"fourteen bytes, and the packet"[skipped..]);
        }
    }

    #[test]
    fn a_count_larger_than_the_block_ends_with_the_last_packet() {
        let mut block = block(&[b"one", b"two"]);
        block[BLOCK_PACKETS] = 200;
        assert_eq!(packets(&block).count(), 2);
    }

    #[test]
    fn a_packet_that_reaches_beyond_the_block_is_not_read() {
        let mut block = block(&[b"one", b"two"]);
        block.truncate(block.len() - 6);
        assert_eq!(packets(&block).map(|packet| packet.bytes).collect::<Vec<_>>(), [b"one"]);
    }

    proptest! {
        #[test]
        fn no_block_makes_the_reader_panic_or_run_on(
            head in proptest::collection::vec(any::<u8>(), 0..64),
            at in 0_usize..400,
            value in any::<u32>(),
        ) {
            let mut block = block(&[b"one", b"two", b"three"]);
            let _ = packets(&head).count();
            if let Some(place) = block.get_mut(at..at + 4) {
                place.copy_from_slice(&value.to_ne_bytes());
            }
            prop_assert!(packets(&block).count() <= 1_000);
        }
    }
}
