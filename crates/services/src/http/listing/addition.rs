//! What other parts of the site put into the page of a folder.

use super::super::{Site, upload};

/// Something between the path and the table. Nothing, unless a part of the site fills it in.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Addition {
    /// Markup, whole elements.
    pub(in super::super) html: String,
    /// A script, and what a browser checks of it: `sha256-` and its digest in Base64. It may make
    /// requests of this server alone. None if it is empty.
    pub(in super::super) script: &'static str,
    pub(in super::super) script_hash: &'static str,
}

/// What goes into the page of a folder: a form for uploads, where these are taken.
pub(super) fn addition(site: &Site) -> Addition {
    if site.options.upload.is_none() {
        return Addition::default();
    }
    Addition {
        html: upload::FORM.to_owned(),
        script: upload::SCRIPT,
        script_hash: upload::script_hash(),
    }
}
