//! What targets make of their bytes before they are read: text, more of it, and pieces of it.
//!
//! Owns the ways to cut a body into chunks. Invariants: seeds stay readable as they are, and the same
//! bytes are always cut the same way.

/// The bytes that one mark can stand for, at most 256 times: no cap is farther than some marks away.
const FILL_BYTES: usize = 1024;
/// More than the largest cap of one body.
const FILLED_BYTES: usize = (1 << 20) + (1 << 16);

/// Puts `x` for each mark, a byte 0xFF with a byte that says how many KiB: so inputs of some bytes
/// reach the caps.
pub fn filled(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    let mut bytes = data.iter();
    while let Some(&byte) = bytes.next() {
        match (byte, out.len() < FILLED_BYTES) {
            (0xFF, true) => {
                let times = bytes.next().map_or(0, |times| usize::from(*times) + 1);
                out.resize((out.len() + times * FILL_BYTES).min(FILLED_BYTES), b'x');
            }
            _ => out.push(byte),
        }
    }
    out
}

/// Beyond this one piece a byte would take longer than it finds.
pub const SINGLE_BYTES: usize = 16 * 1024;

/// The body in pieces: each byte alone, and as chance has it, with some empty pieces.
pub fn cuttings(body: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    if body.len() <= SINGLE_BYTES {
        all.push(body.iter().map(|byte| vec![*byte]).collect());
    }
    // FNV-1a, so that another body is cut at other places.
    let mut chance = body.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    let sizes: &[usize] = if body.len() <= SINGLE_BYTES {
        &[4, 64]
    } else {
        &[1 << 18]
    };
    for longest in sizes {
        let mut rest = body;
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            let (piece, after) = rest.split_at((chance as usize % (longest + 1)).min(rest.len()));
            pieces.push(piece.to_vec());
            rest = after;
        }
        all.push(pieces);
    }
    all
}

/// Text of any bytes.
pub fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}
