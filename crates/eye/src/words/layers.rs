//! The words for layers, units and the fields of headers.

mod en;
mod zh;

use sockeye_wire::layers::{Layer, Meaning, Name, Pdu, Protocol, Stop};

use super::Lang;

/// A catalogue.
pub(crate) struct LayerWords {
    /// What a field is called.
    pub(crate) name: fn(Name) -> &'static str,
    /// What its value means.
    pub(crate) meaning: fn(&Meaning) -> String,
    /// What a unit of this protocol is called.
    pub(crate) unit: fn(Protocol) -> &'static str,
    /// A layer's name without the word for layer.
    pub(crate) layer: fn(Layer) -> &'static str,
    /// The same with it.
    pub(crate) of_layer: fn(Layer) -> String,
    /// Why it was taken apart no further.
    pub(crate) stop: fn(Stop) -> Option<String>,
    pub(crate) five_layers: &'static str,
    pub(crate) osi: &'static str,
    pub(crate) unit_column: &'static str,
    pub(crate) header_column: &'static str,
    pub(crate) payload_column: &'static str,
    pub(crate) presentation: &'static str,
    pub(crate) session: &'static str,
    pub(crate) no_presentation: &'static str,
    pub(crate) no_session: &'static str,
    pub(crate) no_session_of_datagrams: &'static str,
    pub(crate) bits: &'static str,
    pub(crate) message: &'static str,
    pub(crate) not_captured: &'static str,
    pub(crate) physical_of_loopback: &'static str,
    pub(crate) physical_not_captured: &'static str,
    pub(crate) no_frame_of_loopback: &'static str,
    pub(crate) no_link_header: &'static str,
    pub(crate) trailer: fn(usize) -> String,
    /// Header and payload of a unit.
    pub(crate) size: fn(&Pdu) -> String,
    /// Where the capture ends in a header.
    pub(crate) cut: fn(usize) -> String,
    /// Of a checksum.
    pub(crate) left_on_loopback: &'static str,
    pub(crate) made_up: &'static str,
    pub(crate) ends_of_frame: &'static str,
    /// The title of all: which unit of how many, which way.
    pub(crate) title: fn(&Title) -> String,
    /// `message 2 of 3`.
    pub(crate) numbered: fn(u64, u64) -> String,
    /// `datagram 2`.
    pub(crate) numbered_datagram: fn(u64) -> String,
    /// Its bytes in the stream: where the unit's part of it lies, and all of it.
    pub(crate) part: fn([u64; 2], [u64; 2]) -> String,
    /// Bytes that are not of a message that is known: this many at this offset.
    pub(crate) bytes_at: fn(u64, u64) -> String,
    pub(crate) bytes: fn(u64) -> String,
    /// So many more bytes that are not shown, and so many that were not kept.
    pub(crate) more: fn(u64) -> String,
    pub(crate) more_not_kept: fn(u64) -> String,
    pub(crate) offset: fn(u64) -> String,
    pub(crate) first_number: &'static str,
    pub(crate) next_expected: fn(u64) -> String,
    pub(crate) fin_acknowledged: &'static str,
    pub(crate) window: fn(u64) -> String,
    pub(crate) client: &'static str,
    pub(crate) server: &'static str,
    pub(crate) offload_sized: fn(u64, u64) -> String,
    pub(crate) perhaps_offload_sized: &'static str,
}

/// What stands over the boxes of a unit.
pub(crate) struct Title {
    /// Its length on the wire.
    pub(crate) length: usize,
    /// How it went: from the client to the server, or the other way; absent where it is not known.
    pub(crate) from_client: Option<bool>,
    /// Milliseconds since the connection began.
    pub(crate) millis: Option<String>,
    pub(crate) arrow: &'static str,
}

/// The catalogue of a language.
pub(crate) fn layers(lang: Lang) -> &'static LayerWords {
    match lang {
        Lang::En => &en::WORDS,
        Lang::Zh => &zh::WORDS,
    }
}
