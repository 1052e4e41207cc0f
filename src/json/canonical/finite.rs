//! Walks a Rust value as serde shows it and refuses what JSON can't hold but serde_json would write.
//!
//! Owns one question: is every number finite? It writes nothing, and leaves keys to serde_json,
//! which refuses those that can't be strings. Invariant: a value nested beyond the limit is refused
//! before its nesting costs more stack.

use super::Invalid;
use crate::caps::RUN_JSON_DEPTH;
use serde::Serialize;
use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// Goes through all of `value`.
pub(super) fn check<T: Serialize + ?Sized>(value: &T) -> Result<(), Invalid> {
    // One level more than text may have, for a `RawValue` shows itself as a struct; the text's own
    // depth is measured when there is one.
    value.serialize(Finite {
        levels_left: RUN_JSON_DEPTH + 1,
    })
}

/// The serializer for one value, and for what stands in an array or object.
#[derive(Clone, Copy)]
struct Finite {
    levels_left: usize,
}

impl Finite {
    fn enter(self) -> Result<Self, Invalid> {
        let levels_left = self.levels_left.checked_sub(1).ok_or(Invalid::TooDeep)?;
        Ok(Self { levels_left })
    }
}

/// Scalars that are JSON whatever their value.
macro_rules! always_fine {
    ($($method:ident($type:ty);)*) => {$(
        fn $method(self, _value: $type) -> Result<(), Invalid> {
            Ok(())
        }
    )*};
}

/// Scalars that must be finite.
macro_rules! finite {
    ($($method:ident($type:ty);)*) => {$(
        fn $method(self, value: $type) -> Result<(), Invalid> {
            if value.is_finite() { Ok(()) } else { Err(Invalid::NotFinite) }
        }
    )*};
}

impl Serializer for Finite {
    type Ok = ();
    type Error = Invalid;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    always_fine! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_i128(i128);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_u128(u128);
        serialize_char(char);
        serialize_str(&str);
        serialize_bytes(&[u8]);
        serialize_unit_struct(&'static str);
    }

    finite! {
        serialize_f32(f32);
        serialize_f64(f64);
    }

    fn serialize_none(self) -> Result<(), Invalid> {
        Ok(())
    }

    fn serialize_unit(self) -> Result<(), Invalid> {
        Ok(())
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
    ) -> Result<(), Invalid> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Invalid> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Invalid> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Invalid> {
        value.serialize(self.enter()?)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Invalid> {
        self.enter()
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Invalid> {
        self.enter()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Invalid> {
        self.enter()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Invalid> {
        // An object with the variant's name, and the array or object within.
        self.enter()?.enter()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Invalid> {
        self.enter()
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Invalid> {
        self.enter()
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Invalid> {
        self.enter()?.enter()
    }
}

/// The traits of arrays differ in their names alone.
macro_rules! arrays {
    ($($name:ident::$method:ident;)*) => {$(
        impl $name for Finite {
            type Ok = ();
            type Error = Invalid;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Invalid> {
                value.serialize(*self)
            }

            fn end(self) -> Result<(), Invalid> {
                Ok(())
            }
        }
    )*};
}

arrays! {
    SerializeSeq::serialize_element;
    SerializeTuple::serialize_element;
    SerializeTupleStruct::serialize_field;
    SerializeTupleVariant::serialize_field;
}

/// So do those of objects with known names.
macro_rules! structs {
    ($($name:ident;)*) => {$(
        impl $name for Finite {
            type Ok = ();
            type Error = Invalid;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                _: &'static str,
                value: &T,
            ) -> Result<(), Invalid> {
                value.serialize(*self)
            }

            fn end(self) -> Result<(), Invalid> {
                Ok(())
            }
        }
    )*};
}

structs! {
    SerializeStruct;
    SerializeStructVariant;
}

impl SerializeMap for Finite {
    type Ok = ();
    type Error = Invalid;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, _: &T) -> Result<(), Invalid> {
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Invalid> {
        value.serialize(*self)
    }

    fn end(self) -> Result<(), Invalid> {
        Ok(())
    }
}
