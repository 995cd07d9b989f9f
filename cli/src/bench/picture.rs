use super::record::Record;
pub fn svg(_: &Record) -> Result<String, String> {
    Ok(String::new())
}
