SELECT id, any(raw), any(schema_url) FROM scopes_raw WHERE id IN {ids:Array(UInt64)} GROUP BY id
