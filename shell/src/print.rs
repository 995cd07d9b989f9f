//! Lines and numbers.

use std::io::{ErrorKind, Write};

use serde_json::{Number, Value};

use crate::Failure;

/// One line on stdout. `println!` would panic where the reader has gone.
pub fn line(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.write_all(b"\n"))
        .and_then(|()| stdout.flush());
    written.map_err(|error| failed("stdout", &error))
}

/// Standard output could not be written.
pub fn failed(label: &str, error: &std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::Closed,
        _ => Failure::Failed(format!("{label}: {error}")),
    }
}

/// What a command tells, on stdout, or beside it where that holds a result.
pub fn report(text: &str, beside: bool) -> Result<(), Failure> {
    if beside {
        note(text);
        return Ok(());
    }
    line(text)
}

/// One line on stderr. Where that cannot be written there is nobody left to tell.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// An f32 as JSON, in its shortest decimal: 0.1, not 0.10000000149011612. JSON has no NaN and no infinities: strings.
pub fn json_f32(x: f32) -> Value {
    let shortest = format!("{x:e}").parse().unwrap_or(f64::from(x));
    json_f64(shortest)
}

pub fn json_f64(x: f64) -> Value {
    match Number::from_f64(x) {
        Some(number) => Value::Number(number),
        None if x.is_nan() => "NaN".into(),
        None if x > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

/// Thousandths are as fine as a clock on the wall tells milliseconds.
pub fn json_ms(ms: f64) -> Value {
    json_f64((ms * 1e3).round() / 1e3)
}

/// Six significant digits; with an exponent where the number is tiny or huge.
pub fn significant(x: f64) -> String {
    if x == 0.0 || !x.is_finite() {
        return format!("{x}");
    }
    match x.abs().log10().floor() as i32 {
        exponent @ -4..=5 => format!("{x:.*}", (5 - exponent) as usize),
        _ => format!("{x:.5e}"),
    }
}
