//! Weighted transducers over bytes in OpenFst's `vector` format, and the shortest path of a text
//! through one.
//!
//! This is the part of OpenFst that compiled grammars need. A text is a linear chain; its
//! composition with a transducer is a lattice whose nodes are pairs of a position in the text and a
//! state. The lattice is visited in topological order, keeping only the cheapest path to every
//! node. Grammars have many paths of equal cost. Nodes are visited in the order of OpenFst's
//! `ShortestPath`, so that the same path is chosen among them.

use std::collections::HashMap;
use std::path::Path;

use crate::{
    files::{self, broken},
    recognizer::Error,
};

/// OpenFst's `kFstMagicNumber`.
const MAGIC: u32 = 0x7eb2_fdd6;
const VERSION: u32 = 2;
/// Flags of a file that holds symbol tables for its labels, which grammars over bytes do not need.
const SYMBOL_TABLE_FLAGS: u32 = 3;
/// Size of an arc in a file, and the minimum size of a state.
const ARC_BYTES: usize = 16;
const MIN_STATE_BYTES: usize = 12;
/// Limit of the lattice's size, far above what a clause needs. It keeps a hostile grammar from
/// exhausting memory.
const MAX_NODES: usize = 1 << 22;

/// A transducer from bytes to bytes.
#[derive(Debug)]
pub(super) struct Fst {
    start: u32,
    states: Vec<State>,
    /// Arcs sorted by state and input label; those without input come first.
    arcs: Vec<Arc>,
}

#[derive(Debug)]
struct State {
    /// Cost of ending in the state; infinite for a state that is not final.
    final_cost: f32,
    first_arc: usize,
}

#[derive(Debug, Clone, Copy)]
struct Arc {
    /// Input byte; 0 for none (epsilon).
    input: u8,
    /// Output byte; 0 for none (epsilon).
    output: u8,
    cost: f32,
    next_state: u32,
}

