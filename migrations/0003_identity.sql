-- Who a container is besides runtime, id, name and image: its place in Kubernetes, and which
-- image exactly. Rows of older crashes keep NULL: their records did not say either.
ALTER TABLE containers ADD COLUMN runtime_namespace TEXT;
ALTER TABLE containers ADD COLUMN pod_namespace TEXT;
ALTER TABLE containers ADD COLUMN pod_name TEXT;
ALTER TABLE containers ADD COLUMN pod_container TEXT;
ALTER TABLE containers ADD COLUMN pod_owner TEXT;
CREATE INDEX containers_by_pod ON containers (pod_namespace, pod_name);
CREATE INDEX containers_by_pod_uid ON containers (pod_uid);

-- `repository@sha256:…` names of the image, which tell builds with one tag apart.
CREATE TABLE container_digests (
  container INTEGER NOT NULL REFERENCES containers (key) ON DELETE CASCADE,
  digest    TEXT NOT NULL,
  PRIMARY KEY (container, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX container_digests_by_digest ON container_digests (digest);
