//! Messages from the wire: cases with their sections, properties of any bytes, and the fuzz corpora.

mod cases;
mod checks;
mod corpus;
mod multipart;
mod properties;
mod responses;
