//! Turns conditions into SQL. Every value is bound; only text of this file is SQL.
//!
//! A condition is written in one of two forms: as a test of a row at hand ([`Form::Row`]: a `+`
//! before a column keeps the database from looking for it in an index), or as a way to rows
//! ([`Form::Index`]).

use super::language::{Clause, Field, Number, Query, Test, Words};
use super::pattern::Pattern;
use aground_helper::label::OWNER;
use rusqlite::types::Value;

/// How a condition is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Of `dumps d`, `containers c` and `groups g` at hand.
    Row,
    /// Of `dumps d` alone, to be found by an index.
    Index,
}

/// SQL and its parameters in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Condition {
    pub(crate) sql: String,
    pub(crate) parameters: Vec<Value>,
}

/// What a query asks at once: any of these, or none of it.
#[derive(Clone, Debug)]
pub(crate) struct Term<'a> {
    pub(crate) negated: bool,
    pub(crate) any: Vec<&'a Test>,
}

/// The terms of a query, all of which must hold.
pub(crate) fn terms(query: &Query) -> Vec<Term<'_>> {
    let mut terms: Vec<Term<'_>> = vec![];
    for Clause { negated, test } in &query.clauses {
        let same = terms.iter_mut().find(|term| {
            let first = term.any.first();
            !negated && !term.negated && first.is_some_and(|first| same_field(first, test))
        });
        match same {
            Some(term) => term.any.push(test),
            None => terms.push(Term {
                negated: *negated,
                any: vec![test],
            }),
        }
    }
    terms
}

/// Times, ranges and words all hold; everything else is a choice among values of its field.
fn same_field(a: &Test, b: &Test) -> bool {
    match (a, b) {
        (Test::Text(a, _), Test::Text(b, _)) => a == b,
        (Test::Label(a, _), Test::Label(b, _)) | (Test::Property(a, _), Test::Property(b, _)) => {
            a == b
        }
        (Test::Number(a, x), Test::Number(b, y)) => a == b && x.from == x.to && y.from == y.to,
        (Test::SignalNumber(_), Test::SignalNumber(_) | Test::Text(Field::Signal, _))
        | (Test::Text(Field::Signal, _), Test::SignalNumber(_))
        | (Test::Status(_), Test::Status(_))
        | (Test::State(_), Test::State(_))
        | (Test::Kept(_), Test::Kept(_))
        | (Test::Pinned(_), Test::Pinned(_)) => true,
        _ => false,
    }
}

impl Condition {
    /// The whole query, of rows at hand; `TRUE` for the empty one.
    pub(crate) fn of(query: &Query) -> Self {
        Self::all(terms(query).iter(), None)
    }

    /// These terms, of rows at hand. Words are looked for in dumps from `oldest` on.
    pub(crate) fn all<'a>(terms: impl Iterator<Item = &'a Term<'a>>, oldest: Option<i64>) -> Self {
        let mut all = Self {
            sql: "TRUE".to_owned(),
            parameters: vec![],
        };
        for term in terms {
            let condition = Writer::term(term, Form::Row, oldest);
            all.sql.push_str(" AND ");
            all.push(condition);
        }
        all
    }

    /// A way to the rows of a term, when an index leads there.
    pub(crate) fn index(term: &Term<'_>) -> Option<Self> {
        let leads = !term.negated && term.any.iter().all(|test| leads(test));
        leads.then(|| Writer::term(term, Form::Index, None))
    }

    pub(crate) fn push(&mut self, other: Self) {
        self.sql.push_str(&other.sql);
        self.parameters.extend(other.parameters);
    }
}

/// Whether an index leads to the dumps of a test.
fn leads(test: &Test) -> bool {
    match test {
        Test::Text(field, _) => !matches!(
            field,
            Field::Name
                | Field::Command
                | Field::Location
                | Field::Thread
                | Field::Unit
                | Field::Machine
                | Field::Boot
                | Field::Kernel
                | Field::Arch
                | Field::Cpu
        ),
        Test::Number(number, _) => group_number(*number).is_some(),
        Test::Label(..)
        | Test::Property(..)
        | Test::Words(..)
        | Test::State(_)
        | Test::Pinned(true) => true,
        Test::Status(status) => *status != crate::types::DumpStatus::Analyzed,
        _ => false,
    }
}

/// Whether a test is about the group and not about single crashes.
pub(crate) fn is_of_group(test: &Test) -> bool {
    match test {
        Test::State(_) | Test::Words(Words::Note, _) => true,
        Test::Text(field, _) => matches!(field, Field::Group | Field::Tag | Field::Ticket),
        Test::Number(number, _) => group_number(*number).is_some(),
        _ => false,
    }
}

