//! Turns a query into an SQL condition. Every value is bound; only text of this file is SQL.

use super::language::{Clause, Field, Query, Test};
use super::pattern::Pattern;
use aground_helper::label::OWNER;
use rusqlite::types::Value;

/// A condition on `dumps d LEFT JOIN containers c`, and its parameters in order.
#[derive(Debug, Default)]
pub(crate) struct Condition {
    pub(crate) sql: String,
    pub(crate) parameters: Vec<Value>,
}

impl Condition {
    /// The whole query; `TRUE` for the empty one.
    pub(crate) fn of(query: &Query) -> Self {
        let mut condition = Self {
            sql: "TRUE".to_owned(),
            parameters: vec![],
        };
        for group in alternatives(&query.clauses) {
            condition.sql.push_str(" AND (");
            for (index, clause) in group.into_iter().enumerate() {
                condition.sql.push_str(if index == 0 { "" } else { " OR " });
                condition.test(&clause.test);
            }
            condition.sql.push(')');
        }
        for clause in query.clauses.iter().filter(|clause| clause.negated) {
            condition.sql.push_str(" AND (");
            condition.test(&clause.test);
            // NULL, where there is nothing to compare, counts as no match.
            condition.sql.push_str(") IS NOT TRUE");
        }
        condition
    }

    fn test(&mut self, test: &Test) {
        match test {
            Test::Text(field, pattern) => self.text(*field, pattern),
            Test::Label(key, value) => self.label(key, value.as_ref()),
            Test::Property(key, value) => self.property(key, value.as_ref()),
            Test::SignalNumber(number) => self.push("d.signal_number = ?", [Value::from(*number)]),
            Test::Uid(uid) => self.push("d.uid = ?", [Value::from(*uid)]),
            Test::Confidence(word) => {
                self.push("c.confidence = ?", [(*word).to_owned().into()]);
            }
            Test::Pid(pid) => self.push("d.pid = ?", [Value::from(*pid)]),
            Test::Status(status) => self.push("d.status = ?", [status.as_str().to_owned().into()]),
            Test::Kept(kept) => self.push("d.kept = ?", [(*kept).to_owned().into()]),
            Test::Pinned(pinned) => self.push("d.pinned = ?", [Value::from(*pinned)]),
            Test::Since(at) => self.push("d.crashed_at_ms >= ?", [Value::from(*at)]),
            Test::Until(at) => self.push("d.crashed_at_ms <= ?", [Value::from(*at)]),
            Test::Word(pattern) => self.word(pattern),
        }
    }

    fn push(&mut self, sql: &str, parameters: impl IntoIterator<Item = Value>) {
        self.sql.push_str(sql);
        self.parameters.extend(parameters);
    }

    /// One column equals the value, or matches it where it has wildcards.
    fn column(&mut self, column: &str, pattern: &Pattern) {
        match pattern.literal() {
            Some(literal) => self.push(&format!("{column} = ?"), [literal.to_owned().into()]),
            None => self.push(&format!("{column} GLOB ?"), [pattern.glob().into()]),
        }
    }

    /// Besides the value itself, what people mean by it.
    fn text(&mut self, field: Field, pattern: &Pattern) {
        let also = |globs: &[&str]| -> Vec<String> {
            let literal = pattern.glob_part();
            literal
                .map(|text| globs.iter().map(|glob| glob.replace('@', &text)).collect())
                .unwrap_or_default()
        };
        match field {
            Field::Id => self.either("d.id", pattern, also(&["@*"])),
            Field::Group => self.either("d.group_id", pattern, also(&["@*"])),
            Field::Container => self.container(pattern),
            // `image:api` is any tag of it.
            Field::Image => self.image(pattern),
            Field::ImageId => self.either("c.image_id", pattern, also(&["@*", "sha256:@*"])),
            Field::Host => self.column("d.host", pattern),
            Field::Signal => self.column("d.signal", pattern),
            // `exe:server` is one anywhere.
            Field::Executable => self.either("d.executable", pattern, also(&["*/@"])),
            Field::Name => self.column("d.name", pattern),
            Field::Cause => self.column("d.cause", pattern),
            Field::Function => self.function(pattern, also(&["@(*", "*::@", "*::@(*", "*.@"])),
            Field::Runtime => self.column("c.runtime", pattern),
            Field::Unit => self.either("d.unit", pattern, also(&["@.service"])),
            Field::ImageDigest => self.digest(pattern),
            Field::Namespace => self.column("c.pod_namespace", pattern),
            // A pod goes by its name or its UID.
            Field::Pod => self.any_column(&["c.pod_name", "c.pod_uid"], pattern),
            Field::PodUid => self.column("c.pod_uid", pattern),
            Field::PodContainer => self.column("c.pod_container", pattern),
            // `workload:shop` is one of any kind.
            Field::Workload => self.either("c.pod_owner", pattern, also(&["*/@"])),
            Field::RuntimeNamespace => self.column("c.runtime_namespace", pattern),
            Field::Hostname => self.column("c.hostname", pattern),
            Field::Owner => self.label(OWNER, Some(pattern)),
            Field::Machine => self.column("d.machine", pattern),
            Field::Boot => self.column("d.boot", pattern),
            Field::Kernel => self.column("d.kernel", pattern),
            Field::Arch => self.column("d.arch", pattern),
            Field::Cpu => self.column("d.cpu", pattern),
            Field::ComposeProject => self.compose("project", pattern),
            Field::ComposeService => self.compose("service", pattern),
        }
    }

