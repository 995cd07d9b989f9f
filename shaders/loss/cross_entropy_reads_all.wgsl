// Statistics are of every row.
fn row_reads(row: Row) -> bool {
    return true;
}
