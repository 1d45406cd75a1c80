//! The nearest known word to a misspelt one.

/// The one of `known` that `word` most probably means, if any is near.
///
/// Near is at most a third of the word's characters (and at least one) typed wrongly, left out, added or
/// swapped with a neighbour. Among equally near words the first wins.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let limit = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|&(distance, _)| distance <= limit)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn only_near_words_are_suggested() {
        let known = ["period", "deadline", "phase", "priority"];
        assert_eq!(nearest("deadlin", known), Some("deadline"));
        assert_eq!(nearest("peroid", known), Some("period"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("x", known), None);
    }
}
