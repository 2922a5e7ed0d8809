//! Pairs the elements of two lists that a test compares.

/// Pairs two lists element by element, as `zip` does, but fails a test whose lists are empty or differ in length: it would
/// pass without comparing everything.
#[track_caller]
pub fn pairs<A, B>(
    left: impl IntoIterator<Item = A>,
    right: impl IntoIterator<Item = B>,
) -> impl ExactSizeIterator<Item = (A, B)> {
    let (left, right) = (left.into_iter().collect::<Vec<_>>(), right.into_iter().collect::<Vec<_>>());
    assert_eq!(left.len(), right.len(), "lists of different lengths");
    assert!(!left.is_empty(), "nothing to compare");
    left.into_iter().zip(right)
}
