//! Tests of the library's model and picture layers, without a server.

mod captioner;
mod cpu;
mod given;
mod guidance_steps;
mod one_pass;
#[path = "../pairs/mod.rs"]
mod pairs;
mod parity;
mod picture;
mod precision;
mod sampler;
mod token_file;
mod words;

use pairs::pairs;

#[test]
fn pairs_yields_the_elements_of_both_lists() {
    assert_eq!(pairs([1, 2], ["a", "b"]).collect::<Vec<_>>(), [(1, "a"), (2, "b")]);
}

#[test]
#[should_panic(expected = "nothing to compare")]
fn pairs_fails_on_empty_lists() {
    let _ = pairs(Vec::<u8>::new(), Vec::<u8>::new());
}

#[test]
#[should_panic(expected = "lists of different lengths")]
fn pairs_fails_on_lists_of_different_lengths() {
    let _ = pairs([1, 2], [1]);
}
