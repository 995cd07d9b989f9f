// Without statistics, rows that are ignored or have a bad label are not read.
fn row_reads(row: Row) -> bool {
    return row.kind == KEPT;
}
