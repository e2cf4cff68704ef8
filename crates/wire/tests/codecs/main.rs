//! The codecs of streams: frames, text, Telnet, hexadecimal.

mod checks;
mod corpus;
mod frames;
mod framings;
mod hex;
mod telnet;
mod text;
