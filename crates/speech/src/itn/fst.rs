//! Weighted transducers in OpenFst's `vector` format, over bytes, and the best path of a text
//! through one.
//!
//! This is the little of OpenFst that grammars need once they are compiled. The composition of a
//! text, which is a chain, with a transducer is a lattice of states at places of the text; it is
//! brought into topological order and walked, keeping for every node only the cheapest way to it.
//! Grammars are full of ways that cost the same: the order is that of OpenFst's `ShortestPath`, so
//! that of these the same is taken.

use std::collections::HashMap;
use std::path::Path;

use crate::{files::broken, recognizer::Error};

/// `kFstMagicNumber` of OpenFst.
const MAGIC: u32 = 0x7eb2_fdd6;
const VERSION: u32 = 2;
/// The file holds tables that name its labels; grammars over bytes need none.
const SYMBOL_TABLES: u32 = 3;
/// Bytes of an arc, and the least of a state.
const ARC: usize = 16;
const STATE: usize = 12;
/// More than a clause needs by far; a hostile grammar should not take all memory.
const NODES: usize = 1 << 22;

/// A transducer: reads bytes, writes bytes.
#[derive(Debug)]
pub(super) struct Fst {
    start: u32,
    /// Per state: what it costs to end there (infinite: not possible), and where its arcs begin.
    states: Vec<State>,
    /// By state, then by what they read; those that read nothing come first.
    arcs: Vec<Arc>,
}

#[derive(Debug)]
struct State {
    end: f32,
    first_arc: usize,
}

#[derive(Debug, Clone, Copy)]
struct Arc {
    /// 0: nothing.
    reads: u8,
    /// 0: nothing.
    writes: u8,
    cost: f32,
    to: u32,
}

impl Fst {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path)
            .map_err(|error| broken(path, format!("cannot be read: {error}")))?;
        Self::parse(&bytes).map_err(|message| broken(path, message))
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut input = Input(bytes);
        if input.u32()? != MAGIC {
            return Err("is not a transducer in OpenFst's format".into());
        }
        let (kind, arcs) = (input.text()?, input.text()?);
        if (kind, arcs) != ("vector", "standard") {
            return Err(format!("is a `{kind}` transducer of `{arcs}` arcs, not vector, standard"));
        }
        let (version, flags) = (input.u32()?, input.u32()?);
        if version != VERSION || flags & SYMBOL_TABLES != 0 {
            return Err(format!("version {version} with flags {flags} is not supported"));
        }
        let _properties = input.u64()?;
        let (start, count, _arcs) = (input.u64()?, input.u64()?, input.u64()?);
        if count > (bytes.len() / STATE) as u64 || start >= count {
            return Err(format!("starts at state {start} of {count}, or is cut off"));
        }
        let mut fst = Self { start: start as u32, states: Vec::new(), arcs: Vec::new() };
        for _ in 0..count {
            fst.read_state(&mut input, count)?;
        }
        Ok(fst)
    }

    fn read_state(&mut self, input: &mut Input<'_>, count: u64) -> Result<(), String> {
        let (end, arcs) = (input.f32()?, input.u64()?);
        if arcs > (input.0.len() / ARC) as u64 {
            return Err("is cut off".into());
        }
        let first_arc = self.arcs.len();
        self.states.push(State { end, first_arc });
        for _ in 0..arcs {
            let label =
                |label: u32| u8::try_from(label).map_err(|_| format!("label {label} is no byte"));
            let (reads, writes) = (label(input.u32()?)?, label(input.u32()?)?);
            let (cost, to) = (input.f32()?, input.u32()?);
            if u64::from(to) >= count || cost.is_nan() {
                return Err(format!("an arc leads to state {to} of {count} at a cost of {cost}"));
            }
            self.arcs.push(Arc { reads, writes, cost, to });
        }
        self.arcs[first_arc..].sort_by_key(|arc| arc.reads);
        Ok(())
    }

    /// What the transducer writes for `text` at the least cost; `None` where it does not accept it.
    pub(super) fn transduce(&self, text: &[u8]) -> Option<Vec<u8>> {
        let lattice = Lattice::new(self, text)?;
        let mut cost = vec![f32::INFINITY; lattice.nodes.len()];
        // Per node: where the cheapest way to it comes from, and what the last arc writes.
        let mut way = vec![(u32::MAX, 0); lattice.nodes.len()];
        let (mut end, mut least) = (None, f32::INFINITY);
        cost[0] = 0.0;
        for &node in lattice.finished.iter().rev() {
            let now = cost[node as usize];
            let (place, state) = lattice.nodes[node as usize];
            let total = now + self.states[state as usize].end;
            if place as usize == text.len() && total < least {
                (end, least) = (Some(node), total);
            }
            for (arc, place) in self.ways(text, place, state) {
                let to = lattice.ids[&(place, arc.to)] as usize;
                if now + arc.cost < cost[to] {
                    cost[to] = now + arc.cost;
                    way[to] = (node, arc.writes);
                }
            }
        }
        let (mut written, mut node) = (Vec::new(), end?);
        while node != u32::MAX {
            let (from, wrote) = way[node as usize];
            written.extend((wrote != 0).then_some(wrote));
            node = from;
        }
        written.reverse();
        Some(written)
    }

    /// The arcs that lead on from a node, and the places that they lead to.
    fn ways(&self, text: &[u8], place: u32, state: u32) -> impl Iterator<Item = (Arc, u32)> {
        let silent = self.arcs(state, 0).iter().map(move |arc| (*arc, place));
        let reading = match text.get(place as usize) {
            // A zero in the text is not the zero that reads nothing.
            Some(&byte) if byte != 0 => self.arcs(state, byte),
            _ => &[],
        };
        silent.chain(reading.iter().map(move |arc| (*arc, place + 1)))
    }

    /// Arcs of a state that read `byte` (0: nothing).
    fn arcs(&self, state: u32, byte: u8) -> &[Arc] {
        let index = state as usize;
        let first = self.states[index].first_arc;
        let end = self.states.get(index + 1).map_or(self.arcs.len(), |next| next.first_arc);
        let arcs = &self.arcs[first..end];
        let before = arcs.partition_point(|arc| arc.reads < byte);
        let until = arcs.partition_point(|arc| arc.reads <= byte);
        &arcs[before..until]
    }
}

