//! Python's pickle protocol 2, as far as `torch.save` makes use of it for tensors.

use std::{collections::HashMap, rc::Rc};

/// Tuples in tuples: those of a tensor are two deep. A thousand times more would overflow the stack
/// when they are dropped.
const DEEPEST: u8 = 8;
/// Bytes: a longer text is no tensor's name.
const LONGEST_TEXT: usize = 1024;
const MOST_AXES: usize = 8;

/// What a pickle program works with. Copies cost no memory, of whatever size the value is: a program
/// may ask for any number of them, with two bytes each.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Int(i64),
    Text(Rc<str>),
    Tuple(Tuple),
    /// Is never copied, nor in another value.
    Dict(Vec<(Value, Value)>),
    /// A class or function, by module and name.
    Global(Rc<str>),
    Storage(Storage),
    Tensor(Tensor),
    /// What nobody asks for.
    Other,
}

#[derive(Debug, Clone)]
pub(super) struct Tuple {
    items: Rc<[Value]>,
    /// How many tuples lie in one another, with this one.
    depth: u8,
}

#[derive(Debug, Clone)]
pub(super) struct Storage {
    /// `torch FloatStorage`, ...
    pub(super) kind: Rc<str>,
    pub(super) key: Rc<str>,
}

#[derive(Debug, Clone)]
pub(super) struct Tensor {
    pub(super) storage: Storage,
    /// In values, as are `strides`.
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    strides: Vec<usize>,
}

impl Tensor {
    /// How many values it has, if they lie in order and without gaps.
    pub(super) fn contiguous(&self) -> Option<usize> {
        let mut count = 1usize;
        if self.shape.len() != self.strides.len() {
            return None;
        }
        for (&length, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if length != 1 && stride != count {
                return None;
            }
            count = count.checked_mul(length)?;
        }
        Some(count)
    }
}

/// Runs the pickle program, and returns the dict that it leaves, less what has no name.
pub(super) fn state_dict(program: &[u8]) -> Result<Vec<(Rc<str>, Value)>, String> {
    let mut machine =
        Machine { rest: program, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    match machine.run()? {
        Value::Dict(items) => Ok(items
            .into_iter()
            .filter_map(|(key, value)| match key {
                Value::Text(name) => Some((name, value)),
                _ => None,
            })
            .collect()),
        _ => Err("holds no state dict (save `model.state_dict()`, not the model)".to_owned()),
    }
}

/// The stack machine of Python's pickle protocol 2, as far as torch.save makes use of it.
struct Machine<'a> {
    rest: &'a [u8],
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Value, String> {
        loop {
            let [opcode] = self.take()?;
            match opcode {
                0x80 => drop(self.take::<1>()?),
                b'.' => return self.pop(),
                b'(' => self.marks.push(self.stack.len()),
                b')' => self.push_tuple(Vec::new())?,
                b'}' => self.stack.push(Value::Dict(Vec::new())),
                b']' | b'N' | 0x88 | 0x89 => self.stack.push(Value::Other),
                b'J' => {
                    let value = i32::from_le_bytes(self.take()?);
                    self.stack.push(Value::Int(value.into()));
                }
                b'K' => {
                    let [value] = self.take()?;
                    self.stack.push(Value::Int(value.into()));
                }
                b'M' => {
                    let value = u16::from_le_bytes(self.take()?);
                    self.stack.push(Value::Int(value.into()));
                }
                0x8a => self.long()?,
                b'G' => {
                    self.take::<8>()?;
                    self.stack.push(Value::Other);
                }
                b'X' => {
                    let length = u32::from_le_bytes(self.take()?) as usize;
                    let text = self.bytes(length)?;
                    self.stack.push(if length > LONGEST_TEXT {
                        Value::Other
                    } else {
                        Value::Text(String::from_utf8_lossy(text).into())
                    });
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.stack.push(Value::Global(format!("{module} {name}").into()));
                }
                b'q' => {
                    let [slot] = self.take()?;
                    self.remember(slot.into())?;
                }
                b'r' => {
                    let slot = u32::from_le_bytes(self.take()?);
                    self.remember(slot)?;
                }
                b'h' => {
                    let [slot] = self.take()?;
                    self.recall(slot.into())?;
                }
                b'j' => {
                    let slot = u32::from_le_bytes(self.take()?);
                    self.recall(slot)?;
                }
                b't' => {
                    let items = self.since_mark()?;
                    self.push_tuple(items)?;
                }
                0x85..=0x87 => {
                    let count = usize::from(opcode - 0x84);
                    let at = self.stack.len().checked_sub(count).ok_or_else(damaged)?;
                    let items = self.stack.split_off(at);
                    self.push_tuple(items)?;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.set_items(vec![key, value])?;
                }
                b'u' => {
                    let items = self.since_mark()?;
                    self.set_items(items)?;
                }
                // Lists are of no interest; nor are attributes, such as a state dict's metadata.
                b'a' | b'b' => drop(self.pop()?),
                b'e' => drop(self.since_mark()?),
                b'Q' => {
                    let storage = storage(self.pop()?)?;
                    self.stack.push(storage);
                }
                b'R' => {
                    let (arguments, function) = (self.pop()?, self.pop()?);
                    self.stack.push(call(function, arguments)?);
                }
                _ => {
                    return Err(format!(
                        "holds more than a state dict of plain tensors (pickle opcode {opcode:#04x})"
                    ));
                }
            }
        }
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or_else(damaged)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or_else(damaged)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn line(&mut self) -> Result<String, String> {
        let end = self.rest.iter().position(|&byte| byte == b'\n').ok_or_else(damaged)?;
        let line = String::from_utf8_lossy(&self.rest[..end]).into_owned();
        self.rest = &self.rest[end + 1..];
        Ok(line)
    }

    /// A little-endian integer of any length.
    fn long(&mut self) -> Result<(), String> {
        let [length] = self.take()?;
        let bytes = self.bytes(length.into())?;
        let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
        let mut whole = [if negative { 0xff } else { 0 }; 8];
        whole.get_mut(..bytes.len()).ok_or_else(damaged)?.copy_from_slice(bytes);
        self.stack.push(Value::Int(i64::from_le_bytes(whole)));
        Ok(())
    }

    fn pop(&mut self) -> Result<Value, String> {
        self.stack.pop().ok_or_else(damaged)
    }

    fn since_mark(&mut self) -> Result<Vec<Value>, String> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len()).ok_or_else(damaged)?;
        Ok(self.stack.split_off(mark))
    }

    fn push_tuple(&mut self, items: Vec<Value>) -> Result<(), String> {
        let depths = items.iter().map(|item| match item {
            Value::Tuple(tuple) => tuple.depth,
            _ => 0,
        });
        let depth = 1 + depths.max().unwrap_or(0);
        if depth > DEEPEST {
            return Err(damaged());
        }
        let items = items.into_iter().map(part).collect();
        self.stack.push(Value::Tuple(Tuple { items, depth }));
        Ok(())
    }

    fn remember(&mut self, slot: u32) -> Result<(), String> {
        // A dict is remembered before it is filled, and never asked for again.
        let value = match self.stack.last().ok_or_else(damaged)? {
            Value::Dict(_) => Value::Other,
            value => value.clone(),
        };
        self.memo.insert(slot, value);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<(), String> {
        self.stack.push(self.memo.get(&slot).ok_or_else(damaged)?.clone());
        Ok(())
    }

    fn set_items(&mut self, items: Vec<Value>) -> Result<(), String> {
        let Some(Value::Dict(dict)) = self.stack.last_mut() else { return Err(damaged()) };
        let mut items = items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            dict.push((part(key), part(value)));
        }
        Ok(())
    }
}

