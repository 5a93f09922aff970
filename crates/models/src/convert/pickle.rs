//! Python's pickle protocol 2, as far as `torch.save` uses it for tensors. What a pickle makes of other
//! classes, such as the settings in a checkpoint of PyTorch Lightning, is a value that says nothing.

use std::collections::HashMap;
use std::rc::Rc;

/// Nesting of tuples. Those of a tensor are two deep; dropping tuples a thousand times deeper would
/// overflow the stack.
const MAX_TUPLE_DEPTH: u8 = 8;
/// Bytes: a longer text is not the name of a tensor.
const MAX_TEXT: usize = 1024;
const MAX_AXES: usize = 8;

/// Opcodes, named as in Python's `pickle.py`.
mod opcode {
    pub(super) const MARK: u8 = b'(';
    pub(super) const STOP: u8 = b'.';
    pub(super) const BINFLOAT: u8 = b'G';
    pub(super) const BININT: u8 = b'J';
    pub(super) const BININT1: u8 = b'K';
    pub(super) const BININT2: u8 = b'M';
    pub(super) const NONE: u8 = b'N';
    pub(super) const BINPERSID: u8 = b'Q';
    pub(super) const REDUCE: u8 = b'R';
    pub(super) const BINUNICODE: u8 = b'X';
    pub(super) const APPEND: u8 = b'a';
    pub(super) const BUILD: u8 = b'b';
    pub(super) const GLOBAL: u8 = b'c';
    pub(super) const APPENDS: u8 = b'e';
    pub(super) const BINGET: u8 = b'h';
    pub(super) const LONG_BINGET: u8 = b'j';
    pub(super) const BINPUT: u8 = b'q';
    pub(super) const LONG_BINPUT: u8 = b'r';
    pub(super) const SETITEM: u8 = b's';
    pub(super) const TUPLE: u8 = b't';
    pub(super) const SETITEMS: u8 = b'u';
    pub(super) const EMPTY_TUPLE: u8 = b')';
    pub(super) const EMPTY_LIST: u8 = b']';
    pub(super) const EMPTY_DICT: u8 = b'}';
    pub(super) const PROTO: u8 = 0x80;
    pub(super) const NEWOBJ: u8 = 0x81;
    pub(super) const TUPLE1: u8 = 0x85;
    pub(super) const TUPLE3: u8 = 0x87;
    pub(super) const NEWTRUE: u8 = 0x88;
    pub(super) const NEWFALSE: u8 = 0x89;
    pub(super) const LONG1: u8 = 0x8a;
}

/// Why a pickle is not a state dict.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum PickleError {
    #[error("damaged: its data.pkl is not a valid pickle")]
    Damaged,
    #[error("it holds no state dict (save `model.state_dict()`, not the model)")]
    NoStateDict,
    #[error("its data.pkl uses the pickle opcode {0:#04x}, which `torch.save` does not write")]
    Opcode(u8),
}

/// A value on the stack of a pickle program. A copy costs no memory, whatever the size of the value: a
/// program can ask for any number of copies, with two bytes each.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Int(i64),
    Text(Rc<str>),
    Tuple(Tuple),
    /// Never copied, and inside no other value but a dict.
    Dict(Vec<(Value, Value)>),
    /// A class or function: module and name.
    Global(Rc<str>),
    Storage(Storage),
    Tensor(Tensor),
    /// A value that no state dict of plain tensors needs.
    Other,
}

#[derive(Debug, Clone)]
pub(super) struct Tuple {
    items: Rc<[Value]>,
    /// Levels of nested tuples, this one included.
    depth: u8,
}

/// Raw values that one or several tensors share.
#[derive(Debug, Clone)]
pub(super) struct Storage {
    /// `torch FloatStorage`, ...
    pub(super) kind: Rc<str>,
    /// Name of its file in the archive.
    pub(super) key: Rc<str>,
}

/// A view of a storage.
#[derive(Debug, Clone)]
pub(super) struct Tensor {
    pub(super) storage: Storage,
    /// In values, as are `strides`.
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    strides: Vec<usize>,
}

