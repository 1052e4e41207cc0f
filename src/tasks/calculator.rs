//! A calculator: the value of an expression with numbers, `+ - * /`, and parentheses.
//!
//! It is here to give a task something true to do without a network, so it knows nothing else.
//! Invariant: nesting is bounded, and a value that is given is finite.

use std::iter::Peekable;
use std::str::Chars;

/// Parentheses and signs inside each other.
const DEPTH: usize = 32;

/// Why an expression has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoValue {
    /// Not an expression.
    #[error("not an expression")]
    Form,
    /// Beyond [`DEPTH`].
    #[error("nested too deeply")]
    Depth,
    /// Divided by zero, or beyond a double's range.
    #[error("no finite value")]
    NotFinite,
}

/// The value of `expression`.
pub(super) fn evaluate(expression: &str) -> Result<f64, NoValue> {
    let mut reader = Reader {
        rest: expression.chars().peekable(),
        depth: 0,
    };
    let value = reader.sum()?;
    if reader.next_symbol().is_some() {
        return Err(NoValue::Form);
    }
    value.is_finite().then_some(value).ok_or(NoValue::NotFinite)
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    depth: usize,
}

impl Reader<'_> {
    /// The next character that isn't white space, not taken.
    fn next_symbol(&mut self) -> Option<char> {
        while self.rest.next_if(|c| c.is_whitespace()).is_some() {}
        self.rest.peek().copied()
    }

    fn sum(&mut self) -> Result<f64, NoValue> {
        let mut value = self.product()?;
        while let Some(sign @ ('+' | '-')) = self.next_symbol() {
            self.rest.next();
            let term = self.product()?;
            value = if sign == '+' {
                value + term
            } else {
                value - term
            };
        }
        Ok(value)
    }

    fn product(&mut self) -> Result<f64, NoValue> {
        let mut value = self.factor()?;
        while let Some(sign @ ('*' | '/')) = self.next_symbol() {
            self.rest.next();
            let factor = self.factor()?;
            value = if sign == '*' {
                value * factor
            } else {
                value / factor
            };
        }
        Ok(value)
    }

    fn factor(&mut self) -> Result<f64, NoValue> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(NoValue::Depth);
        }
        let value = match self.next_symbol() {
            Some('-') => {
                self.rest.next();
                self.factor().map(|value| -value)
            }
            Some('(') => {
                self.rest.next();
                let value = self.sum()?;
                if self.next_symbol() != Some(')') {
                    return Err(NoValue::Form);
                }
                self.rest.next();
                Ok(value)
            }
            _ => self.number(),
        };
        self.depth -= 1;
        value
    }

    fn number(&mut self) -> Result<f64, NoValue> {
        let mut digits = String::new();
        while let Some(c) = self.rest.next_if(|c| c.is_ascii_digit() || *c == '.') {
            digits.push(c);
        }
        digits.parse().map_err(|_| NoValue::Form)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_have_their_value_or_say_why_not() {
        let deep = format!("{}1{}", "(".repeat(40), ")".repeat(40));
        // Nothing of these is nested: their length is no depth.
        let long = ["1"; 500].join(" + ");
        let wide = ["(-1)"; 500].join(" + ");
        let cases: [(&str, Result<f64, NoValue>); 16] = [
            (&long, Ok(500.0)),
            (&wide, Ok(-500.0)),
            ("1", Ok(1.0)),
            (" 1 + 2 * 3 ", Ok(7.0)),
            ("(1 + 2) * 3", Ok(9.0)),
            ("10 / 4 - 1", Ok(1.5)),
            ("2 - 3 - 4", Ok(-5.0)),
            ("--2", Ok(2.0)),
            ("-(2 + 1)", Ok(-3.0)),
            ("", Err(NoValue::Form)),
            ("1 +", Err(NoValue::Form)),
            ("1 2", Err(NoValue::Form)),
            ("(1", Err(NoValue::Form)),
            ("1..2", Err(NoValue::Form)),
            ("1 / 0", Err(NoValue::NotFinite)),
            (&deep, Err(NoValue::Depth)),
        ];
        for (expression, expected) in cases {
            assert_eq!(evaluate(expression), expected, "{expression:?}");
        }
    }
}
