//! How error messages show words of a file: in quotes, cut if they are long or many.

/// The word in quotes.
pub(super) fn shown(word: &[u8]) -> String {
    // A character has at most four bytes.
    let text = String::from_utf8_lossy(&word[..word.len().min(100)]);
    let mut start: String = text.chars().take(24).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    format!("{start:?}")
}

/// The first of the names, and how many more there are.
pub(super) fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    const LISTED: usize = 8;
    let more = names.len().saturating_sub(LISTED);
    let names: Vec<String> = names.take(LISTED).map(|name| shown(name.as_bytes())).collect();
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    names.join(", ") + &rest
}