impl Tensor {
    /// Returns the number of values, if they are row-major and without gaps.
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

/// Runs a pickle program and returns the items of the state dict that it leaves, except those whose key
/// is not a text. The state dict is the value itself or, as PyTorch Lightning writes it, the item
/// `state_dict` of the value.
pub(super) fn state_dict(program: &[u8]) -> Result<Vec<(Rc<str>, Value)>, PickleError> {
    let mut machine =
        Machine { rest: program, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    let mut items = named_items(machine.run()?).ok_or(PickleError::NoStateDict)?;
    match items.iter().position(|(name, _)| &**name == "state_dict") {
        Some(inner) => named_items(items.swap_remove(inner).1).ok_or(PickleError::NoStateDict),
        None => Ok(items),
    }
}

/// Returns the items of a dict whose key is a text, or `None` if the value is no dict.
fn named_items(value: Value) -> Option<Vec<(Rc<str>, Value)>> {
    let Value::Dict(items) = value else { return None };
    let named = items.into_iter().filter_map(|(key, value)| match key {
        Value::Text(name) => Some((name, value)),
        _ => None,
    });
    Some(named.collect())
}

/// The stack machine that runs pickle programs. It makes values and calls nothing: the two functions
/// that a state dict names are built in, and what any other would make is [`Value::Other`].
struct Machine<'a> {
    rest: &'a [u8],
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Value, PickleError> {
        loop {
            let [opcode] = self.take()?;
            match opcode {
                opcode::PROTO => drop(self.take::<1>()?),
                opcode::STOP => return self.pop(),
                opcode::MARK => self.marks.push(self.stack.len()),
                opcode::EMPTY_TUPLE => self.push_tuple(Vec::new())?,
                opcode::EMPTY_DICT => self.stack.push(Value::Dict(Vec::new())),
                opcode::EMPTY_LIST | opcode::NONE | opcode::NEWTRUE | opcode::NEWFALSE => {
                    self.stack.push(Value::Other);
                }
                opcode::BININT => {
                    let value = i32::from_le_bytes(self.take()?);
                    self.stack.push(Value::Int(value.into()));
                }
                opcode::BININT1 => {
                    let [value] = self.take()?;
                    self.stack.push(Value::Int(value.into()));
                }
                opcode::BININT2 => {
                    let value = u16::from_le_bytes(self.take()?);
                    self.stack.push(Value::Int(value.into()));
                }
                opcode::LONG1 => self.push_long()?,
                opcode::BINFLOAT => {
                    self.take::<8>()?;
                    self.stack.push(Value::Other);
                }
                opcode::BINUNICODE => self.push_text()?,
                opcode::GLOBAL => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.stack.push(Value::Global(format!("{module} {name}").into()));
                }
                opcode::BINPUT => {
                    let [slot] = self.take()?;
                    self.put(slot.into())?;
                }
                opcode::LONG_BINPUT => {
                    let slot = u32::from_le_bytes(self.take()?);
                    self.put(slot)?;
                }
                opcode::BINGET => {
                    let [slot] = self.take()?;
                    self.get(slot.into())?;
                }
                opcode::LONG_BINGET => {
                    let slot = u32::from_le_bytes(self.take()?);
                    self.get(slot)?;
                }
                opcode::TUPLE => {
                    let items = self.pop_to_mark()?;
                    self.push_tuple(items)?;
                }
                opcode::TUPLE1..=opcode::TUPLE3 => {
                    let count = usize::from(opcode - opcode::TUPLE1 + 1);
                    let at = self.stack.len().checked_sub(count).ok_or(PickleError::Damaged)?;
                    let items = self.stack.split_off(at);
                    self.push_tuple(items)?;
                }
                opcode::SETITEM => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.set_items(vec![key, value])?;
                }
                opcode::SETITEMS => {
                    let items = self.pop_to_mark()?;
                    self.set_items(items)?;
                }
                // Lists are not needed, and neither are attributes, such as a state dict's metadata.
                opcode::APPEND | opcode::BUILD => drop(self.pop()?),
                opcode::APPENDS => drop(self.pop_to_mark()?),
                opcode::BINPERSID => {
                    let storage = storage(self.pop()?)?;
                    self.stack.push(storage);
                }
                opcode::REDUCE => {
                    let (arguments, function) = (self.pop()?, self.pop()?);
                    self.stack.push(call(function, arguments)?);
                }
                opcode::NEWOBJ => {
                    let _arguments_and_class = (self.pop()?, self.pop()?);
                    self.stack.push(Value::Other);
                }
                _ => return Err(PickleError::Opcode(opcode)),
            }
        }
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], PickleError> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(PickleError::Damaged)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or(PickleError::Damaged)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn line(&mut self) -> Result<String, PickleError> {
        let end = self.rest.iter().position(|&b| b == b'\n').ok_or(PickleError::Damaged)?;
        let line = String::from_utf8_lossy(&self.rest[..end]).into_owned();
        self.rest = &self.rest[end + 1..];
        Ok(line)
    }

    fn push_text(&mut self) -> Result<(), PickleError> {
        let length = u32::from_le_bytes(self.take()?) as usize;
        let text = self.bytes(length)?;
        self.stack.push(if length > MAX_TEXT {
            Value::Other
        } else {
            Value::Text(String::from_utf8_lossy(text).into())
        });
        Ok(())
    }

    /// Pushes a little-endian integer of any length.
    fn push_long(&mut self) -> Result<(), PickleError> {
        let [length] = self.take()?;
        let bytes = self.bytes(length.into())?;
        let is_negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
        let mut padded = [if is_negative { 0xff } else { 0 }; 8];
        padded.get_mut(..bytes.len()).ok_or(PickleError::Damaged)?.copy_from_slice(bytes);
        self.stack.push(Value::Int(i64::from_le_bytes(padded)));
        Ok(())
    }

    fn pop(&mut self) -> Result<Value, PickleError> {
        self.stack.pop().ok_or(PickleError::Damaged)
    }

    /// Pops all values above the last mark, and the mark.
    fn pop_to_mark(&mut self) -> Result<Vec<Value>, PickleError> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len());
        Ok(self.stack.split_off(mark.ok_or(PickleError::Damaged)?))
    }

    fn push_tuple(&mut self, items: Vec<Value>) -> Result<(), PickleError> {
        let depths = items.iter().map(|item| match item {
            Value::Tuple(tuple) => tuple.depth,
            _ => 0,
        });
        let depth = 1 + depths.max().unwrap_or(0);
        if depth > MAX_TUPLE_DEPTH {
            return Err(PickleError::Damaged);
        }
        let items = items.into_iter().map(as_item).collect();
        self.stack.push(Value::Tuple(Tuple { items, depth }));
        Ok(())
    }

    /// Copies the value on top of the stack to the memo.
    fn put(&mut self, slot: u32) -> Result<(), PickleError> {
        // A dict is put there before it is filled, and nothing gets it again.
        let value = match self.stack.last().ok_or(PickleError::Damaged)? {
            Value::Dict(_) => Value::Other,
            value => value.clone(),
        };
        self.memo.insert(slot, value);
        Ok(())
    }

    /// Pushes a copy of a value of the memo.
    fn get(&mut self, slot: u32) -> Result<(), PickleError> {
        self.stack.push(self.memo.get(&slot).ok_or(PickleError::Damaged)?.clone());
        Ok(())
    }

    /// Adds keys and values, which alternate, to the dict on top of the stack, or to a value that
    /// [`Value::Other`] stands for.
    fn set_items(&mut self, items: Vec<Value>) -> Result<(), PickleError> {
        let dict = match self.stack.last_mut() {
            Some(Value::Dict(dict)) => dict,
            Some(Value::Other) => return Ok(()),
            _ => return Err(PickleError::Damaged),
        };
        let mut items = items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            dict.push((as_item(key), as_value(value)));
        }
        Ok(())
    }
}

