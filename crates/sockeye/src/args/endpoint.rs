//! An endpoint among the arguments.

use std::ffi::OsString;

use clap::builder::{OsStringValueParser, TypedValueParser};
use sockeye_engine::{Endpoint, EndpointKind};

/// An endpoint with a socket; `instead` is one to write in place of what has none.
pub(crate) fn endpoint(instead: &'static str) -> impl TypedValueParser<Value = Endpoint> {
    OsStringValueParser::new().try_map(move |written: OsString| {
        let Some(text) = written.to_str() else {
            return Err("it is not UTF-8; write the bytes that are no text as %FF".to_owned());
        };
        let endpoint: Endpoint = text.parse().map_err(|error| format!("{error}"))?;
        match endpoint.kind() {
            EndpointKind::Standard => {
                Err(format!("- is this program's own input and output; write {instead}"))
            }
            _ => Ok(endpoint),
        }
    })
}
