//! Messages of the TOML parser in the words of users.

/// Rewrites a message about a value or key, which is written as `text` in the file.
pub fn explain(message: &str, text: &str) -> String {
    if message == "duplicate key" {
        return format!("`{text}` is given twice");
    }
    if message == "wanted string or table" {
        return "expected a string".to_owned();
    }
    for prefix in ["invalid type: ", "invalid value: "] {
        let rest = message.strip_prefix(prefix);
        if let Some((given, expected)) = rest.and_then(|rest| rest.rsplit_once(", expected ")) {
            return mismatch(given, expected, text);
        }
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        return format!("unknown value {rest}");
    }
    match message.strip_prefix("missing field ") {
        Some(field) => format!("{field} is missing"),
        None => message.to_owned(),
    }
}

/// Describes a value of the wrong type, which is written as `text`.
fn mismatch(given: &str, expected: &str, text: &str) -> String {
    let expected = match expected {
        "path string" => "a string",
        other => other,
    };
    // Dates are tables to serde.
    let is_date = text.starts_with(|first: char| first.is_ascii_digit());
    let number = given
        .strip_prefix("integer ")
        .or_else(|| given.strip_prefix("floating point "));
    let string = given.strip_prefix("string ");
    let given = match (number, string) {
        (Some(number), _) => format!("the number {}", number.split('`').nth(1).unwrap_or(number)),
        (_, Some(string)) => format!("the string {string}"),
        _ => match given {
            "map" if is_date => "a date".to_owned(),
            "map" => "a table".to_owned(),
            "sequence" => "an array".to_owned(),
            other => other.trim_start_matches("boolean ").replace('`', ""),
        },
    };
    let is_number = |text: &str| text.trim_matches('"').parse::<f64>().is_ok();
    let hint = if expected.contains("number") && string.is_some_and(is_number) {
        "; write it without quotes"
    } else if expected.contains("string") && number.is_some() {
        "; write it in quotes"
    } else {
        ""
    };
    format!("expected {expected}, not {given}{hint}")
}
