//! What can't be seen.

use super::super::lack::Lack;

pub(super) fn lack(lack: &Lack) -> String {
    match lack {
        Lack::Capture(error, others) => {
            let rows = match others {
                false => "the segment and ack rows and most exact states are not shown",
                true => "states and bytes are those the kernel tells ten times a second",
            };
            let remedy = error.remedy().map(|way| format!("; to see them: {way}"));
            format!("{error}: {rows}{}", remedy.unwrap_or_default())
        }
        Lack::Queues(error) => format!("{error}: queues are not sampled"),
        Lack::Ends(error) => {
            format!("{error}: the kernel's last word on a connection is not heard")
        }
        Lack::Stamps => String::from(
            "no kernel stamps: the k.SND and k.ACK rows are not shown; to see them: Linux 6.2 or \
             later",
        ),
        Lack::Listener(local, error) => format!("{local}: {error}"),
        Lack::CaptureFailed(error) => format!("packet capture: {error}"),
        Lack::ListEnded(error) => format!("{error}; sockets are not listed any more"),
        Lack::QueuesEnded(error) => format!("{error}; queues are not sampled any more"),
    }
}
