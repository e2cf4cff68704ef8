//! An endpoint among the arguments.

use std::ffi::{OsStr, OsString};

use clap::builder::{OsStringValueParser, TypedValueParser};
use sockeye_engine::{Endpoint, EndpointKind};

/// An endpoint with a socket; `instead` is one to write in place of what has none.
pub(crate) fn endpoint(instead: &'static str) -> impl TypedValueParser<Value = Endpoint> {
    OsStringValueParser::new().try_map(move |written: OsString| read(&written, instead))
}

/// The same, where a port alone is one of this machine's own.
pub(crate) fn endpoint_or_port(instead: &'static str) -> impl TypedValueParser<Value = Endpoint> {
    OsStringValueParser::new().try_map(move |written: OsString| {
        match written.to_str().and_then(|text| text.parse().ok()) {
            Some(port) => Ok(Endpoint::tcp([127, 0, 0, 1].into(), port)),
            None => read(&written, instead),
        }
    })
}

fn read(written: &OsStr, instead: &str) -> Result<Endpoint, String> {
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
}
