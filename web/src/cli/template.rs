//! `--format`: Go templates over rows, as the Docker CLI takes them.
//!
//! A row's values are already safe to show ([`super::text::visible`]); what the template adds
//! itself comes from the person at the keyboard.

use gtmpl_ng::{Context, FuncError, Template, Value};
use std::collections::HashMap;

/// What `--format` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// The verb's own table.
    Table,
    /// `table TEMPLATE`: a table of these columns.
    TableOf(String),
    /// One JSON object per line.
    Json,
    /// One expansion per row.
    Template(String),
}

impl Format {
    /// Reads the flag's value; `\t` and `\n` in it are a tab and a line end.
    pub fn parse(text: Option<&str>) -> Self {
        let text = text.unwrap_or("").trim();
        match text {
            "" | "table" => return Format::Table,
            "json" | "{{json .}}" | "{{ json . }}" => return Format::Json,
            _ => {}
        }
        let unescape = |text: &str| text.replace("\\t", "\t").replace("\\n", "\n");
        match text.strip_prefix("table ") {
            Some(columns) => Format::TableOf(unescape(columns.trim())),
            None => Format::Template(unescape(text)),
        }
    }
}

/// The template is wrong, or does not fit the rows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template parsing error: {0}")]
pub struct TemplateError(String);

/// A parsed template.
pub struct RowTemplate {
    template: Template,
}

impl RowTemplate {
    /// Parses a template over rows.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut template = Template::default();
        template.add_func("json", json);
        template.add_func("split", split);
        template.add_func("join", join);
        template.add_func("title", title);
        template.add_func("lower", lower);
        template.add_func("upper", upper);
        template.add_func("pad", pad);
        template.add_func("truncate", truncate);
        template.add_func("label", label);
        let text = methods_as_functions(text);
        template
            .parse(text)
            .map_err(|error| TemplateError(one_line(&error)))?;
        Ok(Self { template })
    }

    /// Parses a template over headers: functions leave a header as it is.
    pub fn parse_header(text: &str) -> Result<Self, TemplateError> {
        let mut parsed = Template::default();
        for name in [
            "json", "split", "join", "title", "lower", "upper", "truncate",
        ] {
            parsed.add_func(name, first);
        }
        parsed.add_func("pad", pad);
        parsed.add_func("label", header_of_label);
        parsed
            .parse(methods_as_functions(text))
            .map_err(|error| TemplateError(one_line(&error)))?;
        Ok(Self { template: parsed })
    }

    /// Expands it for one row.
    pub fn expand(&self, row: Value) -> Result<String, TemplateError> {
        let expanded = self.template.render(&Context::from(row));
        expanded.map_err(|error| TemplateError(one_line(&error)))
    }
}

/// The engine's message, without the row that it quotes for an unknown field.
fn one_line(error: &dyn std::fmt::Display) -> String {
    let text = error.to_string();
    let text = text.split(" in map[").next().unwrap_or_default();
    super::text::ellipsis(&super::text::visible(text), 200)
}

/// `.Label "k"` is a method call, which the engine does not know: it becomes `label . "k"`.
fn methods_as_functions(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(".Label ") {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let on_dot =
            !before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '$' | '_' | ')' | '.'));
        out.push_str(if on_dot { "label . " } else { ".Label " });
        rest = after.strip_prefix(".Label ").unwrap_or("");
    }
    out + rest
}

/// A struct as the engine sees it: unknown fields are errors.
pub fn object(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    Value::Object(
        fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    )
}

/// Key of the labels behind `.Label "k"`; lower case, so that no template and no JSON sees it.
pub const LABELS: &str = "labels";

/// A map as the engine sees it.
pub fn map<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> Value {
    let pair = |(key, value): (&String, &String)| {
        (key.clone(), Value::String(super::text::visible(value)))
    };
    Value::Map(pairs.into_iter().map(pair).collect())
}

