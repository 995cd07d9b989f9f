// Without statistics, rows that are ignored or have a bad label are passed over.
fn row_reads(row: Row) -> bool {
    return row.kind == KEPT;
}