/// `value` as part of another. Of dicts within others nothing is needed, and without them nothing
/// nests deeper than tuples may.
fn part(value: Value) -> Value {
    match value {
        Value::Dict(_) => Value::Other,
        value => value,
    }
}

/// `("storage", kind, key, device, count)`.
fn storage(id: Value) -> Result<Value, String> {
    let Value::Tuple(parts) = id else { return Err(damaged()) };
    match &*parts.items {
        [_, Value::Global(kind), Value::Text(key), ..] => {
            Ok(Value::Storage(Storage { kind: kind.clone(), key: key.clone() }))
        }
        _ => Err(damaged()),
    }
}

fn call(function: Value, arguments: Value) -> Result<Value, String> {
    let (Value::Global(function), Value::Tuple(arguments)) = (function, arguments) else {
        return Err(damaged());
    };
    match (&*function, &*arguments.items) {
        ("collections OrderedDict", []) => Ok(Value::Dict(Vec::new())),
        (
            "torch._utils _rebuild_tensor_v2",
            [Value::Storage(storage), Value::Int(offset), shape, strides, ..],
        ) => Ok(Value::Tensor(Tensor {
            storage: storage.clone(),
            offset: usize::try_from(*offset).map_err(|_| damaged())?,
            shape: lengths(shape)?,
            strides: lengths(strides)?,
        })),
        _ => Err(format!("holds more than a state dict of plain tensors ({function})")),
    }
}

fn lengths(tuple: &Value) -> Result<Vec<usize>, String> {
    let Value::Tuple(Tuple { items, .. }) = tuple else { return Err(damaged()) };
    if items.len() > MOST_AXES {
        return Err(damaged());
    }
    let length = |item: &Value| match item {
        Value::Int(length) => usize::try_from(*length).map_err(|_| damaged()),
        _ => Err(damaged()),
    };
    items.iter().map(length).collect()
}

fn damaged() -> String {
    "is damaged: its data.pkl makes no sense".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(program: &[u8]) -> String {
        state_dict(program).expect_err("a state dict")
    }

    /// The tuple on the stack, remembered, `copies` times in a tuple; and so on.
    fn nested(levels: u8, copies: usize) -> Vec<u8> {
        let mut program = vec![b')'];
        for level in 0..levels {
            program.extend([b'q', level, b'(']);
            program.extend([b'h', level].repeat(copies));
            program.push(b't');
        }
        program.push(b'.');
        program
    }

    #[test]
    fn copies_cost_nothing() {
        // 1000 ^ 7 empty tuples.
        assert!(error(&nested(7, 1000)).contains("no state dict"));
        assert_eq!(error(&nested(200, 2)), damaged());
    }

    /// Dropping it would overflow the stack.
    #[test]
    fn nothing_nests_deep() {
        let tuples = [&b")"[..], &[0x85].repeat(1_000_000), b"."].concat();
        assert_eq!(error(&tuples), damaged());
        let dicts = [b"}", &b"K\x01}".repeat(500_000)[..], &b"s".repeat(500_000), b"."].concat();
        assert!(state_dict(&dicts).expect("a dict").is_empty());
    }

    #[test]
    fn what_is_no_name_is_passed_over() {
        let named = |length: usize| {
            let size = u32::try_from(length).expect("small").to_le_bytes();
            [&b"}X"[..], &size, &b"n".repeat(length), b"K\x01s."].concat()
        };
        assert_eq!(state_dict(&named(LONGEST_TEXT)).expect("a dict").len(), 1);
        assert_eq!(state_dict(&named(LONGEST_TEXT + 1)).expect("a dict").len(), 0);
    }
}
