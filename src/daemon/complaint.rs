//! What is wrong for a while, told once.

use std::fmt::Display;

/// Something that is tried again and again, and is logged when it begins to fail.
#[derive(Debug, Default)]
pub struct Complaint {
    is_open: bool,
}

impl Complaint {
    /// Takes in how it went this time. The first failure after a success is to be told: this is the error, to be followed
    /// by what comes of it.
    pub fn news<E: Display>(&mut self, result: Result<(), E>) -> Option<E> {
        let error = result.err();
        let was_open = std::mem::replace(&mut self.is_open, error.is_some());
        error.filter(|_| !was_open)
    }

    /// Did it fail last time?
    pub fn is_open(&self) -> bool {
        self.is_open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_news_until_it_succeeds() {
        let mut complaint = Complaint::default();
        let results = [Ok(()), Err(1), Err(2), Ok(()), Err(3)];
        let told = results.map(|result| complaint.news(result));
        assert_eq!(told, [None, Some(1), None, None, Some(3)]);
        assert!(complaint.is_open());
    }
}
