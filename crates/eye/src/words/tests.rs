use super::*;

#[test]
fn a_locale_is_chinese_by_its_language_alone() {
    for name in ["zh", "zh_CN", "zh_TW.Big5", "zh_SG@x", "zh-Hans"] {
        assert_eq!(Lang::of_locale(name), Lang::Zh, "{name}");
    }
    for name in ["", "C", "POSIX", "en_GB.UTF-8", "zho", "de_CH"] {
        assert_eq!(Lang::of_locale(name), Lang::En, "{name}");
    }
}
