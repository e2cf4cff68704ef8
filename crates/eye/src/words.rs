//! What the eye says, in the languages it speaks. One catalogue a language, one message a sentence.
//!
//! Names of states, calls, flags and errors are those of RFC 9293 and the man pages in all of them.

/// A language the eye speaks.
///
/// ```
/// use sockeye_eye::words::Lang;
///
/// assert_eq!(Lang::of_locale("zh_CN.UTF-8"), Lang::Zh);
/// assert_eq!(Lang::of_locale("C"), Lang::En);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// Chinese, in simplified characters.
    Zh,
}

impl Lang {
    /// All of them.
    pub const ALL: [Lang; 2] = [Lang::En, Lang::Zh];

    /// The language of a locale's name, as the variables of locale(7) hold it: Chinese for `zh` and
    /// `zh_…`, else English.
    #[must_use]
    pub fn of_locale(name: &str) -> Lang {
        match name.split(['_', '.', '@', '-']).next() {
            Some("zh") => Lang::Zh,
            _ => Lang::En,
        }
    }
}

#[cfg(test)]
mod tests {
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
}
