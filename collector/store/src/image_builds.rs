//! Builds of images that crashed: which of them, how often, and when each was seen first.

use crate::database::column_text;
use crate::query::Query;
use crate::store::{Store, StoreError};
use crate::tally::{Columns, Over, TallyRequest, TallyRow};
use rusqlite::OptionalExtension;
use serde::{Deserialize, Serialize};

/// Builds of images, most crashes first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageBuilds {
    /// The builds.
    pub images: Vec<ImageBuild>,
    /// Builds beyond those.
    pub more: u64,
    /// Crashes that were looked at, also those outside of containers.
    pub crashes: u64,
    /// Milliseconds of a bucket of the trends.
    pub bucket_ms: i64,
    /// Why not everything was counted, a sentence; `None` when it was.
    pub cut: Option<String>,
}

/// One build of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageBuild {
    /// Reference, as the container was made from it.
    pub image: Option<String>,
    /// Digest in its registry; `None`: it came from none, or that is not known.
    pub digest: Option<String>,
    /// The engine's id of it.
    pub image_id: Option<String>,
    /// Crashes.
    pub crashes: u64,
    /// Groups that they are in.
    pub groups: u64,
    /// When any crash first showed this build, also one that is gone or was not asked for;
    /// milliseconds since the epoch.
    pub first_seen_ms: i64,
    /// The newest of the crashes.
    pub last_seen_ms: i64,
    /// Crashes per bucket, oldest first.
    pub trend: Vec<u64>,
}

impl Store {
    /// The builds whose crashes match.
    pub fn image_builds(&self, query: Query, over: Over) -> Result<ImageBuilds, StoreError> {
        let by = Columns::parse("image,image_digest,image_id")
            .map_err(|error| StoreError::Refused(error.message))?;
        let tally = self.tally(&TallyRequest {
            by,
            query,
            over: Some(over),
            limit: 500,
        })?;
        let builds = tally.rows.into_iter().filter_map(ImageBuild::new);
        let mut images: Vec<ImageBuild> = builds.collect();
        self.inner.database.read(|sql| {
            let mut first = sql.prepare_cached(
                "SELECT first_seen_ms FROM images WHERE reference = ?1 AND build = ?2",
            )?;
            for image in &mut images {
                let Some(reference) = &image.image else {
                    continue;
                };
                let key = [column_text(reference), column_text(image.build())];
                let seen: Option<i64> = first.query_row(key, |row| row.get(0)).optional()?;
                image.first_seen_ms = seen.unwrap_or(i64::MAX).min(image.first_seen_ms);
            }
            Ok(ImageBuilds {
                images,
                more: tally.more_rows,
                crashes: tally.crashes,
                bucket_ms: over.width_ms,
                cut: tally.cut,
            })
        })
    }
}

impl ImageBuild {
    /// `None` for processes of the host.
    fn new(row: TallyRow) -> Option<Self> {
        let mut values = row.values.into_iter();
        let mut next = || values.next().flatten();
        let (image, digest, image_id) = (next(), next(), next());
        (image.is_some() || digest.is_some() || image_id.is_some()).then_some(Self {
            image,
            digest,
            image_id,
            crashes: row.crashes,
            groups: row.groups,
            first_seen_ms: row.first_seen_ms,
            last_seen_ms: row.last_seen_ms,
            trend: row.trend,
        })
    }

    /// What tells builds of one reference apart: the digest without its repository, else the id.
    fn build(&self) -> &str {
        let digest = self.digest.as_deref();
        let digest = digest.map(|text| text.split_once('@').map_or(text, |(_, digest)| digest));
        digest.or(self.image_id.as_deref()).unwrap_or_default()
    }
}
