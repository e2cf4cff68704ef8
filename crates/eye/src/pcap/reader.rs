//! The frames of a capture file: pcap with micro- or nanoseconds in either order of bytes, and
//! pcapng.

use std::fmt;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{Block, LegacyPcapReader, PcapBlockOwned, PcapError, PcapNGReader};
use sockeye_engine::probe::Stamp;
use sockeye_wire::packet::Link;
use thiserror::Error;

/// A block of a file, and so a frame, may have at most so many bytes.
pub const MAX_BLOCK: usize = 16 << 20;

/// What is read at a time, and the first size of the buffer.
const BUFFER: usize = 1 << 18;

/// The most interfaces of one section that are remembered.
const MAX_INTERFACES: usize = 1 << 16;

/// Whether a file that begins so is a capture; 4 bytes are enough to tell.
///
/// ```
/// use sockeye_eye::pcap::is_capture;
///
/// assert!(is_capture(&[0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0]));
/// assert!(!is_capture(b"{\"sockeye\":1}"));
/// ```
#[must_use]
pub fn is_capture(begins: &[u8]) -> bool {
    kind(begins).is_some()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pcap,
    Pcapng,
}

fn kind(begins: &[u8]) -> Option<Kind> {
    match begins.get(..4)? {
        [0x0a, 0x0d, 0x0d, 0x0a] => Some(Kind::Pcapng),
        // Micro- and nanoseconds, each in both orders, and the variant of Kuznetzov's libpcap.
        [0xa1, 0xb2, 0xc3, 0xd4] | [0xd4, 0xc3, 0xb2, 0xa1] => Some(Kind::Pcap),
        [0xa1, 0xb2, 0x3c, 0x4d] | [0x4d, 0x3c, 0xb2, 0xa1] => Some(Kind::Pcap),
        [0x34, 0xcd, 0xb2, 0xa1] => Some(Kind::Pcap),
        _ => None,
    }
}

/// One frame of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Which one of the file, from 1, as other programs count.
    pub number: u64,
    /// When it was captured.
    pub at: Stamp,
    /// What it begins with; `None` for links that aren't read here.
    pub link: Option<Link>,
    /// How long it was on the wire, in bytes.
    pub length: usize,
    /// What was captured of it.
    pub bytes: &'a [u8],
}

/// Why a file can't be read, or no further.
#[derive(Debug, Error)]
pub enum FileError {
    /// It is none.
    #[error("neither pcap nor pcapng")]
    NotACapture,
    /// It ends where more was announced, as a file does that is still written to or was not
    /// written to its end.
    #[error("it ends in the middle of a block, behind frame {frames}")]
    Cut {
        /// How many frames were read before.
        frames: u64,
    },
    /// Its bytes contradict each other.
    #[error("it is damaged behind frame {frames}, at byte {at}")]
    Damaged {
        /// How many frames were read before.
        frames: u64,
        /// Where the block begins that can't be read.
        at: u64,
    },
    /// A block is larger than [`MAX_BLOCK`].
    #[error("behind frame {frames} stands a block of more than {} MiB", MAX_BLOCK >> 20)]
    TooLarge {
        /// How many frames were read before.
        frames: u64,
    },
    /// The system could not read it.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Reads the frames of a capture one after the other.
///
/// ```
/// use sockeye_eye::pcap::{FileError, Reader};
///
/// let error = Reader::new(&b"no capture at all"[..]).map(|_| ()).unwrap_err();
/// assert!(matches!(error, FileError::NotACapture));
/// ```
pub struct Reader<'r> {
    blocks: Box<dyn PcapReaderIterator + Send + 'r>,
    failed: Failed,
    /// Bytes of the buffer that were handed out.
    used: usize,
    buffer: usize,
    at: u64,
    frames: u64,
    interfaces: Vec<Interface>,
    /// Of a pcap file's frames.
    nanoseconds: bool,
    big_endian: bool,
    latest: Stamp,
}

/// What a frame's header does not say of itself.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link: Option<Link>,
    /// Units of its stamps in a second.
    units: u128,
    /// Seconds to be added to them.
    offset: i64,
    snap: u32,
}

