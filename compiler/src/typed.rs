//! Trees to typed values, straight: a mapping fills a struct, a scalar what its YAML value fills.

use crate::yaml::{Kind, Node};
use serde::de::value::{MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{Deserializer, IntoDeserializer, Visitor};
use serde_yaml::{Error, Value};

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.kind {
            Kind::Scalar(value) => value.deserialize_any(visitor),
            Kind::Sequence(items) => visitor.visit_seq(SeqDeserializer::new(items.iter().map(|item| item.as_ref()))),
            Kind::Mapping(pairs) => {
                // A key without a value is an absent key.
                let there = pairs.iter().filter(|(_, _, value)| !value.is_null());
                visitor.visit_map(MapDeserializer::new(there.map(|(key, _, value)| {
                    let key: StrDeserializer<'_, Error> = key.as_str().into_deserializer();
                    (key, value.as_ref())
                })))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.kind {
            Kind::Scalar(value) => value.deserialize_enum(name, variants, visitor),
            _ => self.deserialize_any(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for &'de Node {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl Node {
    /// An absent value.
    pub fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Scalar(Value::Null))
    }
}
