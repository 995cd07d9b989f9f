// Each label is the class of its row.
fn visit_labels(item: u32, count: u32) {}
