# Recipes for people. What is checked is said in `.ci/run`; `just --list` shows these.

# The quick part: formatting, lints of all targets and of each feature, documentation
check:
    .ci/run fmt clippy features docs

# All tests
test:
    .ci/run tests

# Everything that CI does, or the named steps (`.ci/run --list`)
ci *steps:
    .ci/run {{ steps }}

# Tests of one package whose names contain a word: just only tower-reagent-layers tls
only package word:
    cargo test -p {{ package }} --all-features --locked -- {{ word }}

# Benchmarks, or one: echo, gateway, http, layers (benches/README.md)
bench *name:
    cargo bench -p reagent-benches {{ if name == "" { "" } else { "--bench " + name } }}

# Fuzz targets for some seconds each, all or one: just fuzz 600 sniff
fuzz seconds="20" *targets:
    .ci/fuzz {{ seconds }} {{ targets }}

# The archives that would be published, built and looked into
package:
    .ci/run package

# The documentation as docs.rs shows it
docs:
    RUSTDOCFLAGS="--cfg docsrs" cargo +nightly doc -p tower-reagent -p tower-reagent-layers --all-features --no-deps --open

# The oldest compiler, the lowest versions of dependencies, licences and other platforms
release-checks:
    .ci/run msrv minimal-versions package licenses platforms
