//! How one field is written and read.

use super::schema::Kind;

/// A field of a body.
pub trait Part: Sized + Default {
    /// Its kind.
    const KIND: Kind;

    /// Appends it to `to`.
    fn put(&self, to: &mut Vec<u8>);

    /// Takes it from the beginning of `from`; `None`: the body ends before it does.
    fn take(from: &mut &[u8]) -> Option<Self>;
}

macro_rules! numbers {
    ($($number:ty => $kind:ident),+ $(,)?) => {$(
        impl Part for $number {
            const KIND: Kind = Kind::$kind;

            fn put(&self, to: &mut Vec<u8>) {
                to.extend_from_slice(&self.to_le_bytes());
            }

            fn take(from: &mut &[u8]) -> Option<Self> {
                let (number, rest) = from.split_first_chunk()?;
                *from = rest;
                Some(Self::from_le_bytes(*number))
            }
        }
    )+};
}

numbers!(u8 => U8, u16 => U16, u32 => U32, u64 => U64, i64 => I64, f32 => F32, f64 => F64);

impl Part for bool {
    const KIND: Kind = Kind::Bool;

    fn put(&self, to: &mut Vec<u8>) {
        u8::from(*self).put(to);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        u8::take(from).map(|byte| byte != 0)
    }
}

/// The part of `text` that a length of 16 bits can count, cut between characters.
fn within_u16(text: &str) -> &str {
    let end = text.floor_char_boundary(usize::from(u16::MAX));
    text.get(..end).unwrap_or_default()
}

impl Part for String {
    const KIND: Kind = Kind::Text;

    fn put(&self, to: &mut Vec<u8>) {
        let text = within_u16(self);
        u16::try_from(text.len()).unwrap_or(u16::MAX).put(to);
        to.extend_from_slice(text.as_bytes());
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let (text, rest) = {
            let mut rest = *from;
            let len = usize::from(u16::take(&mut rest)?);
            rest.split_at_checked(len)?
        };
        *from = rest;
        Some(Self::from_utf8_lossy(text).into_owned())
    }
}

impl Part for Vec<u8> {
    const KIND: Kind = Kind::Bytes;

    fn put(&self, to: &mut Vec<u8>) {
        u32::try_from(self.len()).unwrap_or(u32::MAX).put(to);
        to.extend_from_slice(self);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let mut rest = *from;
        let len = usize::try_from(u32::take(&mut rest)?).ok()?;
        let (bytes, rest) = rest.split_at_checked(len)?;
        *from = rest;
        Some(bytes.to_vec())
    }
}

macro_rules! lists {
    ($($item:ty => $kind:ident),+ $(,)?) => {$(
        impl Part for Vec<$item> {
            const KIND: Kind = Kind::$kind;

            fn put(&self, to: &mut Vec<u8>) {
                let count = u16::try_from(self.len()).unwrap_or(u16::MAX);
                count.put(to);
                self.iter().take(usize::from(count)).for_each(|item| item.put(to));
            }

            fn take(from: &mut &[u8]) -> Option<Self> {
                let mut rest = *from;
                let count = u16::take(&mut rest)?;
                let items = (0..count).map(|_| <$item>::take(&mut rest)).collect::<Option<_>>()?;
                *from = rest;
                Some(items)
            }
        }
    )+};
}

lists!(f32 => F32List, f64 => F64List, u64 => U64List);

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back<P: Part + PartialEq + std::fmt::Debug>(part: P) {
        let mut bytes = Vec::new();
        part.put(&mut bytes);
        for cut in 0..bytes.len() {
            let mut from = &bytes[..cut];
            assert_eq!(P::take(&mut from), None, "cut at {cut}");
            assert_eq!(from.len(), cut, "nothing was taken");
        }
        bytes.push(0xee);
        let mut from = bytes.as_slice();
        assert_eq!(P::take(&mut from), Some(part));
        assert_eq!(from, [0xee]);
    }

    #[test]
    fn parts_come_back_and_take_nothing_where_they_are_cut() {
        there_and_back(0xabcd_u16);
        there_and_back(-5_i64);
        there_and_back(1.5_f64);
        there_and_back(true);
        there_and_back("grün".to_owned());
        there_and_back(vec![1_u8, 2, 3]);
        there_and_back(vec![1.0_f32, -2.0]);
        there_and_back(vec![1_u64, 2]);
    }

    #[test]
    fn a_text_too_long_is_cut_between_characters() {
        let text = "ü".repeat(40_000);
        let mut bytes = Vec::new();
        text.put(&mut bytes);
        let cut = String::take(&mut bytes.as_slice()).unwrap();
        assert_eq!(cut.len(), 65_534);
        assert!(text.starts_with(&cut));
    }
}