impl<'r> Reader<'r> {
    /// Begins to read.
    ///
    /// # Errors
    /// [`FileError::NotACapture`], or what reading says.
    pub fn new(mut source: impl Read + Send + 'r) -> Result<Reader<'r>, FileError> {
        let mut begins = [0; 4];
        let mut have = 0;
        while have < begins.len() {
            match source.read(&mut begins[have..]) {
                Ok(0) => break,
                Ok(count) => have += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        let kind = kind(&begins[..have]).ok_or(FileError::NotACapture)?;
        let failed = Failed::default();
        let source =
            Source { source: io::Cursor::new(begins).chain(source), failed: failed.clone() };
        let opened: Result<Box<dyn PcapReaderIterator + Send + 'r>, _> = match kind {
            Kind::Pcap => LegacyPcapReader::new(BUFFER, source).map(|reader| Box::new(reader) as _),
            Kind::Pcapng => PcapNGReader::new(BUFFER, source).map(|reader| Box::new(reader) as _),
        };
        let blocks = opened.map_err(|error| match error {
            PcapError::ReadError => failed.take().into(),
            PcapError::Incomplete(_) | PcapError::UnexpectedEof => FileError::Cut { frames: 0 },
            _ => FileError::Damaged { frames: 0, at: 0 },
        })?;
        Ok(Reader {
            blocks,
            failed,
            used: 0,
            buffer: BUFFER,
            at: 0,
            frames: 0,
            interfaces: Vec::new(),
            nanoseconds: false,
            big_endian: false,
            latest: Stamp(0),
        })
    }

    /// The next frame; `None` at the end of the file.
    ///
    /// # Errors
    /// [`FileError`]; no frame comes after one.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, FileError> {
        loop {
            self.blocks.consume(std::mem::take(&mut self.used));
            if !self.next_is_a_frame()? {
                if self.used == 0 {
                    return Ok(None);
                }
                continue;
            }
            // Asked again for the same block: a borrow of it can't leave a loop that may go on.
            return Ok(Some(self.frame()?));
        }
    }

    /// Reads up to the next block and takes it in, if it is no frame.
    fn next_is_a_frame(&mut self) -> Result<bool, FileError> {
        loop {
            let wanted = match self.blocks.next() {
                Ok((size, block)) => {
                    self.at += size as u64;
                    self.used = size;
                    return Ok(take_in(
                        &block,
                        &mut self.interfaces,
                        &mut self.nanoseconds,
                        &mut self.big_endian,
                    ));
                }
                Err(PcapError::Eof) => return Ok(false),
                Err(PcapError::Incomplete(_)) => Wanted::More,
                Err(PcapError::BufferTooSmall) => Wanted::Room,
                Err(PcapError::UnexpectedEof) => {
                    return Err(FileError::Cut { frames: self.frames });
                }
                Err(PcapError::ReadError) => return Err(self.failed.take().into()),
                Err(_) => return Err(FileError::Damaged { frames: self.frames, at: self.at }),
            };
            if wanted == Wanted::Room {
                if self.buffer >= MAX_BLOCK {
                    return Err(FileError::TooLarge { frames: self.frames });
                }
                self.buffer = (self.buffer * 4).min(MAX_BLOCK);
                self.blocks.grow(self.buffer);
            }
            if self.blocks.refill().is_err() {
                return Err(self.failed.take().into());
            }
        }
    }

    /// The frame that the block holds which was read last.
    fn frame(&mut self) -> Result<Frame<'_>, FileError> {
        self.frames += 1;
        let (number, latest) = (self.frames, self.latest);
        let damaged = FileError::Damaged { frames: number - 1, at: self.at - self.used as u64 };
        let Ok((_, block)) = self.blocks.next() else { return Err(damaged) };
        let interface =
            |id: u32| usize::try_from(id).ok().and_then(|id| self.interfaces.get(id)).copied();
        let frame = match block {
            PcapBlockOwned::Legacy(record) => {
                let Some(interface) = interface(0) else { return Err(damaged) };
                let fraction = if self.nanoseconds { 1 } else { 1000 };
                let at =
                    u64::from(record.ts_sec) * 1_000_000_000 + u64::from(record.ts_usec) * fraction;
                let length = record.origlen.max(record.caplen) as usize;
                Frame { number, at: Stamp(at), link: interface.link, length, bytes: record.data }
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                let Some(interface) = interface(packet.if_id) else { return Err(damaged) };
                let at = interface.stamp(packet.ts_high, packet.ts_low);
                let bytes = packet.data.get(..packet.caplen as usize).unwrap_or(packet.data);
                let length = packet.origlen.max(packet.caplen) as usize;
                Frame { number, at, link: interface.link, length, bytes }
            }
            PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                let Some(interface) = interface(0) else { return Err(damaged) };
                let captured = match interface.snap {
                    0 => packet.origlen,
                    snap => packet.origlen.min(snap),
                };
                let bytes = packet.data.get(..captured as usize).unwrap_or(packet.data);
                // It has no stamp.
                Frame {
                    number,
                    at: latest,
                    link: interface.link,
                    length: packet.origlen as usize,
                    bytes,
                }
            }
            _ => return Err(damaged),
        };
        self.latest = frame.at;
        Ok(frame)
    }

    /// How many frames were read.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames
    }
}