/// What can be reached from the beginning of a text.
struct Lattice {
    /// Place in the text, and state; the first is the start.
    nodes: Vec<(u32, u32)>,
    ids: HashMap<(u32, u32), u32>,
    /// Nodes in the order in which a depth-first search is done with them: topological, backwards.
    finished: Vec<u32>,
}

impl Lattice {
    /// `None` where the transducer can go on for ever without reading.
    fn new(fst: &Fst, text: &[u8]) -> Option<Self> {
        let start = (0, fst.start);
        let ids = HashMap::from([(start, 0)]);
        let mut lattice = Self { nodes: vec![start], ids, finished: Vec::new() };
        let mut is_open = vec![true];
        let mut path = vec![(0, fst.ways(text, 0, fst.start))];
        while let Some((node, ways)) = path.last_mut() {
            let Some((arc, place)) = ways.next() else {
                is_open[*node as usize] = false;
                lattice.finished.push(*node);
                path.pop();
                continue;
            };
            let next = (place, arc.to);
            match lattice.ids.get(&next) {
                Some(&id) if is_open[id as usize] => return None,
                Some(_) => {}
                None if lattice.nodes.len() == NODES => return None,
                None => {
                    let id = lattice.nodes.len() as u32;
                    lattice.ids.insert(next, id);
                    lattice.nodes.push(next);
                    is_open.push(true);
                    path.push((id, fst.ways(text, place, arc.to)));
                }
            }
        }
        Some(lattice)
    }
}