impl Fst {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        Self::parse(&files::read(path)?).map_err(|message| broken(path, message))
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut reader = Reader(bytes);
        if reader.u32()? != MAGIC {
            return Err("is not a transducer in OpenFst's format".into());
        }
        let (kind, arcs) = (reader.text()?, reader.text()?);
        if (kind, arcs) != ("vector", "standard") {
            return Err(format!(
                "is a `{kind}` transducer with `{arcs}` arcs, where only vector transducers with \
                 standard arcs are supported"
            ));
        }
        let (version, flags) = (reader.u32()?, reader.u32()?);
        if version != VERSION || flags & SYMBOL_TABLE_FLAGS != 0 {
            return Err(format!("version {version} with flags {flags} is not supported"));
        }
        let _properties = reader.u64()?;
        let (start, count, _arcs) = (reader.u64()?, reader.u64()?, reader.u64()?);
        if count > (bytes.len() / MIN_STATE_BYTES) as u64 || start >= count {
            return Err(format!("starts at state {start} of {count}, or is truncated"));
        }
        let mut fst = Self { start: start as u32, states: Vec::new(), arcs: Vec::new() };
        for _ in 0..count {
            fst.read_state(&mut reader, count)?;
        }
        Ok(fst)
    }

    fn read_state(&mut self, reader: &mut Reader<'_>, count: u64) -> Result<(), String> {
        let (final_cost, arcs) = (reader.f32()?, reader.u64()?);
        if arcs > (reader.0.len() / ARC_BYTES) as u64 {
            return Err("is truncated".into());
        }
        let first_arc = self.arcs.len();
        self.states.push(State { final_cost, first_arc });
        for _ in 0..arcs {
            let label = |label: u32| {
                u8::try_from(label).map_err(|_| format!("label {label} is not a byte"))
            };
            let (input, output) = (label(reader.u32()?)?, label(reader.u32()?)?);
            let (cost, next_state) = (reader.f32()?, reader.u32()?);
            if u64::from(next_state) >= count || cost.is_nan() {
                return Err(format!(
                    "an arc leads to state {next_state} of {count} at a cost of {cost}"
                ));
            }
            self.arcs.push(Arc { input, output, cost, next_state });
        }
        self.arcs[first_arc..].sort_by_key(|arc| arc.input);
        Ok(())
    }

    /// Returns the output of the cheapest path for `text`; `None` if the transducer does not accept
    /// it.
    pub(super) fn transduce(&self, text: &[u8]) -> Option<Vec<u8>> {
        let lattice = Lattice::new(self, text)?;
        let mut cost = vec![f32::INFINITY; lattice.nodes.len()];
        // Previous node and last output byte of the cheapest path to each node.
        let mut previous = vec![(u32::MAX, 0); lattice.nodes.len()];
        let (mut end, mut min_cost) = (None, f32::INFINITY);
        cost[0] = 0.0;
        for &node in lattice.finished.iter().rev() {
            let node_cost = cost[node as usize];
            let (position, state) = lattice.nodes[node as usize];
            let total = node_cost + self.states[state as usize].final_cost;
            if position as usize == text.len() && total < min_cost {
                (end, min_cost) = (Some(node), total);
            }
            for (arc, position) in self.transitions(text, position, state) {
                let next = lattice.ids[&(position, arc.next_state)] as usize;
                if node_cost + arc.cost < cost[next] {
                    cost[next] = node_cost + arc.cost;
                    previous[next] = (node, arc.output);
                }
            }
        }
        let (mut output, mut node) = (Vec::new(), end?);
        while node != u32::MAX {
            let (from, byte) = previous[node as usize];
            output.extend((byte != 0).then_some(byte));
            node = from;
        }
        output.reverse();
        Some(output)
    }

    /// Returns the arcs that leave a node, each with the position in the text after it.
    fn transitions(
        &self,
        text: &[u8],
        position: u32,
        state: u32,
    ) -> impl Iterator<Item = (Arc, u32)> {
        let epsilon = self.arcs(state, 0).iter().map(move |arc| (*arc, position));
        let consuming = match text.get(position as usize) {
            // A zero byte in the text is not the label 0, which stands for no input.
            Some(&byte) if byte != 0 => self.arcs(state, byte),
            _ => &[],
        };
        epsilon.chain(consuming.iter().map(move |arc| (*arc, position + 1)))
    }

    /// Returns the arcs of a state with the input label `byte`.
    fn arcs(&self, state: u32, byte: u8) -> &[Arc] {
        let index = state as usize;
        let first = self.states[index].first_arc;
        let end = self.states.get(index + 1).map_or(self.arcs.len(), |next| next.first_arc);
        let arcs = &self.arcs[first..end];
        let before = arcs.partition_point(|arc| arc.input < byte);
        let until = arcs.partition_point(|arc| arc.input <= byte);
        &arcs[before..until]
    }
}

/// Nodes that are reachable from the beginning of a text.
struct Lattice {
    /// Position in the text and state of each node; the first node is the start.
    nodes: Vec<(u32, u32)>,
    ids: HashMap<(u32, u32), u32>,
    /// Nodes in the order in which a depth-first search finishes them: reverse topological order.
    finished: Vec<u32>,
}

impl Lattice {
    /// Builds the lattice; returns `None` if the transducer has a cycle that consumes no input, or
    /// if there are more than [`MAX_NODES`] nodes.
    fn new(fst: &Fst, text: &[u8]) -> Option<Self> {
        let start = (0, fst.start);
        let ids = HashMap::from([(start, 0)]);
        let mut lattice = Self { nodes: vec![start], ids, finished: Vec::new() };
        let mut is_open = vec![true];
        let mut path = vec![(0, fst.transitions(text, 0, fst.start))];
        while let Some((node, transitions)) = path.last_mut() {
            let Some((arc, position)) = transitions.next() else {
                is_open[*node as usize] = false;
                lattice.finished.push(*node);
                path.pop();
                continue;
            };
            let next = (position, arc.next_state);
            match lattice.ids.get(&next) {
                Some(&id) if is_open[id as usize] => return None,
                Some(_) => {}
                None if lattice.nodes.len() == MAX_NODES => return None,
                None => {
                    let id = lattice.nodes.len() as u32;
                    lattice.ids.insert(next, id);
                    lattice.nodes.push(next);
                    is_open.push(true);
                    path.push((id, fst.transitions(text, position, arc.next_state)));
                }
            }
        }
        Some(lattice)
    }
}