/// What the reader below needs to go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    More,
    Room,
}

/// Whether the block is a frame; if not, what it says of frames is kept.
fn take_in(
    block: &PcapBlockOwned<'_>,
    interfaces: &mut Vec<Interface>,
    nanoseconds: &mut bool,
    big_endian: &mut bool,
) -> bool {
    match block {
        PcapBlockOwned::Legacy(_) => return true,
        PcapBlockOwned::NG(Block::EnhancedPacket(_) | Block::SimplePacket(_)) => return true,
        PcapBlockOwned::LegacyHeader(header) => {
            *nanoseconds = header.is_nanosecond_precision();
            // Above the number of the link stand bits about checksums at the end of frames.
            let link = Link::of_linktype(header.network.0.cast_unsigned() & 0x0fff_ffff);
            interfaces.push(Interface { link, units: 1, offset: 0, snap: header.snaplen });
        }
        PcapBlockOwned::NG(Block::SectionHeader(section)) => {
            *big_endian = section.big_endian();
            interfaces.clear();
        }
        PcapBlockOwned::NG(Block::InterfaceDescription(interface))
            if interfaces.len() < MAX_INTERFACES =>
        {
            let linktype = u32::try_from(interface.linktype.0).ok();
            interfaces.push(Interface {
                link: linktype.and_then(Link::of_linktype),
                units: units(interface.if_tsresol),
                offset: interface.if_tsoffset,
                snap: interface.snaplen,
            });
        }
        PcapBlockOwned::NG(_) => {}
    }
    false
}

/// Units in a second (`if_tsresol`): a power of ten, or of two if the highest bit is set.
fn units(resolution: u8) -> u128 {
    // Beyond these a stamp of 64 bits could not hold a second.
    match resolution {
        0x80.. => 1 << (resolution & 0x7f).min(63),
        _ => 10_u128.pow(u32::from(resolution).min(19)),
    }
}

impl Interface {
    fn stamp(&self, high: u32, low: u32) -> Stamp {
        let units = u128::from(high) << 32 | u128::from(low);
        let nanos = units * 1_000_000_000 / self.units;
        let nanos = i128::try_from(nanos).unwrap_or(i128::MAX);
        let nanos = nanos.saturating_add(i128::from(self.offset) * 1_000_000_000);
        Stamp(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
    }
}

/// Keeps why reading failed, which the reader above it forgets.
struct Source<R> {
    source: R,
    failed: Failed,
}

#[derive(Clone, Default)]
struct Failed(Arc<Mutex<Option<io::Error>>>);

impl Failed {
    fn take(&self) -> io::Error {
        let error = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        error.unwrap_or_else(|| io::ErrorKind::Other.into())
    }
}

impl<R: Read> Read for Source<R> {
    /// Fills the buffer, so that no header is read in part.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut have = 0;
        while have < buffer.len() {
            match self.source.read(&mut buffer[have..]) {
                Ok(0) => break,
                Ok(count) => have += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let kind = error.kind();
                    *self.failed.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    return Err(kind.into());
                }
            }
        }
        Ok(have)
    }
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("at", &self.at)
            .field("frames", &self.frames)
            .finish_non_exhaustive()
    }
}
