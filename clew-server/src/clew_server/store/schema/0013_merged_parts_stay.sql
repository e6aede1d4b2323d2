-- The engine does not say when a write() to a merged part fails, and by itself it removes at once what was merged. It stays for a
-- minute, so that it can be put back where the merged part is short of bytes; and merged parts are synced as inserted ones are.
ALTER TABLE chunks MODIFY SETTING old_parts_lifetime=60, min_rows_to_fsync_after_merge=1;
ALTER TABLE origins MODIFY SETTING old_parts_lifetime=60, min_rows_to_fsync_after_merge=1;
ALTER TABLE resources_raw MODIFY SETTING old_parts_lifetime=60, min_rows_to_fsync_after_merge=1;
ALTER TABLE scopes_raw MODIFY SETTING old_parts_lifetime=60, min_rows_to_fsync_after_merge=1;
ALTER TABLE spans MODIFY SETTING old_parts_lifetime=60, min_rows_to_fsync_after_merge=1;
ALTER TABLE resources MODIFY SETTING old_parts_lifetime=60, min_rows_to_fsync_after_merge=1;
ALTER TABLE traces MODIFY SETTING old_parts_lifetime=60, min_rows_to_fsync_after_merge=1;
ALTER TABLE red MODIFY SETTING old_parts_lifetime=60, min_rows_to_fsync_after_merge=1;
ALTER TABLE schema_steps MODIFY SETTING old_parts_lifetime=60, min_rows_to_fsync_after_merge=1;
