//! What every verb has at hand: the client, where output goes, and how failures end the program.

use super::template::TemplateError;
use super::text::visible;
use crate::client::{Client, ClientError};
use crate::problem::ProblemBody;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::process::ExitCode;

/// One run of one verb.
pub struct Session {
    /// The daemon.
    pub client: Client,
    /// Standard output.
    pub out: BufWriter<Stdout>,
    /// Whether output may be coloured.
    pub color: bool,
    /// `aground` or `docker dumps`.
    pub program: &'static str,
    /// Now, milliseconds since the epoch.
    pub now_ms: i64,
}

impl Session {
    /// A session that writes to standard output.
    pub fn new(client: Client, program: &'static str) -> Self {
        Self {
            client,
            out: BufWriter::new(io::stdout()),
            color: may_color(&io::stdout()),
            program,
            now_ms: jiff::Timestamp::now().as_millisecond(),
        }
    }

    /// Writes out what is buffered.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Says what went wrong and goes on; what was written so far comes first.
    pub fn complain(&mut self, message: &str) {
        // The failure comes back at the end, when everything is flushed again.
        let _ = self.out.flush();
        super::complain(self.program, message);
    }
}

/// A terminal that takes colours, and nobody said no (no-color.org).
pub fn may_color(stream: &impl IsTerminal) -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    stream.is_terminal() && !no_color && !dumb
}

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// In one line.
    #[error("{0}")]
    Message(String),
    /// The daemon could not be asked, or said no.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The query words are wrong, and where.
    #[error("{}", .problem.detail)]
    Query {
        /// The query as it was sent.
        text: String,
        /// What the daemon says of it.
        problem: Box<ProblemBody>,
    },
    /// `--format` is wrong.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// `--format` is wrong, in a verb where Docker exits with 64.
    #[error(transparent)]
    InspectTemplate(TemplateError),
    /// Standard output could not be written.
    #[error("cannot write output: {0}")]
    Output(#[from] io::Error),
    /// Something the verb builds on failed; the causes are part of the line.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
    /// All has been said already.
    #[error("failed")]
    Told,
}

impl Failure {
    /// What is to be said; nothing when the reader of a pipe has left, or all has been said.
    pub fn message(&self) -> Option<String> {
        match self {
            Failure::Told => None,
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => None,
            failure => Some(failure.to_string()),
        }
    }

    /// The query with a mark under the place that is wrong, where one is.
    pub fn place(&self) -> Option<String> {
        let Failure::Query { text, problem } = self else {
            return None;
        };
        let wrong = problem.query.as_ref()?;
        let end = wrong.offset.saturating_add(wrong.length);
        let cut = |at: usize| text.get(..text.floor_char_boundary(at)).unwrap_or(text);
        let (before, through) = (visible(cut(wrong.offset)), visible(cut(end)));
        let width = |text: &str| unicode_width::UnicodeWidthStr::width(text);
        let length = width(&through).saturating_sub(width(&before)).max(1);
        // What does not fit on a line says no more than the message does.
        (width(&before) < 200).then(|| {
            format!(
                "  {}\n  {}{}",
                visible(text),
                " ".repeat(width(&before)),
                "^".repeat(length.min(200))
            )
        })
    }

    /// 125 when no daemon could be asked (as `docker run`), 64 for a wrong template of `inspect`
    /// (as Docker), 0 when the reader of a pipe has left, else 1.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Client(
                ClientError::Unreachable { .. }
                | ClientError::Tls { .. }
                | ClientError::Forbidden(_),
            ) => ExitCode::from(125),
            Failure::InspectTemplate(_) => ExitCode::from(64),
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                ExitCode::SUCCESS
            }
            _ => ExitCode::FAILURE,
        }
    }
}
