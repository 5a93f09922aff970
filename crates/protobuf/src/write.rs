//! Appends fields to a message.

/// Appends a varint.
pub fn write_varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

/// Appends a field that holds bytes, a string or a message.
pub fn write_bytes(message: &mut Vec<u8>, number: u32, content: &[u8]) {
    write_varint(message, u64::from(number) << 3 | 2);
    write_varint(message, content.len() as u64);
    message.extend_from_slice(content);
}
