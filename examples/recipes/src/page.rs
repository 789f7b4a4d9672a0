//! The page shows the programs of this package.

use std::{fs, path::Path};

/// The lines of a text without their indentation and without empty ones.
fn lines(text: &str) -> Vec<&str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect()
}

/// The fenced blocks of Rust of a page.
fn blocks(page: &str) -> Vec<Vec<&str>> {
    let mut blocks = Vec::new();
    let mut rest = page;
    while let Some((_, fenced)) = rest.split_once("```rust") {
        let (_, fenced) = fenced.split_once('\n').expect("a fence has a line");
        let (block, after) = fenced.split_once("```").expect("a fence has an end");
        blocks.push(lines(block));
        rest = after;
    }
    blocks
}

#[test]
fn every_block_of_the_page_stands_in_a_source_file() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(package.join("../../layers/src/guide/recipes.md")).unwrap();
    let sources: Vec<_> = fs::read_dir(package.join("src"))
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    let blocks = blocks(&page);
    assert!(blocks.len() >= 10, "the page has {} blocks", blocks.len());
    for block in blocks {
        let is_there = sources.iter().any(|source| {
            let source = lines(source);
            source.windows(block.len()).any(|window| window == block)
        });
        assert!(is_there, "not in the sources:\n{}", block.join("\n"));
    }
}
