//! The page: three files, which load nothing else.

/// A file of the page.
#[derive(Debug, PartialEq)]
pub(super) struct Asset {
    name: &'static str,
    pub(super) content_type: &'static str,
    pub(super) content: &'static str,
}

static ASSETS: [Asset; 3] = [
    Asset {
        name: "",
        content_type: "text/html; charset=utf-8",
        content: include_str!("page/index.html"),
    },
    Asset {
        name: "admin.css",
        content_type: "text/css; charset=utf-8",
        content: include_str!("page/admin.css"),
    },
    Asset {
        name: "admin.js",
        content_type: "text/javascript; charset=utf-8",
        content: include_str!("page/admin.js"),
    },
];

impl Asset {
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        ASSETS.iter().find(|asset| asset.name == name)
    }
}
