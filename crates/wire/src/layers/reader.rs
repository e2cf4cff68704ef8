//! Reads a frame bit by bit from its start, and notes each field with its place.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::Stop;
use super::field::{Field, Meaning, Name, Value};

/// A place in a frame, and the fields of the header that is being read.
pub(super) struct Reader<'a> {
    frame: &'a [u8],
    /// The bit that is read next.
    at: usize,
    /// The byte at which the header begins.
    start: usize,
    fields: Vec<Field>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(frame: &'a [u8]) -> Reader<'a> {
        Reader { frame, at: 0, start: 0, fields: Vec::new() }
    }

    /// The byte that is read next.
    pub(super) fn byte(&self) -> usize {
        self.at / 8
    }

    /// Bytes of the header that were read.
    pub(super) fn header_length(&self) -> usize {
        self.byte() - self.start
    }

    /// What was captured from here on.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.frame.get(self.byte()..).unwrap_or_default()
    }

    /// The header as far as it was read.
    pub(super) fn header(&self) -> &'a [u8] {
        self.frame.get(self.start..self.byte()).unwrap_or_default()
    }

    /// The next byte, which stays to be read.
    pub(super) fn peek(&self) -> Option<u8> {
        self.frame.get(self.byte()).copied()
    }

    /// The next field, a number of so many bits, at most 64.
    pub(super) fn number(&mut self, name: Name, bits: usize) -> Result<u64, Stop> {
        let value = self.bits(bits)?;
        self.note(name, bits, Value::Number(value));
        Ok(value)
    }

    /// The same, shown in hexadecimal.
    pub(super) fn hex(&mut self, name: Name, bits: usize) -> Result<u64, Stop> {
        let value = self.bits(bits)?;
        self.note(name, bits, Value::Hex { value, digits: bits.div_ceil(4) });
        Ok(value)
    }

    /// The next 16 bits.
    pub(super) fn half(&mut self, name: Name) -> Result<u16, Stop> {
        Ok(u16::try_from(self.number(name, 16)?).unwrap_or(u16::MAX))
    }

    /// The next 8 bits.
    pub(super) fn octet(&mut self, name: Name) -> Result<u8, Stop> {
        Ok(u8::try_from(self.number(name, 8)?).unwrap_or(u8::MAX))
    }

    /// A hardware address.
    pub(super) fn mac(&mut self, name: Name) -> Result<[u8; 6], Stop> {
        let mac = *self.array::<6>()?;
        self.note(name, 48, Value::Mac(mac));
        Ok(mac)
    }

    /// An IPv4 address.
    pub(super) fn v4(&mut self, name: Name) -> Result<IpAddr, Stop> {
        let address = IpAddr::from(Ipv4Addr::from(*self.array::<4>()?));
        self.note(name, 32, Value::Address(address));
        Ok(address)
    }

    /// An IPv6 address.
    pub(super) fn v6(&mut self, name: Name) -> Result<IpAddr, Stop> {
        let address = IpAddr::from(Ipv6Addr::from(*self.array::<16>()?));
        self.note(name, 128, Value::Address(address));
        Ok(address)
    }

    /// So many bytes with no meaning of their own, and what was captured of them.
    pub(super) fn bytes(&mut self, name: Name, count: usize) -> Result<&'a [u8], Stop> {
        if count == 0 {
            return Ok(&[]);
        }
        let Some(bytes) = self.rest().get(..count) else { return Err(self.cut()) };
        self.note(name, count * 8, Value::Bytes);
        Ok(bytes)
    }

    /// Says what the last field means.
    pub(super) fn mean(&mut self, meaning: Meaning) {
        if let Some(field) = self.fields.last_mut() {
            field.meaning = Some(meaning);
        }
    }

    /// Says what an earlier field means, which is known only now.
    pub(super) fn mean_of(&mut self, name: Name, meaning: Meaning) {
        if let Some(field) = self.fields.iter_mut().find(|field| field.name == name) {
            field.meaning = Some(meaning);
        }
    }

    /// Ends the header: its place, and its fields.
    pub(super) fn take_fields(&mut self) -> (Range<usize>, Vec<Field>) {
        let header = self.start..self.byte();
        self.start = header.end;
        (header, std::mem::take(&mut self.fields))
    }

    /// Shows the last field so.
    pub(super) fn show(&mut self, value: Value) {
        if let Some(field) = self.fields.last_mut() {
            field.value = value;
        }
    }

    /// The checksum of the header that is being read, if it was captured.
    pub(super) fn checksum(&self) -> Option<u16> {
        let field = self.fields.iter().find(|field| field.name == Name::Checksum)?;
        match field.value {
            Value::Hex { value, .. } => u16::try_from(value).ok(),
            _ => None,
        }
    }

    /// Whether the header that is being read has a field of this name.
    pub(super) fn has(&self, name: Name) -> bool {
        self.fields.iter().any(|field| field.name == name)
    }

    fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Stop> {
        match self.rest().first_chunk::<N>() {
            Some(bytes) => Ok(bytes),
            None => Err(self.cut()),
        }
    }

    fn bits(&mut self, count: usize) -> Result<u64, Stop> {
        if self.at + count > self.frame.len() * 8 {
            return Err(self.cut());
        }
        let mut value = 0;
        for at in self.at..self.at + count {
            let bit = self.frame[at / 8] >> (7 - at % 8) & 1;
            value = value << 1 | u64::from(bit);
        }
        Ok(value)
    }

    fn note(&mut self, name: Name, bits: usize, value: Value) {
        let bits = self.at..self.at + bits;
        self.at = bits.end;
        self.fields.push(Field { name, bits, value, meaning: None });
    }

    /// What is left of the capture is the beginning of a field.
    fn cut(&mut self) -> Stop {
        let left = self.frame.len() * 8 - self.at.min(self.frame.len() * 8);
        if left > 0 {
            self.note(Name::Cut, left, Value::Bytes);
        }
        Stop::Cut
    }
}