fn group_number(number: Number) -> Option<&'static str> {
    match number {
        Number::Crashes => Some("g.crashes"),
        Number::FirstSeen => Some("g.first_seen_ms"),
        Number::LastSeen => Some("g.last_seen_ms"),
        _ => None,
    }
}

/// What stands for any run of text in a GLOB made of a value.
fn globs(pattern: &Pattern, shapes: &[&str]) -> Vec<String> {
    let literal = pattern.glob_part();
    literal
        .map(|text| {
            shapes
                .iter()
                .map(|shape| shape.replace('@', &text))
                .collect()
        })
        .unwrap_or_default()
}

/// Besides the value itself, what people mean by it.
pub(crate) fn also(field: Field, pattern: &Pattern) -> Vec<String> {
    let shapes: &[&str] = match field {
        Field::Id | Field::BuildId => &["@*"],
        // A whole id means one group.
        Field::Group if pattern.len() < 16 => &["@*"],
        // `image:api` is any tag of it.
        Field::Image => &["@:*", "@@*"],
        Field::ImageId => &["@*", "sha256:@*"],
        // `exe:server` is one anywhere, and so is `workload:shop`.
        Field::Executable | Field::Workload => &["*/@"],
        Field::Unit => &["@.service"],
        _ => &[],
    };
    if field == Field::Image {
        // The `@` of a digest is no placeholder.
        let literal = pattern.glob_part();
        return literal
            .map(|text| vec![format!("{text}:*"), format!("{text}@*")])
            .unwrap_or_default();
    }
    globs(pattern, shapes)
}

struct Writer {
    form: Form,
    oldest: Option<i64>,
    out: Condition,
}

impl Writer {
    fn term(term: &Term<'_>, form: Form, oldest: Option<i64>) -> Condition {
        let mut writer = Self {
            form,
            oldest,
            out: Condition::default(),
        };
        writer.add("(");
        for (index, test) in term.any.iter().enumerate() {
            writer.add(if index == 0 { "" } else { " OR " });
            writer.test(test);
        }
        // NULL, where there is nothing to compare, counts as no match.
        writer.add(if term.negated { ") IS NOT TRUE" } else { ")" });
        writer.out
    }

    fn add(&mut self, sql: &str) {
        self.out.sql.push_str(sql);
    }

    fn bind(&mut self, sql: &str, parameters: impl IntoIterator<Item = Value>) {
        self.out.sql.push_str(sql);
        self.out.parameters.extend(parameters);
    }

    /// A column of `dumps`, for an index or not.
    fn dump(&self, column: &str) -> String {
        match self.form {
            Form::Row => format!("+d.{column}"),
            Form::Index => format!("d.{column}"),
        }
    }

    fn test(&mut self, test: &Test) {
        match test {
            Test::Text(field, pattern) => self.text(*field, pattern),
            Test::Label(key, value) => self.label(std::slice::from_ref(key), value.as_ref()),
            Test::Property(key, value) => self.property(key, value.as_ref()),
            Test::SignalNumber(number) => self.bind("+d.signal_number = ?", [(*number).into()]),
            Test::Number(number, span) => {
                let bounds = [span.from.into(), span.to.into()];
                match group_number(*number) {
                    Some(column) => self.of_group(|writer| {
                        writer.bind(&format!("{column} BETWEEN ? AND ?"), bounds);
                    }),
                    None => self.bind(&format!("{} BETWEEN ? AND ?", column_of(*number)), bounds),
                }
            }
            Test::Confidence(word) => self.bind("c.confidence = ?", [(*word).to_owned().into()]),
            Test::Status(status) => {
                let column = self.dump("status");
                self.bind(
                    &format!("{column} = ?"),
                    [status.as_str().to_owned().into()],
                );
                if self.form == Form::Index {
                    self.add(" AND d.status <> 'analyzed'");
                }
            }
            Test::Kept(kept) => self.bind("+d.kept = ?", [(*kept).to_owned().into()]),
            Test::Pinned(true) if self.form == Form::Index => self.add("d.pinned <> 0"),
            Test::Pinned(pinned) => self.bind("+d.pinned = ?", [Value::from(*pinned)]),
            Test::State(state) => {
                self.of_group(|writer| writer.bind("g.state = ?", [(*state).to_owned().into()]));
            }
            Test::Since(at) => self.bind("d.crashed_at_ms >= ?", [Value::from(*at)]),
            Test::Until(at) => self.bind("d.crashed_at_ms <= ?", [Value::from(*at)]),
            Test::Words(words, pattern) => self.words(*words, pattern),
        }
    }

