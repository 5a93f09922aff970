//! Atoms (boxes) of an MP4 file, in the file and in memory.

use std::io::{self, Read, Seek, SeekFrom};

/// Maximum number of atoms read on each level: of the file, of its index, of a track. Each may cost a
/// request to a remote store. Only malicious files have more.
const MAX_ATOMS: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Atom {
    pub(super) kind: [u8; 4],
    pub(super) start: u64,
    pub(super) body: u64,
    pub(super) end: u64,
}

impl Atom {
    /// Parses the header of the atom at `pos`. Returns `None` if it is invalid or incomplete.
    pub(super) fn parse(header: &[u8], pos: u64) -> Option<Self> {
        let [s0, s1, s2, s3, k0, k1, k2, k3, long @ ..] = header else { return None };
        let (size, header_len) = match u32::from_be_bytes([*s0, *s1, *s2, *s3]) {
            // It extends to the end of the file.
            0 => (u64::MAX - pos, 8),
            1 => (unsigned(long, 0, 8)?, 16),
            size => (u64::from(size), 8),
        };
        let end = pos.checked_add(size).filter(|_| size >= header_len)?;
        Some(Atom { kind: [*k0, *k1, *k2, *k3], start: pos, body: pos + header_len, end })
    }
}

/// Returns the atoms from `pos` to `end`, up to the first invalid one or the first for which `is_last`
/// is true.
pub(super) fn atoms(
    source: &mut (impl Read + Seek),
    mut pos: u64,
    end: u64,
    is_last: impl Fn(&Atom, &[Atom]) -> bool,
) -> io::Result<Vec<Atom>> {
    let mut found: Vec<Atom> = Vec::new();
    while pos < end && found.len() < MAX_ATOMS {
        let header = read_at(source, pos, 16)?;
        let Some(atom) = Atom::parse(&header, pos) else { break };
        let last = is_last(&atom, &found);
        found.push(atom);
        if last {
            break;
        }
        pos = atom.end;
    }
    Ok(found)
}

/// Returns the first atom of a kind within another.
pub(super) fn child(
    source: &mut (impl Read + Seek),
    parent: &Atom,
    kind: &[u8; 4],
) -> io::Result<Option<Atom>> {
    let found = atoms(source, parent.body, parent.end, |atom, _| &atom.kind == kind)?;
    Ok(found.into_iter().next_back().filter(|atom| &atom.kind == kind))
}

/// Returns the atoms in `bytes`, with their bodies.
pub(super) fn atoms_in(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let atom = Atom::parse(rest, 0)?;
        let end = usize::try_from(atom.end).ok()?.min(rest.len());
        let body = rest.get(atom.body as usize..end)?;
        rest = &rest[end..];
        Some((atom.kind, body))
    })
}

/// Returns the first `len` bytes of an atom's body, or all if it is shorter.
pub(super) fn read_body(
    source: &mut (impl Read + Seek),
    atom: &Atom,
    len: u64,
) -> io::Result<Vec<u8>> {
    read_at(source, atom.body, len.min(atom.end - atom.body))
}

/// Reads up to `len` bytes at `pos`.
pub(super) fn read_at(source: &mut (impl Read + Seek), pos: u64, len: u64) -> io::Result<Vec<u8>> {
    source.seek(SeekFrom::Start(pos))?;
    let mut bytes = Vec::new();
    source.by_ref().take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn unsigned(bytes: &[u8], at: usize, len: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(len)?)?;
    Some(bytes.iter().fold(0, |value, &b| value << 8 | u64::from(b)))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    unsigned(bytes, at, 4).and_then(|value| u32::try_from(value).ok())
}