/// JSON as the engine sees it; strings safe to show, objects as structs.
pub fn from_json(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::String(text) => Value::String(super::text::visible(text)),
        serde_json::Value::Array(items) => Value::Array(items.iter().map(from_json).collect()),
        serde_json::Value::Object(fields) => {
            let field =
                |(name, value): (&String, &serde_json::Value)| (name.clone(), from_json(value));
            Value::Object(fields.iter().map(field).collect())
        }
        serde_json::Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(value), _) => value.into(),
            (_, Some(value)) => value.into(),
            _ => number.as_f64().unwrap_or(f64::NAN).into(),
        },
    }
}

fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::String(text) => text.clone().into(),
        Value::Array(items) => items.iter().map(to_json).collect(),
        Value::Object(fields) => fields_to_json(fields, |name| name != LABELS),
        Value::Map(fields) => fields_to_json(fields, |_| true),
        Value::Number(number) => {
            let integer = number.as_i64().map(serde_json::Value::from);
            integer
                .or_else(|| number.as_u64().map(Into::into))
                .or_else(|| number.as_f64().map(Into::into))
                .unwrap_or_default()
        }
        _ => serde_json::Value::Null,
    }
}

fn fields_to_json(
    fields: &HashMap<String, Value>,
    shown: impl Fn(&str) -> bool,
) -> serde_json::Value {
    let shown = fields.iter().filter(|(name, _)| shown(name));
    serde_json::Value::Object(
        shown
            .map(|(name, value)| (name.clone(), to_json(value)))
            .collect(),
    )
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn arguments<'a, const N: usize>(
    name: &str,
    given: &'a [Value],
) -> Result<&'a [Value; N], FuncError> {
    given
        .try_into()
        .map_err(|_| FuncError::ExactlyXArgs(name.to_owned(), N))
}

fn count(name: &str, value: &Value) -> Result<usize, FuncError> {
    let number: Option<i64> = gtmpl_ng::from_value(value);
    let number = number
        .and_then(|n| usize::try_from(n).ok())
        .filter(|&n| n <= 10_000);
    number.ok_or_else(|| FuncError::Generic(format!("{name}: not a sensible width")))
}

fn json(given: &[Value]) -> Result<Value, FuncError> {
    let [value] = arguments("json", given)?;
    Ok(super::text::visible_json(&to_json(value).to_string()).into())
}

fn split(given: &[Value]) -> Result<Value, FuncError> {
    let [value, separator] = arguments("split", given)?;
    let (value, separator) = (text(value), text(separator));
    Ok(Value::Array(
        value.split(separator.as_str()).map(Value::from).collect(),
    ))
}

fn join(given: &[Value]) -> Result<Value, FuncError> {
    let [values, separator] = arguments("join", given)?;
    let Value::Array(values) = values else {
        return Err(FuncError::Generic("join: not a list".to_owned()));
    };
    let values: Vec<String> = values.iter().map(text).collect();
    Ok(values.join(&text(separator)).into())
}

fn title(given: &[Value]) -> Result<Value, FuncError> {
    let [value] = arguments("title", given)?;
    let value = text(value);
    let mut letters = value.chars();
    let first = letters.next().map(char::to_uppercase);
    Ok(first
        .into_iter()
        .flatten()
        .chain(letters)
        .collect::<String>()
        .into())
}

fn lower(given: &[Value]) -> Result<Value, FuncError> {
    let [value] = arguments("lower", given)?;
    Ok(text(value).to_lowercase().into())
}

fn upper(given: &[Value]) -> Result<Value, FuncError> {
    let [value] = arguments("upper", given)?;
    Ok(text(value).to_uppercase().into())
}

/// `pad VALUE BEFORE AFTER`: spaces around a value that is not empty.
fn pad(given: &[Value]) -> Result<Value, FuncError> {
    let [value, before, after] = arguments("pad", given)?;
    let (value, before, after) = (text(value), count("pad", before)?, count("pad", after)?);
    if value.is_empty() {
        return Ok(value.into());
    }
    Ok(format!("{:before$}{value}{:after$}", "", "").into())
}

