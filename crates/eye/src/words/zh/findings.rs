//! What was found, why, and what helps.

use sockeye_engine::probe::Role;

use super::super::{Told, ends};
use crate::finding::{Evidence, Finding, Kind};
use crate::view::scale::{bytes, grouped, span};
use crate::view::text::error_name;

pub(super) fn told(finding: &Finding) -> Told {
    let (by, other) =
        ends(finding).map_or(("对端", "对端"), |(by, other)| (who(by), who(other)));
    let what = what(finding, by);
    let (cause, cure) = match finding.kind {
        Kind::Sticky => (
            String::from("流只传字节，不保留消息边界：一起到达的数据就被一起读走。"),
            "这里无需修改：本程序从读到的数据里逐条取出消息；把每次读取当作一条消息的程序才会出错。",
        ),
        Kind::Torn => (
            String::from("一次读取只返回当时已经到达的数据，与对方一次调用发出多少无关。"),
            "这里无需修改：本程序一直读到消息完整；把每次读取当作一条消息的程序才会出错。",
        ),
        Kind::ZeroWindow => (
            format!("接收缓冲区满了：{by}读得比{other}发得慢。"),
            "早些读，或每次多读一些；加大缓冲区（?rcvbuf=）只能推迟问题。",
        ),
        Kind::Retransmission => (
            String::from("某个段或它的 ACK 丢失或迟到；从这些段看不出是哪一个。"),
            "在另一端也观察：那里没有收到的，就是在途中丢失的。",
        ),
        Kind::FastRetransmission => (
            String::from("这些字节丢失了，或被后面的超过：后到的数据显出了空缺。"),
            "偶尔几次不必处理，TCP 在一个往返内就能补上；次数多说明链路丢包。",
        ),
        Kind::RetransmissionTimeout => (
            format!("直到重传定时器到期都没有 ACK：数据或它的 ACK 丢失，或{other}已不在。"),
            "查途中的丢包或中断；ss -ti 显示连接的定时器（rto）。",
        ),
        Kind::TailRetransmission => (
            String::from("后面没有能显出空缺的数据，只好等定时器：尾部丢失探测的，或重传的。"),
            "偶尔几次不必处理；次数多说明链路丢包。",
        ),
        Kind::SpuriousRetransmission => (
            String::from("ACK 丢失了，或比发送方等待的时间来得更晚；也可能是在途中被复制了。"),
            "偶尔几次不必处理；次数多说明延迟变化很大，例如途中队列已满。",
        ),
        Kind::SynRetried => (
            String::from(
                "没有回应：SYN 或对它的回应丢失，被防火墙丢弃，或等待该监听者接受的连接太多。",
            ),
            "查看服务器是否在接受连接（ss -ltn 显示其队列），以及有无防火墙。",
        ),
        Kind::BacklogOverflow => (
            String::from("等待接受的连接太多，内核丢弃了 SYN，或丢弃了结束握手的 ACK。"),
            "早些 accept()，或监听时用更大的 backlog（上限为 net.core.somaxconn）。",
        ),
        Kind::Refused => (
            String::from("那里没有监听者，或防火墙以它的名义拒绝。"),
            "先启动服务器，并核对地址和端口（ss -ltn）。",
        ),
        Kind::Reset => (
            String::from(
                "程序中止了连接，或关闭时还有数据未读，或以别的方式结束：RST 不说明原因。",
            ),
            "查看那个程序的日志，或在那一端观察。",
        ),
        Kind::ResetByAbort => (
            String::from(
                "程序在 SO_LINGER 为 0 秒时关闭：未发出的数据被丢弃，发出的是 RST 而不是 FIN。",
            ),
            "不要设置 SO_LINGER，等全部发完并得到回应后再关闭。",
        ),
        Kind::ResetUnread => (
            format!(
                "还有数据未读就 close()，发出的是 RST 而不是 FIN，{other}尚未读的数据也可能一并丢失。"
            ),
            "先读到 recv() 返回 0 再 close()，必要时先 shutdown(WR)。",
        ),
        Kind::ResetAfterClose => (
            format!("套接字的两个方向都已关闭，没有人再读，内核便用 RST 告知{other}。"),
            "约定由谁先关闭；先关闭的一方用 shutdown(WR)，并读到 recv() 返回 0。",
        ),
        Kind::ResetUnknown => (
            String::from(
                "该主机重启过，或途中的防火墙或 NAT 忘记了连接；对未知连接的段以 RST 回应。",
            ),
            "重新连接；保活（SO_KEEPALIVE）使空闲连接不被忘记。",
        ),
        Kind::WriteAfterClose => (
            format!(
                "{other}已结束连接：收到它的 RST 后，第一个调用以 ECONNRESET 失败，此后每次写都以 \
                 EPIPE 失败；若 RST 之前已有 FIN，第一次写就是 EPIPE。"
            ),
            "当 recv() 返回 0 或调用这样失败时，停止写并关闭。",
        ),
        Kind::WriteAfterShutdown => (
            String::from("程序自己的 shutdown(WR) 已结束这个方向。"),
            "全部发完之后再 shutdown(WR)。",
        ),
        Kind::HalfOpen => (
            format!("{by}的主机已停机或断开：既没有 FIN 也没有 RST，所以连接在这一端仍然打开。"),
            "设置期限、SO_KEEPALIVE 或 TCP_USER_TIMEOUT（tcp(7)）。",
        ),
        Kind::CloseWait => (
            format!("{other}已关闭；这里的程序既不发送也不关闭。"),
            "recv() 返回 0 时就关闭；没有人关闭的描述符会泄漏。",
        ),
        Kind::TimeWait => (
            String::from("先关闭的一端把这对端口保留一分钟，使迟到的段不会混入下一个连接。"),
            "一个连接用于多个请求，或让另一端先关闭。",
        ),
        Kind::NagleDelayedAck => (
            format!("Nagle 算法只让一个小段在途，而{other}推迟 ACK，希望与应答一起发出。"),
            "每条消息用一次调用发出，或设置 TCP_NODELAY（?nodelay）。",
        ),
        Kind::DatagramTruncated => (
            String::from("一个数据报由一次调用读取：放不下的部分就丢失。"),
            "为可能到来的最长数据报留出空间；对 UDP 来说 65,535 字节足够。",
        ),
        Kind::DatagramDropped => (
            String::from("到达时接收缓冲区已满，或数据报已损坏。"),
            "早些读，或用更大的接收缓冲区（?rcvbuf=）。",
        ),
        Kind::DatagramRefused => (
            String::from("那台主机说没有人绑定该端口（ICMP port unreachable）；由后来的调用得知。"),
            "先启动接收方，并核对地址和端口。",
        ),
    };
    Told { what, cause, cure: cure.to_owned() }
}

