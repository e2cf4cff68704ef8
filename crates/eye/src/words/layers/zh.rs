//! Chinese, in simplified characters: the terms of the textbooks.

use sockeye_wire::layers::{Checksum, Layer, Meaning, Name, Pdu, Protocol, Stop};

use super::{LayerWords, Title};
use crate::view::scale::grouped;

pub(super) static WORDS: LayerWords = LayerWords {
    name,
    meaning,
    unit,
    layer,
    of_layer: |layer| self::layer(layer).to_owned(),
    stop,
    five_layers: "五层模型",
    osi: "OSI",
    unit_column: "数据单元",
    header_column: "首部",
    payload_column: "数据",
    presentation: "表示层",
    session: "会话层",
    no_presentation: "没有自己的首部：编码由报文自己说明",
    no_session_of_datagrams: "没有自己的首部：由程序承担",
    no_session: "没有自己的首部：由 TCP 和程序承担",
    bits: "比特流",
    message: "报文",
    not_captured: "未捕获",
    physical_of_loopback: "没有：它从未离开内核",
    physical_not_captured: "未捕获",
    no_frame_of_loopback: "前面没有前同步码，后面没有 FCS：lo 没有线路",
    no_link_header: "没有捕获链路层首部：从分组开始",
    trailer: |count| format!("分组之后有 {count} 字节填充：帧至少 60 字节"),
    size,
    cut: |count| format!("在 {count} 字节后中断"),
    left_on_loopback: "未填写：lo 上无人检验；这里只有伪首部的和",
    made_up: "这个首部由捕获者编造：没有捕获真正的首部",
    ends_of_frame: "没有捕获前同步码和 FCS：由网卡加上和去掉",
    title,
    numbered: |number, of| format!("报文 {}/{}", grouped(number), grouped(of)),
    numbered_datagram: |number| format!("数据报 {}", grouped(number)),
    part: |[start, end], [first, last]| match [start, end] == [first, last] {
        true => format!("字节 [{start}..{end})"),
        false => format!("字节 [{start}..{end})，全长 [{first}..{last})"),
    },
    bytes_at: |start, end| format!("字节 [{start}..{end})"),
    bytes: |count| format!("{} 字节", grouped(count)),
    more: |count| format!("还有 {} 字节", grouped(count)),
    more_not_kept: |count| format!("还有 {} 字节没有保留", grouped(count)),
    offset: |offset| format!("本方向第 {offset} 字节"),
    first_number: "初始序号",
    next_expected: |offset| format!("期望对方的第 {offset} 字节"),
    fin_acknowledged: "对方的数据和 FIN 都已收到",
    window: |bytes| format!("按比例放大：{} 字节", grouped(bytes)),
    client: "客户端",
    server: "服务器",
    offload_sized: |payload, mss| {
        format!(
            "卸载大小：数据 {} 字节，MSS {}；在捕获点以下才切分，或者从不切分",
            grouped(payload),
            grouped(mss)
        )
    },
    perhaps_offload_sized: "~ 卸载大小：超过以太网帧的 1,500 字节",
};

fn title(title: &Title) -> String {
    let Title { length, from_client, millis, arrow } = title;
    let way = match from_client {
        Some(true) => format!("客户端 {arrow} 服务器，"),
        Some(false) => format!("服务器 {arrow} 客户端，"),
        None => String::new(),
    };
    let at = millis.as_ref().map_or(String::new(), |millis| format!("，{millis} ms"));
    format!("分层：{way}{} 字节{at}", grouped(*length as u64))
}

fn size(pdu: &Pdu) -> String {
    let header = grouped(pdu.header.len() as u64);
    match pdu.payload_length {
        0 => format!("首部 {header}"),
        payload => format!("首部 {header} + 数据 {}", grouped(payload as u64)),
    }
}

fn layer(layer: Layer) -> &'static str {
    match layer {
        Layer::Physical => "物理层",
        Layer::Link => "数据链路层",
        Layer::Network => "网络层",
        Layer::Transport => "运输层",
        Layer::Application => "应用层",
    }
}

fn unit(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Ethernet | Protocol::Cooked | Protocol::Null => "帧",
        Protocol::Ipv4 | Protocol::Ipv6 => "分组",
        Protocol::Tcp => "报文段",
        Protocol::Udp => "用户数据报",
        Protocol::Arp | Protocol::Icmpv4 | Protocol::Icmpv6 => "报文",
    }
}

fn stop(stop: Stop) -> Option<String> {
    Some(match stop {
        Stop::Payload => return None,
        Stop::Cut => String::from("捕获在这个首部里中断"),
        Stop::Fragment => String::from("分组中间的一片：只有第一片带有下一个首部"),
        Stop::UnknownType(length) if length < 0x0600 => {
            String::from("IEEE 802.3：此处是长度而不是类型，不再往下分析")
        }
        Stop::UnknownType(kind) => format!("类型 0x{kind:04x}：不再往下分析"),
        Stop::UnknownProtocol(number) => format!("协议 {number}：不再往下分析"),
        Stop::Encrypted => String::from("从这里开始已加密 (ESP)"),
        Stop::Version(version) => {
            format!("版本号是 {version}：不是 IPv4 或 IPv6，或者与类型不符")
        }
        Stop::Malformed => String::from("格式有误：长度与外层矛盾；到此为止是确定的"),
    })
}

