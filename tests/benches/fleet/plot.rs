//! The results as pictures: SVG files beside `target/bench/results.json`, and the same data in them as text.
//!
//! Two kinds: how each figure stands to its goal, and how long what share of a fleet took. Written by hand, because a
//! picture of bars and lines is a page of text, and readers of the documents need no program to look at it.

use crate::report::directory;
use serde_json::Value;
use std::fmt::Write;

const WIDTH: f64 = 860.0;
const COLORS: [&str; 4] = ["#8a8f98", "#1f6feb", "#2da44e", "#bf8700"];

/// Draws everything in the results.
pub(crate) fn all() {
    let Ok(bytes) = std::fs::read(directory().join("results.json")) else { return };
    let results: Value = serde_json::from_slice(&bytes).unwrap();
    let write = |name: &str, text: String| std::fs::write(directory().join(name), text).unwrap();
    write("goals.svg", goals(results["figures"].as_array().map_or(&[], Vec::as_slice)));
    for curve in results["curves"].as_array().into_iter().flatten() {
        let name = format!("{}.svg", curve["subject"].as_str().unwrap());
        write(&name, lines(curve));
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, what: &str) {
    let what = escape(what);
    writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{what}</text>"#).unwrap();
}

fn line(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), color: &str) {
    writeln!(svg, r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{color}"/>"#).unwrap();
}

fn document(title: &str, height: f64, inside: &str) -> String {
    let title = escape(title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\" role=\"img\">\n<title>{title}</title>\n<rect width=\"{WIDTH}\" height=\"{height}\" \
         fill=\"#ffffff\"/>\n<text x=\"16\" y=\"24\" font-size=\"15\" font-weight=\"bold\">{title}</text>\n{inside}</svg>\n"
    )
}

/// How much of what its goal allows a figure uses: 1 is just what is allowed, less is better.
fn used(figure: &Value) -> Option<f64> {
    let goal = figure["goal"].as_str()?;
    let (measured, ratio) = (figure["measured"].as_f64()?, figure["ratio"].as_f64());
    let bound = |prefix: &str| goal.strip_prefix(prefix).and_then(|bound| bound.trim().parse::<f64>().ok());
    bound("ratio <=")
        .and_then(|bound| Some(ratio? / bound))
        .or_else(|| bound("ratio >=").and_then(|bound| Some(bound / ratio?)))
        .or_else(|| bound("ratio 1 +-").and_then(|bound| Some((ratio? - 1.0).abs() / bound)))
        .or_else(|| bound("<=").map(|bound| measured / bound))
}

/// One bar for each figure with a bound, on a logarithmic scale; what reaches beyond the line misses its goal.
fn goals(figures: &[Value]) -> String {
    let bars: Vec<(&str, f64)> =
        figures.iter().filter_map(|figure| Some((figure["name"].as_str()?, used(figure)?))).collect();
    let (left, top, step, right) = (430.0, 62.0, 20.0, WIDTH - 60.0);
    let (least, most) = (0.01_f64, 10.0_f64);
    let x = |value: f64| {
        let share = (value.clamp(least, most) / least).ln() / (most / least).ln();
        left + share * (right - left)
    };
    let bottom = top + step * bars.len() as f64;
    let mut svg = String::new();
    for tick in [0.01, 0.1, 1.0, 10.0] {
        line(
            &mut svg,
            (x(tick), top - 8.0),
            (x(tick), bottom),
            if tick == 1.0 { "#cf222e" } else { "#d0d7de" },
        );
        text(&mut svg, (x(tick), top - 12.0), "middle", &format!("{tick}"));
    }
    for (n, (name, used)) in bars.iter().enumerate() {
        let y = top + step * n as f64;
        let color = if *used <= 1.0 { "#2da44e" } else { "#cf222e" };
        text(&mut svg, (left - 8.0, y + 11.0), "end", name);
        writeln!(
            svg,
            r#"<rect x="{left}" y="{y:.1}" width="{:.1}" height="14" fill="{color}"/>"#,
            (x(*used) - left).max(1.0)
        )
        .unwrap();
        text(&mut svg, (x(*used).max(left) + 4.0, y + 11.0), "start", &format!("{used:.2}"));
    }
    document("Measured over what the goal allows (1: just allowed; less is better)", bottom + 16.0, &svg)
}

/// What share of a fleet was done after how long, a line for each series.
fn lines(curve: &Value) -> String {
    let series: Vec<(&str, Vec<f64>)> = curve["series"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|series| {
            let points = series["points"].as_array().into_iter().flatten().filter_map(Value::as_f64);
            (series["name"].as_str().unwrap(), points.collect())
        })
        .collect();
    let (left, right, top, bottom) = (60.0, WIDTH - 24.0, 50.0, 330.0);
    let most = series.iter().flat_map(|(_, points)| points.iter().copied()).fold(1.0, f64::max);
    let x = |value: f64| left + value / most * (right - left);
    let y = |percent: f64| bottom - percent / 100.0 * (bottom - top);
    let mut svg = String::new();
    for percent in [0.0, 25.0, 50.0, 75.0, 100.0] {
        line(&mut svg, (left, y(percent)), (right, y(percent)), "#d0d7de");
        text(&mut svg, (left - 8.0, y(percent) + 4.0), "end", &format!("{percent} %"));
    }
    for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
        text(&mut svg, (x(most * share), bottom + 18.0), "middle", &format!("{:.0}", most * share));
    }
    text(&mut svg, ((left + right) / 2.0, bottom + 38.0), "middle", curve["unit"].as_str().unwrap());
    for (n, (name, points)) in series.iter().enumerate() {
        let color = COLORS[n % COLORS.len()];
        let steps = points.len().saturating_sub(1).max(1) as f64;
        let path: Vec<String> = points
            .iter()
            .enumerate()
            .map(|(n, point)| format!("{:.1},{:.1}", x(*point), y(n as f64 / steps * 100.0)))
            .collect();
        writeln!(
            svg,
            r#"<polyline points="{}" fill="none" stroke="{color}" stroke-width="2"/>"#,
            path.join(" ")
        )
        .unwrap();
        let at = (left + 16.0, bottom + 62.0 + 18.0 * n as f64);
        line(&mut svg, (at.0, at.1 - 4.0), (at.0 + 24.0, at.1 - 4.0), color);
        text(&mut svg, (at.0 + 32.0, at.1), "start", name);
    }
    let height = bottom + 72.0 + 18.0 * series.len() as f64;
    document(curve["name"].as_str().unwrap(), height, &svg)
}