/// Little-endian numbers off the front of a file.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("is cut off")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (taken, rest) = self.0.split_first_chunk().ok_or("is cut off")?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, String> {
        self.array().map(u64::from_le_bytes)
    }

    fn f32(&mut self) -> Result<f32, String> {
        self.array().map(f32::from_le_bytes)
    }

    fn text(&mut self) -> Result<&'a str, String> {
        let length = self.u32()? as usize;
        std::str::from_utf8(self.take(length)?).map_err(|_| "has a damaged head".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of a transducer: per state, the cost to end, and arcs (reads, writes, cost, to).
    type States<'a> = &'a [(f32, &'a [(u32, u32, f32, u32)])];

    fn bytes(states: States<'_>) -> Vec<u8> {
        let mut bytes = MAGIC.to_le_bytes().to_vec();
        for name in ["vector", "standard"] {
            bytes.extend((name.len() as u32).to_le_bytes());
            bytes.extend(name.as_bytes());
        }
        bytes.extend([VERSION, 0].map(u32::to_le_bytes).concat());
        bytes.extend([0, 0, states.len() as u64, 0].map(u64::to_le_bytes).concat());
        for (end, arcs) in states {
            bytes.extend(end.to_le_bytes());
            bytes.extend((arcs.len() as u64).to_le_bytes());
            for (reads, writes, cost, to) in *arcs {
                bytes.extend([*reads, *writes].map(u32::to_le_bytes).concat());
                bytes.extend(cost.to_le_bytes());
                bytes.extend(to.to_le_bytes());
            }
        }
        bytes
    }

    const NEVER: f32 = f32::INFINITY;
    const A: u32 = b'a' as u32;
    const X: u32 = b'x' as u32;
    const Y: u32 = b'y' as u32;

    #[test]
    fn takes_the_cheapest_way() {
        // a+ to x+, or to a single y at a cost of 1.5 in all, the way there without reading.
        let states: States<'_> = &[
            (NEVER, &[(A, X, 1.0, 1), (0, 0, 0.5, 2)]),
            (0.0, &[(A, X, 1.0, 1)]),
            (NEVER, &[(A, Y, 0.0, 3)]),
            (1.0, &[(A, 0, 0.0, 3)]),
        ];
        let fst = Fst::parse(&bytes(states)).unwrap();
        assert_eq!(fst.transduce(b"a").unwrap(), b"x");
        assert_eq!(fst.transduce(b"aa").unwrap(), b"y");
        assert_eq!(fst.transduce(b"aaaa").unwrap(), b"y");
        for refused in [&b""[..], b"b", b"ab", b"a\0"] {
            assert_eq!(fst.transduce(refused), None);
        }
    }

    #[test]
    fn a_better_way_found_later_counts_for_what_follows() {
        let states: States<'_> = &[
            (NEVER, &[(A, 0, 0.0, 1)]),
            (NEVER, &[(0, X, 5.0, 2), (0, 0, 1.0, 3)]),
            (0.0, &[]),
            (NEVER, &[(0, Y, -3.0, 2)]),
        ];
        assert_eq!(Fst::parse(&bytes(states)).unwrap().transduce(b"a").unwrap(), b"y");
    }

    #[test]
    fn an_endless_grammar_ends() {
        let states: States<'_> = &[(0.0, &[(0, 0, -1.0, 1)]), (0.0, &[(0, 0, -1.0, 0)])];
        assert_eq!(Fst::parse(&bytes(states)).unwrap().transduce(b""), None);
    }

    #[test]
    fn of_ways_that_cost_the_same_the_last_arc_is_taken() {
        // Depth first, the first arc's end is done first, and so comes last in topological order.
        let ends: States<'_> = &[(0.0, &[(A, X, 1.0, 1), (A, Y, 1.0, 2)]), (0.0, &[]), (0.0, &[])];
        assert_eq!(Fst::parse(&bytes(ends)).unwrap().transduce(b"a").unwrap(), b"y");
        let meeting: States<'_> = &[(0.0, &[(A, X, 1.0, 1), (A, Y, 1.0, 1)]), (0.0, &[])];
        assert_eq!(Fst::parse(&bytes(meeting)).unwrap().transduce(b"a").unwrap(), b"x");
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        let good = bytes(&[(0.0, &[(A, X, 1.0, 0)])]);
        assert!(Fst::parse(&good).is_ok());
        for length in 0..good.len() {
            assert!(Fst::parse(&good[..length]).is_err(), "{length}");
        }
        for (states, cause) in [
            (&[(0.0, &[(A, X, 1.0, 1)][..])][..], "leads to state 1"),
            (&[(0.0, &[(A, X, f32::NAN, 0)][..])][..], "cost of NaN"),
            (&[(0.0, &[(300, X, 1.0, 0)][..])][..], "label 300"),
            (&[][..], "state 0 of 0"),
        ] {
            assert!(Fst::parse(&bytes(states)).unwrap_err().contains(cause), "{cause}");
        }
        let mut other = good.clone();
        other[8] = b'V';
        assert!(Fst::parse(&other).unwrap_err().contains("Vector"));
        assert!(Fst::parse(b"<html>").unwrap_err().contains("OpenFst"));
    }
}
