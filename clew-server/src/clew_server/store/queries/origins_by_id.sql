-- The last two hold what was stored before schema step 8.
SELECT id, any(raw), any(schema_url) FROM (SELECT id, raw, schema_url FROM origins WHERE id IN {ids:Array(UInt64)}
UNION ALL SELECT id, raw, schema_url FROM resources_raw WHERE id IN {ids:Array(UInt64)}
UNION ALL SELECT id, raw, schema_url FROM scopes_raw WHERE id IN {ids:Array(UInt64)}) GROUP BY id
