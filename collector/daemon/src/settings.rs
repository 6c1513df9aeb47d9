//! Shows the configuration that is in force, a line for each key, secrets left out.

use crate::config::Config;
use crate::daemon::Daemon;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A key of the configuration and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// As in `config.toml`: `retention.max_bytes`, `notify.target.pager.url`.
    pub key: String,
    /// The value as it would be written there; empty: not set.
    pub value: String,
    /// Whether it is what holds when nothing is said.
    pub usual: bool,
}

impl Daemon {
    /// The configuration in force: file, environment and flags together.
    ///
    /// # Errors
    /// When a path of it is no text.
    pub fn settings(&self) -> Result<Vec<Setting>, serde_json::Error> {
        settings(&self.inner.config)
    }
}

fn settings(config: &Config) -> Result<Vec<Setting>, serde_json::Error> {
    let usual = flat(&serde_json::to_value(Config::default())?);
    let now = flat(&serde_json::to_value(config)?);
    let setting = |(key, value): (String, String)| Setting {
        usual: usual.get(&key) == Some(&value),
        key,
        value,
    };
    Ok(now.into_iter().map(setting).collect())
}

fn flat(value: &Value) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    flatten(String::new(), value, &mut found);
    found
}

/// Tables become keys with dots; those of a list are called by their name, else their number.
fn flatten(key: String, value: &Value, found: &mut BTreeMap<String, String>) {
    let below = |name: &str| match key.as_str() {
        "" => name.to_owned(),
        _ => format!("{key}.{name}"),
    };
    match value {
        Value::Object(table) => {
            for (name, value) in table {
                flatten(below(name), value, found);
            }
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            for (at, value) in list.iter().enumerate() {
                let name = value.get("name").and_then(Value::as_str);
                let name = name.map_or_else(|| (at + 1).to_string(), str::to_owned);
                flatten(below(&name), value, found);
            }
        }
        Value::Array(list) => {
            let values: Vec<String> = list.iter().map(plain).collect();
            found.insert(key, values.join(", "));
        }
        value => {
            found.insert(key, plain(value));
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_was_set_is_told_from_the_usual_and_secrets_are_not_told() {
        let text = r#"
            workers = 3
            [retention]
            max_age = "30d"
            [[capture.rule]]
            image = "api*"
            policy = "full"
            [symbols]
            debuginfod = ["https://symbols.example/secret-path"]
            [[notify.target]]
            name = "pager"
            kind = "webhook"
            url = "https://hooks.example:444/T0/very-secret"
            secret = "whsec_0123456789abcdef"
        "#;
        let config: Config = toml::from_str(text).unwrap();
        let all = settings(&config).unwrap();
        let of = |key: &str| {
            let found = all.iter().find(|setting| setting.key == key);
            let found = found.unwrap_or_else(|| panic!("{key} is missing: {all:#?}"));
            (found.value.as_str(), found.usual)
        };
        assert_eq!(of("workers"), ("3", false));
        assert_eq!(of("analysis_seconds"), ("120", true));
        assert_eq!(of("retention.max_age"), ("30d", false));
        assert_eq!(of("retention.max_bytes"), ("20%", true));
        assert_eq!(of("retention.memory_age"), ("", true));
        assert_eq!(of("capture.rule.1.image"), ("api*", false));
        assert_eq!(
            of("notify.target.pager.url"),
            ("https://hooks.example:444/…", false)
        );
        assert_eq!(of("notify.target.pager.secret"), ("(set)", false));
        assert_eq!(
            of("symbols.debuginfod"),
            ("https://symbols.example/…", false)
        );
        let told = serde_json::to_string(&all).unwrap();
        assert!(
            !told.contains("secret-") && !told.contains("0123456789"),
            "{told}"
        );
    }
}
