//! The program as people meet it: started as a process, asked over real sockets, read in a pipe.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[macro_use]
mod kit;

mod archives;
mod attacks;
mod cast;
mod cast_storm;
mod colour;
mod connect;
mod connect_bad;
mod connect_long;
mod connect_messages;
mod connect_peers;
mod connect_terminal;
mod crowd;
mod drivers;
mod escape;
mod eye;
mod eye_kernel;
mod eye_talk;
mod fetch;
mod fetch_parts;
mod fetch_tools;
mod fresh;
mod help;
mod inspect;
mod layers;
mod layers_datagrams;
mod listen_chat;
mod listen_doors;
mod listen_peers;
mod listen_plain;
mod listen_programs;
mod listen_services;
mod listen_terminal;
mod manual;
mod patience;
mod pcap;
mod race;
mod readme;
mod ready;
mod record;
mod refusal;
mod serve_admin;
mod serve_config;
mod serve_limits;
mod serve_log;
mod serve_sockets;
mod serve_successor;
mod shutdown;
mod standard_output;
mod unix;
mod unprivileged;
mod upload;
mod upload_end;
mod watch_live;
mod watch_others;
mod watch_pair;
