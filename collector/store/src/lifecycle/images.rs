//! Remembers when crashes first showed each build of an image.

use super::change::ImageMark;
use super::returns::Seen;
use crate::database::column_text;
use crate::store::StoreError;
use aground_helper::record::Container;
use rusqlite::{OptionalExtension, Transaction, params};

/// Notes the image of a crash that is taken in.
pub(crate) fn see(
    sql: &Transaction<'_>,
    container: &Container,
    at_ms: i64,
) -> Result<(), StoreError> {
    let Some(reference) = &container.image else {
        return Ok(());
    };
    let mut digests: Vec<&String> = container.image_digests.iter().collect();
    digests.sort_unstable();
    let digest = digests.first().map(|text| {
        text.split_once('@')
            .map_or(text.as_str(), |(_, digest)| digest)
    });
    let build = digest.or(container.image_id.as_deref()).unwrap_or_default();
    sql.prepare_cached(
        "INSERT INTO images (reference, build, first_seen_ms) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET first_seen_ms = excluded.first_seen_ms
             WHERE excluded.first_seen_ms < first_seen_ms",
    )?
    .execute(params![column_text(reference), column_text(build), at_ms])?;
    Ok(())
}

/// The image that a dump's process ran in.
pub(crate) fn of_dump(sql: &Transaction<'_>, dump: i64) -> Result<Option<Seen>, StoreError> {
    let found = sql
        .prepare_cached(
            "SELECT c.image, coalesce((SELECT substr(i.digest, instr(i.digest, '@') + 1)
                 FROM container_digests i WHERE i.container = c.key ORDER BY i.digest LIMIT 1), c.image_id)
             FROM dumps d JOIN containers c ON c.key = d.container
             WHERE d.key = ?1 AND c.image IS NOT NULL",
        )?
        .query_row([dump], |row| {
            Ok(ImageMark {
                reference: row.get(0)?,
                build: row.get(1)?,
            })
        })
        .optional()?;
    found.map(|mark| with_age(sql, mark)).transpose()
}

/// When this build, or any of this reference when no build is known, was first seen.
pub(crate) fn with_age(sql: &Transaction<'_>, mark: ImageMark) -> Result<Seen, StoreError> {
    let first_seen_ms = sql
        .prepare_cached(
            "SELECT min(first_seen_ms) FROM images
             WHERE reference = ?1 AND (build = ?2 OR ?2 IS NULL)",
        )?
        .query_row(params![mark.reference, mark.build], |row| row.get(0))?;
    Ok(Seen {
        mark,
        first_seen_ms,
    })
}

/// What somebody means by an image: a reference with or without its digest, or the beginning of a
/// digest or image id that a crash has shown.
pub(crate) fn meant(sql: &Transaction<'_>, typed: &str) -> Result<ImageMark, StoreError> {
    if let Some((reference, digest)) = typed.split_once('@') {
        return Ok(ImageMark {
            reference: reference.to_owned(),
            build: Some(digest.to_owned()),
        });
    }
    let digits = typed.strip_prefix("sha256:").unwrap_or(typed);
    let is_digest = digits.len() >= 12 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_digest {
        return Ok(ImageMark {
            reference: typed.to_owned(),
            build: None,
        });
    }
    let found = sql
        .prepare_cached(
            "SELECT reference, build FROM images WHERE build GLOB ?1 ORDER BY first_seen_ms DESC LIMIT 1",
        )?
        .query_row([format!("sha256:{}*", digits.to_ascii_lowercase())], |row| {
            Ok(ImageMark {
                reference: row.get(0)?,
                build: row.get(1)?,
            })
        })
        .optional()?;
    found.ok_or_else(|| {
        StoreError::Refused(format!(
            "no crash has shown an image with the digest {digits}: give its reference, such as api:1.4"
        ))
    })
}