fn meaning(meaning: &Meaning) -> String {
    match *meaning {
        Meaning::Name(name) => name.to_owned(),
        Meaning::Words(bytes) => format!("以 4 字节为单位：{bytes} 字节"),
        Meaning::Bytes(bytes) => format!("{bytes} 字节"),
        Meaning::KindAndLength(kind, length) => format!("类别 {kind}，{length} 字节"),
        Meaning::Kind(kind) => format!("类别 {kind}：填充"),
        Meaning::Broadcast => String::from("广播"),
        Meaning::Group => String::from("组播"),
        Meaning::NoHardware => String::from("没有硬件地址"),
        Meaning::DontFragment => String::from("DF：不许分片"),
        Meaning::MoreFragments => String::from("MF：还有分片"),
        Meaning::NoFlags => String::from("无"),
        Meaning::FragmentAt(byte) => format!("以 8 字节为单位：第 {} 字节", grouped(byte)),
        Meaning::TooLongToSay => String::from("0：超过 16 位能表示的长度"),
        Meaning::TooLong => String::from("超过实际长度"),
        Meaning::TooShort => String::from("小于首部的最小长度"),
        Meaning::Checksum(checksum) => match checksum {
            Checksum::Correct => String::from("正确"),
            Checksum::Wrong(right) => format!("错误：应为 0x{right:04x}"),
            Checksum::LeftToCard => String::from("尚未填写：只有伪首部的和，由网卡补全"),
            Checksum::NotAllCaptured => String::from("未验证：没有捕获全部字节"),
            Checksum::Fragment => String::from("未验证：这是一个分片"),
            Checksum::Routed => String::from("未验证：源路由"),
            Checksum::None => String::from("发送方没有计算"),
        },
        Meaning::Shift(unit) => format!("窗口以 {unit} 字节为单位"),
        Meaning::Unused => String::from("未使用"),
        Meaning::Zero => String::from("按规定为零"),
        Meaning::NotZero => String::from("不为零"),
        Meaning::Request => String::from("请求：谁有这个地址？"),
        Meaning::Reply => String::from("应答：发送方有"),
    }
}

fn name(name: Name) -> &'static str {
    match name {
        Name::Acknowledgment => "确认号",
        Name::Checksum => "检验和",
        Name::Code => "代码",
        Name::ControlBits => "控制位",
        Name::Cut => "中断",
        Name::DataOffset => "数据偏移",
        Name::Destination => "目的地址",
        Name::DestinationPort => "目的端口",
        Name::Dscp => "区分服务 DSCP",
        Name::Ecn => "显式拥塞 ECN",
        Name::EtherType => "类型",
        Name::ExtensionData => "扩展首部数据",
        Name::ExtensionLength => "扩展首部长度",
        Name::Family => "地址族",
        Name::FlowLabel => "流标号",
        Name::FragmentOffset => "片偏移",
        Name::HardwareLength => "硬件地址长度",
        Name::HardwareType => "硬件类型",
        Name::HeaderChecksum => "首部检验和",
        Name::HeaderLength => "首部长度",
        Name::HopLimit => "跳数限制",
        Name::Identification => "标识",
        Name::Identifier => "标识符",
        Name::Interface => "接口编号",
        Name::IpFlags => "标志",
        Name::Length => "长度",
        Name::Malformed => "格式有误",
        Name::MoreFragments => "还有分片",
        Name::Mtu => "MTU",
        Name::NextHeader => "下一个首部",
        Name::Operation => "操作",
        Name::Option(option) => match option {
            "no-operation" => "无操作 NOP",
            "MSS" => "最大报文段长度",
            "window scale" => "窗口扩大",
            "SACK permitted" => "允许选择确认",
            "SACK" => "选择确认 SACK",
            "timestamps" => "时间戳",
            "option" => "选项",
            other => other,
        },
        Name::OptionData => "选项数据",
        Name::PacketType => "分组去向",
        Name::Padding => "填充",
        Name::PayloadLength => "有效载荷长度",
        Name::Pointer => "指针",
        Name::Protocol => "协议",
        Name::ProtocolLength => "协议地址长度",
        Name::ProtocolType => "协议类型",
        Name::Reserved => "保留",
        Name::RestOfHeader => "首部其余部分",
        Name::SackLeft => "左边界",
        Name::SackRight => "右边界",
        Name::SegmentSize => "报文段长度",
        Name::SenderHardware => "发送方硬件地址",
        Name::SenderProtocol => "发送方协议地址",
        Name::Sequence | Name::SequenceNumber => "序号",
        Name::ShiftCount => "移位数",
        Name::Source => "源地址",
        Name::SourcePort => "源端口",
        Name::TargetHardware => "目标硬件地址",
        Name::TargetProtocol => "目标协议地址",
        Name::TimeToLive => "生存时间 TTL",
        Name::TimestampEcho => "时间戳回送",
        Name::TimestampValue => "时间戳值",
        Name::TotalLength => "总长度",
        Name::Type => "类型",
        Name::UrgentPointer => "紧急指针",
        Name::Version => "版本",
        Name::VlanDropEligible => "可丢弃",
        Name::VlanId => "VLAN",
        Name::VlanPriority => "优先级",
        Name::VlanTag => "标记",
        Name::Window => "窗口",
    }
}
