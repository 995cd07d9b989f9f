//! What long work shows of itself: on stderr, where that is a terminal, and only once it has taken two seconds.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

use crate::fit::{self, Stream};
use crate::print;

/// Work that is done before shows nothing.
const QUIET: Duration = Duration::from_secs(2);
/// Columns where nobody says how many there are, and below which a terminal is narrow.
const LINE: usize = 120;
const NARROW: usize = 50;
const TICK: Duration = Duration::from_millis(200);

/// Of work in so many parts.
pub fn bar(length: usize) -> ProgressBar {
    let template = "{bar:WIDE} {pos}/{len} {wide_msg}";
    late(Some(length as u64), template, template)
}

/// Of work on bytes, whose number is set once it is known.
pub fn bytes() -> ProgressBar {
    let template = "{bar:WIDE} {decimal_bytes_per_sec}, {eta} left  {wide_msg}";
    late(Some(0), template, "{bar:WIDE} {percent} %")
}

/// Of work that cannot tell how far it is.
pub fn spinner(message: String) -> ProgressBar {
    let template = "{spinner} {elapsed} {wide_msg}";
    late(None, template, template).with_message(message)
}

/// `narrow` is the template of a terminal of few columns.
fn late(length: Option<u64>, template: &str, narrow: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::hidden());
    let bar = bar.with_finish(ProgressFinish::AndClear);
    let columns = fit::columns(Stream::Stderr).unwrap_or(LINE);
    let template = if columns < NARROW { narrow } else { template };
    // A third of a narrow terminal.
    let wide = (columns / 3).clamp(1, 30);
    if let Ok(style) = ProgressStyle::with_template(&template.replace("WIDE", &wide.to_string())) {
        bar.set_style(style);
    }
    let target = ProgressDrawTarget::stderr();
    // A dumb terminal cannot go back to draw it again.
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if !target.is_hidden() && !is_dumb {
        let later = bar.downgrade();
        std::thread::spawn(move || {
            std::thread::sleep(QUIET);
            // It is gone where the work failed.
            if let Some(bar) = later.upgrade().filter(|bar| !bar.is_finished()) {
                bar.set_draw_target(target);
                bar.enable_steady_tick(TICK);
            }
        });
    }
    bar
}

/// A line on stderr beside a bar, which would otherwise be drawn over it.
pub fn note_above(bar: &ProgressBar, text: &str) {
    bar.suspend(|| print::note(text));
}
