//! How ECMAScript writes a number (ECMA-262, Number::toString), out of Rust's own digits.

/// The text of a finite double.
pub fn number(number: f64) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    // As few digits as Rust's shortest has; of two such texts that are equally near Rust takes the
    // larger one there and the even one, as ECMAScript does, where it is told how many digits.
    let shortest = format!("{number:e}");
    let digits = shortest.bytes().take_while(|byte| *byte != b'e');
    let nearest = format!(
        "{number:.*e}",
        digits.filter(u8::is_ascii_digit).count() - 1
    );
    // Above a power of two the nearest text may belong to the double below.
    let reads_back = nearest.parse() == Ok(number);
    let shortest = if reads_back { nearest } else { shortest };
    let (sign, shortest) = match shortest.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", shortest.as_str()),
    };
    let (digits, exponent) = shortest.split_once('e').expect("it has an exponent");
    let digits = digits.replace('.', "");
    let point = exponent.parse::<i32>().expect("it is a number") + 1;
    let count = digits.len() as i32;
    let zeros = |count: i32| "0".repeat(count as usize);
    let text = match point {
        22.. | ..=-6 => {
            let (first, rest) = digits.split_at(1);
            let dot = if rest.is_empty() { "" } else { "." };
            format!("{first}{dot}{rest}e{:+}", point - 1)
        }
        ..=0 => format!("0.{}{digits}", zeros(-point)),
        _ if count <= point => format!("{digits}{}", zeros(point - count)),
        _ => {
            let (whole, fraction) = digits.split_at(point as usize);
            format!("{whole}.{fraction}")
        }
    };
    format!("{sign}{text}")
}
