//! Random JSON documents, spelled in every way that the grammar allows.
//!
//! Owns the generator: numbers at the edges of doubles, keys that objects reorder, strings that are
//! no Unicode text. Invariants: a document is one line, and a function of the dice before it.

/// A sequence of numbers that a seed gives (splitmix64).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(seed)
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn digits(&mut self, count: usize) -> String {
        (0..count)
            .map(|_| self.pick(b"0123456789") as char)
            .collect()
    }
}

/// One document.
pub fn document(dice: &mut Dice) -> String {
    let mut out = String::new();
    value(dice, 4, &mut out);
    out
}

fn value(dice: &mut Dice, levels: usize, out: &mut String) {
    space(dice, out);
    match dice.below(if levels == 0 { 5 } else { 9 }) {
        0 => out.push_str(dice.pick(&["true", "false", "null"])),
        1 | 2 => out.push_str(&number(dice)),
        3 | 4 => string(dice, out),
        5 => list(dice, ['[', ']'], out, |dice, out| {
            value(dice, levels - 1, out)
        }),
        _ => list(dice, ['{', '}'], out, |dice, out| {
            space(dice, out);
            string(dice, out);
            space(dice, out);
            out.push(':');
            value(dice, levels - 1, out);
        }),
    }
    space(dice, out);
}

fn list(
    dice: &mut Dice,
    [open, close]: [char; 2],
    out: &mut String,
    element: impl Fn(&mut Dice, &mut String),
) {
    out.push(open);
    for at in 0..dice.below(7) {
        if at > 0 {
            out.push(',');
        }
        element(dice, out);
    }
    out.push(close);
}

fn space(dice: &mut Dice, out: &mut String) {
    if dice.below(4) == 0 {
        out.push_str(dice.pick(&[" ", "\t", "\r", "  "]));
    }
}

fn number(dice: &mut Dice) -> String {
    let bits = dice.roll();
    match dice.below(8) {
        // Any double, and one below the normal ones.
        0 => spelled(dice, f64::from_bits(bits)),
        1 => spelled(dice, f64::from_bits(bits >> 12 | bits & 1 << 63)),
        // Where printing turns from decimals to exponents, and where integers cease to be exact.
        2 => {
            let near = dice.pick(&[1e20, 1e21, 1e22, 1e-5, 1e-6, 1e-7, 9007199254740992.0, 1e15]);
            let nearby = f64::from_bits(f64::to_bits(near) + bits % 5 - 2);
            spelled(dice, nearby)
        }
        3 => {
            let power = dice.pick(&[31, 32, 53, 54, 63, 64, 70]);
            ((1_i128 << power) + i128::from(bits % 9) - 4).to_string()
        }
        4 => {
            let count = 1 + dice.below(60);
            format!("{}{}", dice.pick(&["1", "-9", "7"]), dice.digits(count))
        }
        5 => {
            let fraction = 1 + dice.below(25);
            let exponent = dice.below(700) as i64 - 350;
            let whole = dice.pick(&["0", "-0", "1", "12", "-3"]);
            let mark = dice.pick(&["e", "E"]);
            format!("{whole}.{}{mark}{exponent}", dice.digits(fraction))
        }
        6 => dice
            .pick(&[
                "0",
                "-0",
                "0.0",
                "-0e5",
                "1.0",
                "1e0",
                "100E-2",
                "1e+2",
                "5e-324",
                "2e-324",
                "3e-324",
                "1.7976931348623157e308",
                "1.7976931348623159e308",
                "1e999",
                "-1e400",
                "1e-999",
                "9007199254740993",
                "2.2250738585072011e-308",
                "0.30000000000000004",
            ])
            .to_owned(),
        _ => (bits as i64 >> dice.below(64)).to_string(),
    }
}

/// A double in one of the ways in which it can be written, or almost it; zero for what JSON has not.
fn spelled(dice: &mut Dice, number: f64) -> String {
    if !number.is_finite() {
        return "0".to_owned();
    }
    match dice.below(5) {
        0 => format!("{number:e}"),
        1 => format!("{number:E}"),
        2 => format!("{number}"),
        // Rounded, so that it is often another double, or halfway between two.
        3 => format!("{number:.16e}"),
        // All its digits.
        _ => format!("{number:.800e}"),
    }
}

/// A string or key, with each unit as itself or escaped.
fn string(dice: &mut Dice, out: &mut String) {
    let units = units(dice);
    out.push('"');
    for decoded in char::decode_utf16(units) {
        match decoded {
            Ok(c) if may_be_raw(c) && dice.below(4) > 0 => out.push(c),
            Ok(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    escape(dice, *unit, out);
                }
            }
            Err(lone) => escape(dice, lone.unpaired_surrogate(), out),
        }
    }
    out.push('"');
}

fn may_be_raw(c: char) -> bool {
    c >= ' ' && c != '"' && c != '\\'
}

fn escape(dice: &mut Dice, unit: u16, out: &mut String) {
    let short = match unit {
        0x08 => "\\b",
        0x09 => "\\t",
        0x0a => "\\n",
        0x0c => "\\f",
        0x0d => "\\r",
        0x22 => "\\\"",
        0x2f => "\\/",
        0x5c => "\\\\",
        _ => "",
    };
    match dice.below(3) {
        0 if !short.is_empty() => out.push_str(short),
        1 => out.push_str(&format!("\\u{unit:04X}")),
        _ => out.push_str(&format!("\\u{unit:04x}")),
    }
}

fn units(dice: &mut Dice) -> Vec<u16> {
    let bits = dice.roll();
    let text = match dice.below(8) {
        0 => dice
            .pick(&[
                "",
                "a",
                "b",
                "ab",
                "B",
                "__proto__",
                "constructor",
                "toJSON",
                "length",
            ])
            .to_owned(),
        1 => (bits % 12).to_string(),
        2 => (u64::from(u32::MAX) - 3 + bits % 6).to_string(),
        3 => {
            let digits = dice.pick(&["0", "00", "01", "-0", "-1", "+1", "1.0", "1e3", " 1", "1 "]);
            digits.to_owned()
        }
        4 => (bits >> dice.below(64)).to_string(),
        _ => return (0..dice.below(5)).map(|_| unit(dice)).collect(),
    };
    text.encode_utf16().collect()
}

fn unit(dice: &mut Dice) -> u16 {
    let bits = dice.roll() as u16;
    match dice.below(6) {
        0 => 0xd800 | bits & 0x7ff,
        1 => bits & 0x1f,
        2 => dice.pick(&[
            0x22, 0x2f, 0x5c, 0x7f, 0x2028, 0x2029, 0xfeff, 0xfffe, 0xffff, 0xd7ff, 0xe000,
        ]),
        3 => bits,
        _ => 0x20 + bits % 0x5f,
    }
}
