//! Numbers in the variables that launchers set: what is none is noted and left out, never an error.

use super::budget::Resolver;

/// A variable that holds a number of 1 or more.
pub(super) fn positive(
    budget: &mut Resolver,
    env: &impl Fn(&str) -> Option<String>,
    name: &str,
) -> Option<usize> {
    let text = env(name)?;
    let number = text.trim().parse().ok().filter(|number| *number > 0);
    if number.is_none() {
        left_out(budget, name, &text, "a number of 1 or more");
    }
    number
}

/// Notes that a variable does not hold what it should.
pub(super) fn left_out(budget: &mut Resolver, name: &str, text: &str, expected: &str) {
    let shown: String = text.chars().take(40).collect();
    budget.note(format!("{name}: `{shown}` is not {expected}; left out"));
}
