//! What each route is for, what it takes and what it answers.

/// What is told of a route.
#[derive(Clone, Copy)]
pub(super) struct Told {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    /// Names in [`super::schemas::query_parameter`].
    pub(super) query: &'static [&'static str],
    /// What the body is: a schema, `bytes`, or empty.
    pub(super) body: &'static str,
    pub(super) status: u16,
    /// What the answer is: a schema, `[schema]`, `text`, `bytes` or `events`.
    pub(super) answer: &'static str,
}

const fn get(
    path: &'static str,
    summary: &'static str,
    query: &'static [&'static str],
    answer: &'static str,
) -> Told {
    Told {
        method: "GET",
        path,
        summary,
        query,
        body: "",
        status: 200,
        answer,
    }
}

const fn change(
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    answer: &'static str,
) -> Told {
    Told {
        method,
        ..get(path, summary, &[], answer)
    }
}

const fn with_body(told: Told, body: &'static str, status: u16) -> Told {
    Told {
        body,
        status,
        ..told
    }
}

const fn with_query(told: Told, query: &'static [&'static str]) -> Told {
    Told { query, ..told }
}

const LIST: &[&str] = &["query", "filter", "saved", "limit", "cursor"];

pub(super) const TOLD: &[Told] = &[
    get("/healthz", "The process runs", &[], "text"),
    get("/readyz", "The store answers", &[], "text"),
    get("/metrics", "Metrics for Prometheus", &[], "text"),
    get("/api/v1/openapi.json", "This document", &[], "Any"),
    get("/api/v1/status", "What an operator asks first", &[], "Any"),
    get("/api/v1/doctor", "Whether crashes are caught", &[], "Any"),
    get(
        "/api/v1/events",
        "What happens, as server-sent events; goes on after Last-Event-ID",
        &["after", "since", "until", "query", "filter", "saved"],
        "events",
    ),
    get(
        "/api/v1/dumps",
        "A page of dumps, newest first",
        LIST,
        "DumpPage",
    ),
    get("/api/v1/dumps/{ref}", "A dump whole", &[], "Dump"),
    change(
        "DELETE",
        "/api/v1/dumps/{ref}",
        "Removes a dump for good",
        "DumpReference",
    ),
    get(
        "/api/v1/dumps/{ref}/record",
        "What was known at death",
        &[],
        "Record",
    ),
    get(
        "/api/v1/dumps/{ref}/report",
        "What the analysis found",
        &[],
        "Report",
    ),
    get(
        "/api/v1/dumps/{ref}/text",
        "A crash as plain text",
        &[],
        "text",
    ),
    get(
        "/api/v1/dumps/{ref}/log",
        "The end of the container's log",
        &[],
        "text",
    ),
    with_body(
        change(
            "POST",
            "/api/v1/dumps/{ref}/analyze",
            "Queues an analysis",
            "DumpReference",
        ),
        "",
        202,
    ),
    change(
        "PUT",
        "/api/v1/dumps/{ref}/pin",
        "Keeps a dump whatever the limits",
        "DumpReference",
    ),
    change(
        "DELETE",
        "/api/v1/dumps/{ref}/pin",
        "Lets go of a pinned dump",
        "DumpReference",
    ),
    get("/api/v1/dumps/{ref}/core", "The core", &["format"], "bytes"),
    get(
        "/api/v1/dumps/{ref}/modules/{sha256}",
        "An ELF file that the process had mapped",
        &[],
        "bytes",
    ),
    get(
        "/api/v1/dumps/{ref}/properties",
        "What scripts found out",
        &[],
        "[Any]",
    ),
    get(
        "/api/v1/groups",
        "A page of groups, last seen first",
        LIST,
        "GroupPage",
    ),
    get("/api/v1/groups/{ref}", "A group", &[], "GroupSummary"),
    get(
        "/api/v1/groups/{ref}/dumps",
        "A page of a group's dumps",
        LIST,
        "DumpPage",
    ),
    get(
        "/api/v1/groups/{ref}/explain",
        "Why a group's crashes are one",
        &[],
        "Any",
    ),
    get(
        "/api/v1/groups/{ref}/diff/{other}",
        "Two groups side by side",
        &[],
        "Any",
    ),
    get(
        "/api/v1/groups/{ref}/seen",
        "Where and since when, and what stands out",
        &[],
        "Any",
    ),
    get(
        "/api/v1/groups/{ref}/life",
        "What was decided about a group",
        &[],
        "Any",
    ),
    get(
        "/api/v1/groups/{ref}/changes",
        "Every change of a group",
        &[],
        "[Any]",
    ),
    with_body(
        change(
            "POST",
            "/api/v1/groups/{ref}/changes",
            "Decides about a group",
            "Any",
        ),
        "Decision",
        200,
    ),
    with_body(
        change(
            "POST",
            "/api/v1/groups/try",
            "What rules would change",
            "Any",
        ),
        "Any",
        200,
    ),
    get(
        "/api/v1/report",
        "Counts crashes by fields",
        &["by", "query", "filter", "saved", "over", "limit"],
        "Tally",
    ),
    get("/api/v1/hosts", "What crashes where", &[], "Any"),
    get(
        "/buildid/{build_id}/executable",
        "An ELF file by build ID (debuginfod)",
        &[],
        "bytes",
    ),
    get(
        "/buildid/{build_id}/debuginfo",
        "Its debug information (debuginfod)",
        &[],
        "bytes",
    ),
    with_query(
        with_body(
            change("POST", "/api/v1/import", "Takes a core in", "Any"),
            "bytes",
            201,
        ),
        &["name", "again"],
    ),
    get("/api/v1/symbols", "All files of symbols", &[], "[Any]"),
    with_query(
        with_body(
            change(
                "POST",
                "/api/v1/symbols",
                "Takes a file of symbols in",
                "Any",
            ),
            "bytes",
            201,
        ),
        &["name"],
    ),
    get(
        "/api/v1/symbols/missing",
        "Files that crashes lack",
        &[],
        "[Any]",
    ),
    get(
        "/api/v1/symbols/{build_id}",
        "A file of symbols",
        &[],
        "bytes",
    ),
    get(
        "/api/v1/governor",
        "Crash loops that keep less memory",
        &[],
        "Any",
    ),
    get("/api/v1/notify", "Who is told of what changes", &[], "Any"),
    get("/api/v1/rules", "Rules and scripts", &[], "Any"),
    get(
        "/api/v1/searches",
        "Searches that people named",
        &[],
        "[Any]",
    ),
    with_query(
        change("PUT", "/api/v1/searches/{name}", "Names a search", "Any"),
        &["query"],
    ),
    get(
        "/api/v1/tokens",
        "Access tokens without their secrets",
        &[],
        "[Token]",
    ),
    with_body(
        change("POST", "/api/v1/tokens", "Makes a token", "Any"),
        "TokenWish",
        201,
    ),
    change(
        "DELETE",
        "/api/v1/tokens/{name}",
        "Takes a token back",
        "Token",
    ),
    get(
        "/api/v1/audit",
        "Who took what, newest first",
        &["limit"],
        "[Audited]",
    ),
];
