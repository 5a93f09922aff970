//! Cuts a network out of an ONNX file as the command line says:
//!
//! `MODEL.onnx frames=167 speech:1,frames,560 speech_lengths=frames -- TENSOR...`
//!
//! `NAME=NUMBER` sets the length of an axis, `NAME:SHAPE` an input, which is filled with random
//! numbers, and `NAME=AXIS` a tensor of full lengths. The tensors to compute follow after `--`;
//! `@NAME` is the output of the node NAME.

use std::{collections::HashMap, error::Error, time::Instant};

use engine::{Dim, ElementType, Input, OnnxFile, OnnxNetwork, Tensor};

/// Returns the network and its inputs.
#[allow(clippy::print_stdout)]
pub(crate) fn network() -> Result<(OnnxNetwork, Vec<Tensor>), Box<dyn Error>> {
    let arguments: Vec<&'static str> =
        std::env::args().skip(1).map(|argument| &*argument.leak()).collect();
    let (path, arguments) = arguments.split_first().ok_or("no file is given")?;
    let start = Instant::now();
    let file = OnnxFile::read(path.as_ref())?;
    println!("read in {:.2?}, {} MB resident", start.elapsed(), resident());

    let split = arguments
        .iter()
        .position(|&argument| argument == "--")
        .ok_or("no outputs are given after --")?;
    let (given, outputs) = (&arguments[..split], &arguments[split + 1..]);
    let (mut axes, mut inputs, mut shapes) = (HashMap::new(), Vec::new(), Vec::new());
    let tensor = |name: &'static str| match name.strip_prefix('@') {
        None => Ok(name),
        Some(node) => {
            let found = file.nodes().iter().find(|found| found.name() == node);
            found.map(|node| node.output()).ok_or(format!("there is no node {node}"))
        }
    };
    for argument in given {
        if let Some((name, shape)) = argument.rsplit_once(':') {
            let dims: Vec<Dim> = shape
                .split(',')
                .map(|dim| dim.parse().map_or(Dim::Symbol(dim), Dim::Fixed))
                .collect();
            inputs.push(Input::new(tensor(name)?, dims.clone()));
            shapes.push((tensor(name)?, dims));
        } else if let Some((name, value)) = argument.split_once('=') {
            match value.parse::<usize>() {
                Ok(length) => drop(axes.insert(name, length)),
                Err(_) => inputs.push(Input::full_length(tensor(name)?, value)),
            }
        }
    }
    let outputs = outputs.iter().map(|&name| tensor(name)).collect::<Result<Vec<_>, _>>()?;
    let start = Instant::now();
    let network = file.network(&inputs, &outputs)?;
    println!("built in {:.2?}, {} MB resident", start.elapsed(), resident());

    let mut random = fastrand::Rng::with_seed(1);
    let tensors = shapes.iter().map(|(name, dims)| {
        let shape: Vec<usize> = dims
            .iter()
            .map(|dim| match dim {
                Dim::Fixed(length) => *length,
                Dim::Symbol(axis) => axes.get(axis).copied().unwrap_or(1),
            })
            .collect();
        let count: usize = shape.iter().product();
        match file.inputs().iter().find(|port| port.name == *name).map(|port| port.element) {
            Some(ElementType::I32) => engine::tensor(&shape, &vec![1i32; count]),
            _ => engine::tensor(
                &shape,
                &(0..count).map(|_| random.f32() * 3.4 - 1.7).collect::<Vec<_>>(),
            ),
        }
    });
    let tensors = tensors.collect::<Result<Vec<_>, _>>()?;
    Ok((network, tensors))
}

/// Returns the resident memory in megabytes, 0 if the system does not report it.
pub(crate) fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096 / 1_000_000
}