/// What was found, with its numbers.
fn what(finding: &Finding, by: &str) -> String {
    let Evidence { messages, calls, nanos, all_nanos, again, probes, connections, .. } =
        finding.evidence;
    let Evidence { duplicate_acks, errors, .. } = finding.evidence;
    let size = bytes(finding.evidence.bytes);
    let (count, took) = (finding.count, span(nanos));
    let others = |of: &str| match count {
        1 => String::new(),
        count => format!("；共 {} {of}", grouped(count)),
    };
    let times = match count {
        1 => String::new(),
        count => format!("，共 {} 次，合计 {}", grouped(count), span(all_nanos)),
    };
    match finding.kind {
        Kind::Sticky => {
            format!("{by}一次读到 {} 条消息{}", grouped(messages), others("次这样的读取"))
        }
        Kind::Torn => {
            format!(
                "{by}分 {} 次才读完一条 {size} 的消息{}",
                grouped(calls),
                others("条这样的消息")
            )
        }
        Kind::ZeroWindow => {
            let probed = match probes {
                0 => String::new(),
                probes => format!("，窗口探测 {} 次", grouped(probes)),
            };
            format!("{by}有 {took} 没有接收空间{probed}{times}")
        }
        Kind::Retransmission => {
            format!("{by}在首次发送 {took} 后重发 {size}{}", others("个段"))
        }
        Kind::FastRetransmission => {
            let told = match duplicate_acks {
                0 => String::from("选择确认"),
                acks => format!(" {} 个重复 ACK ", grouped(acks)),
            };
            format!("{by}收到{told}后重发 {size}{}", others("个段"))
        }
        Kind::RetransmissionTimeout => {
            format!("{by}有 {took} 未收到 ACK，重发 {size}{}", others("个段"))
        }
        Kind::TailRetransmission if finding.range.is_empty() => {
            format!("{by}在 {took} 后重发 FIN{}", others("个段"))
        }
        Kind::TailRetransmission => {
            format!("{by}在 {took} 后重发最后的 {size}{}", others("个段"))
        }
        Kind::SpuriousRetransmission => {
            format!("{by}重发了早已到达的 {size}{}", others("个段"))
        }
        Kind::SynRetried => {
            format!("{by}在 {took} 内发了 {} 次 SYN", grouped(again + 1))
        }
        Kind::BacklogOverflow => {
            format!("{by}的 backlog 已满：{took} 内握手重复了 {} 次", grouped(again))
        }
        Kind::Refused => format!("{by}拒绝连接"),
        Kind::Reset => format!("{by}重置了连接"),
        Kind::ResetByAbort => format!("{by}中止了连接"),
        Kind::ResetUnread => format!("{by}关闭时还有 {size} 未读"),
        Kind::ResetAfterClose => format!("{by}关闭之后又到了 {size}"),
        Kind::ResetUnknown => format!("{by}不知道这个连接"),
        Kind::WriteAfterClose | Kind::WriteAfterShutdown => {
            let errors: Vec<String> = errors.into_iter().flatten().map(error_name).collect();
            let after = match finding.kind {
                Kind::WriteAfterClose => "在连接结束后",
                _ => "在 shutdown(WR) 之后",
            };
            format!("{by}{after}又写 {size}：{}", errors.join("，然后 "))
        }
        Kind::HalfOpen => {
            let unanswered = match again {
                0 => String::new(),
                again => format!("，{} 个段没有回应", grouped(again)),
            };
            let told = match errors[0] {
                Some(errno) => format!("，直到 {}", error_name(errno)),
                None => String::new(),
            };
            format!("{by} {took} 没有音讯{unanswered}{told}")
        }
        Kind::CloseWait => format!("{by}停留在 CLOSE-WAIT {took}"),
        Kind::TimeWait => format!("{} 个连接处于 TIME-WAIT", grouped(connections)),
        Kind::NagleDelayedAck => format!("{by}把 {size} 压后了 {took}{times}"),
        Kind::DatagramTruncated => {
            format!("{} 个数据报被截断，丢失 {size}", grouped(count))
        }
        Kind::DatagramDropped => format!("{} 个数据报在读取前被丢弃", grouped(count)),
        Kind::DatagramRefused => {
            format!("{} 次调用得知那里没有接收者", grouped(count))
        }
    }
}

fn who(role: Role) -> &'static str {
    match role {
        Role::Client => "客户端",
        Role::Server => "服务器",
    }
}
