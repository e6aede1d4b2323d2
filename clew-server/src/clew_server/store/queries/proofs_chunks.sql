-- The tables of the statement `chunks` that hold the segment.
SELECT 'chunks' FROM (SELECT 1 FROM chunks WHERE proof={proof:UInt64} LIMIT 1)
UNION ALL SELECT 'resources_raw' FROM (SELECT 1 FROM resources_raw WHERE has(proofs,{proof:UInt64}) LIMIT 1)
UNION ALL SELECT 'scopes_raw' FROM (SELECT 1 FROM scopes_raw WHERE has(proofs,{proof:UInt64}) LIMIT 1)
