-- The ids that stand in the paths of the tables' files; column `uuid` is empty in an embedded engine.
SELECT extract(arrayJoin(data_paths),'/store/[0-9a-f]+/([0-9a-f-]+)/') AS id, name FROM system.tables WHERE database=currentDatabase() AND engine LIKE '%MergeTree' AND id!=''
