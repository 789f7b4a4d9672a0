# Shortcuts for daily work, listed by `just --list`. `.ci/run` defines what is checked.

# The quick checks: formatting, lints of all targets and of each feature, documentation
check:
    .ci/run fmt clippy features docs

# All tests
test:
    .ci/run tests

# Everything that CI checks, or the named steps (`.ci/run --list`)
ci *steps:
    .ci/run {{ steps }}

# The tests of a package whose names contain a word: just only tower-reagent-layers tls
only package word:
    cargo test -p {{ package }} --all-features --locked -- {{ word }}

# All benchmarks, or one: echo, gateway, http, layers, yardstick (benches/README.md)
bench *name:
    cargo bench -p reagent-benches {{ if name == "" { "" } else { "--bench " + name } }}

# All fuzz targets, or some, for a number of seconds each: just fuzz 600 sniff
fuzz seconds="20" *targets:
    .ci/fuzz {{ seconds }} {{ targets }}

# The archives that would be published: builds and inspects them
package:
    .ci/run package

# The documentation as docs.rs shows it
docs:
    RUSTDOCFLAGS="--cfg docsrs" cargo +nightly doc -p tower-reagent -p tower-reagent-layers --all-features --no-deps --open

# The oldest compiler, the lowest dependency versions, the archives, licenses and other platforms
release-checks:
    .ci/run msrv minimal-versions package licenses platforms
