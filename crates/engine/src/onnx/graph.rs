//! The graph of an ONNX model: sorted nodes and constants.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tract_onnx::tract_core::internal::*;

use super::{input::Input, node::OnnxNode, tensors};

/// Nodes, each after those that it depends on, and the constants that they use.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<OnnxNode>,
    pub(super) constants: HashMap<String, Arc<Tensor>>,
    /// Constants that are another name of another constant.
    pub(super) aliases: HashSet<String>,
}

impl Graph {
    /// Sorts the nodes. `Constant` nodes and aliases of constants become constants.
    ///
    /// # Errors
    /// If two nodes compute the same tensor, if a node depends on itself, or if a constant is
    /// damaged.
    pub(super) fn new(
        nodes: Vec<OnnxNode>,
        mut constants: HashMap<String, Arc<Tensor>>,
    ) -> TractResult<Self> {
        let mut kept = Vec::with_capacity(nodes.len());
        let mut aliases = HashSet::new();
        for node in sorted(nodes)? {
            let constant = match node.op() {
                "Constant" => tensors::constant(&node)?.map(Arc::new),
                "Identity" => node.input(0).and_then(|input| constants.get(input)).cloned(),
                _ => None,
            };
            match constant {
                Some(constant) => {
                    constants.insert(node.output().to_owned(), constant);
                    if node.op() == "Identity" {
                        aliases.insert(node.output().to_owned());
                    }
                }
                None => kept.push(node),
            }
        }
        Ok(Self { nodes: kept, constants, aliases })
    }

    /// Returns the part of the graph that computes `outputs` from `inputs`.
    ///
    /// # Errors
    /// If an input is given twice, or if an output does not exist or depends on other inputs.
    pub(super) fn cut(&self, inputs: &[Input<'_>], outputs: &[&str]) -> TractResult<Self> {
        let given: HashSet<_> = inputs.iter().map(|input| input.name).collect();
        ensure!(given.len() == inputs.len(), "an input is given twice");
        let producers = self.producers();
        for output in outputs {
            ensure!(producers.contains_key(output), "no operator computes `{output}`");
        }
        let mut needed = vec![false; self.nodes.len()];
        let mut constants = HashMap::new();
        let mut open: Vec<usize> = outputs.iter().map(|&output| producers[output]).collect();
        while let Some(index) = open.pop() {
            if std::mem::replace(&mut needed[index], true) {
                continue;
            }
            let node = &self.nodes[index];
            for tensor in node.dependencies().filter(|tensor| !given.contains(tensor)) {
                if let Some(constant) = self.constants.get(tensor) {
                    constants.insert(tensor.to_owned(), constant.clone());
                } else if let Some(&producer) = producers.get(tensor) {
                    open.push(producer);
                } else {
                    bail!("`{}` depends on `{tensor}`, which is not given", node.name());
                }
            }
        }
        let nodes = self.nodes.iter().zip(needed).filter(|(_, needed)| *needed);
        let nodes = nodes.map(|(node, _)| node.clone()).collect();
        Ok(Self { nodes, constants, aliases: self.aliases.clone() })
    }

    /// Removes nodes and constants that `outputs` do not depend on.
    pub(super) fn prune(&mut self, outputs: &[&str]) {
        let mut needed: HashSet<String> = outputs.iter().map(|&output| output.to_owned()).collect();
        let mut kept = Vec::with_capacity(self.nodes.len());
        while let Some(node) = self.nodes.pop() {
            if node.outputs().iter().any(|output| needed.contains(output)) {
                needed.extend(node.dependencies().map(str::to_owned));
                kept.push(node);
            }
        }
        kept.reverse();
        self.nodes = kept;
        self.constants.retain(|name, _| needed.contains(name));
    }

    /// Returns the index of the node that computes each tensor.
    pub(super) fn producers(&self) -> HashMap<&str, usize> {
        let mut producers = HashMap::with_capacity(self.nodes.len());
        for (index, node) in self.nodes.iter().enumerate() {
            let outputs = node.outputs().iter().filter(|output| !output.is_empty());
            producers.extend(outputs.map(|output| (output.as_str(), index)));
        }
        producers
    }

    /// Returns the indices of the nodes that use each tensor; a node that uses it twice is listed
    /// twice.
    pub(super) fn consumers(&self) -> HashMap<&str, Vec<usize>> {
        let mut consumers = HashMap::<_, Vec<_>>::new();
        for (index, node) in self.nodes.iter().enumerate() {
            for needed in node.dependencies() {
                consumers.entry(needed).or_default().push(index);
            }
        }
        consumers
    }
}

/// Sorts each node after those that it depends on, otherwise in the given order.
fn sorted(nodes: Vec<OnnxNode>) -> TractResult<Vec<OnnxNode>> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        /// Its dependencies come first.
        Open,
        Done,
    }
    let mut order = Vec::with_capacity(nodes.len());
    {
        let mut producers = HashMap::new();
        for (index, node) in nodes.iter().enumerate() {
            for output in node.outputs().iter().filter(|output| !output.is_empty()) {
                let twice = producers.insert(output.as_str(), index).is_some();
                ensure!(!twice, "two operators compute `{output}`");
            }
        }
        let mut states = vec![State::New; nodes.len()];
        let mut stack = Vec::new();
        for start in 0..nodes.len() {
            stack.push(start);
            while let Some(&index) = stack.last() {
                if states[index] == State::New {
                    states[index] = State::Open;
                    for &producer in
                        nodes[index].dependencies().filter_map(|name| producers.get(name))
                    {
                        let cycle = states[producer] == State::Open;
                        ensure!(!cycle, "`{}` depends on itself", nodes[index].name());
                        if states[producer] == State::New {
                            stack.push(producer);
                        }
                    }
                    continue;
                }
                if states[index] == State::Open {
                    states[index] = State::Done;
                    order.push(index);
                }
                stack.pop();
            }
        }
    }
    let mut nodes: Vec<_> = nodes.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|index| nodes[index].take()).collect())
}
