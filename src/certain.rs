//! What can't fail, and why: the value of a `Result` that this crate's own code makes certain.
//!
//! Owns the one way to say so. `Result::expect` would print the error, which may hold what a user wrote,
//! and a panic's words go to the log. Invariant: they are the literal that is given here.

/// A result that is never an error.
pub(crate) trait Certain<T> {
    /// The value. `why` says what makes it certain.
    fn certain(self, why: &'static str) -> T;
}

impl<T, E> Certain<T> for Result<T, E> {
    #[track_caller]
    fn certain(self, why: &'static str) -> T {
        self.ok().expect(why)
    }
}
