//! The map of one pool as a part of a page.

use super::{LANES, Pool, Report, maps, width};
use crate::report::ink::{Px, Xml};

/// Draws one pool as a part of a page, which has the looks of its classes; `None` where no model lies there.
pub(in crate::report) fn inline(report: &Report<'_>, pool: &Pool<'_>) -> Option<String> {
    let (maps, height) = maps(report, std::iter::once(pool));
    // The page says itself what stands above the lanes.
    let (map, width, above, height) = (maps.first()?, Px(width(report, &maps)), Px(LANES), Px(height - LANES));
    let mut text = format!(
        "<svg class=\"map\" width=\"{width}\" viewBox=\"0 {above} {width} {height}\" role=\"img\" aria-label=\"Memory map of {}\">\n",
        Xml(pool.name)
    );
    // Writing to a string does not fail.
    let _ = map.write(&mut text, report.system);
    text.push_str("</svg>\n");
    Some(text)
}
