//! The HTTP file service as its clients meet it: raw bytes over plain sockets, on every driver.

mod arbitrary;
mod archives;
mod bodies;
mod changes;
mod codings;
mod conditions;
mod echo;
mod fault;
mod files;
mod listings;
mod methods;
mod pipeline;
mod policy;
mod ranges;
mod refusals;
mod resumed;
mod rooms;
mod sim;
mod size;
mod slow;
mod stop;
mod support;
mod told;
mod uploads;