    fn of_group(&mut self, write: impl FnOnce(&mut Self)) {
        if self.form == Form::Index {
            self.add("d.group_id IN (SELECT g.id FROM groups g WHERE ");
        }
        write(self);
        if self.form == Form::Index {
            self.add(")");
        }
    }

    fn of_container(&mut self, write: impl FnOnce(&mut Self)) {
        if self.form == Form::Index {
            self.add("d.container IN (SELECT c.key FROM containers c WHERE ");
        }
        write(self);
        if self.form == Form::Index {
            self.add(")");
        }
    }

    /// One column equals the value, or matches it where it has wildcards.
    fn column(&mut self, column: &str, pattern: &Pattern) {
        match pattern.literal() {
            Some(literal) => self.bind(&format!("{column} = ?"), [literal.to_owned().into()]),
            None => self.bind(&format!("{column} GLOB ?"), [pattern.glob().into()]),
        }
    }

    fn either(&mut self, column: &str, pattern: &Pattern, globs: Vec<String>) {
        self.add("(");
        self.column(column, pattern);
        for glob in globs {
            self.bind(&format!(" OR {column} GLOB ?"), [glob.into()]);
        }
        self.add(")");
    }

    fn text(&mut self, field: Field, pattern: &Pattern) {
        let globs = also(field, pattern);
        match field {
            Field::Id => self.either("d.id", pattern, globs),
            Field::Group if self.form == Form::Index => self.either("d.group_id", pattern, globs),
            Field::Group => self.either("g.id", pattern, globs),
            Field::Host => self.indexed("host", pattern, globs),
            Field::Signal => self.indexed("signal", pattern, globs),
            Field::Cause => self.indexed("cause", pattern, globs),
            Field::Executable => self.indexed("executable", pattern, globs),
            Field::Image => self.indexed("image", pattern, globs),
            Field::Name => self.column("d.name", pattern),
            Field::Command => self.column("d.command", pattern),
            Field::Location => self.column("d.location", pattern),
            Field::Thread => self.column("d.thread", pattern),
            Field::Unit => self.either("d.unit", pattern, globs),
            Field::Machine => self.column("d.machine", pattern),
            Field::Boot => self.column("d.boot", pattern),
            Field::Kernel => self.column("d.kernel", pattern),
            Field::Arch => self.column("d.arch", pattern),
            Field::Cpu => self.column("d.cpu", pattern),
            Field::Function => self.named("stack", "function", pattern),
            Field::File => self.named("stack", "file", pattern),
            Field::Module => self.named("modules", "module", pattern),
            Field::BuildId => self.named("modules", "build_id", pattern),
            Field::ComposeProject => self.label(&compose("project"), Some(pattern)),
            Field::ComposeService => self.label(&compose("service"), Some(pattern)),
            Field::Owner => self.owner(pattern),
            Field::ImageDigest => self.digest(pattern),
            Field::Tag => self.of_list("group_tags", "tag", pattern),
            Field::Ticket => self.of_list("group_tickets", "ticket", pattern),
            _ => self.of_container(|writer| writer.container(field, pattern, globs)),
        }
    }