/// Returns `value` as an item of a tuple or as a key. Dicts are not needed there, and without them
/// nothing nests deeper than tuples may.
fn as_item(value: Value) -> Value {
    match value {
        Value::Dict(_) => Value::Other,
        value => value,
    }
}

/// Returns `value` as the value of a dict's key: a dict only if it holds none itself.
fn as_value(value: Value) -> Value {
    match value {
        Value::Dict(items) if items.iter().any(|(_, v)| matches!(v, Value::Dict(_))) => {
            Value::Other
        }
        value => value,
    }
}

/// Reads `("storage", kind, key, device, count)`.
fn storage(id: Value) -> Result<Value, PickleError> {
    let Value::Tuple(parts) = id else { return Err(PickleError::Damaged) };
    match &*parts.items {
        [_, Value::Global(kind), Value::Text(key), ..] => {
            Ok(Value::Storage(Storage { kind: kind.clone(), key: key.clone() }))
        }
        _ => Err(PickleError::Damaged),
    }
}

/// Returns what one of the two known functions makes of its arguments; of any other function, nothing
/// that says anything.
fn call(function: Value, arguments: Value) -> Result<Value, PickleError> {
    let (Value::Global(function), Value::Tuple(arguments)) = (function, arguments) else {
        return Ok(Value::Other);
    };
    match (&*function, &*arguments.items) {
        ("collections OrderedDict", []) => Ok(Value::Dict(Vec::new())),
        (
            "torch._utils _rebuild_tensor_v2",
            [Value::Storage(storage), Value::Int(offset), shape, strides, ..],
        ) => Ok(Value::Tensor(Tensor {
            storage: storage.clone(),
            offset: usize::try_from(*offset).map_err(|_| PickleError::Damaged)?,
            shape: lengths(shape)?,
            strides: lengths(strides)?,
        })),
        ("torch._utils _rebuild_tensor_v2", _) => Err(PickleError::Damaged),
        _ => Ok(Value::Other),
    }
}