    fn either(&mut self, column: &str, pattern: &Pattern, globs: Vec<String>) {
        self.sql.push('(');
        self.column(column, pattern);
        for glob in globs {
            self.push(&format!(" OR {column} GLOB ?"), [glob.into()]);
        }
        self.sql.push(')');
    }

    fn container(&mut self, pattern: &Pattern) {
        self.sql.push('(');
        self.column("c.name", pattern);
        // Docker takes a beginning of the id for the name.
        if let Some(text) = pattern.glob_part().filter(|text| text.len() >= 4) {
            self.push(" OR c.container_id GLOB ?", [format!("{text}*").into()]);
        }
        self.sql.push(')');
    }

    fn image(&mut self, pattern: &Pattern) {
        self.sql.push('(');
        self.column("c.image", pattern);
        if let Some(text) = pattern.glob_part() {
            for glob in [format!("{text}:*"), format!("{text}@*")] {
                self.push(" OR c.image GLOB ?", [glob.into()]);
            }
        }
        self.sql.push(')');
    }

    fn function(&mut self, pattern: &Pattern, globs: Vec<String>) {
        self.sql.push_str(
            "EXISTS (SELECT 1 FROM dump_functions df JOIN functions f ON f.key = df.function WHERE df.dump = d.key AND ",
        );
        self.either("f.name", pattern, globs);
        self.sql.push(')');
    }

    fn label(&mut self, key: &str, value: Option<&Pattern>) {
        let label = crate::database::column_text(key);
        let sql = "EXISTS (SELECT 1 FROM container_labels l WHERE l.container = d.container AND l.label = ?";
        self.push(sql, [label.into()]);
        if let Some(pattern) = value {
            self.sql.push_str(" AND ");
            self.column("l.value", pattern);
        }
        self.sql.push(')');
    }

    /// What a script found out about the dump.
    fn property(&mut self, key: &str, value: Option<&Pattern>) {
        let sql = "EXISTS (SELECT 1 FROM dump_properties p WHERE p.dump = d.key AND p.key = ?";
        self.push(sql, [key.to_owned().into()]);
        if let Some(pattern) = value {
            self.sql.push_str(" AND ");
            self.column("p.value", pattern);
        }
        self.sql.push(')');
    }

    fn any_column(&mut self, columns: &[&str], pattern: &Pattern) {
        self.sql.push('(');
        for (index, column) in columns.iter().enumerate() {
            self.sql.push_str(if index == 0 { "" } else { " OR " });
            self.column(column, pattern);
        }
        self.sql.push(')');
    }

    /// A digest of the image, with or without its repository and algorithm; a beginning will do.
    fn digest(&mut self, pattern: &Pattern) {
        let beginning = pattern.glob_part().map(|text| {
            let digits = text.strip_prefix("sha256:").unwrap_or(&text);
            format!("*?sha256:{digits}*")
        });
        let globs = beginning.into_iter().collect();
        self.sql.push_str(
            "EXISTS (SELECT 1 FROM container_digests i WHERE i.container = d.container AND ",
        );
        self.either("i.digest", pattern, globs);
        self.sql.push(')');
    }

    /// What Compose, and Podman's in its own words, wrote into the container's labels.
    fn compose(&mut self, what: &str, pattern: &Pattern) {
        self.sql.push_str("EXISTS (SELECT 1 FROM container_labels l WHERE l.container = d.container AND l.label IN (?, ?) AND ");
        for engine in ["com.docker", "io.podman"] {
            self.parameters
                .push(format!("{engine}.compose.{what}").into());
        }
        self.column("l.value", pattern);
        self.sql.push(')');
    }

    fn word(&mut self, pattern: &Pattern) {
        let like: Value = pattern.like_anywhere().into();
        self.sql.push('(');
        for column in [
            "d.title",
            "d.location",
            "d.command",
            "d.name",
            "d.unit",
            "c.name",
            "c.image",
            "c.pod_name",
        ] {
            self.push(&format!("{column} LIKE ? ESCAPE '\\' OR "), [like.clone()]);
        }
        self.push(
            "d.group_id IN (SELECT id FROM groups WHERE title LIKE ? ESCAPE '\\'))",
            [like],
        );
    }
}

/// The clauses that are not negated, those of one field together: any of them may match.
fn alternatives(clauses: &[Clause]) -> Vec<Vec<&Clause>> {
    let mut groups: Vec<Vec<&Clause>> = vec![];
    for clause in clauses.iter().filter(|clause| !clause.negated) {
        let same = groups
            .iter_mut()
            .find(|group| group.first().is_some_and(|first| same_field(first, clause)));
        match same {
            Some(group) => group.push(clause),
            None => groups.push(vec![clause]),
        }
    }
    groups
}

/// Times and bare words all hold; everything else is a choice among values of its field.
fn same_field(a: &Clause, b: &Clause) -> bool {
    match (&a.test, &b.test) {
        (Test::Text(a, _), Test::Text(b, _)) => a == b,
        (Test::Label(a, _), Test::Label(b, _)) | (Test::Property(a, _), Test::Property(b, _)) => {
            a == b
        }
        (Test::SignalNumber(_), Test::SignalNumber(_) | Test::Text(Field::Signal, _))
        | (Test::Text(Field::Signal, _), Test::SignalNumber(_))
        | (Test::Pid(_), Test::Pid(_))
        | (Test::Status(_), Test::Status(_))
        | (Test::Kept(_), Test::Kept(_))
        | (Test::Pinned(_), Test::Pinned(_)) => true,
        _ => false,
    }
}
