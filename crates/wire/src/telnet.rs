//! Telnet (RFC 854): data, commands and the negotiation of options, apart and together.
//!
//! ```
//! use sockeye_wire::telnet::{Event, Opt, Telnet, Verb};
//!
//! let mut telnet = Telnet::client();
//! let mut input: &[u8] = b"login: \xff\xfd\x18\xff\xfb\x01";
//! assert_eq!(telnet.next(&mut input), Some(Event::Data(b"login: ")));
//! let terminal_type = Opt(24);
//! assert_eq!(
//!     telnet.next(&mut input),
//!     Some(Event::Negotiation { verb: Verb::Do, option: terminal_type })
//! );
//! assert_eq!(
//!     telnet.next(&mut input),
//!     Some(Event::Negotiation { verb: Verb::Will, option: Opt::ECHO })
//! );
//! assert_eq!(telnet.next(&mut input), None);
//! // IAC WONT TERMINAL-TYPE, IAC DO ECHO
//! assert_eq!(telnet.take_reply(), b"\xff\xfc\x18\xff\xfd\x01");
//! ```

mod codec;
mod options;

pub use codec::{Command, Event, MAX_SUBNEGOTIATION, Telnet};
pub use options::{Opt, Verb};
