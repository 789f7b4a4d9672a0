//! The patterns of `KEYS` and `CONFIG GET`: `*`, `?`, `[a-z]`, `[^a]`, and `\` to escape any of
//! them.

/// Returns whether `text` matches. If a match fails, only the last star is extended by one byte, so
/// the time is at most the product of both lengths; a recursive call per star would be exponential.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            star = Some((p, t));
        } else if t == text.len() && p == pattern.len() {
            return true;
        } else if let Some(len) = text.get(t).and_then(|byte| one(&pattern[p..], *byte)) {
            p += len;
            t += 1;
        } else if let Some((after, taken)) = star.filter(|(_, taken)| *taken < text.len()) {
            (p, t) = (after, taken + 1);
            star = Some((p, t));
        } else {
            return false;
        }
    }
}

/// Returns the length of the first element of the pattern if it matches the byte.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    let (len, fits) = match *pattern {
        [] => return None,
        [b'?', ..] => (1, true),
        [b'\\', escaped, ..] => (2, escaped == byte),
        [b'[', ..] => class(pattern, byte),
        [plain, ..] => (1, plain == byte),
    };
    fits.then_some(len)
}

/// As in Redis, an unclosed class ends at the end of the pattern.
fn class(pattern: &[u8], byte: u8) -> (usize, bool) {
    let is_negated = pattern.get(1) == Some(&b'^');
    let mut at = 1 + usize::from(is_negated);
    let mut fits = false;
    loop {
        match pattern[at..] {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', escaped, ..] => {
                fits |= escaped == byte;
                at += 2;
            }
            [from, b'-', to, ..] => {
                fits |= (from.min(to)..=from.max(to)).contains(&byte);
                at += 3;
            }
            [plain, ..] => {
                fits |= plain == byte;
                at += 1;
            }
        }
    }
    (at, fits != is_negated)
}
