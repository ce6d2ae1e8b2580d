//! Values on their way to and from the database.

use std::fmt;

use ::postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use rusqlite::types::{ToSqlOutput, ValueRef};

use super::{SqlError, SqlResult};

/// One value of a statement or of an answer.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Text(String),
    Blob(Vec<u8>),
}

/// Says what kind it is and not what it is: a statement may hold what nobody is to read.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

/// The values of a statement, in the order of their numbers.
macro_rules! values {
    ($($value:expr),* $(,)?) => {
        &[$($crate::db::Value::from($value)),*][..]
    };
}
pub(crate) use values;

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Value::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Int(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Value::Text(value)
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Value::Text(value.clone())
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Value::Text(value.to_owned())
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Value::Blob(value.to_vec())
    }
}

impl From<&Vec<u8>> for Value {
    fn from(value: &Vec<u8>) -> Self {
        Value::Blob(value.clone())
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(value: &[u8; N]) -> Self {
        Value::Blob(value.to_vec())
    }
}

impl<T> From<Option<T>> for Value
where
    Value: From<T>,
{
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Value::from)
    }
}

impl Value {
    /// A value as SQLite holds it.
    pub(super) fn from_sqlite(value: ValueRef<'_>) -> rusqlite::Result<Self> {
        Ok(match value {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(value) => Value::Int(value),
            ValueRef::Text(text) => Value::Text(
                std::str::from_utf8(text)
                    .map_err(|error| rusqlite::Error::Utf8Error(0, error))?
                    .to_owned(),
            ),
            ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
            ValueRef::Real(_) => {
                return Err(rusqlite::Error::InvalidColumnType(
                    0,
                    String::new(),
                    rusqlite::types::Type::Real,
                ));
            }
        })
    }

    fn kind(&self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Int(_) => "a number",
            Value::Text(_) => "a text",
            Value::Blob(_) => "bytes",
        }
    }
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Int(value) => ValueRef::Integer(*value),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl ToSql for Value {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut bytes::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Value::Null => Ok(IsNull::Yes),
            Value::Int(value) => value.to_sql_checked(ty, out),
            Value::Text(text) => text.to_sql_checked(ty, out),
            Value::Blob(bytes) => bytes.to_sql_checked(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// One row of an answer.
#[derive(Debug)]
pub(crate) struct Row(Vec<Value>);

impl Row {
    pub(super) fn new(values: Vec<Value>) -> Self {
        Self(values)
    }

    /// A row as PostgreSQL answers it.
    pub(super) fn from_postgres(row: &::postgres::Row) -> SqlResult<Self> {
        let value = |at: usize, ty: &Type| -> SqlResult<Value> {
            Ok(match *ty {
                Type::INT8 => row.try_get::<_, Option<i64>>(at)?.into(),
                Type::INT4 => row.try_get::<_, Option<i32>>(at)?.map(i64::from).into(),
                Type::BOOL => row.try_get::<_, Option<bool>>(at)?.into(),
                Type::BYTEA => row
                    .try_get::<_, Option<Vec<u8>>>(at)?
                    .map_or(Value::Null, Value::Blob),
                _ => row.try_get::<_, Option<String>>(at)?.into(),
            })
        };
        row.columns()
            .iter()
            .enumerate()
            .map(|(at, column)| value(at, column.type_()))
            .collect::<SqlResult<_>>()
            .map(Self)
    }

    /// The value of a column, counted from 0.
    pub(crate) fn get<T: FromValue>(&self, column: usize) -> SqlResult<T> {
        let value = self.0.get(column).unwrap_or(&Value::Null);
        T::from_value(value).ok_or(SqlError::Column {
            column,
            found: value.kind(),
        })
    }
}

/// What a column can be read as.
pub(crate) trait FromValue: Sized {
    fn from_value(value: &Value) -> Option<Self>;
}

impl FromValue for i64 {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }
}

impl FromValue for u64 {
    fn from_value(value: &Value) -> Option<Self> {
        u64::try_from(i64::from_value(value)?).ok()
    }
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Option<Self> {
        i64::from_value(value).map(|value| value != 0)
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Blob(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }
}

impl<const N: usize> FromValue for [u8; N] {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Blob(bytes) => bytes.as_slice().try_into().ok(),
            _ => None,
        }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            other => T::from_value(other).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_statement_holds_is_not_printed() {
        let shown = format!(
            "{:?}",
            values!["canary", &b"canary"[..], Option::<i64>::None]
        );
        assert_eq!(shown, "[a text, bytes, nothing]");
    }

    #[test]
    fn a_column_of_another_kind_is_named() {
        let row = Row::new(vec![Value::Int(5), Value::Null, Value::Blob(vec![1; 16])]);
        assert_eq!(row.get::<i64>(0).ok(), Some(5));
        assert_eq!(row.get::<Option<String>>(1).ok(), Some(None));
        assert!(row.get::<[u8; 16]>(2).is_ok() && row.get::<[u8; 15]>(2).is_err());
        let error = row
            .get::<String>(0)
            .map(drop)
            .map_err(|error| error.to_string());
        assert_eq!(
            error,
            Err(
                "column 0 of an answer holds a number, not what this program stores there"
                    .to_owned()
            )
        );
    }
}