fn truncate(given: &[Value]) -> Result<Value, FuncError> {
    let [value, length] = arguments("truncate", given)?;
    let length = count("truncate", length)?;
    Ok(text(value).chars().take(length).collect::<String>().into())
}

/// `label ROW KEY`: a label's value, empty when there is none.
fn label(given: &[Value]) -> Result<Value, FuncError> {
    let [row, key] = arguments("label", given)?;
    let found = match row {
        Value::Object(fields) => match fields.get(LABELS) {
            Some(Value::Map(labels)) => labels.get(&text(key)),
            _ => None,
        },
        _ => None,
    };
    Ok(found.cloned().unwrap_or_else(|| "".into()))
}

fn first(given: &[Value]) -> Result<Value, FuncError> {
    given
        .first()
        .cloned()
        .ok_or_else(|| FuncError::AtLeastXArgs("function".to_owned(), 1))
}

fn header_of_label(given: &[Value]) -> Result<Value, FuncError> {
    let [_, key] = arguments("label", given)?;
    Ok(text(key).into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeMap;

    fn row() -> Value {
        let labels = BTreeMap::from([("a.b".to_owned(), "v".to_owned())]);
        object([
            ("ID", "0123".into()),
            ("Image", "app:1".into()),
            ("Empty", "".into()),
            (LABELS, map(&labels)),
        ])
    }

    fn expand(template: &str) -> Result<String, TemplateError> {
        match Format::parse(Some(template)) {
            Format::Template(text) => RowTemplate::parse(&text)?.expand(row()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn dockers_templates_expand() {
        for (template, expected) in [
            ("{{.ID}}", "0123"),
            (r"{{.ID}}\t{{.Image}}\n", "0123\tapp:1\n"),
            (
                "{{upper .Image}} {{title .Image}} {{lower \"ABC\"}}",
                "APP:1 App:1 abc",
            ),
            (
                "{{truncate .Image 3}}|{{pad .ID 1 2}}|{{pad .Empty 1 2}}|",
                "app| 0123  ||",
            ),
            ("{{index (split .Image \":\") 0}}", "app"),
            ("{{join (split .Image \":\") \"/\"}}", "app/1"),
            (
                "{{json .ID}} {{json .}}",
                r#""0123" {"Empty":"","ID":"0123","Image":"app:1"}"#,
            ),
            ("{{.Label \"a.b\"}}{{.Label \"no\"}}", "v"),
            ("{{if eq .ID \"0123\"}}yes{{else}}no{{end}}", "yes"),
            ("{{printf \"%s-%d\" .ID (len .ID)}}", "0123-4"),
        ] {
            assert_eq!(expand(template).as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn wrong_templates_are_one_clear_line() {
        for template in [
            "{{",
            "{{.Nope}}",
            "{{nope .}}",
            "{{.ID",
            "{{pad .ID 1 99999999999}}",
            "{{join .ID \",\"}}",
            "{{end}}",
        ] {
            let error = expand(template).unwrap_err().to_string();
            assert!(
                error.starts_with("template parsing error: "),
                "{template}: {error}"
            );
            assert!(
                !error.contains('\n') && error.len() < 300,
                "{template}: {error}"
            );
        }
    }

    #[test]
    fn kinds_of_formats() {
        assert_eq!(Format::parse(None), Format::Table);
        assert_eq!(Format::parse(Some("table")), Format::Table);
        assert_eq!(Format::parse(Some("json")), Format::Json);
        assert_eq!(
            Format::parse(Some(r"table {{.ID}}\t{{.Image}}")),
            Format::TableOf("{{.ID}}\t{{.Image}}".into())
        );
        assert_eq!(
            Format::parse(Some("{{.ID}}")),
            Format::Template("{{.ID}}".into())
        );
    }
}
