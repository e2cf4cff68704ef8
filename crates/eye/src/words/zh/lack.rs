//! What can't be seen.

use super::super::lack::Lack;
use crate::capture::CaptureError;
use crate::capture::filter::MAX_PORTS;
use crate::kernel::DiagError;

pub(super) fn lack(lack: &Lack) -> String {
    match lack {
        Lack::Capture(error, others) => {
            let rows = match others {
                false => "不显示 segment 行和 ack 行，多数状态也不确切",
                true => "状态和字节数取自内核，每秒询问十次",
            };
            let remedy = match error {
                CaptureError::NotPermitted { .. } => error.remedy(),
                CaptureError::TooManyPorts { .. } | CaptureError::System { .. } => None,
            };
            // A command stays as it is to be typed.
            let remedy = remedy.map(|way| way.replace(", or run with sudo", "，或用 sudo 运行"));
            let remedy = remedy.map(|way| format!("；要显示它们：{way}"));
            format!("{}：{rows}{}", capture(error), remedy.unwrap_or_default())
        }
        Lack::Queues(error) => format!("{}：不采样队列", diag(error)),
        Lack::Ends(error) => format!("{}：听不到内核对连接的最后报告", diag(error)),
        Lack::Stamps => String::from(
            "没有内核时间戳：不显示 k.SND 行和 k.ACK 行；要显示它们：Linux 6.2 或更新的版本",
        ),
        Lack::Listener(local, error) => format!("{local}：{}", capture(error)),
        Lack::CaptureFailed(error) => format!("捕获数据包：{error}"),
        Lack::ListEnded(error) => format!("{}；不再列出套接字", diag(error)),
        Lack::QueuesEnded(error) => format!("{}；不再采样队列", diag(error)),
    }
}

fn capture(error: &CaptureError) -> String {
    match error {
        CaptureError::NotPermitted { .. } => String::from("无法捕获数据包（缺少 CAP_NET_RAW）"),
        CaptureError::TooManyPorts { ports } => {
            format!("无法捕获数据包：端口有 {ports} 个，最多 {MAX_PORTS} 个")
        }
        CaptureError::System { operation, source } => {
            format!("无法捕获数据包：{operation}：{source}")
        }
    }
}

fn diag(error: &DiagError) -> String {
    match error {
        DiagError::Call { operation, source } => format!("sock_diag：{operation}：{source}"),
        DiagError::NoTcp => String::from("sock_diag：内核没有 TCP 诊断（模块 tcp_diag）"),
    }
}
