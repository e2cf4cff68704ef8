//! The live face.

use super::super::screen::{Action, Heading, Screen};
use crate::view::live::Page;

pub(super) fn screen(screen: &Screen<'_>) -> String {
    let said = match *screen {
        Screen::Heading(heading) => match heading {
            Heading::Number => "#",
            Heading::Client => "客户端",
            Heading::Server => "服务器",
            Heading::States => "状态",
            Heading::Sent => "发送 客/服",
            Heading::Rate => "每秒",
            Heading::Age => "时长",
            Heading::End => "结束",
            Heading::Found => "发现",
        },
        Screen::Counts(open, ended) => return format!("{open} 个打开，{ended} 个已结束"),
        Screen::NoConnection => "还没有连接",
        Screen::NonePasses => "没有符合过滤条件的连接",
        Screen::Paused => "已暂停",
        Screen::Only(filter) => return format!("只显示含有“{filter}”的"),
        Screen::MoreOpen(count) => return format!("另有 {count} 个打开"),
        Screen::Does(action) => match action {
            Action::Quit => "退出",
            Action::Select => "选择",
            Action::Open => "打开",
            Action::Filter => "过滤",
            Action::Pause => "暂停",
            Action::GoOn => "继续",
            Action::Keep => "保留",
            Action::Forget => "放弃",
            Action::Back => "返回",
            Action::NextPicture => "下一张图",
            Action::Next => "下一张",
            Action::Scroll => "滚动",
            Action::Begin => "开头",
            Action::Follow => "跟随",
        },
        Screen::Page(page) => match page {
            Page::Ladder => "时序图",
            Page::Rulers => "字节尺",
            Page::Findings => "发现",
        },
        Screen::LongGone => "结束太久，记录已不保留",
        Screen::Waiting => "等待数据",
        Screen::Takes(columns) => return format!("画图需要 {columns} 列"),
    };
    said.to_owned()
}