/// Reads little-endian numbers from the front of a file.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("is truncated")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (taken, rest) = self.0.split_first_chunk().ok_or("is truncated")?;
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
        std::str::from_utf8(self.take(length)?).map_err(|_| "has a damaged header".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// States of a transducer: final cost, and arcs (input, output, cost, next state).
    type States<'a> = &'a [(f32, &'a [(u32, u32, f32, u32)])];

    /// Encodes a transducer.
    fn bytes(states: States<'_>) -> Vec<u8> {
        let mut bytes = MAGIC.to_le_bytes().to_vec();
        for name in ["vector", "standard"] {
            bytes.extend((name.len() as u32).to_le_bytes());
            bytes.extend(name.as_bytes());
        }
        bytes.extend([VERSION, 0].map(u32::to_le_bytes).concat());
        bytes.extend([0, 0, states.len() as u64, 0].map(u64::to_le_bytes).concat());
        for (final_cost, arcs) in states {
            bytes.extend(final_cost.to_le_bytes());
            bytes.extend((arcs.len() as u64).to_le_bytes());
            for (input, output, cost, next_state) in *arcs {
                bytes.extend([*input, *output].map(u32::to_le_bytes).concat());
                bytes.extend(cost.to_le_bytes());
                bytes.extend(next_state.to_le_bytes());
            }
        }
        bytes
    }

    /// Final cost of a state that is not final.
    const NEVER: f32 = f32::INFINITY;
    const A: u32 = b'a' as u32;
    const X: u32 = b'x' as u32;
    const Y: u32 = b'y' as u32;

    #[test]
    fn takes_the_cheapest_path() {
        // Maps a+ to x+, or to a single y at a total cost of 1.5 by way of an epsilon arc.
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
    fn a_cheaper_path_found_later_is_used_for_later_nodes() {
        let states: States<'_> = &[
            (NEVER, &[(A, 0, 0.0, 1)]),
            (NEVER, &[(0, X, 5.0, 2), (0, 0, 1.0, 3)]),
            (0.0, &[]),
            (NEVER, &[(0, Y, -3.0, 2)]),
        ];
        assert_eq!(Fst::parse(&bytes(states)).unwrap().transduce(b"a").unwrap(), b"y");
    }

    #[test]
    fn a_cycle_without_input_is_refused() {
        let states: States<'_> = &[(0.0, &[(0, 0, -1.0, 1)]), (0.0, &[(0, 0, -1.0, 0)])];
        assert_eq!(Fst::parse(&bytes(states)).unwrap().transduce(b""), None);
    }

    #[test]
    fn the_last_arc_wins_among_paths_of_equal_cost() {
        // The depth-first search finishes the first arc's target first, which puts it last in
        // topological order.
        let ends: States<'_> = &[(0.0, &[(A, X, 1.0, 1), (A, Y, 1.0, 2)]), (0.0, &[]), (0.0, &[])];
        assert_eq!(Fst::parse(&bytes(ends)).unwrap().transduce(b"a").unwrap(), b"y");
        let meeting: States<'_> = &[(0.0, &[(A, X, 1.0, 1), (A, Y, 1.0, 1)]), (0.0, &[])];
        assert_eq!(Fst::parse(&bytes(meeting)).unwrap().transduce(b"a").unwrap(), b"x");
    }

    #[test]
    fn damaged_files_are_errors() {
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