    /// A column of `dumps` with an index in the order of time. Where it is not one value, those
    /// that begin as it does are gone through in the index, each once.
    fn indexed(&mut self, column: &str, pattern: &Pattern, globs: Vec<String>) {
        if self.form == Form::Row || (globs.is_empty() && pattern.literal().is_some()) {
            return self.either(&self.dump(column), pattern, globs);
        }
        // All of them begin with this.
        let beginning = pattern.beginning();
        let anywhere = globs.iter().any(|glob| glob.starts_with('*'));
        let beginning = if anywhere { "" } else { beginning };
        let end = format!("{beginning}{}", char::MAX);
        self.bind(
            &format!(
                "d.{column} IN (WITH RECURSIVE v (x) AS (SELECT min({column}) FROM dumps WHERE {column} >= ? UNION ALL
                 SELECT (SELECT min({column}) FROM dumps WHERE {column} > x) FROM v WHERE x < ?)
                 SELECT x FROM v WHERE "
            ),
            [beginning.to_owned().into(), end.into()],
        );
        self.either("x", pattern, globs);
        self.add(")");
    }

    fn container(&mut self, field: Field, pattern: &Pattern, globs: Vec<String>) {
        match field {
            Field::Container => {
                self.add("(");
                self.column("c.name", pattern);
                // Docker takes a beginning of the id for the name.
                if let Some(text) = pattern.glob_part().filter(|text| text.len() >= 4) {
                    self.bind(" OR c.container_id GLOB ?", [format!("{text}*").into()]);
                }
                self.add(")");
            }
            Field::ImageId => self.either("c.image_id", pattern, globs),
            Field::Namespace => self.column("c.pod_namespace", pattern),
            // A pod goes by its name or its UID.
            Field::Pod => {
                self.add("(");
                self.column("c.pod_name", pattern);
                self.add(" OR ");
                self.column("c.pod_uid", pattern);
                self.add(")");
            }
            Field::PodUid => self.column("c.pod_uid", pattern),
            Field::PodContainer => self.column("c.pod_container", pattern),
            Field::Workload => self.either("c.pod_owner", pattern, globs),
            Field::RuntimeNamespace => self.column("c.runtime_namespace", pattern),
            Field::Hostname => self.column("c.hostname", pattern),
            _ => self.column("c.runtime", pattern),
        }
    }

    /// A name on the stack or among the modules. Each way to it is a search of its own, for each
    /// has an index of its own.
    fn named(&mut self, column: &str, kind: &str, pattern: &Pattern) {
        self.add(&match self.form {
            // Of a name that is in most sets a list of them would be long, and a pattern has more
            // names than a set.
            Form::Row => {
                let name = if pattern.names().is_some() { "" } else { "+" };
                format!(
                    "EXISTS (SELECT 1 FROM set_names s WHERE s.name_set = d.{column} AND {name}s.name IN ("
                )
            }
            Form::Index => {
                format!("d.{column} IN (SELECT s.name_set FROM set_names s WHERE s.name IN (")
            }
        });
        self.out.push(match pattern.names() {
            Some(keys) => keys_of(keys),
            None => names(kind, pattern),
        });
        self.add(")");
        self.end();
    }

    /// Ends a search of its own. Of a row at hand it is asked as a value: the database would make a
    /// bare `EXISTS` a way to rows, and go through all that it finds.
    fn end(&mut self) {
        self.add(match self.form {
            Form::Row => ") IS TRUE",
            Form::Index => ")",
        });
    }

    fn label(&mut self, keys: &[String], value: Option<&Pattern>) {
        let keys = keys
            .iter()
            .map(|key| crate::database::column_text(key).into());
        let keys: Vec<Value> = keys.collect();
        let marks = vec!["?"; keys.len()].join(", ");
        let which = match self.form {
            Form::Row => {
                "EXISTS (SELECT 1 FROM container_labels l WHERE l.container = d.container AND"
            }
            Form::Index => "d.container IN (SELECT l.container FROM container_labels l WHERE",
        };
        self.bind(&format!("{which} l.label IN ({marks})"), keys);
        if let Some(pattern) = value {
            self.add(" AND ");
            self.column("l.value", pattern);
        }
        self.end();
    }

    /// What a script found out about the dump.
    fn property(&mut self, key: &str, value: Option<&Pattern>) {
        let which = match self.form {
            Form::Row => "EXISTS (SELECT 1 FROM dump_properties p WHERE p.dump = d.key AND",
            Form::Index => "d.key IN (SELECT p.dump FROM dump_properties p WHERE",
        };
        self.bind(&format!("{which} p.key = ?"), [key.to_owned().into()]);
        if let Some(pattern) = value {
            self.add(" AND ");
            self.column("p.value", pattern);
        }
        self.end();
    }

    fn owner(&mut self, pattern: &Pattern) {
        let column = self.dump("group_id");
        self.add("(");
        self.label(&[OWNER.to_owned()], Some(pattern));
        self.add(&format!(
            " OR {column} IN (SELECT group_id FROM group_lives WHERE "
        ));
        self.column("owner", pattern);
        self.add("))");
    }

    /// A digest of the image, with or without its repository and algorithm; a beginning will do.
    fn digest(&mut self, pattern: &Pattern) {
        let beginning = pattern.glob_part().map(|text| {
            let digits = text.strip_prefix("sha256:").unwrap_or(&text);
            format!("*?sha256:{digits}*")
        });
        self.add(match self.form {
            Form::Row => {
                "EXISTS (SELECT 1 FROM container_digests i WHERE i.container = d.container AND "
            }
            Form::Index => "d.container IN (SELECT i.container FROM container_digests i WHERE ",
        });
        self.either("i.digest", pattern, beginning.into_iter().collect());
        self.end();
    }

    fn of_list(&mut self, table: &str, column: &str, pattern: &Pattern) {
        self.of_group(|writer| {
            writer.add(&format!(
                "EXISTS (SELECT 1 FROM {table} t WHERE t.group_id = g.id AND "
            ));
            writer.column(&format!("t.{column}"), pattern);
            writer.add(")");
        });
    }

    fn words(&mut self, words: Words, pattern: &Pattern) {
        if words == Words::Note {
            let like: Value = pattern.like_anywhere().into();
            return self.of_group(|writer| {
                writer.bind(
                    "EXISTS (SELECT 1 FROM group_notes n WHERE n.group_id = g.id AND n.text LIKE ? ESCAPE '\\')",
                    [like],
                );
            });
        }
        let searches = searches(words, pattern);
        if searches.is_empty() {
            return self.add("FALSE");
        }
        let (key, group) = (self.dump("key"), self.dump("group_id"));
        self.add("(");
        for (index, (table, search)) in searches.into_iter().enumerate() {
            self.add(if index == 0 { "" } else { " OR " });
            let select = format!("{key} IN (SELECT rowid FROM {table} WHERE {table} MATCH ?");
            self.bind(&select, [search.into()]);
            if let Some(oldest) = self.oldest {
                self.bind(" AND rowid >= ?", [oldest.into()]);
            }
            self.add(")");
        }
        if words == Words::Any {
            self.bind(
                &format!(" OR {group} IN (SELECT group_id FROM group_notes WHERE text LIKE ? ESCAPE '\\')"),
                [pattern.like_anywhere().into()],
            );
        }
        self.add(")");
    }
}