fn lengths(tuple: &Value) -> Result<Vec<usize>, PickleError> {
    let Value::Tuple(Tuple { items, .. }) = tuple else { return Err(PickleError::Damaged) };
    if items.len() > MAX_AXES {
        return Err(PickleError::Damaged);
    }
    let length = |item: &Value| match item {
        Value::Int(length) => usize::try_from(*length).map_err(|_| PickleError::Damaged),
        _ => Err(PickleError::Damaged),
    };
    items.iter().map(length).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error(program: &[u8]) -> PickleError {
        state_dict(program).unwrap_err()
    }

    /// Returns a program that nests tuples: each level holds the tuple below it `copies` times.
    fn nested(levels: u8, copies: usize) -> Vec<u8> {
        let mut program = vec![opcode::EMPTY_TUPLE];
        for level in 0..levels {
            program.extend([opcode::BINPUT, level, opcode::MARK]);
            program.extend([opcode::BINGET, level].repeat(copies));
            program.push(opcode::TUPLE);
        }
        program.push(opcode::STOP);
        program
    }

    #[test]
    fn copies_cost_no_memory() {
        // 1000 ^ 7 empty tuples.
        assert_eq!(error(&nested(7, 1000)), PickleError::NoStateDict);
        assert_eq!(error(&nested(200, 2)), PickleError::Damaged);
    }

    /// Dropping deeper values would overflow the stack.
    #[test]
    fn nesting_is_limited() {
        let tuples = [&b")"[..], &[opcode::TUPLE1].repeat(1_000_000), b"."].concat();
        assert_eq!(error(&tuples), PickleError::Damaged);
        let dicts = [b"}", &b"K\x01}".repeat(500_000)[..], &b"s".repeat(500_000), b"."].concat();
        assert!(state_dict(&dicts).unwrap().is_empty());
    }

    /// Writes a text.
    fn text(text: &str) -> Vec<u8> {
        let size = u32::try_from(text.len()).unwrap().to_le_bytes();
        [b"X", &size[..], text.as_bytes()].concat()
    }

    #[test]
    fn other_classes_are_skipped() {
        // {"hyper": {"a": {1: 2}}, "state_dict": {"w": 3}, "object": posix.system("id"), "new": ...}
        let program = [
            b"}(".to_vec(),
            text("hyper"),
            b"}".to_vec(),
            text("a"),
            b"}K\x01K\x02ss".to_vec(),
            text("state_dict"),
            b"ccollections\nOrderedDict\n)R".to_vec(),
            text("w"),
            b"K\x03s".to_vec(),
            text("object"),
            b"cposix\nsystem\n".to_vec(),
            text("id"),
            b"\x85R}K\x01K\x02sb".to_vec(),
            text("new"),
            b"cpyannote.audio.core.task\nSpecifications\n)\x81K\x01K\x02s".to_vec(),
            b"u.".to_vec(),
        ]
        .concat();
        let items = state_dict(&program).unwrap();
        assert!(matches!(&items[..], [(name, Value::Int(3))] if &**name == "w"), "{items:?}");
    }

    #[test]
    fn a_state_dict_must_be_a_dict() {
        assert_eq!(error(b"K\x01."), PickleError::NoStateDict);
        let foreign = [b"}".to_vec(), text("state_dict"), b"cm\nC\n)\x81s.".to_vec()].concat();
        assert_eq!(error(&foreign), PickleError::NoStateDict);
        assert_eq!(error(b"}\xff."), PickleError::Opcode(0xff));
    }

    proptest! {
        /// Programs of valid opcodes, so that few end at the first byte.
        #[test]
        fn any_program_ends_with_a_value_or_an_error(
            parts in prop::collection::vec(prop::sample::select(&PARTS[..]), 0..200),
            noise in prop::collection::vec(any::<u8>(), 0..8),
        ) {
            let program = [&parts.concat()[..], &noise, b"."].concat();
            let _ = state_dict(&program);
        }
    }

    /// Whole instructions.
    const PARTS: [&[u8]; 21] = [
        b"(",
        b"}",
        b")",
        b"]",
        b"N",
        b"K\x01",
        b"J\xff\xff\xff\xff",
        b"X\x01\0\0\0a",
        b"q\x01",
        b"h\x01",
        b"t",
        b"\x85",
        b"\x86",
        b"s",
        b"u",
        b"b",
        b"R",
        b"\x81",
        b"Q",
        b"ccollections\nOrderedDict\n",
        b"ctorch._utils\n_rebuild_tensor_v2\n",
    ];

    #[test]
    fn items_without_a_name_are_ignored() {
        let named = |length: usize| {
            let size = u32::try_from(length).unwrap().to_le_bytes();
            [&b"}X"[..], &size, &b"n".repeat(length), b"K\x01s."].concat()
        };
        assert_eq!(state_dict(&named(MAX_TEXT)).unwrap().len(), 1);
        assert_eq!(state_dict(&named(MAX_TEXT + 1)).unwrap().len(), 0);
    }
}