fn keys_of(keys: &[i64]) -> Condition {
    Condition {
        sql: vec!["?"; keys.len()].join(", "),
        parameters: keys.iter().copied().map(Value::from).collect(),
    }
}

/// What selects the keys of names of a kind, in ways that have an index each.
pub(crate) fn names(kind: &str, pattern: &Pattern) -> Condition {
    let mut writer = Writer {
        form: Form::Index,
        oldest: None,
        out: Condition::default(),
    };
    let select = format!("SELECT n.key FROM names n WHERE n.kind = '{kind}' AND ");
    writer.add(&select);
    writer.column("n.name", pattern);
    let Some(literal) = pattern.literal() else {
        return writer.out;
    };
    writer.add(" UNION ");
    writer.add(&select);
    let short = literal.rsplit("::").next().unwrap_or(literal);
    if kind == "build_id" {
        let glob = globs(pattern, &["@*"]).pop().unwrap_or_default();
        writer.bind("n.name GLOB ?", [glob.into()]);
    } else if kind == "function" && short.len() < literal.len() {
        // A part of the scope, as `parser::parse` of `json::parser::parse(char*)`.
        writer.bind("n.short = ?", [short.to_owned().into()]);
        let ends = globs(pattern, &["@(*", "*::@", "*::@(*"]);
        if !ends.is_empty() {
            let either = vec!["n.name GLOB ?"; ends.len()].join(" OR ");
            writer.bind(
                &format!(" AND ({either})"),
                ends.into_iter().map(Value::from),
            );
        }
    } else {
        writer.bind("n.short = ?", [literal.to_owned().into()]);
    }
    writer.out
}

/// The tables that words are looked for in, and what they are asked. None where the value has no
/// letter and no digit.
pub(crate) fn searches(words: Words, pattern: &Pattern) -> Vec<(&'static str, String)> {
    let search = |column: &str| {
        let phrases = pattern.phrases();
        let asked = phrases.iter().map(|phrase| format!("{column}{phrase}"));
        asked.collect::<Vec<_>>().join(" AND ")
    };
    if pattern.phrases().is_empty() {
        return vec![];
    }
    match words {
        Words::Any => vec![("record_words", search("")), ("report_words", search(""))],
        Words::Message => vec![("report_words", search("message : "))],
        Words::Log => vec![("record_words", search("log : "))],
        Words::Note => vec![],
    }
}

fn column_of(number: Number) -> &'static str {
    match number {
        Number::Uid => "+d.uid",
        Number::Size => "+d.core_bytes",
        Number::Hold => "+d.hold_us",
        _ => "+d.pid",
    }
}

/// What Compose, and Podman's in its own words, wrote into the container's labels.
fn compose(what: &str) -> [String; 2] {
    ["com.docker", "io.podman"].map(|engine| format!("{engine}.compose.{what}"))
}
